"""A convolution over time that carries its mask."""

import keras
import tensorflow as tf

from keras_ds2.layers.masked_conv2d import MaskedConv2D
from keras_ds2.sequence import steps_after_stride


@keras.saving.register_keras_serializable(package="keras_ds2")
class MaskedConv1D(MaskedConv2D):
    """Convolves over time, all features at once; masked frames read as zero and come out as zero.

    `MaskedConv2D` over one bin whose channels are the features: padding, mask and streaming delay
    are those written there.

    Source: Amodei et al., 2015, arXiv:1512.02595, the time-only front end. Differs: nothing.

    Args:
        filters: int > 0, output features.
        kernel_size: int > 0, frames.
        strides: int > 0, frames.
        **kwargs: as in `MaskedConv2D`.

    Call arguments:
        inputs: float `(batch, time, features)`.  mask: bool `(batch, time)`, True = real frame,
        optional.

    Output shape: `(batch, ceil(time / strides), filters)`.
    """

    def __init__(self, filters, kernel_size, strides=1, **kwargs):
        super().__init__(filters, kernel_size, strides, **kwargs)

    def _pair(self, name, value):
        if not (isinstance(value, int) and value > 0):
            raise ValueError(
                f"{type(self).__name__}: expected {name} as an int > 0, received {value!r}."
            )
        return (value, 1)

    def build(self, input_shape):
        super().build((*input_shape[:2], 1, input_shape[2]))

    def convolve(self, inputs, time_padding):
        return tf.squeeze(super().convolve(tf.expand_dims(inputs, 2), time_padding), axis=2)

    def compute_output_shape(self, input_shape):
        batch, time, _ = input_shape
        steps = None if time is None else steps_after_stride(time, self.strides[0])
        return (batch, steps, self.filters)

    def get_config(self):
        return {
            **super().get_config(),
            "kernel_size": self.kernel_size[0],
            "strides": self.strides[0],
        }
