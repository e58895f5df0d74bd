"""Cepstra of another speaker: frequencies stretched, as by a vocal tract of other length."""

import numpy as np
import tensorflow as tf

NUM_FILTERS = 40
"""Mel filters that cepstra are taken to come from."""


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
    # Linear interpolation: each row holds the weights of the two filters around its place.
    weights = tf.nn.relu(1.0 - tf.abs(place[:, tf.newaxis] - filters))
    warp = tf.constant(forward, tf.float32) @ weights @ tf.constant(back, tf.float32)
    return tf.matmul(cepstra, warp, transpose_b=True)


def _cosines(coefficients, filters):
    """The cosine transform `(coefficients, filters)`, type II, divided by the filters."""
    order = np.arange(coefficients)[:, np.newaxis]
    return np.cos(np.pi * order * (np.arange(filters) + 0.5) / filters) / filters
