"""Augmentation of one waveform, in graph, repeatable by seed.

Every random function takes an int32 `(2,)` seed: the same seed gives the same result.
"""

import math

import tensorflow as tf

from keras_ds2.audio.resampling import resample

_SPEED_STEPS = 100  # a rate is drawn in hundredths, so that the resampling ratio stays small


def add_noise_at_snr(waveform, noise, snr_db):
    """Adds noise, scaled to a signal-to-noise ratio over the whole waveform.

    Args:
        waveform: float32 `(samples,)`.
        noise: float32 `(any,)`; a shorter one is repeated, of a longer one the beginning is used.
        snr_db: float or scalar tensor: `10 log10(signal power / noise power)`.

    Returns:
        float32 `(samples,)`, not clipped; `waveform` itself where either of the two is silent.
    """
    samples = tf.size(waveform)
    noise = tf.pad(noise, [[0, tf.cast(tf.equal(tf.size(noise), 0), tf.int32)]])
    noise = tf.gather(noise, tf.math.floormod(tf.range(samples), tf.size(noise)))
    noise_power = _power(noise)
    wanted_power = _power(waveform) / _from_db(snr_db)
    audible = noise_power > 0.0
    scale = tf.sqrt(wanted_power / tf.where(audible, noise_power, 1.0))
    return waveform + noise * tf.where(audible, scale, 0.0)


def random_gain(waveform, seed, min_db, max_db):
    """Makes a waveform louder or quieter by a gain drawn uniformly in dB; too loud, it overloads.

    Args:
        waveform: float32 `(samples,)`.
        seed: int32 `(2,)`.
        min_db: float, negative is quieter.
        max_db: float.

    Returns:
        float32 `(samples,)`, clipped to [-1, 1] as by a recorder whose level is set too high.
    """
    gain_db = tf.random.stateless_uniform([], seed, min_db, max_db)
    return tf.clip_by_value(waveform * tf.sqrt(_from_db(gain_db)), -1.0, 1.0)


def random_speed(waveform, seed, min_rate, max_rate):
    """Plays a waveform faster or slower, pitch and all, by a rate drawn uniformly in hundredths.

    Args:
        waveform: float32 `(samples,)`.
        seed: int32 `(2,)`.
        min_rate: float > 0, below 1 is slower and longer.
        max_rate: float, above 1 is faster and shorter.

    Returns:
        float32 `(ceil(samples / rate),)`.
    """
    rate = tf.random.stateless_uniform([], seed, min_rate, max_rate)
    steps = tf.maximum(tf.cast(tf.round(rate * _SPEED_STEPS), tf.int64), 1)
    return resample(waveform, steps, _SPEED_STEPS)


def slowest_speed(min_rate: float) -> float:
    """The lowest rate that `random_speed` can draw: in hundredths, so not `min_rate` itself."""
    return max(round(min_rate * _SPEED_STEPS), 1) / _SPEED_STEPS


def random_excerpt(noise, seed, samples):
    """A stretch of a recording from a random place, repeated from its start where it is too short.

    Args:
        noise: float32 `(any,)`, at least one sample.
        seed: int32 `(2,)`.
        samples: int or scalar tensor, how many are wanted.

    Returns:
        float32 `(samples,)`.
    """
    size = tf.size(noise)
    latest = tf.maximum(size - samples, 0)
    start = tf.random.stateless_uniform([], seed, 0, latest + 1, tf.int32)
    return tf.gather(noise, tf.math.floormod(start + tf.range(samples), size))


def white_noise(samples, seed):
    """Noise of equal power at all frequencies: float32 `(samples,)` of root mean square 1."""
    return tf.random.stateless_normal([samples], seed)


def pink_noise(samples, seed):
    """Noise whose power falls by 3 dB an octave: float32 `(samples,)` of root mean square 1."""
    spectrum = tf.signal.rfft(white_noise(samples, seed))
    bins = tf.cast(tf.range(tf.size(spectrum)), tf.float32)
    gain = tf.where(bins > 0.0, tf.math.rsqrt(tf.maximum(bins, 1.0)), 0.0)
    noise = tf.signal.irfft(spectrum * tf.cast(gain, tf.complex64), [samples])
    return noise * tf.math.rsqrt(tf.maximum(_power(noise), 1e-30))


def _power(waveform):
    samples = tf.cast(tf.maximum(tf.size(waveform), 1), tf.float32)
    return tf.reduce_sum(tf.square(waveform)) / samples


def _from_db(decibels):
    return tf.exp(tf.cast(decibels, tf.float32) * (math.log(10.0) / 10.0))
