"""Steps that compute the same however many replicas share a batch."""

import types

import keras
import tensorflow as tf

from keras_ds2.ops.replicas import sum_over_replicas

# What Keras does for TensorFlow alone: it adds the gradients up, and updates in cross-replica
# context, which must not be entered from a condition (as there is where gradients accumulate).
_DISTRIBUTED = (
    "_apply_weight_decay",
    "_backend_increment_gradient_accumulators",
    "_backend_update_step",
)


(_BaseOptimizer,) = (
    each for each in keras.optimizers.Optimizer.__mro__ if each.__name__ == "BaseOptimizer"
)


class ReplicatedStep:
    """Mixin before `keras.Model`: a batch in shares gives the weights and figures of the whole.

    Keras's own `train_step` leaves the replicas' gradients to the optimiser, which clips each
    replica's before it adds them up, and of which the wrapper that scales the loss of float16 looks
    at the first replica's alone for infinities. Here they are added up first, so all that an
    optimiser does, clipping and accumulation too, it does to the whole batch's gradients. The
    `loss` that is shown is the mean over the batch's utterances; Keras's weighs replicas alike.

    `compute_loss` has to return the replica's share of the loss: the sum over replicas is the loss.
    """

    def compile(self, *args, **kwargs):
        super().compile(*args, **kwargs)
        optimizer = getattr(self.optimizer, "inner_optimizer", self.optimizer)
        for name in _DISTRIBUTED:
            # Each replica updates its own copies, all by the same sums.
            method = getattr(_BaseOptimizer, name)
            setattr(optimizer, name, types.MethodType(method, optimizer))

    def train_step(self, data):
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        with tf.GradientTape() as tape:
            y_pred = self(x, training=True)
            loss = self.compute_loss(x, y, y_pred, sample_weight, training=True)
            scaled = self.optimizer.scale_loss(loss)
        weights = self.trainable_weights
        gradients = sum_over_replicas(tape.gradient(scaled, weights))
        self.optimizer.apply_gradients(zip(gradients, weights, strict=True))
        self._track_loss(loss, x, sample_weight)
        return self.compute_metrics(x, y, y_pred, sample_weight)

    def test_step(self, data):
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        y_pred = self(x, training=False)
        loss = self.compute_loss(x, y, y_pred, sample_weight, training=False)
        self._track_loss(loss, x, sample_weight)
        return self.compute_metrics(x, y, y_pred, sample_weight)

    def _track_loss(self, share, x, sample_weight):
        if sample_weight is None:
            rows = tf.shape(keras.tree.flatten(x)[0])[0]
        else:
            rows = tf.math.count_nonzero(sample_weight)
        share = tf.stack([tf.cast(share, tf.float32), tf.cast(rows, tf.float32)])
        loss, rows = tf.unstack(sum_over_replicas([share])[0])
        # Each replica's tracker gets the same, so that each has the mean, and all together too.
        replicas = tf.distribute.get_strategy().num_replicas_in_sync
        self._loss_tracker.update_state(loss, sample_weight=rows / replicas)
