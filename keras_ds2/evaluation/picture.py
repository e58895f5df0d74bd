"""The picture of a recognition, from waveform to text on one time axis (extra `demo`)."""

import difflib
import itertools
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from keras_ds2.evaluation.figures import COLOURS, GREY, INK, new_figure, printable, save_png

_HEIGHT = 7.6  # inches
_BLANK = 0
_WRONG = "#B0003A"
_RIGHT_BOX, _WRONG_BOX = "#E3EEF6", "#FBE3EA"
_SHOWN_PROBABILITY = 0.05  # symbols that never reach it are not drawn
_WORD = re.compile("[\u2e80-\U0003ffff]|[^\\s\u2e80-\U0003ffff]+")  # or one Chinese character
_CROWDED = 14  # words; more are written as plain text
_QUIET_PERCENTILE = 5.0  # of the spectrogram: drawn darkest


@dataclass(frozen=True)
class _Run:
    """Steps over which one symbol, not the blank, is the likeliest."""

    symbol: int
    start: int
    end: int
    peak: int


def save_recognition_picture(
    path: str | os.PathLike,
    waveform: np.ndarray,
    sampling_rate: int,
    features: np.ndarray,
    log_probs: np.ndarray,
    symbols: Sequence[str],
    text: str,
    reference: str | None = None,
    *,
    step_ms: float,
    hop_ms: float = 10.0,
    features_are_spectra: bool = True,
) -> None:
    """Draws waveform, spectrogram, the symbols' probabilities and the text into one PNG file.

    Args:
        path: File to write; replaced in one step.
        waveform: float `(samples,)` in [-1, 1].
        sampling_rate: int, Hz.
        features: float `(frames, bins)`, what the model hears.
        log_probs: float `(steps, vocabulary_size)`, natural logarithms, the blank first.
        symbols: The alphabet without the blank: `vocabulary_size - 1` strings.
        text: What was recognised.
        reference: What was said, its differences marked; `None` if it is not known.
        step_ms: Time from one step to the next.
        hop_ms: Time from one frame to the next.
        features_are_spectra: Whether bins run evenly from 0 Hz to half the sampling rate.

    Raises:
        ValueError: if a shape does not fit the others.
        ImportError: if matplotlib is missing: it is in the extra `demo`.
    """
    waveform, features, log_probs = map(np.asarray, (waveform, features, log_probs))
    _check(waveform, features, log_probs, symbols)
    probabilities = np.exp(log_probs)
    runs = _find_runs(log_probs)
    step_seconds = step_ms / 1000.0
    seconds = len(waveform) / sampling_rate
    seconds = max(seconds, len(features) * hop_ms / 1000.0, len(log_probs) * step_seconds)
    with new_figure(_HEIGHT) as figure:
        rows = figure.subplots(4, 1, sharex=True, height_ratios=(1.0, 1.8, 2.0, 0.9))
        _draw_waveform(rows[0], waveform, sampling_rate)
        draw_features(
            rows[1], features, hop_ms / 1000.0, sampling_rate if features_are_spectra else None
        )
        _draw_probabilities(rows[2], probabilities, symbols, runs, step_seconds)
        _draw_texts(rows[3], text, reference, _place_words(runs, symbols, text, step_seconds))
        rows[3].set_xlim(0.0, seconds)
        rows[3].set_xlabel("time (s)")
        figure.align_ylabels(rows)
        save_png(figure, path)


def _check(waveform, features, log_probs, symbols) -> None:
    for name, array, shape in (
        ("waveform", waveform, ("samples",)),
        ("features", features, ("frames", "bins")),
        ("log_probs", log_probs, ("steps", "vocabulary_size")),
    ):
        if array.ndim != len(shape) or array.size == 0:
            raise ValueError(
                f"{name}: expected ({', '.join(shape)}), not empty, received shape {array.shape}; "
                "give one utterance without the batch axis"
            )
    if log_probs.shape[1] != len(symbols) + 1:
        raise ValueError(
            f"symbols: expected {log_probs.shape[1] - 1}, one for each column of log_probs but "
            f"the blank's, received {len(symbols)}"
        )


def _find_runs(log_probs: np.ndarray) -> list[_Run]:
    best = log_probs.argmax(axis=1)
    edges = [0, *(np.flatnonzero(np.diff(best)) + 1), len(best)]
    return [
        _Run(int(best[start]), start, end, start + int(log_probs[start:end, best[start]].argmax()))
        for start, end in itertools.pairwise(edges)
        if best[start] != _BLANK
    ]


