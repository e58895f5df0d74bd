"""Features of another speaker: frequencies stretched, as by a vocal tract of other length."""

import numpy as np
import tensorflow as tf

NUM_FILTERS = 40
"""Mel filters that cepstra are taken to come from."""

BOUNDARY = 0.6
"""Share of the band up to which a spectrum is stretched by the rate itself: 4800 Hz of 8000 Hz."""


def random_vocal_tract_of_bins(spectrogram, seed, min_rate, max_rate, boundary=BOUNDARY):
    """Stretches the frequencies of one utterance's spectrogram by a rate drawn uniformly.

    `new[j] = old[place(j)]`, linear interpolation between bins, where `place` is two straight
    lines: `j * rate` from bin 0 on, and from `boundary * top * min(rate, 1) / rate` on the line
    that ends at `place(top) = top`, so that nothing outside the band is read and nothing at its top
    is lost. Source: Jaitly and Hinton, 2013, "Vocal tract length perturbation improves speech
    recognition", who put their filters there. Differs: the boundary is a share of the band, theirs
    of 16 kHz recordings.

    Args:
        spectrogram: float32 `(..., frames, bins)`, bins from 0 Hz on, evenly spaced; rows are
            stretched alike.
        seed: int32 `(2,)`.
        min_rate: float > 0, below 1 is a shorter vocal tract: formants move up.
        max_rate: float, above 1 is a longer one.
        boundary: float in (0, 1).

    Returns:
        float32, the shape of `spectrogram`.
    """
    top = spectrogram.shape[-1] - 1
    rate = tf.random.stateless_uniform([], seed, min_rate, max_rate)
    bins = tf.range(top + 1, dtype=tf.float32)
    bend = boundary * top * tf.minimum(rate, 1.0)  # the place where the lines meet
    slope = (top - bend) / (top - bend / rate)
    place = tf.where(bins <= bend / rate, bins * rate, top - slope * (top - bins))
    # A product with a matrix takes less time than reading columns.
    weights = _between_neighbours(tf.clip_by_value(place, 0.0, top), bins)
    return tf.matmul(spectrogram, weights, transpose_b=True)


def random_vocal_tract(cepstra, seed, min_rate, max_rate, num_filters=NUM_FILTERS):
    """Warps one utterance's cepstra by a rate drawn uniformly.

    The cosine transform is linear, so back to the (smoothed) mel spectrum, there along the filters,
    `new[j] = old[j * rate]`, and forth again is one product with a matrix. Source: Jaitly and
    Hinton, 2013, "Vocal tract length perturbation improves speech recognition". Differs: they warp
    Hz before the filters, here it is the filters' own axis; what a truncated cosine transform has
    left out stays away.

    Args:
        cepstra: float32 `(frames, coefficients)`, of a cosine transform from 0 on, without lifter
            and not normalised; rows are warped alike.
        seed: int32 `(2,)`.
        min_rate: float > 0, below 1 is a shorter vocal tract: formants move up.
        max_rate: float, above 1 is a longer one.
        num_filters: int, at least as many as coefficients.

    Returns:
        float32 `(frames, coefficients)`.
    """
    forward = _cosines(cepstra.shape[-1], num_filters)
    back = np.linalg.pinv(forward)
    rate = tf.random.stateless_uniform([], seed, min_rate, max_rate)
    filters = tf.range(num_filters, dtype=tf.float32)
    place = tf.minimum(filters * rate, num_filters - 1.0)
    weights = _between_neighbours(place, filters)
    warp = tf.constant(forward, tf.float32) @ weights @ tf.constant(back, tf.float32)
    return tf.matmul(cepstra, warp, transpose_b=True)


def _between_neighbours(place, bins):
    """Linear interpolation: each row holds the weights of the two bins around its place."""
    return tf.nn.relu(1.0 - tf.abs(place[:, tf.newaxis] - bins))


def _cosines(coefficients, filters):
    """The cosine transform `(coefficients, filters)`, type II, divided by the filters."""
    order = np.arange(coefficients)[:, np.newaxis]
    return np.cos(np.pi * order * (np.arange(filters) + 0.5) / filters) / filters
