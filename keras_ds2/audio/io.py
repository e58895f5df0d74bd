"""Audio bytes to a float32 mono waveform at a known rate: WAV, FLAC, MP3 and Ogg Vorbis, in graph.

The only file that imports tensorflow_io. The `decode_*` operations of tensorflow-io tell no
sampling rate, so it comes from the file's own header (`containers.py`); WAV is unpacked here, since
tensorflow-io reads no 32-bit PCM.
"""

import dataclasses
import os
from pathlib import Path

import numpy as np
import tensorflow as tf
import tensorflow_io as tfio

from keras_ds2.audio.containers import (
    FORMAT_NAMES,
    FORMATS_READ,
    UNKNOWN,
    WAV_ENCODINGS,
    Header,
    read_header,
)
from keras_ds2.audio.flac_guard import EXTRA_SAMPLES, guarded_flac, is_swamped
from keras_ds2.audio.resampling import resample

__all__ = [
    "FORMATS_READ",
    "AudioError",
    "AudioFile",
    "decode_audio",
    "is_silent",
    "load_audio",
    "read_audio",
    "read_audio_file",
    "resample",
]


_NO_SAMPLES = "it holds no samples; get or record the file again"
_NOT_NUMBERS = "it holds samples that are not numbers (NaN or infinity); write the file again"
_SWAMPED = "damaged FLAC: more frames begin in it than it can hold; get or record the file again"
_FAR_TOO_LOUD = "it holds samples of more than 2**32 times full scale; write the file again"
_LOUDEST = 2.0**32  # floats of 32-bit integers that nobody scaled; their squares are finite


class AudioError(ValueError):
    """Audio that cannot be read: the message says where, what is wrong, and what to do."""


@dataclasses.dataclass(frozen=True)
class AudioFile:
    """What an audio file holds.

    Attributes:
        waveform: float32 array `(samples,)`, the mean of all channels, at the file's own rate.
        sampling_rate: int, Hz.
        channels: int.
        audio_format: `"WAV"`, `"FLAC"`, `"MP3"` or `"Ogg Vorbis"`.
    """

    waveform: np.ndarray
    sampling_rate: int
    channels: int
    audio_format: str

    def resampled(self, sampling_rate: int) -> np.ndarray:
        """The waveform at another rate, float32 `(samples,)`."""
        return _resample(self.waveform, self.sampling_rate, sampling_rate).numpy()


@tf.autograph.experimental.do_not_convert
def decode_audio(content, where="audio bytes"):
    """Decodes a whole audio file in graph.

    Args:
        content: scalar string tensor, the file's bytes, in any format of `FORMATS_READ`.
        where: string or scalar string tensor, the place that an error names.

    Returns:
        `(waveform, sampling_rate)`: float32 `(samples,)`, the mean of all channels, full scale at
        -1 and 1 (float WAV and the lossy formats may go past it: nothing is clipped), and the int32
        rate in Hz that the file states.

    Raises:
        tf.errors.InvalidArgumentError: when the graph runs, for content that is empty, truncated,
            without samples or in another format.
    """
    waveform, header = _decode(content)
    sampling_rate, fault = header.sampling_rate, header.fault
    sound = tf.debugging.Assert(fault == b"", [where, fault])
    with tf.control_dependencies([sound] if sound is not None else []):
        return tf.identity(waveform), sampling_rate


@tf.autograph.experimental.do_not_convert
def load_audio(path, sampling_rate):
    """Reads, decodes, mixes to mono and resamples one file in graph (for `tf.data.Dataset.map`).

    Args:
        path: scalar string tensor.
        sampling_rate: int or scalar tensor, Hz, the rate wanted.

    Returns:
        float32 `(samples,)`.

    Raises:
        tf.errors.OpError: when the graph runs, naming the file.
    """
    waveform, stated_rate = decode_audio(tf.io.read_file(path), where=path)
    return tf.ensure_shape(resample(waveform, stated_rate, sampling_rate), [None])


def read_audio(source, sampling_rate: int) -> np.ndarray:
    """Reads one audio file, or its bytes, as a waveform.

    Args:
        source: path, or the bytes of an audio file.
        sampling_rate: int, Hz, the rate wanted.

    Returns:
        float32 array `(samples,)`. Silence is sound audio: see `is_silent`.

    Raises:
        AudioError: for a file that is missing, empty, truncated, damaged, without samples or in
            another format: the place, the fault and the remedy.
    """
    return read_audio_file(source).resampled(sampling_rate)


def read_audio_file(source) -> AudioFile:
    """Reads one audio file, or its bytes, as it is.

    Args:
        source: path, or the bytes of an audio file.

    Raises:
        AudioError: see `read_audio`.
    """
    content, where = _read(source)
    if is_swamped(content):
        raise AudioError(f"{where}: {_SWAMPED}")
    try:
        waveform, header = _decode_in_one(content)
    except tf.errors.OpError as error:
        raise AudioError(
            f"{where}: truncated or damaged: its stream breaks off or cannot be decoded; "
            "get or record the file again"
        ) from error
    if header.fault.numpy():
        raise AudioError(f"{where}: {header.fault.numpy().decode()}")
    return AudioFile(
        waveform.numpy(),
        int(header.sampling_rate),
        int(header.channels),
        FORMAT_NAMES[int(header.audio_format)],
    )