def _draw_waveform(axes, waveform: np.ndarray, sampling_rate: int) -> None:
    columns = max(1, len(waveform) // 2000)
    whole = len(waveform) // columns * columns
    pieces = waveform[:whole].reshape(-1, columns)
    times = (np.arange(len(pieces)) + 0.5) * columns / sampling_rate
    axes.fill_between(times, pieces.min(axis=1), pieces.max(axis=1), color=INK, linewidth=0.3)
    limit = 1.1 * max(float(np.abs(waveform).max()), 1e-3)
    axes.set_ylim(-limit, limit)
    axes.set_ylabel("amplitude")
    axes.set_title("Waveform", loc="left", fontweight="bold")


def draw_features(axes, features, hop_seconds: float, sampling_rate: int | None) -> None:
    """Draws frames over seconds; bins over kHz where they are a spectrum's."""
    top = features.shape[1] if sampling_rate is None else sampling_rate / 2000.0
    axes.imshow(
        features.T,
        origin="lower",
        aspect="auto",
        interpolation="nearest",
        cmap="magma",
        vmin=np.percentile(features, _QUIET_PERCENTILE),
        extent=(0.0, len(features) * hop_seconds, 0.0, top),
    )
    axes.set_ylabel("bin" if sampling_rate is None else "frequency (kHz)")
    title = "Features" if sampling_rate is None else "Spectrogram: what the model hears"
    axes.set_title(title, loc="left", fontweight="bold")


def _draw_probabilities(axes, probabilities, symbols, runs: list[_Run], step_seconds) -> None:
    times = (np.arange(len(probabilities)) + 0.5) * step_seconds
    axes.fill_between(times, probabilities[:, _BLANK], color="#E9E9E9", linewidth=0)
    axes.plot(times, probabilities[:, _BLANK], color=GREY, linewidth=1.0, label="blank")
    drawn = [run.symbol for run in runs]
    likely = np.flatnonzero(probabilities[:, 1:].max(axis=0) > _SHOWN_PROBABILITY) + 1
    order = list(dict.fromkeys([*drawn, *likely.tolist()]))  # neighbours in time: other colours
    colours = {symbol: COLOURS[place % len(COLOURS)] for place, symbol in enumerate(order)}
    for symbol in order:
        axes.plot(times, probabilities[:, symbol], color=colours[symbol], linewidth=1.5)
    size = float(np.clip(700.0 / max(len(runs), 1), 5.0, 11.0))
    for run in runs:
        letter = symbols[run.symbol - 1]
        axes.annotate(
            "␣" if letter == " " else printable(letter),
            (times[run.peak], probabilities[run.peak, run.symbol]),
            xytext=(0, 2),
            textcoords="offset points",
            ha="center",
            va="bottom",
            fontsize=size,
            fontweight="bold",
            color=colours[run.symbol],
            parse_math=False,
        )
    axes.set_ylim(0.0, 1.18)
    axes.set_yticks([0.0, 0.5, 1.0])
    axes.set_ylabel("probability")
    axes.set_title("Symbols, step by step", loc="left", fontweight="bold")
    axes.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), frameon=False, borderaxespad=0.2)


def _place_words(runs, symbols, text: str, step_seconds) -> list[float] | None:
    """The middle of each word of `text` in seconds, if the likeliest symbols make as many words."""
    letters = [(letter, run) for run in runs for letter in symbols[run.symbol - 1]]
    spelt = "".join(letter for letter, _ in letters)
    spans = [(letters[m.start()][1], letters[m.end() - 1][1]) for m in _WORD.finditer(spelt)]
    if len(spans) > _CROWDED or len(spans) != len(_WORD.findall(text)):
        return None
    return [0.5 * (first.start + last.end) * step_seconds for first, last in spans]


def _draw_texts(axes, text: str, reference: str | None, placed) -> None:
    axes.set_ylim(0.0, 2.0)
    axes.set_title("Text", loc="left", fontweight="bold")
    axes.set_yticks([0.5, 1.5] if reference is not None else [1.5])
    axes.set_yticklabels(["said", "heard"] if reference is not None else ["heard"])
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    heard = _WORD.findall(text)
    said = heard if reference is None else _WORD.findall(reference)
    heard_right, said_right = _agreement(heard, said)
    if placed is None:
        _write_line(axes, 1.5, heard, heard_right)
    else:
        for word, middle, right in zip(heard, placed, heard_right, strict=True):
            _write(axes, middle, 1.5, word, right)
    if reference is not None:
        if placed is not None and len(said) == len(heard):
            for word, middle, right in zip(said, placed, said_right, strict=True):
                _write(axes, middle, 0.5, word, right)
        else:
            _write_line(axes, 0.5, said, said_right)


def _agreement(heard: list[str], said: list[str]) -> tuple[list[bool], list[bool]]:
    heard_right, said_right = [False] * len(heard), [False] * len(said)
    for block in difflib.SequenceMatcher(a=heard, b=said, autojunk=False).get_matching_blocks():
        heard_right[block.a : block.a + block.size] = [True] * block.size
        said_right[block.b : block.b + block.size] = [True] * block.size
    return heard_right, said_right


def _write(axes, x: float, y: float, word: str, right: bool) -> None:
    axes.text(
        x,
        y,
        printable(word),
        ha="center",
        va="center",
        fontsize=11,
        color=INK if right else _WRONG,
        fontweight="normal" if right else "bold",
        parse_math=False,
        bbox={
            "boxstyle": "round,pad=0.3",
            "facecolor": _RIGHT_BOX if right else _WRONG_BOX,
            "edgecolor": "none",
        },
    )


def _write_line(axes, y: float, words: list[str], right: list[bool]) -> None:
    """One line over the whole width, for words that cannot be placed; wrong ones in brackets."""
    shown = " ".join(word if good else f"[{word}]" for word, good in zip(words, right, strict=True))
    axes.text(
        0.5,
        y / 2.0,
        printable(shown) or "(nothing)",
        ha="center",
        va="center",
        transform=axes.transAxes,
        fontsize=float(np.clip(1100.0 / max(len(shown), 1), 5.0, 11.0)),
        color=INK if all(right) and words else _WRONG,
        parse_math=False,
        wrap=True,
    )
