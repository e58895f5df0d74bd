"""A training step that leaves everything as it was where it could only do harm."""

import keras
import tensorflow as tf

from keras_ds2.models.replicated_step import ReplicatedStep
from keras_ds2.ops.replicas import sum_over_replicas

LEAST_LOSS_SCALE = 2.0**-14
"""Of half precision, its smallest normal number: what is not finite below it is no overflow."""

COUNTS = ("unread", "not_finite")
"""Names of the metrics that count, since the epoch began, what training steps pass over."""


class GuardedTraining(ReplicatedStep):
    """Mixin before `keras.Model`: `fit` passes over batches that would spoil the model.

    A batch is passed over, as if it had never been seen, where its loss is not finite, or it makes
    a moving statistic so; where a gradient is not, unless a `LossScaleOptimizer` looks after that
    (in half precision it is normal) and its scale is at least `LEAST_LOSS_SCALE`; where none of its
    utterances could be read; and, with `needs_all_read`, where one could not. Weights, optimiser,
    moving statistics, random generators and the sums of the metrics stay as they were. An utterance
    that could not be read has no frame: `feature_length` 0.

    Two metrics count since the epoch began: `unread` utterances, and batches `not_finite`.

    Attributes:
        needs_all_read: bool, read when `fit` is called for the first time.
    """

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.needs_all_read = False
        self._unread = keras.metrics.Sum(name="unread")
        self._not_finite = keras.metrics.Sum(name="not_finite")

    def train_step(self, data):
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        optimizer, weights = self.optimizer, self.trainable_weights
        if not optimizer.built:
            optimizer.build(weights)
        scales = isinstance(optimizer, keras.optimizers.LossScaleOptimizer)
        kept = list(self.non_trainable_variables) + [
            variable for metric in self.metrics for variable in metric.variables
        ]
        if scales:
            kept += [optimizer.dynamic_scale, optimizer.step_counter]
        kept = list({id(variable): variable for variable in kept}.values())
        before = [tf.identity(variable) for variable in kept]

        with tf.GradientTape() as tape:
            y_pred = self(x, training=True)
            loss = self.compute_loss(x, y, y_pred, sample_weight, training=True)
            scaled = optimizer.scale_loss(loss)
        gradients = sum_over_replicas(tape.gradient(scaled, weights))

        # A clipped ReLU may hide from the loss what has spoilt the statistics.
        finite = _all_finite([loss, *map(tf.convert_to_tensor, self.non_trainable_weights)])
        overflows = optimizer.dynamic_scale >= LEAST_LOSS_SCALE if scales else False
        finite &= _all_finite([each for each in gradients if each is not None]) | overflows
        has_frames = x["feature_length"] > 0
        expected = tf.ones_like(has_frames) if sample_weight is None else sample_weight > 0
        counts = tf.stack(
            [
                tf.reduce_sum(tf.cast(expected & has_frames, tf.float32)),
                tf.reduce_sum(tf.cast(expected & ~has_frames, tf.float32)),
                tf.cast(~finite, tf.float32),
            ]
        )
        read, unread, spoilt = tf.unstack(sum_over_replicas([counts])[0])
        sound = (spoilt == 0) & ((read > 0) | (unread == 0))
        if self.needs_all_read:
            sound &= unread == 0

        self._track_loss(loss, x, sample_weight)
        self._apply(gradients, sound, scales)
        for variable, value in zip(kept, before, strict=True):
            variable.assign(tf.where(sound, variable, value))
        # Each replica counts its part, so that the sum over them is right.
        replicas = tf.distribute.get_strategy().num_replicas_in_sync
        self._unread.update_state(unread / replicas)
        self._not_finite.update_state(tf.cast(spoilt > 0, tf.float32) / replicas)
        return self.compute_metrics(x, y, y_pred, sample_weight)

    def test_step(self, data):
        logs = super().test_step(data)
        return {name: value for name, value in logs.items() if name not in COUNTS}

    def _apply(self, gradients, sound, scales):
        """Updates the weights, or leaves weights and optimiser as they are."""
        weights = self.trainable_weights
        if scales:
            # It makes no update of such gradients; its scale is put back by the caller.
            gradients = [
                None if gradient is None else tf.where(sound, gradient, float("nan"))
                for gradient in gradients
            ]
            self.optimizer.apply(gradients, weights)
            return

        def update(gradients):
            self.optimizer.apply(gradients, weights)

        def update_all(strategy, sound, gradients):
            def update_each():
                strategy.extended.call_for_each_replica(update, args=(gradients,))
                return 0

            sound = strategy.experimental_local_results(sound)[0]
            tf.cond(sound, update_each, lambda: 0)

        # As Keras's LossScaleOptimizer does: the counter of an optimiser's steps merges replicas,
        # which they must not do inside a condition of their own.
        tf.distribute.get_replica_context().merge_call(update_all, args=(sound, gradients))


def _all_finite(tensors):
    return tf.reduce_all([tf.reduce_all(tf.math.is_finite(tensor)) for tensor in tensors])