def is_silent(waveform):
    """Whether every sample is zero: a bool for an array, a scalar bool tensor for a tensor."""
    if tf.is_tensor(waveform):
        return tf.reduce_all(waveform == 0.0)
    return not np.any(waveform)


def _read(source):
    if isinstance(source, bytes | bytearray | memoryview):
        return bytes(source), f"audio bytes ({len(source)})"
    path = Path(os.fspath(source))
    try:
        return path.read_bytes(), str(path)
    except OSError as error:
        raise AudioError(
            f"{path}: cannot be read ({error.strerror}); check the path and its permissions"
        ) from error


def _decode(content):
    """`(waveform, header)`; no samples where there is a fault, which may be the samples' own."""
    content = tf.convert_to_tensor(content)
    header = read_header(content)
    decoders = [_no_samples, _decode_wav, _decode_flac, _decode_mp3, _decode_vorbis]
    waveform = tf.switch_case(
        tf.where(header.fault == b"", header.audio_format, UNKNOWN),
        [lambda decode=decode: decode(content, header) for decode in decoders],
    )
    waveform = tf.ensure_shape(waveform, [None])
    numbers = tf.reduce_all(tf.math.is_finite(waveform))
    loud = tf.reduce_any(tf.abs(waveform) > _LOUDEST)
    fault = tf.where(numbers, tf.where(loud, _FAR_TOO_LOUD, ""), _NOT_NUMBERS)
    fault = tf.where(tf.size(waveform) == 0, _NO_SAMPLES, fault)
    fault = tf.where(header.fault == b"", fault, header.fault)
    return waveform, header._replace(fault=fault)


@tf.function(input_signature=[tf.TensorSpec([], tf.string)], autograph=False)
def _decode_in_one(content):
    return _decode(content)


@tf.function(
    input_signature=[
        tf.TensorSpec([None], tf.float32),
        tf.TensorSpec([], tf.int32),
        tf.TensorSpec([], tf.int32),
    ],
    autograph=False,
)
def _resample(waveform, rate_in, rate_out):
    return resample(waveform, rate_in, rate_out)


def _no_samples(content, header: Header):
    return tf.zeros([0])


def _decode_wav(content, header: Header):
    bits = tf.constant([bits for _, bits in WAV_ENCODINGS], tf.int64)
    frame = tf.gather(bits, header.encoding) // 8 * tf.cast(header.channels, tf.int64)
    data = tf.strings.substr(content, header.start, header.size // frame * frame)

    def pcm(dtype, full_scale):
        return lambda: tf.cast(tf.io.decode_raw(data, dtype), tf.float32) / full_scale

    def unsigned():
        return (tf.cast(tf.io.decode_raw(data, tf.uint8), tf.float32) - 128.0) / 128.0

    def pcm_24():
        low, middle, high = tf.unstack(
            tf.cast(tf.reshape(tf.io.decode_raw(data, tf.uint8), [-1, 3]), tf.int32), axis=1
        )
        value = high * 2**24 + middle * 2**16 + low * 2**8  # high wraps into the sign
        return tf.cast(value, tf.float32) / 2.0**31

    samples = tf.switch_case(
        header.encoding,
        [
            unsigned,
            pcm(tf.int16, 2.0**15),
            pcm_24,
            pcm(tf.int32, 2.0**31),
            pcm(tf.float32, 1.0),
            pcm(tf.float64, 1.0),
        ],
    )
    return _to_mono(tf.reshape(samples, [-1, header.channels]))


def _decode_flac(content, header: Header):
    stream = guarded_flac(_stream(content, header), header.channels, header.encoding)

    def decode(dtype, zero, full_scale):
        def decoded():
            return (tf.cast(tfio.audio.decode_flac(stream, dtype=dtype), tf.float32) - zero) / (
                full_scale
            )

        return decoded

    samples = tf.switch_case(
        header.encoding // 8 - 1,
        [
            decode(tf.uint8, 128.0, 128.0),
            decode(tf.int16, 0.0, 2.0**15),
            decode(tf.int32, 0.0, 2.0**31),  # 24 bits arrive in the upper three bytes
        ],
    )
    return _to_mono(samples[:-EXTRA_SAMPLES])


def _decode_mp3(content, header: Header):
    return _to_mono(tfio.audio.decode_mp3(_stream(content, header)))


def _decode_vorbis(content, header: Header):
    return _to_mono(tfio.audio.decode_vorbis(_stream(content, header)))


def _stream(content, header: Header):
    """The content without a tag in front."""
    return tf.cond(
        header.start > 0,
        lambda: tf.strings.substr(content, header.start, header.size),
        lambda: content,
    )


def _to_mono(samples):
    return tf.reduce_mean(samples, axis=1)
