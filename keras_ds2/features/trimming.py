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
    row = waveform[tf.newaxis]
    start, end = loud_part(row, tf.shape(row)[1:], sampling_rate, trim_db)
    return waveform[start[0] : end[0]]


def loud_part(waveform, length, sampling_rate: int, trim_db: float):
    """Where the part lies that `trim_silence` keeps, of each waveform of a batch.

    Args:
        waveform: float32 `(batch, samples)`, padded at the end.
        length: int32 `(batch,)`, real samples.
        sampling_rate: int, Hz.
        trim_db: float > 0.

    Returns:
        `(start, end)`: int32 `(batch,)`, the first sample and the one behind the last.
    """
    frame = sampling_rate * _FRAME_MS // 1000
    margin = sampling_rate * _MARGIN_MS // 1000
    frames = tf.shape(waveform)[1] // frame + 1
    padded = tf.pad(waveform, [[0, 0], [0, frames * frame - tf.shape(waveform)[1]]])
    power = tf.reduce_mean(tf.square(tf.reshape(padded, (-1, frames, frame))), axis=2)
    index = tf.range(frames)[tf.newaxis]
    whole = index < (length // frame)[:, tf.newaxis]
    loudest = tf.reduce_max(tf.where(whole, power, 0.0), axis=1, keepdims=True)
    loud = whole & (power >= loudest * 10.0 ** (-trim_db / 10.0))
    first = tf.reduce_min(tf.where(loud, index, frames), axis=1)
    last = tf.reduce_max(tf.where(loud, index, -1), axis=1)
    found = last >= 0
    start = tf.where(found, tf.maximum(first * frame - margin, 0), 0)
    end = tf.where(found, tf.minimum((last + 1) * frame + margin, length), length)
    return start, end
