"""The activation of Deep Speech 2."""

import keras
from keras import ops

from keras_ds2.ops.normalization import clip
from keras_ds2.sequence import mark_zero_masked, zero_masked


@keras.saving.register_keras_serializable(package="keras_ds2")
class ClippedReLU(keras.layers.Layer):
    """`min(max(x, 0), max_value)`, element by element.

    Source: Amodei et al., 2015, arXiv:1512.02595, with `max_value` 20. Differs: nothing.

    Args:
        max_value: float > 0, the upper clip.

    Call arguments:
        inputs: float, any shape.  mask: bool `(batch, time)`, True = real step, optional.
        training: bool, chooses the faster way for it; the values are the same.

    Masking: mask passed on; output zeroed at masked steps.  Output shape: same as input.

    Raises:
        ValueError: if `max_value` is not positive.
    """

    def __init__(self, max_value=20.0, **kwargs):
        super().__init__(**kwargs)
        if not max_value > 0:
            raise ValueError(f"ClippedReLU: expected max_value > 0, received {max_value!r}.")
        self.max_value = float(max_value)
        self.supports_masking = True

    def call(self, inputs, mask=None, training=False):
        inputs = zero_masked(inputs, mask)
        # Compiled for each shape, which pays where shapes come again and again.
        output = clip(inputs, self.max_value) if training else ops.clip(inputs, 0, self.max_value)
        return mark_zero_masked(output)  # zero stays zero

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "max_value": self.max_value}
