"""From lengths to masks, at a model's entrance."""

import keras
from keras import ops

from keras_ds2.sequence import zero_masked


@keras.saving.register_keras_serializable(package="keras_ds2")
class LengthMask(keras.layers.Layer):
    """Zeroes what stands behind each row's length and attaches the mask that says so.

    Call arguments:
        inputs: `{"features": float (batch, frames, bins), "feature_length": int (batch,)}`, the
            second the real frames of each row.

    Output shape: that of the features, with its Keras mask `(batch, frames)`.
    """

    def build(self, input_shape):
        pass

    def call(self, inputs):
        return zero_masked(inputs["features"], self.compute_mask(inputs))

    def compute_mask(self, inputs, mask=None):
        # Written with `keras.ops` alone, so that it works on a functional model's symbols too.
        positions = ops.cumsum(ops.ones_like(inputs["features"][:, :, 0], dtype="int32"), axis=1)
        return positions <= ops.expand_dims(ops.cast(inputs["feature_length"], "int32"), 1)

    def compute_output_shape(self, input_shape):
        return input_shape["features"]
