"""Batch normalisation for sequences of unequal lengths."""

import keras
import tensorflow as tf

from keras_ds2.ops.normalization import batch_normalize
from keras_ds2.sequence import mark_zero_masked, zero_masked


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
        gamma = tf.convert_to_tensor(self.gamma) if self.scale else tf.ones(inputs.shape[-1])
        beta = tf.convert_to_tensor(self.beta) if self.center else tf.zeros(inputs.shape[-1])
        if training and self.trainable:
            values = tf.cast(inputs, tf.float32)
            output, *moments = batch_normalize(values, mask, gamma, beta, self.epsilon)
            self._move_averages(*moments)
        else:
            values = tf.cast(zero_masked(inputs, mask), tf.float32)
            variance = tf.convert_to_tensor(self.moving_variance)
            factor = gamma * tf.math.rsqrt(variance + self.epsilon)
            shift = beta - tf.convert_to_tensor(self.moving_mean) * factor
            output = zero_masked(values * factor + shift, mask)
        return mark_zero_masked(tf.cast(output, self.compute_dtype))

    def _move_averages(self, mean, variance, count):
        for average, moment in ((self.moving_mean, mean), (self.moving_variance, variance)):
            old = tf.convert_to_tensor(average)
            new = old * self.momentum + moment * (1 - self.momentum)
            average.assign(tf.where(count > 0, new, old))

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
