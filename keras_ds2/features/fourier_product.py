"""The log-spectrogram's transform as a product, for runtimes without a Fourier transform.

Converters that give weights fewer bits would give the transform's matrix fewer too, and what lies
60 dB below the loudest bin would drown in its error. So nothing here is stored that float16 does
not hold exactly, and the matrix is put together as the graph runs, from tables far smaller than it.
"""

import math

import numpy as np
import tensorflow as tf

_LOW = 2.0**-11  # of float16's eleven bits, the next eleven begin here


def spectrum_by_product(waveform, window, hop):
    """Real and imaginary part of the transforms of windowed frames, but for the latter's sign.

    Args:
        waveform: float32 `(batch, samples)`.
        window: int, samples of a frame; the periodic Hann window lies over it.
        hop: int, samples from frame to frame.

    Returns:
        Two float32 `(batch, frames, window // 2 + 1)`.
    """
    bins = window // 2 + 1
    width = math.ceil(math.sqrt(bins))
    places = np.arange(window)[:, np.newaxis]
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * places / window)

    def table(factors):
        angles = 2 * np.pi * (places * factors % window) / window
        return np.stack([np.cos(angles), np.sin(angles)])

    # cos and sin of (width * a + b) * place, by the sums of angles.
    unknown = zero_that_converters_do_not_know(waveform)
    tall = exact_constant(hann * table(width * np.arange(-(-bins // width))), unknown)
    short = exact_constant(table(np.arange(width)), unknown)
    cos_a, sin_a = tf.unstack(tf.expand_dims(tall, 3))
    cos_b, sin_b = tf.unstack(tf.expand_dims(short, 2))
    basis = [cos_a * cos_b - sin_a * sin_b, sin_a * cos_b + cos_a * sin_b]
    basis = [tf.reshape(part, (window, 1, -1))[..., :bins] for part in basis]
    parts = tf.nn.conv1d(tf.expand_dims(waveform, -1), tf.concat(basis, -1), hop, "VALID")
    return tf.split(parts, 2, axis=-1)


def exact_constant(values, unknown):
    """A float32 constant, `values` to 2e-7 of the largest, that float16 and int8 leave alone.

    Args:
        values: float64 array.
        unknown: of `zero_that_converters_do_not_know`.
    """
    values = np.asarray(values)
    high = values.astype(np.float16)
    low = ((values - high) / _LOW).astype(np.float16)
    high, low = (tf.constant(part.astype(np.float32)) + unknown for part in (high, low))
    return high + low * _LOW


def zero_that_converters_do_not_know(values):
    """0.0, whatever the values: what is computed with it is not computed before the graph runs."""
    return tf.cast(tf.reduce_any((values > 0) & (values < 0)), tf.float32)
