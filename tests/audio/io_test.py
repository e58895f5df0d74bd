"""Every format in, one waveform out; every fault named."""

import re
import struct

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_io as tfio

from keras_ds2.audio.io import (
    AudioError,
    decode_audio,
    is_silent,
    load_audio,
    read_audio,
    read_audio_file,
)
from tests.audio.made_up_audio import chunk, silent_mp3, tone, tone_mp3, vorbis, wav, with_id3

RATE = 16000
TONE = tone(440.0, RATE, 0.25)


def flac(samples, sampling_rate, bits=16):
    values = np.round(np.asarray(samples) * 2.0 ** (bits - 1))
    values = values.reshape(len(values), -1)
    if bits == 8:
        values = (values + 128).astype(np.uint8)
    else:
        values = values.astype(np.int16) if bits == 16 else values.astype(np.int32) * 256
    return tfio.audio.encode_flac(values, sampling_rate).numpy()


EVERY_FORMAT = {
    "wav": wav(TONE, RATE),
    "flac": flac(TONE, RATE),
    "mp3": tone_mp3(),
    "vorbis": vorbis(TONE, RATE),
}


class TestWav:
    @pytest.mark.parametrize(
        ("bits", "is_float"), [(8, False), (16, False), (24, False), (32, False), (32, True)]
    )
    def test_each_encoding_to_its_own_precision(self, bits, is_float):
        for extensible in (False, True):
            content = wav(TONE, RATE, bits=bits, is_float=is_float, extensible=extensible)
            waveform, rate = decode_audio(content)
            assert rate == RATE
            assert waveform.dtype == tf.float32
            step = 2.0**-24 if is_float else 2.0 ** (1 - bits)
            np.testing.assert_allclose(waveform, TONE, rtol=0, atol=0.51 * step + 1e-7)

    @pytest.mark.parametrize("bits", [8, 16, 24, 32])
    def test_full_scale_is_one(self, bits):
        waveform, _ = decode_audio(wav([0.0, -1.0, 1.0, 0.5, -0.5], 8000, bits=bits))
        top = 1.0 - 2.0 ** (1 - bits)
        np.testing.assert_allclose(waveform, [0.0, -1.0, top, 0.5, -0.5], atol=1e-7)

    def test_float_64(self):
        waveform, _ = decode_audio(wav(TONE, RATE, bits=64, is_float=True))
        np.testing.assert_allclose(waveform, TONE, atol=1e-7)

    def test_chunks_of_odd_length_before_and_after_the_samples(self):
        content = wav(TONE, 8000, before=chunk(b"LIST", b"abc")) + chunk(b"LIST", b"behind")
        waveform, rate = decode_audio(content)
        assert rate == 8000
        np.testing.assert_allclose(waveform, TONE, atol=2e-5)

    def test_size_left_open_by_a_streaming_writer(self):
        waveform, _ = decode_audio(wav(TONE, RATE, size=0xFFFFFFFF))
        np.testing.assert_allclose(waveform, TONE, atol=2e-5)

    def test_half_a_sample_at_the_end_is_left_out(self):
        stereo = np.stack([TONE, TONE], axis=1)
        content = wav(stereo, RATE, size=0xFFFFFFFF)[:-1]
        waveform, _ = decode_audio(content)
        assert len(waveform) == len(TONE) - 1

    def test_compressed_wav_is_refused_by_its_tag(self):
        content = bytearray(wav(TONE, RATE, bits=8))
        content[20:22] = struct.pack("<H", 7)
        with pytest.raises(AudioError, match="format tag 7 with 8 bits is not read; convert"):
            read_audio(bytes(content), RATE)


