"""What happens around the steps: scores, checkpoints, interruption, progress."""

import math
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import keras
import tensorflow as tf

from keras_ds2.training.agreement import Agreement
from keras_ds2.training.best_epochs import BEST, BestEpochs
from keras_ds2.training.checkpoints import CheckpointStore, save_weights
from keras_ds2.training.history import History
from keras_ds2.training.progress import EpochProgress
from keras_ds2.training.weight_average import averaged_weights


class TrainingInterrupted(Exception):
    """The user asked to stop; a checkpoint has been written."""


class TrainingError(RuntimeError):
    """Training cannot go on: the message says why and what to change."""


class ValidationScores(keras.callbacks.Callback):
    """After each epoch adds `val_loss`, `val_wer` and `val_cer` to the logs.

    Where the optimiser averages the weights, the averages are scored.

    Args:
        validate: returns a dictionary of scores.
    """

    def __init__(self, validate: Callable[[], dict[str, float]]):
        super().__init__()
        self.validate = validate

    def on_epoch_end(self, epoch, logs=None):
        with averaged_weights(self.model):
            logs.update(self.validate())


class RunKeeper(keras.callbacks.Callback):
    """Keeps the history, the last and the best weights; stops early; stops when asked to.

    Where the optimiser averages the weights, the best ones are averages; a checkpoint holds both.

    Args:
        folder: of the run.
        store: of the checkpoints.
        history: of the epochs before; what follows is appended.
        position: `(epoch, step)` that training starts from.
        monitor: `"wer"`, `"cer"` or `"loss"`: the validation score that says which epoch is best.
        patience: epochs without a better score before it stops, or None.
        save_minutes: minutes between checkpoints inside an epoch.
        best_epochs: keeps the weights of the best epochs; None for no such files.
        agreement: among the workers, of which the chief alone writes; None for one worker.
    """

    def __init__(
        self,
        folder: Path,
        store: CheckpointStore,
        history: History,
        position: tuple[int, int],
        monitor: str,
        patience: int | None,
        save_minutes: float = 10.0,
        best_epochs: BestEpochs | None = None,
        agreement: Agreement | None = None,
    ):
        super().__init__()
        self.folder = folder
        self.store = store
        self.history = history
        self.epoch, self.step = position
        self.monitor = f"val_{monitor}"
        self.patience = patience
        self.save_seconds = 60 * save_minutes
        self.best_epochs = best_epochs
        self.agreement = agreement or Agreement(tf.distribute.get_strategy())
        self.stop_signal = None
        self.handlers = {}

    def on_train_begin(self, logs=None):
        self.saved_at = time.monotonic()
        self.steps_per_epoch = self.step + self.params["steps"]
        if threading.current_thread() is not threading.main_thread():
            return  # Python hands signals to the main thread only.
        # A second signal finds the usual handler and ends the process at once.
        for number in (signal.SIGINT, signal.SIGTERM):
            self.handlers[number] = signal.signal(number, self._ask_to_stop)

    def on_train_end(self, logs=None):
        self.give_back_signals()

    def give_back_signals(self):
        """Puts the process's own signal handlers back."""
        for number, handler in self.handlers.items():
            signal.signal(number, handler)
        self.handlers = {}

    def _ask_to_stop(self, number, frame):
        self.stop_signal = number
        self.give_back_signals()

    def on_train_batch_end(self, batch, logs=None):
        self.step += 1
        loss = (logs or {}).get("loss", 0.0)
        if not math.isfinite(loss):
            raise TrainingError(
                f"the loss became {loss} in epoch {self.epoch + 1}, step {self.step}. Lower "
                "training.learning_rate, set training.clip_norm, or lengthen "
                f"training.warmup_steps; {self._saved()}"
            )
        if self.step == self.steps_per_epoch:
            return  # The epoch's end saves, and stops, with the epoch's scores.
        stops, saves = self.agreement.any(
            self.stop_signal is not None, time.monotonic() - self.saved_at > self.save_seconds
        )
        if stops or saves:
            self._save()
        if stops:
            raise TrainingInterrupted

    def on_epoch_end(self, epoch, logs=None):
        self.history.add(epoch, {**(logs or {}), "learning_rate": self._rate()})
        self.epoch, self.step = epoch + 1, 0
        if self.agreement.is_chief and self.history.best_epoch(self.monitor) == epoch:
            with averaged_weights(self.model):
                save_weights(self.model, self.folder / BEST)
        if self.agreement.is_chief:
            if self.best_epochs is not None:
                self.best_epochs.keep(self.model, self.history)
            self.history.write_csv(self.folder / "log.csv")
        self._save()  # Last: an epoch that a checkpoint knows of is never scored again.
        if self.best_epochs is not None and self.agreement.is_chief:
            self.best_epochs.drop_others(self.history)
        if self.history.is_stale(self.monitor, self.patience):
            self.model.stop_training = True
        (stops,) = self.agreement.any(self.stop_signal is not None)
        if stops:
            raise TrainingInterrupted

    def _rate(self):
        return float(self.model.optimizer.learning_rate)

    def _save(self):
        """Every worker calls it at the same step; the chief writes."""
        state = {
            "iteration": self.epoch * self.steps_per_epoch + self.step,
            "epoch": self.epoch,
            "step": self.step,
            "steps_per_epoch": self.steps_per_epoch,
            "history": self.history.rows,
        }
        if self.agreement.is_chief:
            self.store.save(self.model, state)
        self.saved_at = time.monotonic()

    def _saved(self):
        saved = self.store.saved()
        return f"the last checkpoint is {saved[-1]}." if saved else "there is no checkpoint yet."


class ProgressDisplay(keras.callbacks.Callback):
    """Shows loss, learning rate, utterances a second and the time left.

    Args:
        progress: what draws it.
        history: read after each epoch.
        epochs: in all.
        steps_per_epoch: of a whole epoch.
        first_step: of the first epoch.
        batch_size: mean utterances a step.
        samples: returns pairs (said, recognised) to show after each epoch.
    """

    def __init__(
        self,
        progress: EpochProgress,
        history: History,
        epochs: int,
        steps_per_epoch: int,
        first_step: int,
        batch_size: float,
        samples: Callable[[], list[tuple[str, str]]],
    ):
        super().__init__()
        self.progress = progress
        self.past = history
        self.epochs = epochs
        self.steps_per_epoch = steps_per_epoch
        self.first_step = first_step
        self.batch_size = batch_size
        self.samples = samples

    def on_epoch_begin(self, epoch, logs=None):
        self.progress.begin(epoch, self.epochs, self.first_step, self.steps_per_epoch)
        self.first_step = 0

    def on_train_batch_end(self, batch, logs=None):
        self.progress.advance(
            self.batch_size, logs["loss"], float(self.model.optimizer.learning_rate)
        )

    def on_epoch_end(self, epoch, logs=None):
        self.progress.end(self.past.rows[-1], self.samples())
