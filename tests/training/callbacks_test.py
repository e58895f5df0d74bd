"""Callbacks by themselves; what they do together stands in trainer_test.py."""

import errno
import os
import signal
import threading

import numpy as np
import pytest

from keras_ds2.training.callbacks import (
    RunKeeper,
    TrainingError,
    TrainingInterrupted,
    ValidationScores,
)
from keras_ds2.training.checkpoints import CheckpointStore, without_optimizer
from keras_ds2.training.faults import Faults, Guard
from keras_ds2.training.history import History
from tests.training.made_up_training import small_model
from tests.training.made_up_workers import OneOfTwo

STEPS = 3


def keeper_in(folder, position=(0, 0), **options):
    """A keeper at the beginning of a training on a model that has an optimiser's state."""
    model = small_model()
    model.optimizer.build(model.trainable_variables)
    store = CheckpointStore(folder / "checkpoints")
    keeper = RunKeeper(folder, store, History(), position, "wer", None, **options)
    keeper.set_model(model)
    keeper.set_params({"steps": STEPS - position[1]})
    return keeper


@pytest.fixture
def handler():
    """A handler of the process's own, put back afterwards."""
    caught = []
    before = signal.signal(signal.SIGINT, lambda *arguments: caught.append(arguments))
    yield caught
    signal.signal(signal.SIGINT, before)


def test_validation_scores_join_the_logs():
    logs = {"loss": 2.0}
    callback = ValidationScores(lambda: {"val_wer": 0.5})
    callback.set_model(small_model())
    callback.on_epoch_end(0, logs)
    assert logs == {"loss": 2.0, "val_wer": 0.5}


class TestSignals:
    def test_the_first_asks_to_stop_and_the_second_reaches_the_process(self, tmp_path, handler):
        keeper = keeper_in(tmp_path)
        keeper.on_train_begin()
        os.kill(os.getpid(), signal.SIGINT)
        assert keeper.stop_signal == signal.SIGINT
        assert handler == []
        os.kill(os.getpid(), signal.SIGINT)
        assert len(handler) == 1
        with pytest.raises(TrainingInterrupted):
            keeper.on_train_batch_end(0, {"loss": 1.0})
        assert keeper.store.restore(keeper.model)["step"] == 1

    def test_one_that_came_just_before_validation_stops_it(self, tmp_path, handler):
        keeper = keeper_in(tmp_path)
        keeper.on_train_begin()
        os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(TrainingInterrupted), keeper.interruptible():
            raise AssertionError("went on")
        assert not keeper.may_interrupt

    def test_handlers_are_given_back_at_the_end(self, tmp_path, handler):
        before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
        keeper = keeper_in(tmp_path)
        keeper.on_train_begin()
        assert signal.getsignal(signal.SIGINT) != before[0]
        keeper.on_train_end()
        assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before

    def test_in_another_thread_they_are_left_alone(self, tmp_path, handler):
        keeper = keeper_in(tmp_path)
        before = signal.getsignal(signal.SIGINT)
        thread = threading.Thread(target=keeper.on_train_begin)
        thread.start()
        thread.join()
        assert signal.getsignal(signal.SIGINT) is before
        keeper.on_train_batch_end(0, {"loss": 1.0})
        keeper.on_train_end()
        assert signal.getsignal(signal.SIGINT) is before


class TestSavingInsideAnEpoch:
    def test_every_so_many_minutes(self, tmp_path):
        keeper = keeper_in(tmp_path, save_minutes=0.0)
        keeper.on_train_begin()
        try:
            keeper.on_train_batch_end(0, {"loss": 1.0})
            state = keeper.store.restore(keeper.model)
        finally:
            keeper.give_back_signals()
        assert (state["epoch"], state["step"], state["steps_per_epoch"]) == (0, 1, STEPS)

    def test_not_before(self, tmp_path):
        keeper = keeper_in(tmp_path, save_minutes=10.0)
        keeper.on_train_begin()
        keeper.on_train_batch_end(0, {"loss": 1.0})
        keeper.give_back_signals()
        assert keeper.store.saved() == []

    def test_after_the_last_step_too(self, tmp_path):
        keeper = keeper_in(tmp_path, position=(4, STEPS - 1), save_minutes=0.0)
        keeper.on_train_begin()
        keeper.on_epoch_begin(4)
        keeper.on_train_batch_end(0, {"loss": 1.0})
        keeper.give_back_signals()
        state = keeper.store.restore(keeper.model)
        assert (state["epoch"], state["step"]) == (4, STEPS)


