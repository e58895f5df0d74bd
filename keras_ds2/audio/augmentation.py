"""Augmentation of one waveform, in graph, repeatable by seed.

Every random function takes an int32 `(2,)` seed: the same seed gives the same result.
"""

import math

import tensorflow as tf

from keras_ds2.audio.resampling import resample, round_up_to_fast_length

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


def random_shift(waveform, seed, min_samples, max_samples, frame):
    """Starts a waveform later or earlier by a number of samples drawn uniformly; length kept.

    What falls off at one end is gone: no more than the shift, and never more than half. The other
    end is filled with noise as quiet as the quietest frame, for no recording turns to digital zeros
    (a log-spectrogram shows them as nothing it has heard), unless it holds some.

    Args:
        waveform: float32 `(samples,)`.
        seed: int32 `(2,)`.
        min_samples: int, below 0 is earlier.
        max_samples: int, above 0 is later.
        frame: int, samples in which the quietest stretch is looked for.

    Returns:
        float32 `(samples,)`.
    """
    seeds = tf.unstack(tf.random.experimental.stateless_split(seed, 2))
    waveform = tf.convert_to_tensor(waveform, tf.float32)
    samples = tf.size(waveform)
    shift = tf.random.stateless_uniform([], seeds[0], min_samples, max_samples + 1, tf.int32)
    shift = tf.clip_by_value(shift, -(samples // 2), samples // 2)
    later, earlier = tf.maximum(shift, 0), tf.maximum(-shift, 0)
    silence = white_noise(tf.abs(shift), seeds[1]) * tf.sqrt(_quietest_power(waveform, frame))
    kept = waveform[earlier : samples - later]
    return tf.concat([silence[:later], kept, silence[:earlier]], axis=0)


def reverberate(waveform, response):
    """Plays a waveform in the room that an impulse response was measured in; power and length kept.

    The response's largest sample is taken as the direct path, and what it brings stays at its time:
    labels fit as before. Echoes past the end are cut off.

    Args:
        waveform: float32 `(samples,)`.
        response: float32 `(any,)`, at the waveform's rate, not all zeros.

    Returns:
        float32 `(samples,)`.
    """
    samples = tf.size(waveform)
    direct = tf.argmax(tf.abs(response), output_type=tf.int32)
    width = samples + tf.size(response)
    width = tf.cast(round_up_to_fast_length(width), tf.int32)
    spectrum = tf.signal.rfft(waveform, [width]) * tf.signal.rfft(response, [width])
    played = tf.signal.irfft(spectrum, [width])[direct : direct + samples]
    return played * tf.sqrt(tf.math.divide_no_nan(_power(waveform), _power(played)))


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
    width = tf.cast(round_up_to_fast_length(tf.maximum(samples, 1)), tf.int32)
    spectrum = tf.signal.rfft(white_noise(width, seed))
    bins = tf.cast(tf.range(tf.size(spectrum)), tf.float32)
    gain = tf.where(bins > 0.0, tf.math.rsqrt(tf.maximum(bins, 1.0)), 0.0)
    noise = tf.signal.irfft(spectrum * tf.cast(gain, tf.complex64), [width])[:samples]
    return noise * tf.math.rsqrt(tf.maximum(_power(noise), 1e-30))


def _quietest_power(waveform, frame):
    """The least power of any whole frame; 0 where there is none."""
    frames = tf.size(waveform) // frame
    power = tf.reduce_mean(
        tf.square(tf.reshape(waveform[: frames * frame], (frames, frame))), axis=1
    )
    return tf.where(frames > 0, tf.reduce_min(power), 0.0)


def _power(waveform):
    samples = tf.cast(tf.maximum(tf.size(waveform), 1), tf.float32)
    return tf.reduce_sum(tf.square(waveform)) / samples


def _from_db(decibels):
    return tf.exp(tf.cast(decibels, tf.float32) * (math.log(10.0) / 10.0))
