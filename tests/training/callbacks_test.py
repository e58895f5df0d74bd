"""Callbacks by themselves; what they do together stands in trainer_test.py."""

import os
import signal
import threading

import pytest

from keras_ds2.training.callbacks import RunKeeper, TrainingInterrupted, ValidationScores
from keras_ds2.training.checkpoints import CheckpointStore
from keras_ds2.training.history import History
from tests.training.made_up_training import small_model

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

    def test_never_between_the_last_step_and_the_epochs_scores(self, tmp_path):
        keeper = keeper_in(tmp_path, position=(4, STEPS - 1), save_minutes=0.0)
        keeper.on_train_begin()
        keeper.stop_signal = signal.SIGINT
        keeper.on_train_batch_end(0, {"loss": 1.0})
        assert keeper.store.saved() == []
        with pytest.raises(TrainingInterrupted):
            keeper.on_epoch_end(4, {"loss": 1.0, "val_wer": 0.5})
        keeper.give_back_signals()
        state = keeper.store.restore(keeper.model)
        assert (state["epoch"], state["step"]) == (5, 0)
        assert state["history"][0]["val_wer"] == 0.5
