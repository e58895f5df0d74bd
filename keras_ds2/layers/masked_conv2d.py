"""A convolution over time and frequency that carries its mask."""

import keras
import tensorflow as tf

from keras_ds2.ops.convolution import conv2d
from keras_ds2.sequence import steps_after_stride, stride_mask, zero_masked


@keras.saving.register_keras_serializable(package="keras_ds2")
class MaskedConv2D(keras.layers.Layer):
    """Convolves over time and bins; what is masked reads as zero and comes out as zero.

    The padding is the same at the start of every row, whatever the width of the batch (TensorFlow's
    own `"same"` shifts with it when striding), so an utterance's output does not depend on its
    neighbours. Output step `s` sees frames `s * stride - (k - 1) // 2` to `s * stride + k // 2`
    of a kernel of `k` frames; with `padding="causal"`, `s * stride - k + 1` to `s * stride`.

    Source: Amodei et al., 2015, arXiv:1512.02595, "Frequency Convolutions". Differs: nothing; the
    paper writes kernels and strides as frequency x time, here time comes first, as in the axes.

    Args:
        filters: int > 0, output channels.
        kernel_size: int or pair of ints, `(time, bins)`.
        strides: int or pair of ints, `(time, bins)`.
        padding: `"same"` or `"causal"`, in time; bins are always padded as `"same"`.
        use_bias: bool, whether to add a bias.
        kernel_initializer: initializer of the kernel `(time, bins, channels, filters)`.
        bias_initializer: initializer of the bias.

    Call arguments:
        inputs: float `(batch, time, bins, channels)`.  mask: bool `(batch, time)`, True = real
        frame, optional.

    Masking: masked frames read as zero; every `strides[0]`-th entry of the mask is passed on;
    output zeroed where it is False.  Output shape:
    `(batch, ceil(time / strides[0]), ceil(bins / strides[1]), filters)`.

    Streaming: delay `k // 2` frames with `"same"`, none with `"causal"`.

    Raises:
        ValueError: if `filters`, `kernel_size`, `strides` or `padding` is out of range.
    """

    def __init__(
        self,
        filters,
        kernel_size,
        strides=(1, 1),
        *,
        padding="same",
        use_bias=True,
        kernel_initializer="glorot_uniform",
        bias_initializer="zeros",
        **kwargs,
    ):
        super().__init__(**kwargs)
        if not (isinstance(filters, int) and filters > 0):
            raise ValueError(
                f"{type(self).__name__}: expected filters as an int > 0, received {filters!r}."
            )
        if padding not in ("same", "causal"):
            raise ValueError(
                f"{type(self).__name__}: expected padding 'same' or 'causal', received {padding!r}."
            )
        self.filters = filters
        self.kernel_size = self._pair("kernel_size", kernel_size)
        self.strides = self._pair("strides", strides)
        self.padding = padding
        self.use_bias = use_bias
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.bias_initializer = keras.initializers.get(bias_initializer)
        self.supports_masking = True

    def _pair(self, name, value):
        pair = (value, value) if isinstance(value, int) else tuple(value)
        if len(pair) != 2 or not all(isinstance(part, int) and part > 0 for part in pair):
            raise ValueError(
                f"{type(self).__name__}: expected {name} as one or two ints > 0, "
                f"received {value!r}."
            )
        return pair

    def build(self, input_shape):
        self.kernel = self.add_weight(
            name="kernel",
            shape=(*self.kernel_size, input_shape[-1], self.filters),
            initializer=self.kernel_initializer,
        )
        self.bias = (
            self.add_weight(name="bias", shape=(self.filters,), initializer=self.bias_initializer)
            if self.use_bias
            else None
        )

    def call(self, inputs, mask=None):
        output = self.convolve(zero_masked(inputs, mask), self.time_padding)
        return zero_masked(output, self.compute_mask(inputs, mask))

    @property
    def time_padding(self):
        """Frames that an output step sees before and after its own, `(past, future)`."""
        past, future = _around(self.kernel_size[0])
        return (past + future, 0) if self.padding == "causal" else (past, future)

    def convolve(self, inputs, time_padding):
        """The convolution with zeros before and after in time: `(0, 0)` for a piece of a stream."""
        kernel = tf.convert_to_tensor(self.kernel)
        padding = (time_padding, _around(self.kernel_size[1]))
        output = conv2d(inputs, kernel, self.strides, padding)
        return output + tf.convert_to_tensor(self.bias) if self.use_bias else output

    def compute_mask(self, inputs, mask=None):
        return stride_mask(mask, self.strides[0])

    def compute_output_shape(self, input_shape):
        batch, time, bins, _ = input_shape
        return (
            batch,
            None if time is None else steps_after_stride(time, self.strides[0]),
            None if bins is None else steps_after_stride(bins, self.strides[1]),
            self.filters,
        )

    def get_config(self):
        return {
            **super().get_config(),
            "filters": self.filters,
            "kernel_size": self.kernel_size,
            "strides": self.strides,
            "padding": self.padding,
            "use_bias": self.use_bias,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "bias_initializer": keras.initializers.serialize(self.bias_initializer),
        }


def _around(size):
    return [(size - 1) // 2, size // 2]
