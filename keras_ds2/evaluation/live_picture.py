"""The picture of a live transcript: when each word appears and settles (extra `demo`)."""

import os
from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np

from keras_ds2.evaluation.figures import COLOURS, GREY, INK, new_figure, printable, save_png
from keras_ds2.evaluation.picture import draw_features

_SPECTROGRAM_HEIGHT, _ROW_HEIGHT, _LEAST_ROWS, _MOST_ROWS = 2.6, 0.32, 4, 40


class Shown(NamedTuple):
    """What stood there once so many seconds had been heard: the text that stays, the rest."""

    seconds: float
    stable: str
    tentative: str


class TimedWord(Protocol):
    """A word of the final text and the steps that it is written at."""

    text: str
    start_ms: float
    end_ms: float


class _Row(NamedTuple):
    word: TimedWord
    appeared: float
    settled: float


def save_live_picture(
    path: str | os.PathLike,
    features: np.ndarray,
    shown: Sequence[Shown],
    text: str,
    words: Sequence[TimedWord],
    *,
    seconds: float,
    hop_ms: float = 10.0,
    sampling_rate: int | None = None,
) -> None:
    """Draws features, and below them a row a word: its steps, when it appeared, when it settled.

    The times are those of the audio heard until then: what computing took comes on top.

    Args:
        path: PNG file to write; replaced in one step.
        features: float `(frames, bins)`, what the model hears.
        shown: in order, whenever the text has changed.
        text: the final text, which stands there when all has been heard.
        words: those of `text`, in order; of a long text the first 40 are drawn.
        seconds: length of the audio.
        hop_ms: time from one frame to the next.
        sampling_rate: Hz, where bins run evenly from 0 Hz to half of it; None where they do not.

    Raises:
        ImportError: if matplotlib is missing: it is in the extra `demo`.
    """
    rows = _rows(shown, text, words[:_MOST_ROWS], seconds)
    height = _ROW_HEIGHT * max(len(rows), _LEAST_ROWS) + 0.9
    with new_figure(_SPECTROGRAM_HEIGHT + height) as figure:
        above, below = figure.subplots(
            2, 1, sharex=True, height_ratios=(_SPECTROGRAM_HEIGHT, height)
        )
        draw_features(above, np.asarray(features), hop_ms / 1000.0, sampling_rate)
        _draw_words(below, rows, seconds)
        below.set_xlabel("time (s)")
        save_png(figure, path)


def _rows(shown, text, words, seconds):
    """Each word's times: of the first text that agrees with the final one up to its end."""
    history = [*shown, Shown(seconds, text, "")]
    rows, end = [], 0
    for word in words:
        end = text.index(word.text, end) + len(word.text)
        appeared = next(
            each.seconds for each in history if (each.stable + each.tentative)[:end] == text[:end]
        )
        settled = next(each.seconds for each in history if each.stable[:end] == text[:end])
        rows.append(_Row(word, appeared, settled))
    return rows


def _draw_words(axes, rows, seconds):
    for place, (word, appeared, settled) in enumerate(rows):
        begin, end = word.start_ms / 1000.0, word.end_ms / 1000.0
        labels = ("steps of its symbols", "first shown", "settled") if place == 0 else (None,) * 3
        axes.barh(place, end - begin, left=begin, height=0.55, color=COLOURS[4], label=labels[0])
        axes.plot([appeared, settled], [place] * 2, color=GREY, linewidth=1.5, zorder=2)
        for time, colour, label in ((appeared, "white", labels[1]), (settled, INK, labels[2])):
            axes.plot(
                time, place, "o", color=colour, markeredgecolor=INK, label=label, clip_on=False
            )
    axes.set_xlim(0.0, seconds)
    axes.set_ylim(max(len(rows), _LEAST_ROWS) - 0.4, -0.6)
    axes.set_yticks(range(len(rows)), [printable(row.word.text) for row in rows], parse_math=False)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", color="#E5E5E5")
    axes.set_axisbelow(True)
    axes.set_title("Words, written while they are heard", loc="left", fontweight="bold")
    if rows:
        axes.legend(loc="lower left", frameon=False)
