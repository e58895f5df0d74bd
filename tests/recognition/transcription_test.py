"""Many recordings one after the other: which are found, and a bad one among them."""

import io
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from keras_ds2.audio.io import AudioError
from keras_ds2.data.features_file import FeaturesError
from keras_ds2.recognition import Recognition, Recognizer
from keras_ds2.recognition.transcription import find_recordings, transcribe_files
from tests.made_up_corpus import RATE, flac_bytes, trained_run, wav_bytes


@pytest.fixture(scope="module")
def recognizer(tmp_path_factory):
    return Recognizer.load(trained_run(tmp_path_factory.getbasetemp()))


@pytest.fixture
def folder(tmp_path):
    """Three recordings, one of them deeper, and what is none."""
    (tmp_path / "deep" / "er").mkdir(parents=True)
    (tmp_path / "b.WAV").write_bytes(wav_bytes("bad"))
    (tmp_path / "a.flac").write_bytes(flac_bytes("cab"))
    (tmp_path / "deep" / "er" / "c.wav").write_bytes(wav_bytes("dad", 16000))
    (tmp_path / "notes.txt").write_text("no recording")
    (tmp_path / "f.npy").write_bytes(b"features")
    (tmp_path / "d.wav").mkdir()
    return tmp_path


class TestFinding:
    def test_a_folder_stands_for_its_recordings_in_order(self, folder):
        found = find_recordings([str(folder)], "log_spectrogram")
        names = ["a.flac", "b.WAV", "deep/er/c.wav"]
        assert found == [str(folder / name) for name in names]
        assert find_recordings([str(folder)], "precomputed") == [str(folder / "f.npy")]

    def test_what_is_named_is_taken_as_it_is(self, folder):
        named = [str(folder / "notes.txt"), "-", str(folder / "absent.wav")]
        assert find_recordings(named, "log_spectrogram") == named

    def test_a_folder_without_any_stays_in_the_list(self, tmp_path):
        assert find_recordings([str(tmp_path)], "log_spectrogram") == [str(tmp_path)]


def test_bad_ones_are_named_and_the_others_go_on(recognizer, folder):
    (folder / "b.WAV").write_bytes(wav_bytes("bad")[:-50])
    sources = [str(folder), str(folder / "notes.txt"), str(folder / "d.wav"), "absent.wav"]
    results = dict(transcribe_files(recognizer, [*sources, str(folder / "a.flac")]))
    good = {path for path, result in results.items() if isinstance(result, Recognition)}
    assert good == {str(folder / "a.flac"), str(folder / "deep" / "er" / "c.wav")}
    for path, part in (
        (str(folder / "b.WAV"), "truncated"),
        (str(folder / "notes.txt"), "not audio"),
        (str(folder / "d.wav"), "no recording in this folder, expected *.wav *.flac *.mp3"),
        ("absent.wav", "cannot be read"),
    ):
        assert isinstance(results[path], AudioError)
        assert path in str(results[path])
        assert part in str(results[path])


def test_each_is_recognised_as_if_alone(recognizer, folder):
    for path, result in transcribe_files(recognizer, [str(folder)]):
        alone = recognizer.recognize(path)
        assert result.text == alone.text
        np.testing.assert_array_equal(result.log_probs, alone.log_probs)


class TestStandardInput:
    def give(self, monkeypatch, content):
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(content)))

    def test_is_read_as_a_file(self, recognizer, monkeypatch):
        self.give(monkeypatch, wav_bytes("bad"))
        ((source, result),) = transcribe_files(recognizer, ["-"])
        assert source == "-"
        assert result.text == recognizer.transcribe(wav_bytes("bad"))
        assert result.seconds == pytest.approx(0.3, abs=1 / RATE)

    def test_empty_is_an_error_of_its_own(self, recognizer, monkeypatch):
        self.give(monkeypatch, b"")
        ((_, result),) = transcribe_files(recognizer, ["-"])
        assert isinstance(result, AudioError)
        assert "empty" in str(result)

    def test_has_no_features(self):
        of_features = SimpleNamespace(front_end=SimpleNamespace(kind="precomputed"))
        ((_, result),) = transcribe_files(of_features, ["-"])
        assert isinstance(result, FeaturesError)
        assert "name their paths" in str(result)
