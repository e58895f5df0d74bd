"""The picture of a training: loss and error rates over the epochs (extra `demo`)."""

import csv
import os

import numpy as np

from keras_ds2.evaluation.figures import COLOURS, import_matplotlib, new_figure, save_png

# Column of the CSV file, name in the picture, colour.
_LOSSES = (("loss", "training", COLOURS[0]), ("val_loss", "validation", COLOURS[1]))
_RATES = (("val_wer", "words (WER)", COLOURS[0]), ("val_cer", "characters (CER)", COLOURS[2]))


def save_training_curves(path: str | os.PathLike, csv_path: str | os.PathLike) -> None:
    """Draws loss and validation error rates over the epochs of a training.

    Args:
        path: PNG file to write; replaced in one step.
        csv_path: CSV file with the column `epoch` and any of `loss`, `val_loss`, `val_wer` and
            `val_cer` (rates as fractions of 1). Other columns and empty cells are passed over.

    Raises:
        ValueError: if there is nothing to draw in the file.
        ImportError: if matplotlib is missing: it is in the extra `demo`.
    """
    curves = _read_curves(csv_path)
    matplotlib = import_matplotlib()
    with new_figure(height=3.6) as figure:
        left, right = figure.subplots(1, 2)
        _draw(left, curves, _LOSSES, "Loss", "CTC loss per utterance")
        _draw(right, curves, _RATES, "Errors on validation", "error rate (%)", scale=100.0)
        for axes in (left, right):
            axes.xaxis.set_major_locator(matplotlib.ticker.MaxNLocator(integer=True))
        save_png(figure, path)


def _draw(axes, curves, kinds, title, unit, scale=1.0) -> None:
    for column, name, colour in kinds:
        if column not in curves:
            continue
        epochs, values = curves[column]
        values = scale * values
        axes.plot(epochs, values, "-o", markersize=3.5, linewidth=1.8, color=colour, label=name)
        axes.annotate(
            f"{values[-1]:.3g}",
            (epochs[-1], values[-1]),
            xytext=(6, 2),
            textcoords="offset points",
            color=colour,
            fontweight="bold",
            annotation_clip=False,
        )
    axes.set_title(title, loc="left", fontweight="bold")
    axes.set_xlabel("epoch")
    axes.set_ylabel(unit)
    axes.set_ylim(bottom=0.0)
    axes.grid(axis="y", color="#E5E5E5")
    axes.set_axisbelow(True)
    if axes.lines:
        axes.legend(frameon=False)


def _read_curves(csv_path) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    wanted = [column for column, _, _ in (*_LOSSES, *_RATES)]
    points: dict[str, list[tuple[float, float]]] = {column: [] for column in wanted}
    with open(csv_path, newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            for column in wanted:
                if row.get("epoch") and row.get(column):
                    point = _number(csv_path, row, "epoch"), _number(csv_path, row, column)
                    if np.isfinite(point).all():
                        points[column].append(point)
    curves = {
        column: tuple(np.array(one) for one in zip(*pairs, strict=True))
        for column, pairs in points.items()
        if pairs
    }
    if not curves:
        raise ValueError(
            f"{csv_path}: expected a column 'epoch' and at least one of {wanted} with numbers, "
            "found none; give the CSV file that a training has written"
        )
    return curves


def _number(csv_path, row: dict, column: str) -> float:
    try:
        return float(row[column])
    except ValueError:
        raise ValueError(
            f"{csv_path}: expected a number in column {column!r}, received {row[column]!r}"
        ) from None
