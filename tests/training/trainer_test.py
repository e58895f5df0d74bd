"""Training runs: whole ones, broken ones gone on with, and how each ends."""

import csv
import json
import signal

import keras
import numpy as np
import pytest

from keras_ds2.training.callbacks import TrainingError, TrainingInterrupted
from keras_ds2.training.checkpoints import CheckpointError, CheckpointStore
from tests.training.made_up_training import (
    EPOCHS,
    STEPS,
    Validation,
    batches,
    run,
    send_signal_after,
    small_model,
)
from tests.training.made_up_workers import OneOfTwo


def read_log(folder):
    with open(folder / "log.csv", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def assert_same_state(model, other):
    for one, two in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)
    for one, two in zip(model.optimizer.variables, other.optimizer.variables, strict=True):
        np.testing.assert_array_equal(one.numpy(), two.numpy())


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run without a break: folder, model, history, what was shown."""
    folder = tmp_path_factory.mktemp("whole")
    return folder, *run(folder)


class TestWholeRun:
    def test_history_has_a_row_for_each_epoch(self, whole):
        _, model, history, _ = whole
        assert [row["epoch"] for row in history.rows] == [1, 2, 3]
        for row in history.rows:
            assert {"loss", "val_loss", "val_wer", "val_cer", "learning_rate"} <= set(row)
            assert row["learning_rate"] == pytest.approx(0.01)
        assert int(model.optimizer.iterations) == EPOCHS * STEPS

    def test_log_csv_says_the_same_as_the_history(self, whole):
        folder, _, history, _ = whole
        rows = read_log(folder)
        assert len(rows) == EPOCHS
        for read, row in zip(rows, history.rows, strict=True):
            assert {key: float(value) for key, value in read.items()} == row

    def test_checkpoints_and_tensorboard_are_written(self, whole):
        folder, _, _, _ = whole
        names = [path.name for path in CheckpointStore(folder / "checkpoints").saved()]
        assert names == ["iteration-000000008", "iteration-000000012"]
        assert any((folder / "tensorboard").rglob("events.out.*"))

    def test_scores_rate_and_samples_are_shown(self, whole):
        screen = whole[3]
        for epoch in (1, 2, 3):
            assert f"epoch {epoch}/3" in screen
        for part in ("WER 50.0 %", "CER 25.0 %", "rate 1.00e-02", "utterances/s", "left"):
            assert part in screen
        assert "said  what was said" in screen
        assert "read  what was read 2" in screen

    def test_a_finished_run_does_nothing_when_called_again(self, whole):
        folder, model, history, _ = whole
        again = small_model()

        def no_dataset(epoch, step):
            raise AssertionError("nothing is left to train on")

        validate = Validation()
        log = (folder / "log.csv").read_bytes()
        _, same, _ = run(folder, model=again, make_dataset=no_dataset, validate=validate)
        assert same.rows == history.rows
        assert validate.calls == 0
        assert (folder / "log.csv").read_bytes() == log
        assert_same_state(again, model)

    def test_more_epochs_go_on_where_it_ended(self, whole, tmp_path):
        # As if 3 epochs had been asked for at once: 1, and then the same folder with 3.
        run(tmp_path, epochs=1)
        model, history, screen = run(tmp_path)
        assert "going on from epoch 2, step 1" in screen
        assert history.rows == whole[2].rows
        assert_same_state(model, whole[1])


class TestBrokenOff:
    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    def test_in_the_middle_of_an_epoch(self, whole, tmp_path, monkeypatch, number):
        before = signal.getsignal(number)
        with monkeypatch.context() as patch:
            send_signal_after(patch, STEPS + 2, number)
            with pytest.raises(TrainingInterrupted):
                run(tmp_path)
        assert signal.getsignal(number) is before
        newest = CheckpointStore(tmp_path / "checkpoints").saved()[-1]
        state = json.loads((newest / "state.json").read_text())
        assert (state["epoch"], state["step"]) == (1, 2)

        model, history, screen = run(tmp_path)
        assert "going on from epoch 2, step 3" in screen
        assert_same_state(model, whole[1])
        assert history.rows == whole[2].rows
        assert read_log(tmp_path) == read_log(whole[0])

    def test_after_the_last_step_of_an_epoch_its_scores_are_not_lost(
        self, whole, tmp_path, monkeypatch
    ):
        with monkeypatch.context() as patch:
            send_signal_after(patch, STEPS)
            with pytest.raises(TrainingInterrupted):
                run(tmp_path)
        model, history, _ = run(tmp_path)
        assert history.rows == whole[2].rows
        assert_same_state(model, whole[1])

    def test_during_validation_it_stops_at_once_and_only_validates_again(self, whole, tmp_path):
        def interrupted():
            signal.raise_signal(signal.SIGTERM)
            raise AssertionError("went on")

        with pytest.raises(TrainingInterrupted):
            run(tmp_path, validate=interrupted)
        assert not (tmp_path / "log.csv").exists()

        def no_dataset(epoch, step):
            raise AssertionError("the epoch's steps are all done")

        run(tmp_path, make_dataset=no_dataset, epochs=1)
        assert len(read_log(tmp_path)) == 1
        model, history, _ = run(tmp_path)
        assert history.rows == whole[2].rows
        assert_same_state(model, whole[1])

    def test_during_validation_of_several_workers_too(self, whole, tmp_path):
        """The chief, asked to stop, leaves no other waiting: all are told and stop."""

        def interrupted():
            signal.raise_signal(signal.SIGTERM)
            raise AssertionError("went on")

        heard = []

        class Chief(OneOfTwo):
            def from_chief(self, value):
                heard.append(value)
                return super().from_chief(value)

        with pytest.raises(TrainingInterrupted):
            run(tmp_path, validate=interrupted, agreement=Chief())
        assert heard[-1] is None

        def no_dataset(epoch, step):
            raise AssertionError("the epoch's steps are all done")

        run(tmp_path, make_dataset=no_dataset, epochs=1, agreement=Chief())
        model, history, _ = run(tmp_path, agreement=Chief())
        assert history.rows == whole[2].rows
        assert_same_state(model, whole[1])

    def test_by_a_crash_goes_on_from_the_last_checkpoint(self, whole, tmp_path):
        before = signal.getsignal(signal.SIGINT)

        def crash():
            raise MemoryError

        scores = iter([Validation(), crash])
        with pytest.raises(MemoryError):
            run(tmp_path, validate=lambda: next(scores)())
        assert signal.getsignal(signal.SIGINT) is before
        model, history, screen = run(tmp_path)
        assert "going on with the validation of epoch 2" in screen
        assert history.rows == whole[2].rows
        assert_same_state(model, whole[1])

    def test_a_draft_of_a_checkpoint_is_no_checkpoint(self, whole, tmp_path):
        run(tmp_path, epochs=1)
        draft = tmp_path / "checkpoints" / ".iteration-000000099.draft"
        draft.mkdir()
        (draft / "state.json").write_text("{")
        model, history, _ = run(tmp_path)
        assert history.rows == whole[2].rows
        assert_same_state(model, whole[1])
        assert not draft.exists()

    def test_a_damaged_checkpoint_is_told_and_the_one_before_serves(self, whole, tmp_path):
        run(tmp_path, epochs=2)
        newest = CheckpointStore(tmp_path / "checkpoints").saved()[-1]
        weights = newest / "model.weights.h5"
        weights.write_bytes(weights.read_bytes()[:1000])
        model, history, screen = run(tmp_path)
        assert f"{newest}: damaged checkpoint (model.weights.h5 is not what was" in screen
        assert "taking iteration-000000004, the one before" in screen
        assert "going on from epoch 2, step 1" in screen
        assert history.rows == whole[2].rows
        assert_same_state(model, whole[1])

    def test_what_a_killed_process_left_half_written_is_removed(self, tmp_path):
        (tmp_path / ".draft.best.weights.h5").write_bytes(b"half")
        (tmp_path / ".draft.log.csv.abc").write_bytes(b"half")
        run(tmp_path, epochs=1)
        assert not any(tmp_path.glob(".draft*"))

    def test_a_checkpoint_of_longer_epochs_is_refused(self, tmp_path, monkeypatch):
        run(tmp_path, epochs=1)
        monkeypatch.setattr("tests.training.made_up_training.STEPS", STEPS - 1)
        with pytest.raises(CheckpointError, match=r"had 4 steps an epoch, now there are 3"):
            run(tmp_path)


class TestBestAndEarlyStop:
    def test_best_weights_are_those_of_the_best_epoch(self, tmp_path):
        after = []

        class Watched(Validation):
            def __call__(self):
                after.append(model.get_weights())
                return super().__call__()

        model = small_model()
        run(tmp_path, model=model, validate=Watched([0.5, 0.2, 0.4]))
        best = keras.Sequential.from_config(model.get_config())
        best.load_weights(tmp_path / "best.weights.h5")
        for one, two in zip(best.get_weights(), after[1], strict=True):
            np.testing.assert_array_equal(one, two)
        assert not any(tmp_path.glob(".draft*"))

    def test_stops_when_no_epoch_was_better_for_a_while(self, tmp_path):
        validate = Validation([0.5, 0.3, 0.4, 0.4, 0.2, 0.1])
        make_dataset = lambda epoch, step: batches(epoch, step, epochs=6)  # noqa: E731
        options = {"epochs": 6, "make_dataset": make_dataset, "early_stop_patience": 2}
        _, history, _ = run(tmp_path, validate=validate, **options)
        assert len(history.rows) == 4
        _, history, _ = run(tmp_path, validate=validate, **options)
        assert len(history.rows) == 4
        assert validate.calls == 4

    def test_monitors_what_is_asked_for(self, tmp_path):
        class Apart(Validation):
            def __call__(self):
                scores, samples = super().__call__()
                return {**scores, "val_cer": 1 - scores["val_wer"]}, samples

        wers = [0.5, 0.3, 0.1]
        _, history, _ = run(tmp_path, validate=Apart(wers), monitor="cer", early_stop_patience=2)
        assert history.best_epoch("val_cer") == 0
        assert history.best_epoch("val_wer") == 2


def test_a_loss_that_is_no_number_stops_with_a_remedy(tmp_path):
    before = signal.getsignal(signal.SIGINT)
    run(tmp_path, epochs=1)

    def poisoned(epoch, step):
        return batches(epoch, step).map(lambda x, y: (x * float("nan"), y))

    with pytest.raises(TrainingError, match="loss became nan in epoch 2, step 1") as caught:
        run(tmp_path, make_dataset=poisoned)
    for part in ("training.learning_rate", "clip_norm", "iteration-000000004"):
        assert part in str(caught.value)
    assert signal.getsignal(signal.SIGINT) is before
    newest = CheckpointStore(tmp_path / "checkpoints").saved()[-1]
    assert newest.name == "iteration-000000004"


def test_mixed_precision_goes_on_with_its_loss_scale(tmp_path):
    def half_precision():
        model = small_model()
        inner = keras.optimizers.Adam(0.01)
        model.compile(keras.optimizers.LossScaleOptimizer(inner, 256.0), "mean_squared_error")
        return model

    run(tmp_path / "whole", model=(whole := half_precision()))
    run(tmp_path / "parts", model=half_precision(), epochs=2)
    _, history, _ = run(tmp_path / "parts", model=(parts := half_precision()))
    assert history.rows[-1]["learning_rate"] == pytest.approx(0.01)
    assert_same_state(parts, whole)
