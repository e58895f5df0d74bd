"""From a convolution's bins and channels to one axis of features, and back to one channel."""

import keras
import tensorflow as tf

from keras_ds2.portable import of_shape
from keras_ds2.sequence import mark_zero_masked, zero_masked


@keras.saving.register_keras_serializable(package="keras_ds2")
class FlattenBins(keras.layers.Layer):
    """Joins bins and channels: `(batch, time, bins, channels)` to `(batch, time, bins * channels)`.

    Mask passed on; output zeroed at masked steps.
    """

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.supports_masking = True

    def call(self, inputs, mask=None):
        inputs = zero_masked(inputs, mask)
        _, _, bins, channels = inputs.shape
        shape = tf.shape(inputs)
        output = tf.reshape(inputs, (shape[0], shape[1], bins * channels))
        return mark_zero_masked(of_shape(output, self.compute_output_shape(inputs.shape)))

    def compute_output_shape(self, input_shape):
        batch, time, bins, channels = input_shape
        return (batch, time, bins * channels)


@keras.saving.register_keras_serializable(package="keras_ds2")
class SplitBins(keras.layers.Layer):
    """Gives each bin one channel: `(batch, time, bins)` to `(batch, time, bins, 1)`.

    Mask passed on; output zeroed at masked steps.
    """

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.supports_masking = True

    def call(self, inputs, mask=None):
        return mark_zero_masked(tf.expand_dims(zero_masked(inputs, mask), -1))

    def compute_output_shape(self, input_shape):
        return (*input_shape, 1)
