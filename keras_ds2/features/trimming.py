"""Silence before and after the speech, cut away in graph."""

import tensorflow as tf

_FRAME_MS = 10
_MARGIN_MS = 100


def trim_silence(waveform, sampling_rate: int, trim_db: float):
    """Cuts a waveform down to its loud part and a tenth of a second on either side.

    The loud part goes from the first to the last 10 ms whose power lies less than `trim_db` below
    that of the loudest 10 ms; what is quiet in between stays.

    Args:
        waveform: float32 `(samples,)`.
        sampling_rate: int, Hz.
        trim_db: float > 0.

    Returns:
        float32 `(samples,)`; a waveform that is silent, or shorter than 10 ms, as it is.
    """
    frame = sampling_rate * _FRAME_MS // 1000
    margin = sampling_rate * _MARGIN_MS // 1000
    samples = tf.size(waveform)
    frames = samples // frame
    power = tf.reduce_mean(
        tf.square(tf.reshape(waveform[: frames * frame], (frames, frame))), axis=1
    )
    quietest = tf.reduce_max(power) * 10.0 ** (-trim_db / 10.0)
    loud = tf.cast(tf.where(power >= quietest)[:, 0], tf.int32) * frame
    found = tf.size(loud) > 0
    start = tf.where(found, tf.maximum(tf.reduce_min(loud) - margin, 0), 0)
    end = tf.where(found, tf.minimum(tf.reduce_max(loud) + frame + margin, samples), samples)
    return waveform[start:end]
