"""A run scored on a manifest: the same transcripts as one by one, and all that is counted."""

import io
import json
import shutil

import pytest
from rich.console import Console

from keras_ds2.data.manifest import ManifestError, write_manifest
from keras_ds2.evaluation.metrics import score
from keras_ds2.recognition import Recognizer
from keras_ds2.recognition.evaluation import evaluate_run, print_evaluation
from keras_ds2.recognition.run_folder import RunFolderError
from tests.made_up_corpus import TEXTS, audio_corpus, trained_run


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return trained_run(tmp_path_factory.getbasetemp())


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    """Unheard utterances; one is cut off, one is silent in words, one has a foreign symbol."""
    folder = tmp_path_factory.mktemp("test")
    texts = (*TEXTS[:6], "zebra", "?!", "dad", "ab " * 20)
    path = audio_corpus(folder, texts[:-1], "test", seed=50)
    broken = folder / "test_2.wav"
    broken.write_bytes(broken.read_bytes()[:300])
    # Labels longer than the audio's steps count all the same.
    row = {"audio_filepath": "test_0.wav", "duration": 0.1, "text": texts[-1]}
    with open(path, "a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")
    return path


@pytest.fixture(scope="module")
def result(run, manifest):
    return evaluate_run(run, manifest, batch_size=4)


def test_every_transcript_is_the_recognizers(run, result):
    recognizer = Recognizer.load(run)
    for example, hypothesis in zip(result.examples, result.evaluation.hypotheses, strict=True):
        alone = recognizer.recognize(example.utterance.filepath)
        assert hypothesis.text == alone.text
        assert hypothesis.steps == alone.hypothesis.steps
    assert len({each.text for each in result.evaluation.hypotheses}) > 3


def test_what_is_skipped_is_counted_and_named(result):
    assert [each.utterance.line for each in result.skipped] == [3, 8]
    assert "truncated" in result.skipped[0].reason
    assert "nothing left to write" in result.skipped[1].reason
    assert result.evaluation.score.skipped == 2
    assert result.evaluation.score.utterances == 8


def test_references_are_normalised_and_otherwise_whole(result):
    references = sorted(result.evaluation.references)
    assert references == sorted([*TEXTS[:2], *TEXTS[3:6], "zebra", "dad", " ".join(["ab"] * 20)])
    texts = [each.text for each in result.evaluation.hypotheses]
    expected = score(result.evaluation.references, texts)
    assert result.evaluation.score.word_edits == expected.word_edits
    assert result.evaluation.score.character_edits == expected.character_edits


def test_batches_make_no_difference(run, manifest, result):
    told = []
    other = evaluate_run(run, manifest, batch_size=3, progress=told.append)
    assert told == [3, 3, 2]
    assert other.evaluation.score == result.evaluation.score
    assert other.evaluation.loss == pytest.approx(result.evaluation.loss, rel=1e-4)
    texts = [[each.text for each in r.evaluation.hypotheses] for r in (result, other)]
    assert texts[0] == texts[1]


class TestErrors:
    def test_batch_size(self, run, manifest):
        with pytest.raises(ValueError, match="batch size: expected >= 1, received 0"):
            evaluate_run(run, manifest, batch_size=0)

    def test_no_run(self, tmp_path, manifest):
        with pytest.raises(RunFolderError, match="expected the folder of a run"):
            evaluate_run(tmp_path, manifest)

    def test_no_weights_yet(self, run, tmp_path, manifest):
        copy = tmp_path / "run"
        shutil.copytree(run, copy, ignore=shutil.ignore_patterns("best*", "checkpoints"))
        with pytest.raises(RunFolderError, match="no epoch of its training has ended"):
            evaluate_run(copy, manifest)

    def test_no_manifest(self, run, tmp_path):
        with pytest.raises(ManifestError, match="no such manifest"):
            evaluate_run(run, tmp_path / "absent.jsonl")

    def test_not_one_usable_utterance(self, run, tmp_path):
        (tmp_path / "a.wav").write_bytes(b"")
        rows = [{"audio_filepath": "a.wav", "duration": 1, "text": "bad"}]
        write_manifest(tmp_path / "test.jsonl", rows)
        with pytest.raises(ManifestError, match=r"not one .* scored:\n.*test\.jsonl:1: .*empty"):
            evaluate_run(run, tmp_path / "test.jsonl")


def test_printed(result):
    console = Console(file=io.StringIO(), width=60)
    print_evaluation(result, console, by_speaker=True)
    text = console.file.getvalue()
    for part in ("WER", "CER", "8 utterances, 2 skipped", "most errors:", "speaker 3", "(none)"):
        assert part in text
    # Whole lines, however narrow the terminal: a path can be copied.
    for skipped in result.skipped:
        assert f"skipped {skipped}\n" in text
    console = Console(file=io.StringIO())
    print_evaluation(result, console)
    assert "speaker 3" not in console.file.getvalue()
