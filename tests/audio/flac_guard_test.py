"""The trailer is a sound frame of silence, and no cut or damaged stream gets past it."""

import contextlib

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_io as tfio

from keras_ds2.audio.flac_guard import EXTRA_SAMPLES, guarded_flac, is_swamped
from keras_ds2.audio.io import AudioError, read_audio

NOISE = np.random.default_rng(0).integers(-8000, 8000, size=(5000, 1))


@pytest.mark.parametrize("channels", [1, 2, 5])
@pytest.mark.parametrize(
    ("bits", "dtype", "zero"), [(8, np.uint8, 128), (16, np.int16, 0), (24, np.int32, 0)]
)
def test_adds_silence_and_nothing_else(channels, bits, dtype, zero):
    values = np.random.default_rng(1).integers(0, 100, size=(700, channels)).astype(dtype)
    values = values * 256 if bits == 24 else values
    stream = tfio.audio.encode_flac(values, 16000)
    decoded = tfio.audio.decode_flac(guarded_flac(stream, channels, bits), dtype=dtype).numpy()
    np.testing.assert_array_equal(decoded[:700], values)
    np.testing.assert_array_equal(decoded[700:], np.full((EXTRA_SAMPLES, channels), zero))


def frames():
    """A stream of several frames, and where each begins."""
    stream = tfio.audio.encode_flac(NOISE.astype(np.int16), 16000).numpy()
    starts = [i for i in range(len(stream)) if stream[i : i + 2] == b"\xff\xf8"]
    assert len(starts) >= 4
    return stream, starts


def test_a_stream_cut_between_two_frames_or_near_it_comes_to_an_end():
    stream, starts = frames()
    for start in starts:
        for missing in (0, 1, 2, 17, 25, 26, 27, 30, 50):
            with pytest.raises(AudioError, match="truncated"):
                read_audio(stream[: start - missing], 16000)


def test_a_damaged_last_frame_comes_to_an_end():
    stream, starts = frames()
    for place in range(starts[-1], starts[-1] + 6):
        damaged = bytearray(stream)
        damaged[place] ^= 0xFF
        with pytest.raises(AudioError, match="truncated or damaged"):
            read_audio(bytes(damaged), 16000)


@pytest.mark.parametrize("tag", [b"", b"ID3\x04\0\0\0\0\0\x2afLaC" + b"\xff" * 38])
def test_a_stream_of_heads_alone_is_refused_before_it_is_decoded(tag, capfd):
    stream, starts = frames()

    def with_heads(count):
        heads = b"\xff\xf8\xc9\x18" * count
        return tag + stream[: starts[-1]] + heads + stream[starts[-1] :]

    with contextlib.suppress(AudioError):  # its decoder tells of each
        read_audio(with_heads(100), 16000)
    assert capfd.readouterr().err.count("ErrorCallback") >= 100
    with pytest.raises(AudioError, match="more frames begin in it than it can hold"):
        read_audio(with_heads(3000), 16000)
    assert "ErrorCallback" not in capfd.readouterr().err


def test_noise_is_no_stream_of_heads():
    values = np.random.default_rng(2).integers(-(2**15), 2**15, size=(2**20, 1), dtype=np.int16)
    assert not is_swamped(tfio.audio.encode_flac(values, 16000).numpy())


def test_in_a_graph():
    stream, _ = frames()
    dataset = tf.data.Dataset.from_tensors(stream).map(lambda s: guarded_flac(s, 1, 16))
    assert next(iter(dataset)).numpy() == guarded_flac(stream, 1, 16).numpy()
