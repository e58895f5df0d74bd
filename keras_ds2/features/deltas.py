"""Differences of features over time, appended to them."""

import keras
import tensorflow as tf

from keras_ds2.sequence import lengths_to_mask, mask_to_lengths, zero_masked


@keras.saving.register_keras_serializable(package="keras_ds2")
class Deltas(keras.layers.Layer):
    """Appends first and further regression differences over time to each frame.

    `delta[t] = sum_k k * (x[t + k] - x[t - k]) / (2 * sum_k k^2)` for k in 1..window; a further
    order is the delta of the one before. Frames past a row's ends read as its own first or last
    real frame. Source: the HTK Book, "Delta, Acceleration and Third Differential Coefficients".

    Args:
        order: int >= 0, how many differences are appended.
        window: int >= 1, frames to each side.

    Call arguments:
        inputs: float `(batch, frames, bins)`.
        mask: bool `(batch, frames)`, True = real frame, real frames first; optional.

    Masking: masked frames are not read; mask passed on; output zeroed there.
    Output shape: `(batch, frames, bins * (1 + order))`, the features first, then each order.
    Streaming: delay `window * order` frames.

    Raises:
        ValueError: if `order` is negative or `window` less than 1.
    """

    def __init__(self, order=2, window=2, **kwargs):
        super().__init__(**kwargs)
        if order < 0:
            raise ValueError(f"order: expected >= 0, received {order}")
        if window < 1:
            raise ValueError(f"window: expected >= 1 frame, received {window}")
        self.order = int(order)
        self.window = int(window)
        self.supports_masking = True

    def call(self, inputs, mask=None):
        features = zero_masked(inputs, mask)
        lengths = self._lengths(features, mask)
        blocks = [features]
        for _ in range(self.order):
            blocks.append(self._difference(blocks[-1], lengths))
        real = lengths_to_mask(lengths, tf.shape(features)[1])
        return zero_masked(tf.concat(blocks, axis=-1), real)

    def _lengths(self, features, mask):
        if mask is not None:
            return mask_to_lengths(mask)
        shape = tf.shape(features)
        return tf.fill([shape[0]], shape[1])

    def _difference(self, features, lengths):
        last = tf.maximum(lengths - 1, 0)[:, tf.newaxis]
        place = tf.range(tf.shape(features)[1])[tf.newaxis, :]

        def shifted(by):
            source = tf.minimum(tf.maximum(place + by, 0), last)
            return tf.gather(features, source, batch_dims=1)

        steps = range(1, self.window + 1)
        rise = tf.add_n([float(step) * (shifted(step) - shifted(-step)) for step in steps])
        return rise / (2.0 * sum(step * step for step in steps))

    def compute_output_shape(self, input_shape):
        batch, frames, bins = input_shape
        return (batch, frames, None if bins is None else bins * (1 + self.order))

    def get_config(self):
        return {**super().get_config(), "order": self.order, "window": self.window}
