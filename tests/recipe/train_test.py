"""A recipe trained into a run folder: whole, broken off and gone on with, and refused folders."""

import contextlib
import io
import json
import os
import re
import shutil
import signal
from pathlib import Path
from types import MappingProxyType
from typing import ClassVar

import keras
import numpy as np
import pytest
import tensorflow as tf
from rich.console import Console

from keras_ds2.data.kept_examples import ChangedDataError, parse_examples
from keras_ds2.data.manifest import ManifestError
from keras_ds2.recipe import RecipeError, load_recipe
from keras_ds2.recipe.build import DataError, build
from keras_ds2.recipe.output_folder import OutputError, check_output
from keras_ds2.recipe.train import train_recipe
from keras_ds2.recognition import Recognizer
from keras_ds2.recognition.evaluation import evaluate_run, print_evaluation
from keras_ds2.recognition.recognizer import load_best_weights
from keras_ds2.recognition.run_folder import RunFolderError, read_configuration
from keras_ds2.training.callbacks import TrainingError, TrainingInterrupted, ValidationScores
from keras_ds2.training.checkpoints import CheckpointStore
from tests.made_up_corpus import TEXTS, features_corpus, features_of, tiny_recipe

EPOCHS, STEPS = 3, 3


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """Twelve utterances to train on, one of which cannot be used, and three to choose by."""
    folder = tmp_path_factory.mktemp("corpus")
    features_corpus(folder)
    features_corpus(folder, ("ab", "cad", "bad"), "validation", seed=100)
    (folder / "train_5.npy").write_bytes(b"")
    return folder


def recipe(corpus, **changes):
    """Whatever is random in training is in use."""
    numbers = {
        "features__normalization": "corpus",
        "augmentation__time_warp": [0.9, 1.1],
        "augmentation__gaussian_noise_stddev": 0.1,
        "model__rnn_type": "gru",
        "training__epochs": EPOCHS,
        "training__learning_rate": 0.02,
        "training__warmup_steps": 2,
        "training__schedule": "cosine",
        "training__weight_decay": 0.01,
        "training__clip_norm": 5.0,
        "training__ema_momentum": 0.8,
        "training__average_best": 2,
    }
    return tiny_recipe(corpus, **{**numbers, **changes})


def run(corpus, output, **changes):
    """Trains; returns the history and what was shown."""
    screen = io.StringIO()
    history = train_recipe(recipe(corpus, **changes), output, Console(file=screen, width=200))
    return history, screen.getvalue()


@pytest.fixture(scope="module")
def whole(corpus, tmp_path_factory):
    """A run without a break: folder, history, what was shown."""
    folder = tmp_path_factory.mktemp("runs") / "deep" / "whole"
    return folder, *run(corpus, folder)


def snapshot(folder):
    return {
        path.relative_to(folder): (path.stat().st_mtime_ns, path.read_bytes())
        for path in folder.rglob("*")
        if path.is_file()
    }


def best_weights(folder):
    model = read_configuration(folder)["model"]
    load_best_weights(model, folder)
    return model.get_weights()


