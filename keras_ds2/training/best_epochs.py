"""The weights of a run's best epochs, and their average."""

import json
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
from rich.console import Console

from keras_ds2.atomic_write import write_text_atomically
from keras_ds2.training.checkpoints import CheckpointError, save_weights
from keras_ds2.training.history import History
from keras_ds2.weights_file import check_weights_file

BEST = "best.weights.h5"
FOLDER = "best_epochs"
RECORD = "average.json"


class BestEpochs:
    """Keeps the weights of the best epochs in a run's folder, a file each.

    Args:
        folder: of the run.
        monitor: the figure of the history that says which epochs are best, the lower the better.
        count: int >= 1, how many.
    """

    def __init__(self, folder: Path, monitor: str, count: int):
        self.run = folder
        self.folder = folder / FOLDER
        self.monitor = monitor
        self.count = count

    def paths(self, history: History) -> list[Path]:
        """Where the weights of the last epoch belong: nowhere if it is not one of the best."""
        epoch = int(history.rows[-1]["epoch"]) - 1
        if epoch not in history.best_epochs(self.monitor, self.count):
            return []
        self.folder.mkdir(exist_ok=True)
        return [self.path(epoch)]

    def drop_others(self, history: History) -> None:
        """Removes epochs that are best no more: after the checkpoint that knows of the better ones.

        Before it, a run that goes on from an older checkpoint would miss them.
        """
        best = {self.path(epoch) for epoch in history.best_epochs(self.monitor, self.count)}
        for path in self.folder.glob("epoch-*.weights.h5"):
            if path not in best:
                path.unlink()

    def path(self, epoch: int) -> Path:
        """Where the weights of an epoch, from 0, stand."""
        return self.folder / f"epoch-{epoch + 1:05d}.weights.h5"

    def try_average(
        self,
        model: keras.Model,
        validate: Callable[[], dict[str, float]],
        history: History,
        console: Console,
    ) -> None:
        """Scores the mean of the best epochs' weights, and keeps the better of it and the best.

        Moving statistics are averaged too. The outcome is written to `average.json`; where that
        tells of the same epochs already, nothing is done.

        Args:
            model: of the run; it has its own weights again afterwards.
            validate: scores the model as it is: figures as in the history.
            history: of all epochs.
            console: where the outcome is said.

        Raises:
            CheckpointError: if the weights of an epoch cannot be read.
        """
        best = history.best_epochs(self.monitor, self.count)
        epochs = sorted(epoch + 1 for epoch in best if self.path(epoch).exists())
        if len(epochs) < 2 or self._averaged() == epochs:
            return
        twin = type(model).from_config(model.get_config())
        twin.set_weights(self._mean(twin, epochs))
        before = model.get_weights()
        try:
            model.set_weights(twin.get_weights())
            figures = validate()
        finally:
            model.set_weights(before)
        is_better = history.is_better(figures, self.monitor)
        if is_better:
            save_weights(twin, self.run / BEST)
        elif self.path(best[0]).exists():  # An average of other epochs may stand there.
            self._load(twin, best[0] + 1)
            save_weights(twin, self.run / BEST)
        record = {"epochs": epochs, "kept": is_better, **figures}
        write_text_atomically(self.run / RECORD, json.dumps(record, indent=1) + "\n")
        listed = ", ".join(map(str, epochs))
        there = history.rows[best[0]][self.monitor]
        outcome = "it is kept" if is_better else "that epoch is kept"
        console.print(
            f"average of the epochs {listed}: {self.monitor} {figures[self.monitor]:.4f}, of epoch "
            f"{best[0] + 1} alone {there:.4f}; {outcome} as {BEST}",
            highlight=False,
        )

    def _averaged(self):
        try:
            return json.loads((self.run / RECORD).read_text(encoding="utf-8"))["epochs"]
        except (OSError, ValueError, KeyError):
            return None

    def _mean(self, twin, epochs):
        sums = [np.zeros(weight.shape, np.float64) for weight in twin.weights]
        for epoch in epochs:
            self._load(twin, epoch)
            for total, weight in zip(sums, twin.get_weights(), strict=True):
                total += weight
        return [total / len(epochs) for total in sums]

    def _load(self, twin, epoch):
        path = self.path(epoch - 1)
        try:
            check_weights_file(path)
            twin.load_weights(path)
        except Exception as error:  # h5py raises many kinds over a damaged file
            raise CheckpointError(
                f"{path}: damaged weights ({error}). Delete this file and run the same "
                "command to average the other epochs."
            ) from error
