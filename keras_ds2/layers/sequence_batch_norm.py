"""Batch normalisation for sequences of unequal lengths."""

import keras
import tensorflow as tf

from keras_ds2.ops.replicas import sum_over_replicas
from keras_ds2.sequence import zero_masked


@keras.saving.register_keras_serializable(package="keras_ds2")
class SequenceBatchNorm(keras.layers.Layer):
    """Normalises each feature by its moments over batch and time, of the real steps only.

    `output = gamma * (inputs - mean) / sqrt(variance + epsilon) + beta`, with `mean` and `variance`
    (biased) over every real step of every utterance and, for inputs with more axes, over those
    between time and features too. Under `tf.distribute` the moments are those of all replicas
    together. Moments are computed in float32.

    Source: Amodei et al., 2015, arXiv:1512.02595, "Batch Normalization for Deep RNNs". Differs: at
    inference moving averages stand in, as there; the paper states no momentum.

    Args:
        momentum: float in [0, 1), share of the old moving average kept at each step.
        epsilon: float > 0, added to the variance.
        center: bool, whether to add a learnt `beta`.
        scale: bool, whether to multiply by a learnt `gamma`.

    Call arguments:
        inputs: float `(batch, time, ..., features)`.  mask: bool `(batch, time)`, True = real step,
        optional.  training: bool, batch moments if True, moving averages if False. As in Keras's
        own batch normalisation, a layer with `trainable = False` takes its moving averages too.

    Masking: masked steps are not read; mask passed on; output zeroed there.  Output shape: same as
    input.  A batch without one real step leaves the moving averages as they are.

    Raises:
        ValueError: if `momentum` or `epsilon` is out of range.
    """

    def __init__(self, momentum=0.99, epsilon=1e-3, center=True, scale=True, **kwargs):
        super().__init__(**kwargs)
        if not 0 <= momentum < 1:
            raise ValueError(
                f"SequenceBatchNorm: expected momentum in [0, 1), received {momentum!r}."
            )
        if not epsilon > 0:
            raise ValueError(f"SequenceBatchNorm: expected epsilon > 0, received {epsilon!r}.")
        self.momentum = float(momentum)
        self.epsilon = float(epsilon)
        self.center = center
        self.scale = scale
        self.supports_masking = True

    def build(self, input_shape):
        def weight(name, initializer, trainable):
            return self.add_weight(
                name=name,
                shape=(input_shape[-1],),
                initializer=initializer,
                trainable=trainable,
                autocast=False,
                dtype="float32",
            )

        self.gamma = weight("gamma", "ones", True) if self.scale else None
        self.beta = weight("beta", "zeros", True) if self.center else None
        self.moving_mean = weight("moving_mean", "zeros", False)
        self.moving_variance = weight("moving_variance", "ones", False)

    def call(self, inputs, mask=None, training=False):
        values = tf.cast(zero_masked(inputs, mask), tf.float32)
        if training and self.trainable:
            mean, variance = self._batch_moments(values, mask)
        else:
            mean = tf.convert_to_tensor(self.moving_mean)
            variance = tf.convert_to_tensor(self.moving_variance)
        factor = tf.math.rsqrt(variance + self.epsilon)
        if self.scale:
            factor *= tf.convert_to_tensor(self.gamma)
        shift = -mean * factor
        if self.center:
            shift += tf.convert_to_tensor(self.beta)
        return tf.cast(zero_masked(values * factor + shift, mask), self.compute_dtype)

    def _batch_moments(self, values, mask):
        axes = list(range(len(values.shape) - 1))
        shape = tf.cast(tf.shape(values), tf.float32)
        if mask is None:
            count = tf.reduce_prod(shape[:-1])
        else:
            count = tf.reduce_sum(tf.cast(mask, tf.float32)) * tf.reduce_prod(shape[2:-1])
        total, count = sum_over_replicas([tf.reduce_sum(values, axes), count])
        divisor = tf.maximum(count, 1.0)
        mean = total / divisor
        squares = tf.reduce_sum(tf.square(zero_masked(values - mean, mask)), axes)
        variance = sum_over_replicas([squares])[0] / divisor
        for average, moment in ((self.moving_mean, mean), (self.moving_variance, variance)):
            old = tf.convert_to_tensor(average)
            new = old * self.momentum + tf.stop_gradient(moment) * (1 - self.momentum)
            average.assign(tf.where(count > 0, new, old))
        return mean, variance

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {
            **super().get_config(),
            "momentum": self.momentum,
            "epsilon": self.epsilon,
            "center": self.center,
            "scale": self.scale,
        }
