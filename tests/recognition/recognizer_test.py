"""Speech to text with a trained run: every kind of source, and every kind of wrong one."""

import io

import numpy as np
import pytest
from rich.console import Console

import keras_ds2
from keras_ds2.audio.io import AudioError, read_audio
from keras_ds2.data.features_file import FeaturesError
from keras_ds2.features.front_end import FeatureFrontEnd
from keras_ds2.models import build_model
from keras_ds2.recipe.train import train_recipe
from keras_ds2.recognition import Recognizer
from keras_ds2.recognition.run_folder import RunFolderError
from keras_ds2.text.alphabet import Alphabet
from tests.audio.made_up_audio import wav
from tests.made_up_corpus import (
    RATE,
    features_corpus,
    features_of,
    flac_bytes,
    spoken,
    tiny_recipe,
    trained_run,
    wav_bytes,
)

SPOKEN = np.round(32767 * spoken("bad cab")).astype(np.int16)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return trained_run(tmp_path_factory.getbasetemp())


@pytest.fixture(scope="module")
def recognizer(run):
    return Recognizer.load(run)


@pytest.fixture(scope="module")
def of_features():
    """An untrained model of precomputed features."""
    alphabet = Alphabet(list(" abcd"))
    model = build_model(
        "production",
        vocabulary_size=len(alphabet),
        num_bins=8,
        num_conv_layers=1,
        conv_type="1d",
        conv_filters=[4],
        conv_kernel_size=[3],
        conv_strides=[3],
        num_rnn_layers=1,
        units=4,
        dense_units=0,
        lookahead_context=0,
    )
    front_end = FeatureFrontEnd(kind="precomputed", num_bins=4, deltas=1)
    return Recognizer(model, front_end, alphabet)


class TestSources:
    def test_path_bytes_and_array_give_the_same(self, recognizer, tmp_path):
        path = tmp_path / "a.wav"
        path.write_bytes(wav(SPOKEN / 32768, RATE))
        expected = recognizer.recognize(path)
        assert expected.text
        floats = (SPOKEN / 32768).astype(np.float32)
        for source, rate in (
            (str(path), None),
            (path.read_bytes(), None),
            (SPOKEN, RATE),
            (floats, RATE),
            (floats.astype(np.float64), np.int64(RATE)),
            (floats.tolist(), float(RATE)),
        ):
            found = recognizer.recognize(source, sampling_rate=rate)
            assert found.text == expected.text
            np.testing.assert_allclose(found.log_probs, expected.log_probs, atol=1e-5)
            assert recognizer.transcribe(source, sampling_rate=rate) == expected.text

    def test_a_file_may_be_flac_whatever_its_name(self, recognizer, tmp_path):
        path = tmp_path / "a.mp3"
        path.write_bytes(flac_bytes("bad cab"))
        waveform = read_audio(path, RATE)
        assert recognizer.transcribe(path) == recognizer.transcribe(waveform, RATE)

    def test_other_rates_are_resampled(self, recognizer):
        time = np.arange(6000) / 48000
        tone = 0.5 * np.sin(2 * np.pi * 900 * time)
        slow = recognizer.recognize(tone[::6], sampling_rate=8000)
        fast = recognizer.recognize(tone, sampling_rate=48000)
        assert fast.seconds == slow.seconds == 0.125
        error = np.abs(fast.waveform - slow.waveform)[50:-50].max()
        assert error < 1e-3

    def test_features_as_a_file_or_an_array(self, of_features, tmp_path):
        np.save(tmp_path / "f.npy", features_of("bad"))
        one = of_features.recognize(tmp_path / "f.npy")
        two = of_features.recognize(features_of("bad").astype(np.float64))
        assert one.text == two.text
        assert one.waveform is None
        assert one.seconds == pytest.approx(0.18)
        assert one.features.shape == (18, 8)


