"""Augmentation of one utterance's features, in graph, repeatable by seed.

Every function takes `(frames, bins)` and an int32 `(2,)` seed: the same seed, the same result.
Masks write 0, which is the mean where features are normalised. Source: Park et al., 2019,
arXiv:1904.08779 (SpecAugment); its time warp bends an utterance in the middle, ours changes its
pace.
"""

import tensorflow as tf


def time_mask(features, seed, count, max_frames, max_fraction=1.0):
    """Zeroes stretches of frames.

    Args:
        features: float `(frames, bins)`.
        seed: int32 `(2,)`.
        count: int, how many stretches.
        max_frames: int, the widest; each width is uniform in 0..max_frames.
        max_fraction: float, the widest as a share of the utterance, so that a short one survives.

    Returns:
        `(frames, bins)`.
    """
    frames = tf.shape(features)[0]
    share = tf.cast(tf.floor(max_fraction * tf.cast(frames, tf.float32)), tf.int32)
    hidden = _stretches(frames, seed, count, tf.minimum(max_frames, share))
    return tf.where(hidden[:, tf.newaxis], tf.zeros_like(features), features)


def frequency_mask(features, seed, count, max_bins):
    """Zeroes bands of neighbouring bins.

    Args:
        features: float `(frames, bins)`.
        seed: int32 `(2,)`.
        count: int, how many bands.
        max_bins: int, the widest; each width is uniform in 0..max_bins.

    Returns:
        `(frames, bins)`.
    """
    bins = tf.shape(features)[1]
    hidden = _stretches(bins, seed, count, tf.minimum(max_bins, bins))
    return tf.where(hidden[tf.newaxis, :], tf.zeros_like(features), features)


def time_warp(features, seed, min_rate, max_rate):
    """Changes the pace of an utterance: one rate, drawn uniformly, linear interpolation in time.

    Args:
        features: float `(frames, bins)`.
        seed: int32 `(2,)`.
        min_rate: float > 0, below 1 is slower and longer.
        max_rate: float, above 1 is faster and shorter.

    Returns:
        `(round(frames / rate), bins)`, at least one frame if there was one; the first and the last
        frame stay.
    """
    frames = tf.shape(features)[0]
    rate = tf.random.stateless_uniform([], seed, min_rate, max_rate)
    warped = tf.cast(tf.round(tf.cast(frames, tf.float32) / rate), tf.int32)
    warped = tf.maximum(warped, tf.minimum(frames, 1))
    place = tf.linspace(0.0, tf.cast(tf.maximum(frames - 1, 0), tf.float32), warped)
    before = tf.cast(tf.floor(place), tf.int32)
    after = tf.minimum(before + 1, tf.maximum(frames - 1, 0))
    weight = tf.cast(place - tf.cast(before, tf.float32), features.dtype)[:, tf.newaxis]
    return (1.0 - weight) * tf.gather(features, before) + weight * tf.gather(features, after)


def gaussian_noise(features, seed, stddev):
    """Adds normal noise of this standard deviation to every value."""
    noise = tf.random.stateless_normal(tf.shape(features), seed, stddev=stddev)
    return features + tf.cast(noise, features.dtype)


def _stretches(size, seed, count, max_width):
    """Bool `(size,)`, True inside any of `count` stretches, each wholly inside `size`."""
    draws = tf.random.stateless_uniform([2, count], seed)
    width = _up_to(max_width, draws[0])
    start = _up_to(size - width, draws[1])
    place = tf.range(size)[:, tf.newaxis]
    return tf.reduce_any((place >= start) & (place < start + width), axis=1)


def _up_to(largest, draw):
    """An integer in 0..largest from a draw in [0, 1)."""
    number = tf.cast(tf.floor(draw * tf.cast(largest + 1, tf.float32)), tf.int32)
    return tf.minimum(number, largest)