class TestWhatCannotBeWritten:
    """Training goes on once, and stops where the second time fails at an epoch's end."""

    @pytest.fixture
    def keeper(self, tmp_path):
        self.warnings = []
        keeper = keeper_in(tmp_path, save_minutes=0.0, warn=self.warnings.append)
        keeper.on_train_begin()
        yield keeper
        keeper.give_back_signals()

    @pytest.fixture
    def full(self, keeper, monkeypatch):
        """A switch: whether the disk is full."""
        full = []

        def fail(path, size):
            if full:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        for module in ("keras_ds2.atomic_write", "keras_ds2.training.checkpoints"):
            monkeypatch.setattr(f"{module}.reserve", fail)
        return full

    def test_is_told_and_tried_again(self, keeper, full):
        full.append(True)
        keeper.on_train_batch_end(0, {"loss": 1.0})
        assert keeper.store.saved() == []
        (warning,) = self.warnings
        for part in ("iteration-000000001: cannot be written (No space left", "it needs", "free"):
            assert part in warning
        assert "training goes on" in warning
        assert "there is no checkpoint yet" in warning
        full.clear()
        keeper.on_train_batch_end(1, {"loss": 1.0})
        keeper.require_saved()
        assert [path.name for path in keeper.store.saved()] == ["iteration-000000002"]

    def test_at_an_epochs_end_is_an_error_the_second_time(self, keeper, full):
        full.append(True)
        keeper.step = STEPS
        keeper.on_epoch_end(0, {"loss": 1.0, "val_wer": 0.5})
        assert "best.weights.h5: cannot be written" in self.warnings[0]
        keeper.step = STEPS
        with pytest.raises(TrainingError, match="make room and run the same command"):
            keeper.on_epoch_end(1, {"loss": 1.0, "val_wer": 0.6})

    def test_best_weights_are_those_of_their_epoch_however_late_they_are_written(
        self, keeper, full
    ):
        full.append(True)
        best = keeper.model.get_weights()
        keeper.step = STEPS
        keeper.on_epoch_end(0, {"loss": 1.0, "val_wer": 0.5})
        assert keeper.store.saved() == []
        keeper.model.set_weights([weight + 1 for weight in best])
        full.clear()
        keeper.on_train_batch_end(0, {"loss": 1.0})
        written = without_optimizer(small_model())
        written.load_weights(keeper.folder / "best.weights.h5")
        for one, two in zip(best, written.get_weights(), strict=True):
            np.testing.assert_array_equal(one, two)
        assert keeper.store.restore(small_model())["history"][0]["val_wer"] == 0.5

    def test_batches_that_end_too_early_are_an_error(self, keeper):
        keeper.step = 1
        with pytest.raises(TrainingError, match="epoch 1 ended after step 1, expected 3"):
            keeper.on_epoch_end(0, {"loss": 1.0, "val_wer": 0.5})

    def test_a_run_that_was_asked_to_stop_does_not_say_that_nothing_is_lost(self, keeper, full):
        full.append(True)
        keeper.stop_signal = signal.SIGTERM
        with pytest.raises(TrainingError, match="there is no checkpoint yet"):
            keeper.on_train_batch_end(0, {"loss": 1.0})


class TestSeveralWorkers:
    @pytest.fixture
    def keeper(self, tmp_path, request):
        self.said = []
        worker, words = request.param
        path = None if worker else tmp_path / "faults.txt"
        guard = Guard(Faults(path, self.said.append), most_unread=2)
        return keeper_in(tmp_path, guard=guard, agreement=OneOfTwo(worker, words))

    def end_batch(self, keeper, unread):
        keeper.on_train_begin()
        keeper.on_epoch_begin(0)
        try:
            keeper.on_train_batch_end(0, {"loss": 1.0, "unread": float(unread), "not_finite": 0.0})
        finally:
            keeper.give_back_signals()

    @pytest.mark.parametrize("keeper", [(0, ["worker 1: b is gone"])], indirect=True)
    def test_the_chief_tells_and_keeps_what_another_could_not_read(self, keeper, tmp_path):
        keeper.guard.faults.add("a is gone")
        self.end_batch(keeper, unread=2)
        assert self.said == [
            "  passed over: a is gone",
            "  passed over: worker 1: b is gone",
        ]
        text = (tmp_path / "faults.txt").read_text()
        assert text == "a is gone\nworker 1: b is gone\n"

    @pytest.mark.parametrize("worker", [0, 1])
    def test_where_they_are_too_many_every_worker_names_them_all(self, worker, tmp_path):
        words = [["a is gone"], ["worker 1: b is gone"]]
        guard = Guard(Faults(None, lambda line: None), most_unread=1)
        agreement = OneOfTwo(worker, words[1 - worker])
        keeper = keeper_in(tmp_path, guard=guard, agreement=agreement)
        guard.faults.add(words[worker][0])
        with pytest.raises(TrainingError) as caught:
            self.end_batch(keeper, unread=2)
        assert "\n  a is gone\n  worker 1: b is gone\n" in str(caught.value)
        where = "the chief keeps the checkpoints" if worker else "the last checkpoint is"
        assert f"Stopped; {where}" in str(caught.value)

    @pytest.mark.parametrize("keeper", [(1, [])], indirect=True)
    def test_what_is_read_ahead_waits_for_its_step(self, keeper):
        """The chief hears of it when all know that there is something to say."""
        keeper.guard.faults.add("b is gone")
        self.end_batch(keeper, unread=0)
        assert keeper.guard.faults.take() == ["b is gone"]

    @pytest.mark.parametrize("keeper", [(0, [])], indirect=True)
    def test_there_is_a_checkpoint_before_validation(self, keeper):
        keeper.on_train_begin()
        keeper.on_epoch_begin(0)
        keeper.step = STEPS - 1
        keeper.on_train_batch_end(0, {"loss": 1.0})
        keeper.give_back_signals()
        assert keeper.store.restore(keeper.model)["step"] == STEPS
