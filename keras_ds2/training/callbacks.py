"""What happens around the steps: scores, checkpoints, interruption, progress."""

import contextlib
import itertools
import math
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import keras
import tensorflow as tf

from keras_ds2.atomic_write import WriteError
from keras_ds2.models.guarded_training import COUNTS
from keras_ds2.training.agreement import Agreement
from keras_ds2.training.best_epochs import BEST, BestEpochs
from keras_ds2.training.checkpoints import (
    CheckpointStore,
    metric_sums,
    save_weights,
    set_metric_sums,
    without_optimizer,
)
from keras_ds2.training.faults import Faults, Guard, TrainingError
from keras_ds2.training.history import History
from keras_ds2.training.progress import EpochProgress
from keras_ds2.training.weight_average import averaged_weights

LOG = "log.csv"
FAULTS = "faults.txt"
SAVE_MINUTES = 10.0
"""Minutes between checkpoints inside an epoch, unless told otherwise."""


class TrainingInterrupted(Exception):
    """The user asked to stop; a checkpoint has been written."""


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

    What cannot be written is told at once and tried again with the next checkpoint, while training
    goes on; if it fails again at an epoch's end, or there is no next time, training stops.

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
        sums: of the model's metrics at `position`, inside an epoch; or None.
        in_a_row: batches passed over just before `position`, since they were not finite.
        warn: is given a line about what cannot be written.
        guard: what is done about batches that the model passes over.
    """

    def __init__(
        self,
        folder: Path,
        store: CheckpointStore,
        history: History,
        position: tuple[int, int],
        monitor: str,
        patience: int | None,
        save_minutes: float = SAVE_MINUTES,
        best_epochs: BestEpochs | None = None,
        agreement: Agreement | None = None,
        sums: list[list[float]] | None = None,
        in_a_row: int = 0,
        warn: Callable[[str], None] = lambda line: None,
        guard: Guard | None = None,
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
        self.sums = sums
        self.in_a_row = in_a_row
        self.warn = warn
        self.guard = guard or Guard(Faults(folder / FAULTS, warn))
        self.unsaved = {}
        self.saved = None
        self.failure = None
        self.stop_signal = None
        self.may_interrupt = False
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
        if self.may_interrupt:
            raise TrainingInterrupted

    @contextlib.contextmanager
    def interruptible(self):
        """Code in which a request to stop is a `TrainingInterrupted` at once, wherever it is."""
        self.may_interrupt = True
        try:
            if self.stop_signal is not None:  # It came after the last step's look at it.
                raise TrainingInterrupted
            yield
        finally:
            self.may_interrupt = False

    def on_epoch_begin(self, epoch, logs=None):
        names = [metric.name for metric in self.model.metrics]
        self.counts = dict.fromkeys(COUNTS, 0.0)
        if self.sums is not None:
            set_metric_sums(self.model, self.sums)
            self.counts = {n: s[0] for n, s in zip(names, self.sums, strict=True) if n in COUNTS}
            self.sums = None

    def on_train_batch_end(self, batch, logs=None):
        self.step += 1
        self._look_at(logs or {})
        stops, saves = self.agreement.any(
            self.stop_signal is not None, time.monotonic() - self.saved_at > self.save_seconds
        )
        # Validation may outlast the time that a worker is given to stop, and a worker die in it.
        before_validation = self.agreement.workers > 1 and self.step == self.steps_per_epoch
        if stops or saves or before_validation:
            self.save()
        if stops:
            self.require_saved()
            raise TrainingInterrupted

    def _look_at(self, logs):
        """Stops training where the last step was no good and the recipe does not pass over it."""
        loss = logs.get("loss", 0.0)
        if not math.isfinite(loss):
            raise TrainingError(
                f"the loss became {loss} in epoch {self.epoch + 1}, step {self.step}. Lower "
                "training.learning_rate, set training.clip_norm, or lengthen "
                f"training.warmup_steps; {self._saved()}."
            )
        counts = {name: logs[name] for name in COUNTS if name in logs}
        is_new = {name for name in counts if counts[name] > self.counts[name]}
        self.in_a_row = self.in_a_row + 1 if "not_finite" in is_new else 0
        if "unread" in is_new:
            self._share_faults()
        try:
            if "not_finite" in is_new:
                self.guard.look_at_loss(self.epoch, self.step - 1, self.in_a_row)
            self._tell_faults()
            if "unread" in is_new:
                self.guard.faults.check_unread(
                    f"epoch {self.epoch + 1}", int(counts["unread"]), self.guard.most_unread
                )
        except TrainingError as error:
            self._tell_faults()
            if "not_finite" in is_new or not self.guard.most_unread:
                self._undo_step()
            self.save()
            raise TrainingError(f"{error}\nStopped; {self._saved()}.") from None
        self.counts = counts

    def _share_faults(self):
        """Gives every worker what the others could not read; the chief tells and keeps it."""
        if self.agreement.workers == 1:
            return
        faults = self.guard.faults
        for line in itertools.chain(*self.agreement.from_all(faults.take())):
            faults.add(line)
        if not self.agreement.is_chief:
            faults.tell()

    def _tell_faults(self):
        if not self.agreement.is_chief:
            return  # Kept until they are shared.
        self.guard.faults.tell()

    def _undo_step(self):
        """As if the last step, which changed nothing but the counts, had not been tried."""
        self.step -= 1
        self.in_a_row = max(self.in_a_row - 1, 0)
        for metric in self.model.metrics:
            if metric.name in self.counts:
                metric.variables[0].assign(self.counts[metric.name])

    def on_epoch_end(self, epoch, logs=None):
        if self.step != self.steps_per_epoch:
            raise TrainingError(
                f"the batches of epoch {epoch + 1} ended after step {self.step}, expected "
                f"{self.steps_per_epoch}; {self._saved()}. Run the same command to go on."
            )
        self.history.add(epoch, {**(logs or {}), "learning_rate": self._rate()})
        self.epoch, self.step = epoch + 1, 0
        paths = []
        if self.history.best_epoch(self.monitor) == epoch:
            paths.append(self.folder / BEST)
        if self.best_epochs is not None:
            paths += self.best_epochs.paths(self.history)
        if paths and self.agreement.is_chief:
            with averaged_weights(self.model):
                self.unsaved.update(dict.fromkeys(paths, without_optimizer(self.model)))
        failed_before = self.failure is not None
        self.save()
        if failed_before:
            self.require_saved()
        if self.history.is_stale(self.monitor, self.patience):
            self.model.stop_training = True
        (stops,) = self.agreement.any(self.stop_signal is not None)
        if stops:
            self.require_saved()
            raise TrainingInterrupted

    def require_saved(self):
        """Raises a `TrainingError` where the last checkpoint could not be written."""
        if self.failure is not None:
            raise TrainingError(
                f"{self.failure}. Stopped, since all that follows could be lost: make room and "
                f"run the same command to go on; {self._saved()}."
            ) from self.failure

    def _rate(self):
        return float(self.model.optimizer.learning_rate)

    def save(self):
        """Writes best weights, log and checkpoint, in this order.

        An epoch that a checkpoint knows of is never scored again: all else of it must be there.
        Every worker calls it at the same step; the chief writes.
        """
        state = self._state()
        if self.agreement.is_chief:
            self._write(state)
        chief_failed = self.agreement.is_chief and self.failure is not None
        (failed,) = self.agreement.any(chief_failed)
        if not self.agreement.is_chief:
            self.failure = (
                WriteError("the chief cannot write to the run's folder") if failed else None
            )
        self.saved_at = time.monotonic()

    def _write(self, state):
        try:
            for path in list(self.unsaved):
                save_weights(self.unsaved[path], path)
                del self.unsaved[path]
            if self.history.rows:
                self.history.write_csv(self.folder / LOG)
            self.store.save(self.model, state)
            self.saved, self.failure = state["iteration"], None
            if self.best_epochs is not None:
                self.best_epochs.drop_others(self.history)
        except WriteError as error:
            self.failure = error
            self.warn(f"{error}; training goes on and tries again later; {self._saved()}")

    def save_steps_done(self):
        """Saves an epoch whose steps are done and whose scores are not, if no checkpoint has it."""
        alone = self.agreement.workers == 1  # together they are not, where one of them fails
        if alone and self.step == self.steps_per_epoch and self.saved != self._iteration():
            self.save()
            self.require_saved()

    def _iteration(self):
        return self.epoch * self.steps_per_epoch + self.step

    def _state(self):
        return {
            "iteration": self._iteration(),
            "epoch": self.epoch,
            "step": self.step,
            "steps_per_epoch": self.steps_per_epoch,
            "sums": metric_sums(self.model) if self.step else None,
            "in_a_row": self.in_a_row,
            "history": self.history.rows,
        }

    def _saved(self):
        if not self.agreement.is_chief:
            return "the chief keeps the checkpoints"
        saved = self.store.saved()
        return f"the last checkpoint is {saved[-1]}" if saved else "there is no checkpoint yet"


class ProgressDisplay(keras.callbacks.Callback):
    """Shows loss, learning rate, utterances a second and the time left.

    Args:
        progress: what draws it.
        history: read after each epoch.
        epochs: in all.
        steps_per_epoch: of a whole epoch.
        first_step: of the first epoch.
        batch_size: utterances a step.
        samples: returns pairs (said, recognised) to show after each epoch.
    """

    def __init__(
        self,
        progress: EpochProgress,
        history: History,
        epochs: int,
        steps_per_epoch: int,
        first_step: int,
        batch_size: int,
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
