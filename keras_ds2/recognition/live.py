"""A recording, or PCM from a pipe, fed to a session chunk by chunk."""

import contextlib
import dataclasses
import json
import math
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import BinaryIO

import numpy as np
from rich.console import Console
from rich.live import Live
from rich.text import Text

from keras_ds2.audio.io import read_audio
from keras_ds2.data.features_file import read_features
from keras_ds2.evaluation.figures import import_matplotlib
from keras_ds2.evaluation.live_picture import Shown, save_live_picture
from keras_ds2.recognition.recognizer import Recognizer
from keras_ds2.streaming import Final, Partial, StreamingSession, Word


def show_stream(
    recognizer: Recognizer,
    source: str,
    console: Console,
    *,
    as_json: bool = False,
    picture: str | os.PathLike | None = None,
    **options,
) -> Final:
    """Recognises one source and shows the text as it settles, what may still change in grey.

    Where the console is no terminal it prints a line for each change: seconds, tab, the text that
    stays, `|`, the text that may change, and at an end of speech a tab and `endpoint`; and the
    whole text on the last line.

    Args:
        recognizer: of a model that streams.
        source: path of a recording, or `"-"` for raw samples from standard input.
        console: shows it.
        as_json: print a JSON object a chunk instead, the last one with the words.
        picture: PNG file to draw of a short recording, see `save_live_picture`; all that was
            shown is kept for it.
        **options: of `stream_source`.

    Returns:
        The whole text.

    Raises:
        ValueError: for a picture of standard input, and as `stream_source`.
        ImportError: for a picture without matplotlib.
    """
    history = []
    if picture is not None:
        if source == "-":
            raise ValueError("--picture: expected a recording, received - for standard input")
        import_matplotlib()  # without it nothing is begun
    with shown_partials(console, as_json=as_json) as show:

        def report(session, partial):
            text = partial.stable, partial.tentative
            if picture is not None and (not history or history[-1][1:] != text):
                history.append(Shown(session.seconds, *text))
            show(session.seconds, partial)

        final = stream_source(recognizer, source, pipe=sys.stdin.buffer, report=report, **options)
    print_final(final.text, final.words, final.seconds, as_json=as_json)
    if picture is not None:
        front_end = recognizer.front_end
        spectrogram, deltas, _ = front_end.parts
        are_spectra = spectrogram is not None and deltas is None
        save_live_picture(
            picture,
            recognizer.recognize(source).features,
            history,
            final.text,
            final.words,
            seconds=final.seconds,
            hop_ms=front_end.hop_ms,
            sampling_rate=front_end.sampling_rate if are_spectra else None,
        )
    return final


@contextlib.contextmanager
def shown_partials(
    console: Console, *, as_json: bool
) -> Iterator[Callable[[float, Partial], None]]:
    """Shows text as it settles, in one of the ways of `show_stream`.

    Yields:
        A function of the seconds heard and the text so far.
    """
    before = None
    moving = console.is_terminal and not as_json
    with Live(console=console, transient=True) if moving else contextlib.nullcontext() as live:

        def show(seconds, partial):
            nonlocal before
            if as_json:
                row = {"seconds": round(seconds, 3), **dataclasses.asdict(partial)}
                print(json.dumps(row, ensure_ascii=False), flush=True)
            elif moving:
                end = "  endpoint" if partial.endpoint else ""
                live.update(Text.assemble(partial.stable, (partial.tentative + end, "dim")))
            elif partial != before:
                end = "\tendpoint" if partial.endpoint else ""
                text = f"{partial.stable}|{partial.tentative}{end}"
                print(f"{seconds:.2f}\t{text}", flush=True)
            before = partial

        yield show


def print_final(
    text: str, words: Sequence[Word], seconds: float, *, as_json: bool, complete: bool = True
) -> None:
    """Prints a whole text; in JSON its words too, and where it is not `complete`, that."""
    if as_json:
        rows = [dataclasses.asdict(word) for word in words]
        row = {"seconds": round(seconds, 3), "text": text, "words": rows}
        row |= {} if complete else {"complete": False}
        print(json.dumps(row, ensure_ascii=False), flush=True)
    else:
        print(text, flush=True)


def stream_source(
    recognizer: Recognizer,
    source: str,
    *,
    pipe: BinaryIO,
    chunk_ms: float | None = None,
    endpoint_ms: float | None = None,
    realtime: bool = False,
    report: Callable[[StreamingSession, Partial], None],
) -> Final:
    """Recognises one source as if it were spoken now.

    Args:
        recognizer: of a model that streams.
        source: path of a recording (of features, where the model reads them), or `"-"` for `pipe`.
        pipe: raw samples, int16 little endian, one channel, at the model's rate.
        chunk_ms: as for `recognizer.stream`.
        endpoint_ms: as for `recognizer.stream`.
        realtime: whether to wait until a chunk would have been spoken.
        report: called with the session and the text so far, after every chunk.

    Returns:
        The whole text.

    Raises:
        AudioError, FeaturesError: if the file cannot be read.
        StreamingError, ValueError: see `recognizer.stream`; bytes that are no whole samples.
    """
    session = recognizer.stream(chunk_ms=chunk_ms, endpoint_ms=endpoint_ms, loudest=math.inf)
    size = session.step.chunk_shape[0]
    if source == "-":
        if len(session.step.chunk_shape) > 1:
            raise ValueError(
                "-: expected the path of a .npy file: this model reads precomputed features, and "
                "standard input brings samples"
            )
        chunks = piped_samples(pipe, size)
    else:
        chunks = _read(recognizer.front_end, source, size)
    begin = time.monotonic()
    for chunk in chunks:
        if realtime:
            spoken = session.seconds + len(chunk) * session.seconds_per_row
            time.sleep(max(0.0, begin + spoken - time.monotonic()))
        report(session, session.accept(chunk))
    return session.finish()


def _read(front_end, source, size) -> Iterator[np.ndarray]:
    if front_end.kind == "precomputed":
        inputs = read_features(source, front_end.num_bins)
    else:
        inputs = read_audio(os.fspath(source), front_end.sampling_rate)
    for start in range(0, len(inputs), size):
        yield inputs[start : start + size]


def piped_samples(pipe: BinaryIO, size: int) -> Iterator[np.ndarray]:
    """Raw int16 samples, little endian, one channel, so many at a time.

    Raises:
        ValueError: if the pipe ends amid a sample.
    """
    while content := pipe.read(2 * size):
        if len(content) % 2:
            raise ValueError(
                "-: expected raw int16 samples, little endian, one channel; standard input ended "
                "amid a sample"
            )
        yield np.frombuffer(content, "<i2").astype(np.int16)