class TestOtherFormats:
    @pytest.mark.parametrize("bits", [8, 16, 24])
    def test_flac_to_its_own_precision(self, bits):
        waveform, rate = decode_audio(flac(TONE, 22050, bits=bits))
        assert rate == 22050
        np.testing.assert_allclose(waveform, TONE, rtol=0, atol=0.51 * 2.0 ** (1 - bits) + 1e-7)

    @pytest.mark.parametrize("rate", [16000, 44100, 48000])
    def test_vorbis(self, rate):
        samples = tone(440.0, rate, 0.25)
        waveform, stated = decode_audio(vorbis(samples, rate))
        assert stated == rate
        assert len(waveform) == len(samples)
        np.testing.assert_allclose(waveform, samples, atol=0.05)

    def test_mp3_holds_its_tone(self):
        waveform, rate = decode_audio(tone_mp3())
        assert rate == 16000
        middle = waveform.numpy()[2000:4000]
        spectrum = np.abs(np.fft.rfft(middle * np.hanning(len(middle))))
        assert spectrum.argmax() * 16000 / len(middle) == pytest.approx(500.0, abs=8.0)
        assert np.sqrt(np.mean(middle**2)) == pytest.approx(0.5 / np.sqrt(2), rel=0.02)

    def test_mp3_of_mpeg_1(self):
        waveform, rate = decode_audio(silent_mp3(10))
        assert rate == 44100
        assert len(waveform) == 10 * 1152

    @pytest.mark.parametrize(
        ("second", "third", "rate"),
        [
            (0xFB, 0x90, 44100),
            (0xFB, 0x94, 48000),
            (0xFB, 0x98, 32000),
            (0xF3, 0x80, 22050),
            (0xF3, 0x84, 24000),
            (0xF3, 0x88, 16000),
            (0xE3, 0x80, 11025),
            (0xE3, 0x84, 12000),
            (0xE3, 0x88, 8000),
        ],
    )
    def test_every_mp3_rate(self, second, third, rate):
        head = bytes([0xFF, second, third, 0xC4])
        kbps, slots = (128, 144) if second == 0xFB else (64, 72)
        frame = head + bytes(slots * kbps * 1000 // rate - 4)
        _, stated = decode_audio(frame * 5)
        assert stated == rate

    def test_behind_an_id3_tag(self):
        for content in EVERY_FORMAT.values():
            plain = read_audio(content, 8000)
            np.testing.assert_array_equal(read_audio(with_id3(content), 8000), plain)


class TestChannelsAndRates:
    @pytest.mark.parametrize("write", [wav, flac])
    def test_stereo_is_averaged(self, write):
        left, right = TONE, tone(100.0, RATE, 0.25, amplitude=0.25)
        waveform, _ = decode_audio(write(np.stack([left, right], axis=1), RATE))
        np.testing.assert_allclose(waveform, (left + right) / 2, atol=4e-5)

    @pytest.mark.parametrize("rate", [8000, 11025, 16000, 22050, 44100, 48000])
    def test_any_rate_becomes_the_models(self, rate):
        waveform = read_audio(wav(tone(440.0, rate, 0.25), rate), RATE)
        assert waveform.shape == (RATE // 4,)
        assert waveform.dtype == np.float32
        np.testing.assert_allclose(waveform[200:-200], TONE[200:-200], atol=1e-3)

    def test_same_rate_changes_nothing(self):
        content = wav(TONE, RATE)
        np.testing.assert_array_equal(read_audio(content, RATE), decode_audio(content)[0])


class TestInAGraph:
    def test_load_audio_in_parallel_map(self, tmp_path):
        paths = []
        for name, content in EVERY_FORMAT.items():
            path = tmp_path / f"{name}.bin"  # the name says nothing of the format
            path.write_bytes(content)
            paths.append(str(path))
        dataset = tf.data.Dataset.from_tensor_slices(paths).map(
            lambda path: load_audio(path, 8000), num_parallel_calls=2
        )
        assert dataset.element_spec == tf.TensorSpec([None], tf.float32)
        for path, waveform in zip(paths, dataset, strict=True):
            np.testing.assert_array_equal(waveform, read_audio(path, 8000))

    def test_a_fault_names_the_file(self, tmp_path):
        path = tmp_path / "cut.wav"
        path.write_bytes(wav(TONE, RATE)[:1000])
        dataset = tf.data.Dataset.from_tensors(str(path)).map(lambda path: load_audio(path, RATE))
        with pytest.raises(tf.errors.InvalidArgumentError, match=r"cut\.wav.*truncated WAV"):
            next(iter(dataset))

    def test_real_flac_and_vorbis(self, speech_data):
        for name in ("fsdd", "zh_words20"):
            folder = speech_data / name
            path = next(p for p in sorted(folder.rglob("*")) if p.suffix in (".flac", ".ogg"))
            waveform = read_audio(path, RATE)
            assert 0.1 * RATE < len(waveform) < 20 * RATE
            assert not is_silent(waveform)
            assert np.abs(waveform).max() <= 1.5


class TestFaults:
    @pytest.mark.parametrize("name", EVERY_FORMAT)
    def test_truncated(self, name, tmp_path):
        path = tmp_path / f"cut.{name}"
        content = EVERY_FORMAT[name]
        for size in (len(content) * 3 // 10, len(content) * 6 // 10, len(content) - 1):
            path.write_bytes(content[:size])
            with pytest.raises(
                AudioError, match=r"cut\..*: truncated .*get or record the file again$"
            ):
                read_audio(path, RATE)

    @pytest.mark.parametrize("name", EVERY_FORMAT)
    def test_nothing_but_a_piece_of_header(self, name):
        for size in (4, 12, 20, 30, 44):
            with pytest.raises(AudioError):
                read_audio(EVERY_FORMAT[name][:size], RATE)

    def test_mp3_shorter_than_its_tag_says(self):
        whole = silent_mp3(10, xing=True)
        assert decode_audio(whole)[1] == 44100
        with pytest.raises(AudioError, match="truncated MP3"):
            read_audio(whole[: 417 * 6], RATE)

    def test_empty(self, tmp_path):
        path = tmp_path / "empty.wav"
        path.write_bytes(b"")
        with pytest.raises(AudioError, match=r"empty\.wav: the file is empty; get or record"):
            read_audio(path, RATE)

    def test_missing(self, tmp_path):
        with pytest.raises(AudioError, match=r"none\.wav: cannot be read \(No such file"):
            read_audio(tmp_path / "none.wav", RATE)

    def test_wav_without_samples(self):
        with pytest.raises(AudioError, match="the WAV holds no samples"):
            read_audio(wav([], RATE), RATE)

    def test_flac_that_states_no_samples(self):
        content = bytearray(flac(TONE, RATE))
        content[21] &= 0xF0
        content[22:26] = bytes(4)
        with pytest.raises(AudioError, match="states no samples"):
            read_audio(bytes(content), RATE)

    def test_rate_of_zero(self):
        with pytest.raises(AudioError, match="sampling rate of 0 Hz"):
            read_audio(wav(TONE, 0), RATE)

    @pytest.mark.parametrize("rate", [384_001, 40_000_003, 2**31 - 1, 2**31, 2**32 - 1])
    def test_a_rate_that_would_fill_the_memory(self, rate, tmp_path):
        path = tmp_path / "fast.wav"
        content = wav(TONE[:100], RATE)
        path.write_bytes(content[:24] + struct.pack("<I", rate) + content[28:])
        says = f"{path}: its header states a sampling rate of {rate} Hz, expected 1 to 384000 Hz"
        with pytest.raises(AudioError, match=re.escape(says)):
            read_audio_file(path)

    @pytest.mark.parametrize("name", ["flac", "vorbis"])
    def test_such_a_rate_in_other_formats(self, name):
        content = bytearray(flac(TONE, RATE) if name == "flac" else vorbis(TONE, RATE))
        if name == "flac":
            content[18:21] = b"\xff\xff\xf0"
        else:
            place = content.index(b"\x01vorbis") + 12
            content[place : place + 4] = b"\xff" * 4
        with pytest.raises(AudioError, match="sampling rate of"):
            read_audio_file(bytes(content))

    def test_wav_of_nothing_but_chunks(self):
        content = wav(TONE, RATE, before=b"junk\0\0\0\0" * 999)
        assert len(read_audio(content, RATE)) == len(TONE)
        content = wav(TONE, RATE, before=b"junk\0\0\0\0" * 1000)
        with pytest.raises(AudioError, match="more than 1000 chunks before its samples"):
            read_audio(content, RATE)

    def test_samples_that_are_not_numbers(self):
        with pytest.raises(AudioError, match="samples that are not numbers"):
            read_audio(wav([0.0, np.nan], RATE, bits=32, is_float=True), RATE)

    def test_samples_past_full_scale_are_read_as_they_are_up_to_a_point(self):
        for loud in (3.0, -(2.0**32)):
            content = wav([0.0, loud], RATE, bits=32, is_float=True)
            assert read_audio(content, RATE).tolist() == [0.0, loud]
        with pytest.raises(AudioError, match=r"more than 2\*\*32 times full scale"):
            read_audio(wav([0.0, 1e30], RATE, bits=32, is_float=True), RATE)

    @pytest.mark.parametrize(
        "content", [b"hello, this is a text file\n" * 50, bytes(1000), b"\xff\xfe" + b"a\0" * 500]
    )
    def test_no_audio(self, content):
        with pytest.raises(AudioError, match=r"not audio in a format that is read: WAV .*Vorbis"):
            read_audio(content, RATE)

    def test_random_bytes_never_crash(self):
        generator = np.random.default_rng(0)
        heads = [b"", b"RIFF....WAVE", b"fLaC", b"OggS", b"\xff\xfb\x90\xc4", b"ID3\x04\x00\x00"]
        for head in heads:
            for size in (1, 50, 3000):
                with pytest.raises(AudioError):
                    read_audio(head + generator.bytes(size), RATE)

    @pytest.mark.parametrize(
        ("content", "said"),
        [
            (bytes(4) + b"ftypM4A " + bytes(100), "MP4 or M4A"),
            (b"FORM" + bytes(4) + b"AIFF" + bytes(100), "AIFF"),
            (b"RF64" + bytes(100), "RF64"),
        ],
    )
    def test_known_formats_that_are_not_read_are_named(self, content, said):
        with pytest.raises(AudioError, match=f"{said}.* is not read; convert it"):
            read_audio(content, RATE)

    def test_opus_is_named(self):
        page = b"OggS\x00\x02" + bytes(20) + b"\x01\x13" + b"OpusHead" + bytes(11)
        with pytest.raises(AudioError, match="Ogg Opus is not read"):
            read_audio(page, RATE)


class TestGoodInputThatLooksOdd:
    def test_wrong_extension_just_works(self, tmp_path):
        for content in EVERY_FORMAT.values():
            right = read_audio(content, RATE)
            for extension in ("wav", "mp3", "txt"):
                path = tmp_path / f"speech.{extension}"
                path.write_bytes(content)
                np.testing.assert_array_equal(read_audio(path, RATE), right)

    def test_silence_is_read_and_told(self):
        silence = read_audio(wav(np.zeros(1000), RATE), RATE)
        assert len(silence) == 1000
        assert is_silent(silence)
        assert is_silent(tf.constant(silence))
        assert not is_silent(TONE)
        assert not is_silent(tf.constant(TONE))

    def test_one_sample(self):
        np.testing.assert_array_equal(read_audio(wav([0.5], RATE), RATE), [0.5])
