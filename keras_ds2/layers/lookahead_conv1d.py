"""A short view of the future, above forward-only layers."""

import keras
import tensorflow as tf

from keras_ds2.portable import of_shape
from keras_ds2.sequence import zero_masked


@keras.saving.register_keras_serializable(package="keras_ds2")
class OwnStep(keras.initializers.Initializer):
    """1 for the step itself and 0 for those ahead: at first the layer hands on what it is given.

    Random weights would mix what lies hundreds of milliseconds apart, and training hardly unlearns
    it.
    """

    def __call__(self, shape, dtype=None):
        """The kernel, `(context + 1, features)`."""
        context, features = shape[0] - 1, shape[1]
        return keras.ops.concatenate(
            [keras.ops.ones((1, features), dtype), keras.ops.zeros((context, features), dtype)]
        )


@keras.saving.register_keras_serializable(package="keras_ds2")
class LookaheadConv1D(keras.layers.Layer):
    """Gives each step a short, fixed view of the future.

    Per feature: `output[t] = sum(kernel[j] * inputs[t + j] for j in 0..context)`; steps past the
    end count as zero.

    Source: Amodei et al., 2015, arXiv:1512.02595, "Row Convolution". Differs: nothing.

    Args:
        context: int >= 0, future steps seen; the delay in ms is `context * hop_ms * time_stride`.
        kernel_initializer: initializer of the kernel `(context + 1, features)`; None for `OwnStep`.

    Call arguments:
        inputs: float `(batch, time, features)`.  mask: bool `(batch, time)`, True = real step,
        optional.

    Masking: masked steps read as zero; mask passed on; output zeroed there.  Output shape: same as
    input.

    Streaming: delay `context` steps; state = the last `context` input steps.

    Raises:
        ValueError: if `context` is negative.
    """

    def __init__(self, context, *, kernel_initializer=None, **kwargs):
        super().__init__(**kwargs)
        if not (isinstance(context, int) and context >= 0):
            raise ValueError(f"LookaheadConv1D: expected an int >= 0, received {context!r}.")
        self.context = context
        self.kernel_initializer = keras.initializers.get(kernel_initializer) or OwnStep()
        self.supports_masking = True

    def build(self, input_shape):
        self.kernel = self.add_weight(
            name="kernel",
            shape=(self.context + 1, input_shape[-1]),
            initializer=self.kernel_initializer,
        )

    def call(self, inputs, mask=None):
        padded = tf.pad(zero_masked(inputs, mask), [[0, 0], [0, self.context], [0, 0]])
        return zero_masked(of_shape(self.look(padded), inputs.shape), mask)

    def look(self, inputs):
        """The sums over `inputs`, whose last `context` steps have no output of their own."""
        kernel = tf.convert_to_tensor(self.kernel)
        output = tf.nn.depthwise_conv2d(
            tf.expand_dims(inputs, 2),
            kernel[:, tf.newaxis, :, tf.newaxis],
            strides=(1, 1, 1, 1),
            padding="VALID",
        )
        return output[:, :, 0, :]

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {
            **super().get_config(),
            "context": self.context,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
        }
