"""The figures of each epoch for TensorBoard."""

from collections.abc import Callable
from pathlib import Path

import keras
import tensorflow as tf

_VALIDATION = "val_"


class TensorBoard(keras.callbacks.Callback):
    """Writes an epoch's figures under the names that `keras.callbacks.TensorBoard` gives them.

    Unlike that one it has them on the disk when the epoch is over, and training goes on where they
    cannot be written.

    Args:
        folder: `train/` and `validation/` stand in it.
        warn: is given a line about what cannot be written.
    """

    def __init__(self, folder: Path, warn: Callable[[str], None]):
        super().__init__()
        self.folder = folder
        self.warn = warn
        self.writers = {}

    def on_epoch_end(self, epoch, logs=None):
        figures = {**(logs or {}), "learning_rate": float(self.model.optimizer.learning_rate)}
        validation = {k: v for k, v in figures.items() if k.startswith(_VALIDATION)}
        self._write("train", epoch, {k: v for k, v in figures.items() if k not in validation})
        self._write("validation", epoch, validation)

    def on_train_end(self, logs=None):
        for part in list(self.writers):
            self._close(part)

    def _write(self, part, epoch, figures):
        try:
            if part not in self.writers:
                self.writers[part] = tf.summary.create_file_writer(str(self.folder / part))
            with self.writers[part].as_default():
                for name, value in figures.items():
                    tf.summary.scalar(f"epoch_{name.removeprefix(_VALIDATION)}", value, step=epoch)
            self.writers[part].flush()
        except (OSError, tf.errors.OpError) as error:
            reason = str(error).splitlines()[0]
            self.warn(f"{self.folder / part}: epoch {epoch + 1} cannot be written ({reason})")
            self._close(part)

    def _close(self, part):
        writer = self.writers.pop(part, None)
        try:
            if writer is not None:
                writer.close()
        except (OSError, tf.errors.OpError):
            pass  # it has been told already