class TestWholeRun:
    def test_holds_what_evaluate_transcribe_and_a_resumed_run_need(self, whole):
        names = {path.name for path in whole[0].iterdir()}
        assert names == {
            "recipe.yaml",
            "recognizer.json",
            "alphabet.json",
            "front_end.weights.h5",
            "best.weights.h5",
            "best_epochs",
            "average.json",
            "skipped.txt",
            "examples.jsonl",
            "log.csv",
            "checkpoints",
            "tensorboard",
        }
        assert len(CheckpointStore(whole[0] / "checkpoints").saved()) == 2

    def test_the_recipe_is_kept_as_it_was_used(self, whole, corpus):
        kept = load_recipe(whole[0] / "recipe.yaml")
        assert kept == recipe(corpus).with_absolute_folder()

    def test_it_learns(self, whole):
        rows = whole[1].rows
        assert [row["epoch"] for row in rows] == [1, 2, 3]
        assert rows[-1]["loss"] < rows[0]["loss"]
        assert rows[-1]["val_loss"] < rows[0]["val_loss"]

    def test_the_rate_follows_the_recipe(self, whole):
        # Two steps of rise, then a cosine over the other seven.
        share = [(step - 2) / (EPOCHS * STEPS - 2) for step in (3, 6, 9)]
        expected = [0.02 * 0.5 * (1 + np.cos(np.pi * each)) for each in share]
        rates = [row["learning_rate"] for row in whole[1].rows]
        assert rates == pytest.approx(expected, abs=1e-6)

    def test_what_was_skipped_is_told_and_written(self, whole, corpus):
        text = (whole[0] / "skipped.txt").read_text()
        assert text.startswith(f"{corpus}/train.jsonl:6: {corpus}/train_5.npy: ")
        assert text.count("\n") == 1
        screen = whole[2]
        assert "training on 11 utterances" in screen
        assert "1 skipped as unusable" in screen
        assert f"skipped {corpus}/train.jsonl:6" in screen
        assert "6 symbols with blank, a step every 20 ms" in screen

    def test_each_epoch_shows_scores_and_transcripts(self, whole):
        assert whole[2].count("validation: WER") == EPOCHS
        assert whole[2].count("said  ") == 3 * EPOCHS

    def test_the_recipes_primary_rate_leads_in_progress_and_report(self, corpus, tmp_path):
        output = tmp_path / "run"
        _, screen = run(
            corpus,
            output,
            evaluation__primary="cer",
            training__epochs=1,
            training__average_best=None,
        )
        assert "validation: CER" in screen
        report = Console(file=io.StringIO(), width=200)
        result = evaluate_run(output, corpus / "validation.jsonl")
        print_evaluation(result, report, by_speaker=True)
        lines = [line.split() for line in report.file.getvalue().splitlines()]
        assert [line[0] for line in lines[1:3]] == ["CER", "WER"]
        assert ["speaker", "CER", "WER"] in [line[:3] for line in lines]

    def test_it_transcribes(self, whole):
        recognizer = Recognizer.load(whole[0])
        assert set(recognizer.transcribe(features_of("bad"))) <= set("abcd ")


