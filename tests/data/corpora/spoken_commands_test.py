"""The corpus of spoken commands: what is in it, and that it is made whole or not at all."""

import importlib.util
import json
import wave

import numpy as np
import pytest

from keras_ds2.data.corpora.command_phrases import command_vocabulary
from keras_ds2.data.corpora.spoken_commands import (
    SAMPLING_RATE,
    SPLITS,
    VOICES,
    _plan,
    make_spoken_commands,
)

needs_demo_extra = pytest.mark.skipif(
    importlib.util.find_spec("espeakng_loader") is None or importlib.util.find_spec("soxr") is None,
    reason="the extra demo (espeakng-loader, soxr) is not installed",
)
COUNTS = {"train": 1800, "validation": 100, "test": 150}
SMALL = {"num_words": 20, "num_train": 30, "num_validation": 8, "num_test": 12}


def read_rows(manifest):
    return [json.loads(line) for line in manifest.read_text(encoding="utf-8").splitlines()]


def read_pcm(path):
    with wave.open(str(path), "rb") as file:
        assert (file.getnchannels(), file.getsampwidth()) == (1, 2)
        assert file.getframerate() == SAMPLING_RATE == 16000
        return np.frombuffer(file.readframes(file.getnframes()), "<i2")


def contents(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    folder = tmp_path_factory.mktemp("corpora") / "commands"
    return folder, make_spoken_commands(folder, **SMALL)


def variant(voice):
    return voice.partition("+")[2]


class TestPlan:
    def test_no_voice_and_no_variant_is_in_two_splits(self):
        for first, second in (("train", "validation"), ("train", "test"), ("validation", "test")):
            assert not set(map(variant, VOICES[first])) & set(map(variant, VOICES[second]))
        assert all(variant(voice) for voices in VOICES.values() for voice in voices)

    def test_there_are_voices_enough(self):
        assert len(set(VOICES["train"])) >= 12
        assert len(set(VOICES["test"])) >= 6

    def test_held_out_accents_are_heard_in_training(self):
        accents = {
            split: {voice.partition("+")[0] for voice in voices} for split, voices in VOICES.items()
        }
        assert accents["test"] <= accents["train"]
        assert accents["validation"] <= accents["train"]

    @pytest.mark.parametrize("seed", range(3))
    def test_held_out_sentences_are_not_in_training(self, seed):
        plan = _plan(COUNTS, 0, seed)
        texts = {split: {one.text for one in plan if one.split == split} for split in SPLITS}
        assert not texts["train"] & (texts["validation"] | texts["test"])
        assert not texts["validation"] & texts["test"]
        words = {word for text in texts["train"] for word in text.split()}
        assert words == set(command_vocabulary())

    def test_voices_are_used_evenly(self):
        plan = _plan(COUNTS, 700, 0)
        for split in SPLITS:
            used = [one.voice for one in plan if one.split == split]
            counts = [used.count(voice) for voice in VOICES[split]]
            assert max(counts) - min(counts) <= 1

    def test_a_seed_is_a_corpus(self):
        counts = {"train": 30, "validation": 5, "test": 5}
        assert _plan(counts, 9, 4) == _plan(counts, 9, 4)
        assert _plan(counts, 9, 4) != _plan(counts, 9, 5)

    def test_each_word_of_the_vocabulary_in_turn_stands_alone(self):
        plan = _plan(COUNTS, 2 * len(command_vocabulary()), 0)
        alone = [one.text for one in plan if " " not in one.text]
        assert sorted(alone) == sorted(2 * command_vocabulary())
        assert {one.split for one in plan if " " not in one.text} == {"train"}


@needs_demo_extra
class TestCorpus:
    def test_manifests_hold_what_was_asked_for(self, corpus):
        folder, manifests = corpus
        assert manifests == {split: folder / f"{split}.jsonl" for split in SPLITS}
        for split, manifest in manifests.items():
            rows = read_rows(manifest)
            alone = SMALL["num_words"] if split == "train" else 0
            assert len(rows) == SMALL[f"num_{split}"] + alone
            assert {row["speaker"] for row in rows} <= set(VOICES[split])
            for row in rows:
                assert set(row["text"].split()) <= set(command_vocabulary())
                assert 110 <= row["words_per_minute"] <= 150
                assert 15.0 <= row["snr_db"] <= 40.0

    def test_sound_is_neither_silent_nor_clipped(self, corpus):
        for manifest in corpus[1].values():
            for row in read_rows(manifest):
                pcm = read_pcm(manifest.parent / row["audio_filepath"]).astype(np.float64)
                assert len(pcm) / SAMPLING_RATE == pytest.approx(row["duration"], abs=1e-4)
                assert 0.3 < row["duration"] < 5.0
                assert 1000 < np.abs(pcm).max() < 32000
                assert pcm.std() > 500
                assert abs(pcm.mean()) < 50

    def test_noise_is_there_and_quieter_than_speech(self, corpus):
        manifest = corpus[1]["train"]
        for row in read_rows(manifest):
            pcm = read_pcm(manifest.parent / row["audio_filepath"]).astype(np.float64)
            margin = pcm[: int(0.05 * SAMPLING_RATE)]  # no utterance starts sooner
            snr_db = 20 * np.log10(pcm.std() / margin.std())
            # Half a tenth of a second of low noise says little of its level; eSpeak NG may lead in.
            assert row["snr_db"] - 8 < snr_db < row["snr_db"] + 12

    def test_voices_differ(self, corpus):
        manifest = corpus[1]["train"]
        centroids = []
        for row in read_rows(manifest):
            pcm = read_pcm(manifest.parent / row["audio_filepath"])
            power = np.abs(np.fft.rfft(pcm)) ** 2
            hertz = np.fft.rfftfreq(len(pcm), 1 / SAMPLING_RATE)
            centroids.append((power * hertz).sum() / power.sum())
        assert np.percentile(centroids, 90) > 1.5 * np.percentile(centroids, 10)

    def test_the_same_settings_give_the_same_bytes(self, corpus, tmp_path):
        make_spoken_commands(tmp_path / "again", **SMALL)
        assert contents(tmp_path / "again") == contents(corpus[0])

    def test_progress_counts_to_the_end(self, tmp_path):
        calls = []
        make_spoken_commands(
            tmp_path / "c",
            num_words=1,
            num_train=2,
            num_validation=1,
            num_test=2,
            progress=lambda done, total: calls.append((done, total)),
        )
        assert calls == [(done, 6) for done in range(1, 7)]


@needs_demo_extra
class TestFolder:
    def test_a_made_corpus_is_kept(self, corpus):
        folder, manifests = corpus
        before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}

        def no_progress(done, total):
            raise AssertionError("made again")

        assert make_spoken_commands(folder, **SMALL, progress=no_progress) == manifests
        assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before

    def test_an_interrupted_call_leaves_nothing(self, tmp_path):
        def interrupt(done, total):
            if done == 3:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            make_spoken_commands(tmp_path / "c", **SMALL, progress=interrupt)
        assert list(tmp_path.iterdir()) == []

    def test_an_empty_folder_is_taken(self, tmp_path):
        (tmp_path / "c").mkdir()
        manifests = make_spoken_commands(
            tmp_path / "c", num_words=0, num_train=1, num_validation=1, num_test=1
        )
        assert all(manifest.is_file() for manifest in manifests.values())
        assert [path.name for path in tmp_path.iterdir()] == ["c"]

    def test_other_settings_are_refused(self, corpus):
        folder, _ = corpus
        before = contents(folder)
        with pytest.raises(ValueError, match="seed"):
            make_spoken_commands(folder, **SMALL, seed=1)
        assert contents(folder) == before

    def test_a_folder_of_something_else_is_refused(self, tmp_path):
        (tmp_path / "letter.txt").write_text("dear")
        with pytest.raises(ValueError, match="something else"):
            make_spoken_commands(tmp_path, **SMALL)
        assert (tmp_path / "letter.txt").read_text() == "dear"

    @pytest.mark.parametrize("name", SMALL)
    def test_too_few_utterances_are_refused(self, tmp_path, name):
        with pytest.raises(ValueError, match=name):
            make_spoken_commands(
                tmp_path / "c", **{**SMALL, name: 0 if name != "num_words" else -1}
            )
        assert not (tmp_path / "c").exists()
