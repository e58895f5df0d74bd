"""The figures of each epoch, and what follows from them."""

import csv
import io
import math
import os

from keras_ds2.atomic_write import write_text_atomically


class History:
    """Rows of figures, one an epoch.

    Args:
        rows: of the epochs before, or None.
    """

    def __init__(self, rows: list[dict] | None = None):
        self.rows = list(rows or [])

    def add(self, epoch: int, figures: dict[str, float]) -> None:
        """Adds an epoch, counted from 0; its row counts from 1."""
        row = {"epoch": epoch + 1}
        row.update({key: float(value) for key, value in figures.items()})
        self.rows.append(row)

    def best_epoch(self, monitor: str) -> int | None:
        """The epoch, from 0, whose figure is lowest; of equal ones the last by a lower loss."""
        return next(iter(self.best_epochs(monitor, 1)), None)

    def best_epochs(self, monitor: str, count: int) -> list[int]:
        """So many epochs at the most, from 0, as `best_epoch` tells them; the best comes first."""
        scored = [row for row in self.rows if monitor in row]
        scored.sort(key=lambda row: _key(row, monitor))
        return [int(row["epoch"]) - 1 for row in scored[:count]]

    def is_better(self, figures: dict[str, float], monitor: str) -> bool:
        """Whether these figures are better than those of every epoch."""
        return all(_key(figures, monitor) < _key(row, monitor) for row in self.rows)

    def is_stale(self, monitor: str, patience: int | None) -> bool:
        """Whether the best epoch lies `patience` epochs back."""
        best = self.best_epoch(monitor)
        if patience is None or best is None:
            return False
        return int(self.rows[-1]["epoch"]) - 1 - best >= patience

    def write_csv(self, path: str | os.PathLike) -> None:
        """Writes all rows, the file whole or not at all."""
        columns = list(dict.fromkeys(key for row in self.rows for key in row))
        text = io.StringIO()
        writer = csv.DictWriter(text, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.rows)
        write_text_atomically(path, text.getvalue())


def _key(figures, monitor):
    return _rank(figures.get(monitor, math.nan), figures.get("val_loss", 0.0))


def _rank(*figures):
    """Figures as they are compared: one that is no number is worse than any."""
    return [math.inf if math.isnan(figure) else figure for figure in figures]