class TestRecognition:
    def test_says_how_it_came_about(self, recognizer):
        found = recognizer.recognize(SPOKEN, sampling_rate=RATE)
        assert found.seconds == len(SPOKEN) / RATE
        assert found.step_ms == 20.0
        np.testing.assert_array_equal(found.waveform, SPOKEN / np.float32(32768))
        frames = recognizer.front_end.frames(len(SPOKEN))
        assert found.features.shape == (frames, 81)
        assert found.log_probs.shape == (-(-frames // 2), len(recognizer.alphabet))
        np.testing.assert_allclose(np.exp(found.log_probs).sum(axis=-1), 1, atol=1e-5)
        assert found.text == found.hypothesis.text
        best = found.log_probs.argmax(axis=-1)
        assert tuple(best[list(found.hypothesis.steps)]) == found.hypothesis.ids
        assert found.hypothesis.log_prob == pytest.approx(
            found.log_probs.max(axis=-1).sum(), rel=1e-4
        )

    def test_the_decoder_can_be_another(self, recognizer):
        class Shouting:
            def __init__(self, decoder):
                self.decoder = decoder

            def decode(self, logits, logit_length):
                (found,) = self.decoder.decode(logits, logit_length)
                return [type(found)(found.text.upper(), found.ids, found.steps, found.log_prob)]

        other = Recognizer(
            recognizer.model,
            recognizer.front_end,
            recognizer.alphabet,
            decoder=Shouting(recognizer.decoder),
        )
        text = recognizer.transcribe(SPOKEN, RATE)
        assert text
        assert other.transcribe(SPOKEN, RATE) == text.upper()

    def test_it_depends_on_nothing_heard_before(self, recognizer):
        first = recognizer.transcribe(SPOKEN, RATE)
        recognizer.transcribe(wav_bytes("dad dad"))
        assert recognizer.transcribe(SPOKEN, RATE) == first


class TestBadSources:
    @pytest.mark.parametrize(
        ("source", "rate", "message"),
        [
            (SPOKEN, None, "received None; a rate is never guessed: pass sampling_rate="),
            (SPOKEN, 0, "whole number of Hz > 0, received 0"),
            (SPOKEN, -8000, "whole number of Hz > 0, received -8000"),
            (SPOKEN, 22050.5, "whole number of Hz > 0, received 22050.5"),
            (np.stack([SPOKEN, SPOKEN], axis=1), RATE, r"received \(5600, 2\); take the mean"),
            (SPOKEN[:0], RATE, r"expected shape \(samples,\), one channel, received \(0,\)"),
            (np.int16(3), RATE, r"received \(\)"),
            (SPOKEN.astype(np.int32), RATE, r"float in \[-1, 1\] or int16, received int32"),
            (SPOKEN.astype(np.complex64), RATE, "received complex64"),
            (np.full(4000, np.nan, np.float32), RATE, "received NaN or infinity"),
        ],
    )
    def test_arrays(self, recognizer, source, rate, message):
        with pytest.raises(ValueError, match=message):
            recognizer.transcribe(source, sampling_rate=rate)

    @pytest.mark.parametrize(
        ("source", "message"),
        [
            (np.zeros(4000, np.int16), "^waveform: silent, every sample is 0"),
            (SPOKEN[:100], "^waveform: 100 samples at 8000 Hz are shorter than one window of 20"),
        ],
    )
    def test_silent_and_short_arrays(self, recognizer, source, message):
        with pytest.raises(AudioError, match=message):
            recognizer.transcribe(source, sampling_rate=RATE)

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (b"", "empty"),
            (wav_bytes("bad")[:-100], "truncated"),
            (b"not audio at all", "not audio in a format that is read"),
            (wav(np.zeros(4000), RATE), "silent, every sample is 0"),
            (wav(spoken("bad")[:0], RATE), "holds no samples"),
            (wav(spoken("bad")[:100], RATE), "100 samples at 8000 Hz are shorter than one window"),
        ],
        ids=["empty", "truncated", "text", "silent", "zero samples", "short"],
    )
    def test_files_and_bytes(self, recognizer, tmp_path, content, message):
        path = tmp_path / "a.wav"
        path.write_bytes(content)
        with pytest.raises(AudioError, match=f"^{path}: .*{message}"):
            recognizer.transcribe(path)
        with pytest.raises(AudioError, match=f"^audio bytes.*: .*{message}"):
            recognizer.transcribe(content)

    def test_absent_files(self, recognizer, of_features, tmp_path):
        with pytest.raises(AudioError, match=r"absent\.wav: cannot be read"):
            recognizer.transcribe(tmp_path / "absent.wav")
        with pytest.raises(FeaturesError, match=r"absent\.npy: cannot be read"):
            of_features.transcribe(tmp_path / "absent.npy")

    @pytest.mark.parametrize(
        ("source", "message"),
        [
            (SPOKEN, r"expected shape \(frames, 4\), received \(5600,\); this model reads prec"),
            (np.zeros((5, 3)), r"received \(5, 3\)"),
            (np.zeros((0, 4)), r"received \(0, 4\)"),
            (np.full((5, 4), np.inf), "received NaN or infinity"),
        ],
    )
    def test_features(self, of_features, source, message):
        with pytest.raises(ValueError, match=message):
            of_features.transcribe(source)


class TestLoad:
    def test_is_what_was_trained(self, run, recognizer):
        again = keras_ds2.Recognizer.load(str(run))
        assert again.alphabet == recognizer.alphabet
        assert set(again.alphabet.symbols) == set("abcd ")
        one, two = (each.recognize(SPOKEN, sampling_rate=RATE) for each in (recognizer, again))
        assert one.text == two.text
        np.testing.assert_array_equal(one.log_probs, two.log_probs)

    def test_a_folder_that_is_no_run(self, tmp_path):
        with pytest.raises(RunFolderError, match="expected the folder of a run"):
            Recognizer.load(tmp_path)
        with pytest.raises(RunFolderError, match="expected the folder of a run"):
            Recognizer.load(tmp_path / "absent")

    def test_a_run_of_features_that_has_no_weights_yet(self, tmp_path, monkeypatch):
        # Interrupted before its first epoch ended: everything but the weights is there.
        features_corpus(tmp_path)
        features_corpus(tmp_path, ("ab", "cad"), "validation")
        monkeypatch.setattr("keras_ds2.recipe.train.train", lambda *arguments, **options: None)
        train_recipe(tiny_recipe(tmp_path), tmp_path / "run", Console(file=io.StringIO()))
        with pytest.raises(RunFolderError, match=r"holds no best\.weights\.h5 yet.*train again"):
            Recognizer.load(tmp_path / "run")