def break_off(corpus, output, monkeypatch, steps, **changes):
    """Trains and breaks off after so many steps."""
    done = []

    def count(self, batch, logs=None):
        done.append(batch)
        if len(done) == steps:
            os.kill(os.getpid(), signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr(ValidationScores, "on_train_batch_end", count)
        with pytest.raises(TrainingInterrupted):
            run(corpus, output, **changes)


def run_broken_off(corpus, output, monkeypatch, steps, **changes):
    """Trains, breaks off after so many steps, and goes on; returns as `run`."""
    break_off(corpus, output, monkeypatch, steps, **changes)
    return run(corpus, output, **changes)


class TestGoingOn:
    def test_broken_off_it_ends_as_the_whole(self, whole, corpus, tmp_path, monkeypatch):
        output = tmp_path / "run"
        # In the middle of the second epoch.
        history, screen = run_broken_off(corpus, output, monkeypatch, STEPS + 2)
        assert "going on from epoch 2, step 3" in screen
        assert history.rows == whole[1].rows
        assert (output / "log.csv").read_bytes() == (whole[0] / "log.csv").read_bytes()
        for one, two in zip(best_weights(output), best_weights(whole[0]), strict=True):
            np.testing.assert_array_equal(one, two)

    def test_after_the_end_nothing_is_left_to_do(self, whole, corpus, monkeypatch):
        def no_training(*arguments, **options):
            raise AssertionError("trained again")

        def content():
            files = {name: content for name, (_, content) in snapshot(whole[0]).items()}
            del files[Path("front_end.weights.h5")]  # holds names that Keras numbers
            statistics = read_configuration(whole[0])["front_end"].get_weights()
            return files, [each.tolist() for each in statistics]

        monkeypatch.setattr("keras.Model.fit", no_training)
        before = content()
        history, _ = run(corpus, whole[0])
        assert history.rows == whole[1].rows
        assert content() == before

    def test_with_other_habits_of_saving(self, corpus, tmp_path):
        numbers = {"training__epochs": 1, "training__average_best": None}
        run(corpus, tmp_path, **numbers, training__keep_checkpoints=1)
        store = CheckpointStore(tmp_path / "checkpoints")
        assert len(store.saved()) == 1
        changes = {"training__save_minutes": 0, "training__keep_checkpoints": 5}
        check_output(tmp_path, recipe(corpus, **numbers, **changes).with_absolute_folder())

    def test_from_any_folder(self, whole, corpus, tmp_path, monkeypatch):
        monkeypatch.chdir(corpus)
        check_output(whole[0], recipe(".").with_absolute_folder())


@pytest.fixture(scope="module")
def other_corpus(tmp_path_factory):
    """Texts with a symbol that the first corpus lacks, and without one that it has."""
    folder = tmp_path_factory.mktemp("other")
    features_corpus(folder, ("ab", "bad", "dab", "abe", "ed", "bead", "dea", "be"), seed=50)
    features_corpus(folder, ("ab", "bed"), "validation", seed=60)
    return folder


class TestInitFrom:
    def train(self, corpus, output, init_from=None, **changes):
        screen = io.StringIO()
        console = Console(file=screen, width=200)
        changes = {"training__epochs": 1, "training__average_best": None, **changes}
        train_recipe(recipe(corpus, **changes), output, console, init_from=init_from)
        return screen.getvalue()

    def test_begins_with_the_other_runs_weights_and_goes_on_without_them(
        self, whole, other_corpus, tmp_path, monkeypatch
    ):
        source = tmp_path / "source"
        shutil.copytree(whole[0], source)
        begun = []
        fit = keras.Model.fit

        def watched(self, *arguments, **options):
            begun.append(self.get_weights())
            return fit(self, *arguments, **options)

        with monkeypatch.context() as patch:
            patch.setattr("keras.Model.fit", watched)
            screen = self.train(other_corpus, tmp_path / "whole", source)
        assert "3 symbols kept, 1 new" in screen
        assert "new symbols: 'e'" in screen
        for one, two in zip(begun[0][:-2], best_weights(source)[:-2], strict=True):
            np.testing.assert_array_equal(one, two)
        record = json.loads((tmp_path / "whole" / "initial_weights.json").read_text())
        assert record["run"] == str(source)
        assert record["new_symbols"] == ["e"]

        # Broken off before the first step, the source gone: the first checkpoint has its weights.
        def stops(*arguments, **options):
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr("keras.Model.fit", stops)
            with pytest.raises(KeyboardInterrupt):
                self.train(other_corpus, tmp_path / "run", source)
        shutil.rmtree(source)
        screen = self.train(other_corpus, tmp_path / "run", source)
        assert "symbols kept" not in screen
        self.train(other_corpus, tmp_path / "run")  # finished: nothing to say against it
        folders = tmp_path / "run", tmp_path / "whole"
        for one, two in zip(*map(best_weights, folders), strict=True):
            np.testing.assert_allclose(one, two, atol=1e-6)

    def test_a_run_that_began_otherwise_refuses_it(self, whole, corpus):
        with pytest.raises(OutputError, match="began with new weights, which --init-from /else"):
            train_recipe(recipe(corpus), whole[0], init_from="/else")

    def test_nothing_is_written_where_it_cannot_be_read(self, corpus, tmp_path):
        with pytest.raises(RunFolderError, match="expected the folder of a run"):
            self.train(corpus, tmp_path / "run", tmp_path / "nowhere")
        assert list(tmp_path.iterdir()) == []


class TestBatchesByFrames:
    changes: ClassVar[dict] = {
        "training__batch_size": None,
        "training__batch_frames": 70,
        "training__num_buckets": 2,
        "training__accumulate_steps": 2,
    }

    @pytest.mark.slow
    def test_broken_off_it_ends_as_the_whole(self, corpus, tmp_path, monkeypatch):
        history, screen = run(corpus, tmp_path / "whole", **self.changes)
        steps = int(re.search(r"(\d+) batches an epoch", screen).group(1))
        assert steps > STEPS
        parts, _ = run_broken_off(corpus, tmp_path / "run", monkeypatch, steps + 2, **self.changes)
        for one, two in zip(parts.rows, history.rows, strict=True):
            for key in ("val_loss", "val_cer", "learning_rate"):
                assert one[key] == pytest.approx(two[key], rel=1e-5)
        folders = tmp_path / "run", tmp_path / "whole"
        for one, two in zip(*map(best_weights, folders), strict=True):
            np.testing.assert_allclose(one, two, atol=1e-6)

    def test_an_utterance_that_is_too_long_is_told_before_anything_is_written(
        self, corpus, tmp_path
    ):
        changes = {**self.changes, "training__batch_frames": 40}
        with pytest.raises(ValueError, match=r"longest utterance, \d+ frames, received 40"):
            run(corpus, tmp_path / "run", **changes)
        assert list(tmp_path.iterdir()) == []


def test_more_batches_an_update_than_there_are_is_an_error(corpus, tmp_path):
    with pytest.raises(
        DataError, match=r"at most .* 3 epochs of 3, received 10: there would be no"
    ):
        run(corpus, tmp_path / "run", training__accumulate_steps=10)
    assert list(tmp_path.iterdir()) == []


def test_memory_that_does_not_suffice_is_told_before_the_first_step(corpus, tmp_path, monkeypatch):
    def breaks(*arguments, **options):
        raise tf.errors.ResourceExhaustedError(None, None, "OOM")

    monkeypatch.setattr("keras.Model.fit", breaks)
    with pytest.raises(TrainingError, match=r"largest batch, 4 utterances x \d+ frames with 7"):
        run(corpus, tmp_path)


def test_nor_does_it_when_what_is_chosen_by_is_longer(corpus, tmp_path, monkeypatch):
    def breaks(*arguments, **options):
        raise tf.errors.ResourceExhaustedError(None, None, "OOM")

    steps = []
    monkeypatch.setattr("keras_ds2.recipe.train.Evaluator.evaluate", breaks)
    monkeypatch.setattr(ValidationScores, "on_train_batch_end", lambda *args: steps.append(args))
    long = features_corpus(tmp_path / "corpus", ("bad " * 9, "a"), "long")
    changes = {"data__validation_manifest": str(long)}
    with pytest.raises(TrainingError, match=r"batch of validation, 2 utterances x \d+ frames"):
        run(corpus, tmp_path / "run", **changes)
    assert steps == []


@pytest.fixture
def own_corpus(tmp_path):
    """A corpus to break: sixty utterances to train on and twelve to choose by."""
    folder = tmp_path / "own"
    features_corpus(folder, 5 * TEXTS)
    features_corpus(folder, TEXTS, "validation", seed=100)
    return folder


def after_the_check(monkeypatch, harm):
    """Does harm when the start check is over, before the first batch is read."""

    def report(*arguments):
        harm()

    monkeypatch.setattr("keras_ds2.recipe.train._report_data", report)


class TestFilesBrokenLater:
    """Of sixty utterances three, a twentieth, are no longer what was checked."""

    NUMBERS = MappingProxyType({"training__epochs": 2, "model__batch_norm": False})

    def break_files(self, folder):
        (folder / "train_3.npy").unlink()
        (folder / "train_20.npy").write_bytes(b"\x93NUMPY")
        np.save(folder / "train_41.npy", np.full((30, 4), np.nan, np.float32))

    @pytest.mark.slow
    def test_are_passed_over_counted_and_listed(self, own_corpus, tmp_path, monkeypatch):
        output = tmp_path / "run"
        after_the_check(monkeypatch, lambda: self.break_files(own_corpus))
        history, screen = run(own_corpus, output, **self.NUMBERS, data__max_error_share=0.05)
        assert [row["unread"] for row in history.rows] == [3, 3]
        assert screen.count("3 utterances could not be read") == 2
        lines = (output / "faults.txt").read_text().splitlines()
        assert len(lines) == 3
        for number in (4, 21, 42):
            (line,) = [
                each for each in lines if each.startswith(f"{own_corpus}/train.jsonl:{number}:")
            ]
            assert f"train_{number - 1}.npy" in line
            assert screen.count(line) == 1

    @pytest.mark.slow
    def test_at_the_start_they_are_skipped(self, own_corpus, tmp_path):
        self.break_files(own_corpus)
        (own_corpus / "train_3.npy").write_bytes(b"")
        history, screen = run(own_corpus, tmp_path / "run", **self.NUMBERS)
        assert "training on 57 utterances" in screen
        assert "3 skipped as unusable" in screen
        assert [row["unread"] for row in history.rows] == [0, 0]

    @pytest.mark.slow
    def test_more_than_may_fail_stop_it_with_a_checkpoint(self, own_corpus, tmp_path, monkeypatch):
        output = tmp_path / "run"
        after_the_check(monkeypatch, lambda: self.break_files(own_corpus))
        with pytest.raises(TrainingError, match=r"epoch 1: 2 utterances .* expected at most 1"):
            run(own_corpus, output, **self.NUMBERS)
        assert len(CheckpointStore(output / "checkpoints").saved()) == 1

    @pytest.mark.slow
    def test_stop_is_before_the_batch_and_nothing_is_lost(self, own_corpus, tmp_path, monkeypatch):
        whole, _ = run(own_corpus, tmp_path / "whole", **self.NUMBERS)
        path = own_corpus / "train_20.npy"
        content = path.read_bytes()
        with monkeypatch.context() as patch:
            after_the_check(patch, path.unlink)
            with pytest.raises(TrainingError, match=r"train\.jsonl:21: .*train_20\.npy") as error:
                run(own_corpus, tmp_path / "run", **self.NUMBERS, data__on_error="stop")
        assert "expected none" in str(error.value)
        path.write_bytes(content)
        history, screen = run(own_corpus, tmp_path / "run", **self.NUMBERS)
        assert "going on from epoch 1, step" in screen
        assert history.rows == whole.rows
        for name in ("whole", "run"):
            assert (tmp_path / name / "log.csv").read_text().count("\n") == 3
        for one, two in zip(
            best_weights(tmp_path / "run"), best_weights(tmp_path / "whole"), strict=True
        ):
            np.testing.assert_array_equal(one, two)

    @pytest.mark.slow
    def test_of_validation_are_not_scored(self, own_corpus, tmp_path, monkeypatch):
        after_the_check(monkeypatch, (own_corpus / "validation_3.npy").unlink)
        history, _ = run(own_corpus, tmp_path / "one", **self.NUMBERS)
        assert len(history.rows) == 2
        text = (tmp_path / "one" / "faults.txt").read_text()
        assert text.startswith(f"{own_corpus}/validation.jsonl:4: ")
        features_corpus(own_corpus, TEXTS, "validation", seed=100)

        def two():
            for number in (3, 5):
                (own_corpus / f"validation_{number}.npy").unlink()

        after_the_check(monkeypatch, two)
        with pytest.raises(TrainingError, match=r"validation: 2 utterances .* at most 1"):
            run(own_corpus, tmp_path / "two", **self.NUMBERS)
        (saved,) = CheckpointStore(tmp_path / "two" / "checkpoints").saved()
        assert saved.name == "iteration-000000015"


LONGEST, SECOND = "train_7.npy", "train_3.npy"
"""Of `corpus`: they come in the last batch of the first epoch, by length."""


@pytest.fixture(scope="module")
def broken_off(corpus, tmp_path_factory):
    """The folder of a run that was broken off after its first step."""
    folder = tmp_path_factory.mktemp("broken_off") / "run"
    with pytest.MonkeyPatch.context() as monkeypatch:
        break_off(corpus, folder, monkeypatch, 1)
    return folder


@pytest.fixture(scope="module")
def broken_meanwhile(corpus, tmp_path_factory):
    """A run without a break whose longest utterances broke at its first step."""
    folder = tmp_path_factory.mktemp("broken_meanwhile") / "run"
    with changed(corpus / LONGEST, corpus / SECOND), pytest.MonkeyPatch.context() as monkeypatch:
        after_the_check(monkeypatch, lambda: break_longest(corpus))
        return folder, *run(corpus, folder, **TWO_MAY_FAIL)


TWO_MAY_FAIL = MappingProxyType({"data__max_error_share": 0.2})


def break_longest(corpus):
    (corpus / LONGEST).unlink()
    (corpus / SECOND).write_bytes(b"")


@contextlib.contextmanager
def changed(*paths):
    """Puts files back as they were."""
    contents = [path.read_bytes() for path in paths]
    try:
        yield
    finally:
        for path, content in zip(paths, contents, strict=True):
            path.write_bytes(content)


class TestGoingOnWithOtherData:
    @pytest.mark.slow
    def test_files_deleted_and_emptied_meanwhile_are_as_if_broken_in_training(
        self, broken_off, broken_meanwhile, corpus, tmp_path
    ):
        output = tmp_path / "run"
        shutil.copytree(broken_off, output)
        unusable = corpus / "train_5.npy"
        with changed(corpus / LONGEST, corpus / SECOND, unusable):
            break_longest(corpus)
            np.save(unusable, features_of("cad"))  # left out for good, repaired or not
            history, screen = run(corpus, output, **TWO_MAY_FAIL)
        assert "going on from epoch 1, step 2" in screen
        assert "training on 11 utterances" in screen
        assert "now unreadable: 2 of them" in screen
        for line, name in ((8, LONGEST), (4, SECOND)):
            for said in ("unreadable", "passed over:"):
                assert screen.count(f"{said} {corpus}/train.jsonl:{line}: {corpus}/{name}: ") == 1
        assert (output / "skipped.txt").read_bytes() == (broken_off / "skipped.txt").read_bytes()
        assert [row["unread"] for row in history.rows] == [2] * EPOCHS
        assert history.rows == broken_meanwhile[1].rows
        for one, two in zip(best_weights(output), best_weights(broken_meanwhile[0]), strict=True):
            np.testing.assert_array_equal(one, two)

    def refused(self, corpus, output, message):
        before = snapshot(output)
        with pytest.raises(ChangedDataError, match=message) as caught:
            run(corpus, output)
        assert snapshot(output) == before
        assert "Put the data back as they were to go on, or name a new --output" in str(
            caught.value
        )
        assert str(caught.value).count("\n  ") == 1

    def test_another_text_is_refused(self, broken_off, corpus):
        manifest = corpus / "train.jsonl"
        with changed(manifest):
            manifest.write_text(manifest.read_text().replace('"bad cab"', '"cab bad"'))
            self.refused(corpus, broken_off, rf"train\.jsonl:8: {LONGEST}: has another text")

    def test_lines_removed_and_added_are_refused(self, broken_off, corpus):
        manifest = corpus / "train.jsonl"
        lines = manifest.read_text().splitlines(keepends=True)
        with changed(manifest):
            manifest.write_text("".join(lines[:7] + lines[8:]))
            self.refused(corpus, broken_off, f"line 8: {LONGEST}: is no longer there")
            manifest.write_text("".join([*lines, lines[3]]))
            self.refused(corpus, broken_off, r"train\.jsonl:13: train_3\.npy: was not there before")

    def test_another_recording_is_refused(self, broken_off, corpus):
        with changed(corpus / LONGEST):
            np.save(corpus / LONGEST, features_of("bad cabs"))
            self.refused(corpus, broken_off, rf"train\.jsonl:8: {LONGEST}: had 42 frames, now 48")

    def test_a_line_that_was_not_trained_on_may_go(self, broken_off, corpus):
        manifest = corpus / "train.jsonl"
        lines = manifest.read_text().splitlines(keepends=True)
        kept = parse_examples((broken_off / "examples.jsonl").read_text())
        with changed(manifest):
            manifest.write_text("".join(lines[:5] + lines[6:]))
            made = build(recipe(corpus), Console(file=io.StringIO()), kept=kept)
        assert [each.utterance.line for each in made.train] == list(range(1, 12))
        assert (made.skipped, made.unread) == ([], [])

    def test_a_finished_run_needs_no_file_of_them(self, whole, corpus, tmp_path, monkeypatch):
        def no_training(*arguments, **options):
            raise AssertionError("trained again")

        shutil.copytree(whole[0], tmp_path / "run")
        monkeypatch.setattr("keras.Model.fit", no_training)
        with changed(corpus / LONGEST):
            (corpus / LONGEST).unlink()
            history, _ = run(corpus, tmp_path / "run")
        assert history.rows == whole[1].rows

        # A run of earlier days has kept nothing, and goes on as it did.
        (tmp_path / "run" / "examples.jsonl").unlink()
        history, _ = run(corpus, tmp_path / "run")
        assert history.rows == whole[1].rows
        assert not (tmp_path / "run" / "examples.jsonl").exists()
        with changed(corpus / LONGEST):
            (corpus / LONGEST).unlink()
            with pytest.raises(ManifestError, match="no such file"):
                run(corpus, tmp_path / "run")

    def test_damaged_files_of_the_run_are_told(self, broken_off, corpus, tmp_path):
        output = tmp_path / "run"
        shutil.copytree(broken_off, output)
        (output / "front_end.weights.h5").write_bytes(b"")
        with pytest.raises(RunFolderError, match=r"front_end\.weights\.h5: the statistics"):
            run(corpus, output)
        (output / "examples.jsonl").write_text('{"line": 1}\n')
        with pytest.raises(OutputError, match=r"examples\.jsonl: cannot be read \(line 1: "):
            run(corpus, output)

    @pytest.mark.slow
    def test_stop_is_before_the_batch_and_nothing_is_lost(
        self, broken_off, whole, corpus, tmp_path
    ):
        output = tmp_path / "run"
        shutil.copytree(broken_off, output)
        with changed(corpus / LONGEST):
            (corpus / LONGEST).unlink()
            with pytest.raises(TrainingError, match=r"epoch 1: 1 utterances .*expected none"):
                run(corpus, output, data__on_error="stop")
        history, screen = run(corpus, output)
        assert "going on from epoch 1, step 3" in screen
        assert history.rows == whole[1].rows
        for one, two in zip(best_weights(output), best_weights(whole[0]), strict=True):
            np.testing.assert_array_equal(one, two)

    @pytest.mark.slow
    def test_without_a_checkpoint_it_begins_with_the_data_as_they_are(
        self, broken_off, corpus, tmp_path
    ):
        output = tmp_path / "run"
        shutil.copytree(broken_off, output)
        shutil.rmtree(output / "checkpoints")
        with changed(corpus / LONGEST):
            (corpus / LONGEST).write_bytes(b"")
            _, screen = run(corpus, output)
        assert "training on 10 utterances" in screen
        kept = parse_examples((output / "examples.jsonl").read_text())
        assert [each.line for each in kept if each.frames is None] == [6, 8]


class TestBatchesThatAreNotFinite:
    """The normalised features of one utterance are too large for the model's numbers."""

    NUMBERS = MappingProxyType({"training__epochs": 2, "features__normalization": "none"})

    @pytest.fixture
    def poisoned(self, own_corpus):
        for number in (7, 30):
            path = own_corpus / f"train_{number}.npy"
            np.save(path, np.load(path) * 1e38)
        return own_corpus

    @pytest.mark.slow
    def test_stop_before_the_batch_and_name_its_utterances(self, poisoned, tmp_path):
        output = tmp_path / "run"
        with pytest.raises(TrainingError, match="epoch 1, step ") as error:
            run(poisoned, output, **self.NUMBERS)
        message = str(error.value)
        assert f"{poisoned}/train.jsonl:8\n" in message or f"{poisoned}/train.jsonl:31\n" in message
        assert message.count("train.jsonl:") == 4
        for part in ("training.learning_rate", "training.on_nan: skip", "he last checkpoint is"):
            assert part in message
        store = CheckpointStore(output / "checkpoints")
        assert len(store.saved()) == 1

        # The same run goes on from there with the other habit.
        history, screen = run(poisoned, output, **self.NUMBERS, training__on_nan="skip")
        assert "going on from epoch 1, step" in screen or "iteration-000000000" in message
        assert [row["not_finite"] for row in history.rows] == [2, 2]
        assert all(np.isfinite(row["loss"]) for row in history.rows)
        assert "2 batches not finite" in screen
        lines = (output / "faults.txt").read_text().splitlines()
        assert len(lines) == 4
        assert all("train.jsonl:8" in line or "train.jsonl:31" in line for line in lines)
        for weight in best_weights(output):
            assert np.isfinite(weight).all()

    @pytest.mark.slow
    def test_too_many_in_a_row_stop_it_all_the_same(self, own_corpus, tmp_path):
        for path in own_corpus.glob("train_*.npy"):
            np.save(path, np.load(path) * 1e38)
        with pytest.raises(TrainingError, match="the 11th batch in a row"):
            run(own_corpus, tmp_path / "run", **self.NUMBERS, training__on_nan="skip")


class TestRefused:
    """Folders that cannot be used: an error, and nothing in them is touched."""

    def refused(self, corpus, output, message, **changes):
        before = snapshot(output) if output.is_dir() else None
        with pytest.raises(OutputError, match=message) as caught:
            run(corpus, output, **changes)
        assert str(output) in str(caught.value)
        if before is not None:
            assert snapshot(output) == before
        return str(caught.value)

    def test_a_file(self, corpus, tmp_path):
        path = tmp_path / "run"
        path.write_text("mine")
        self.refused(corpus, path, "expected a folder, found a file")
        self.refused(corpus, path / "deeper", f"cannot be made, {path} is not writable")
        assert path.read_text() == "mine"

    def test_a_folder_with_other_files(self, corpus, tmp_path):
        (tmp_path / "notes.txt").write_text("mine")
        self.refused(corpus, tmp_path, "holds files but no run")

    def test_but_not_one_that_a_killed_start_left_a_draft_in(self, corpus, tmp_path):
        (tmp_path / ".draft.recipe.yaml.x1y2").write_text("epoch")
        check_output(tmp_path, recipe(corpus))
        (tmp_path / "notes.txt").write_text("mine")
        with pytest.raises(OutputError, match="holds files but no run"):
            check_output(tmp_path, recipe(corpus))

    def test_a_folder_or_parent_that_cannot_be_written(self, corpus, tmp_path, monkeypatch):
        # The tests may run as root, who may write everywhere.
        monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK)
        self.refused(corpus, tmp_path, "not writable; change its rights")
        self.refused(corpus, tmp_path / "run", f"cannot be made, {tmp_path} is not writable")
        assert not (tmp_path / "run").exists()

    def test_another_recipes_run(self, whole, corpus):
        message = self.refused(
            corpus,
            whole[0],
            "holds the run of another recipe",
            model__units=9,
            training__clip_norm=None,
            description="another",
        )
        assert message.split("\n")[1:] == [
            "  description: '', 'another'",
            "  model.units: 8, 9",
            "  training.clip_norm: 5.0, None",
        ]

    def test_a_run_whose_recipe_is_damaged(self, corpus, tmp_path):
        (tmp_path / "recipe.yaml").write_text("name: [")
        with pytest.raises(RecipeError, match=str(tmp_path / "recipe.yaml")):
            run(corpus, tmp_path)

    def test_a_run_with_another_alphabet(self, whole, corpus):
        manifest = corpus / "train.jsonl"
        text = manifest.read_text()
        # The sixth utterance, which was unusable: what is trained on stays as it was.
        lines = text.splitlines(keepends=True)
        lines[5] = lines[5].replace('"cad"', '"def"')
        manifest.write_text("".join(lines))
        try:
            self.refused(corpus, whole[0], "transcripts have changed since this run began")
        finally:
            manifest.write_text(text)

    def test_an_empty_folder_is_fine(self, corpus, tmp_path):
        check_output(tmp_path, recipe(corpus))
        check_output(tmp_path / "a" / "b", recipe(corpus))
        assert list(tmp_path.iterdir()) == []


def test_absent_data_are_told_before_anything_is_written(tmp_path):
    with pytest.raises(DataError, match="record ten people"):
        run(tmp_path / "nowhere", tmp_path / "run")
    assert list(tmp_path.iterdir()) == []
