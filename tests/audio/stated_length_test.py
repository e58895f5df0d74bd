"""What a file says of its length holds for what is decoded of it."""

import numpy as np
import pytest
import tensorflow_io as tfio

from keras_ds2.audio import stated_length as module
from keras_ds2.audio.io import read_audio_file
from keras_ds2.audio.stated_length import stated_length
from tests.audio.made_up_audio import silent_mp3, tone, tone_mp3, wav


def flac(samples, rate, channels):
    integers = np.round(32767 * np.stack([samples] * channels, axis=1)).astype(np.int16)
    return tfio.audio.encode_flac(integers, rate).numpy()


def vorbis(samples, rate):
    return tfio.audio.encode_vorbis(samples[:, np.newaxis].astype(np.float32), rate).numpy()


SOUND = tone(500, 16000, 0.4)
FILES = {
    "wav": wav(SOUND, 16000),
    "wav 24 bit, other chunks": wav(SOUND, 8000, bits=24, before=b"LIST\x03\0\0\0abc\0"),
    "wav stereo": wav(np.stack([SOUND, SOUND], axis=1), 44100),
    "flac": flac(SOUND, 16000, 1),
    "flac stereo": flac(SOUND, 48000, 2),
    "vorbis": vorbis(tone(500, 44100, 0.4), 44100),
    "mp3": tone_mp3(),
    "mp3 behind a tag": b"ID3\x04\0\0\0\0\0\x05aaaaa" + silent_mp3(7),
    "mp3 with junk amid": silent_mp3(3) + bytes(100) + silent_mp3(4),
    "wav, many chunks": wav(SOUND, 16000, before=b"junk\0\0\0\0" * 900),
}


@pytest.mark.parametrize("name", FILES)
def test_no_less_than_is_decoded_and_little_more(name):
    stated, found = stated_length(FILES[name]), read_audio_file(FILES[name])
    assert (stated.channels, stated.sampling_rate) == (found.channels, found.sampling_rate)
    assert len(found.waveform) <= stated.samples <= len(found.waveform) + 4 * 1152
    if "mp3" not in name:
        assert stated.samples == len(found.waveform)
    assert stated.seconds == stated.samples / found.sampling_rate


def test_chained_streams_add_up():
    assert stated_length(FILES["vorbis"] * 3).samples == 3 * stated_length(FILES["vorbis"]).samples


def test_a_bomb_says_what_it_is():
    bomb = bytearray(flac(np.zeros(1000), 16000, 1))
    bomb[21] |= 0x0F
    bomb[22:26] = b"\xff" * 4
    assert stated_length(bytes(bomb)).samples == 2**36 - 1


def test_a_rate_of_zero_is_endless():
    content = bytearray(FILES["wav"])
    content[24:28] = bytes(4)
    assert stated_length(bytes(content)).seconds == float("inf")


@pytest.mark.parametrize("name", FILES)
def test_what_is_cut_anywhere_is_read_without_an_error(name):
    content = FILES[name]
    for size in [*range(0, 200, 3), len(content) // 2, len(content) - 1]:
        stated = stated_length(content[:size])
        assert 0 <= stated.samples <= stated_length(content).samples


@pytest.mark.parametrize("content", [b"", b"RIFF", b"OggS" * 50, b"\xff" * 500, bytes(999)])
def test_what_is_no_audio_has_no_samples(content):
    assert stated_length(content).samples == 0


@pytest.mark.parametrize("junk", range(2**18 - 9, 2**18 + 9))
def test_no_junk_is_so_long_that_a_frame_behind_it_goes_uncounted(junk):
    stated = stated_length(
        silent_mp3(3) + b"\xff\xe2" * (junk // 2) + bytes(junk % 2) + silent_mp3(4)
    )
    assert stated.samples == 7 * 1152


def test_a_search_holds_up_other_threads_for_no_more_than_a_window(monkeypatch):
    searched = []

    class Counted:
        def search(self, content, start, end):
            searched.append(end - start)
            return pattern.search(content, start, end)

    pattern = module._MP3_FRAME
    monkeypatch.setattr(module, "_MP3_FRAME", Counted())
    assert stated_length(b"\xff\xe2" * 2**20).samples == 0
    assert max(searched) <= 2**18
    assert sum(searched) <= 2**21 + 3 * len(searched) + 2**18


def test_chunks_are_followed_only_so_far():
    assert stated_length(wav(SOUND, 16000, before=b"junk\0\0\0\0" * 1001)).samples == 0
