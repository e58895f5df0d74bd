"""A recording, or PCM from a pipe, fed to a session chunk by chunk."""

import contextlib
import dataclasses
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from typing import BinaryIO

import numpy as np
from rich.console import Console
from rich.live import Live
from rich.text import Text

from keras_ds2.audio.io import read_audio
from keras_ds2.data.features_file import read_features
from keras_ds2.recognition.recognizer import Recognizer
from keras_ds2.streaming import Final, Partial, StreamingSession


def show_stream(
    recognizer: Recognizer, source: str, console: Console, *, as_json: bool = False, **options
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
        **options: of `stream_source`.

    Returns:
        The whole text.
    """
    shown = None
    moving = console.is_terminal and not as_json
    with Live(console=console, transient=True) if moving else contextlib.nullcontext() as live:

        def report(session, partial):
            nonlocal shown
            if as_json:
                row = {"seconds": round(session.seconds, 3), **dataclasses.asdict(partial)}
                print(json.dumps(row, ensure_ascii=False), flush=True)
            elif moving:
                end = "  endpoint" if partial.endpoint else ""
                live.update(Text.assemble(partial.stable, (partial.tentative + end, "dim")))
            elif partial != shown:
                end = "\tendpoint" if partial.endpoint else ""
                text = f"{partial.stable}|{partial.tentative}{end}"
                print(f"{session.seconds:.2f}\t{text}", flush=True)
            shown = partial

        final = stream_source(recognizer, source, pipe=sys.stdin.buffer, report=report, **options)
    if as_json:
        words = [dataclasses.asdict(word) for word in final.words]
        row = {"seconds": round(final.seconds, 3), "text": final.text, "words": words}
        print(json.dumps(row, ensure_ascii=False), flush=True)
    else:
        print(final.text, flush=True)
    return final


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
    session = recognizer.stream(chunk_ms=chunk_ms, endpoint_ms=endpoint_ms)
    size = session.step.chunk_shape[0]
    if source == "-":
        chunks = _piped(pipe, size, session)
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


def _piped(pipe, size, session) -> Iterator[np.ndarray]:
    if len(session.step.chunk_shape) > 1:
        raise ValueError(
            "-: expected the path of a .npy file: this model reads precomputed features, and "
            "standard input brings samples"
        )
    while content := pipe.read(2 * size):
        if len(content) % 2:
            raise ValueError(
                "-: expected raw int16 samples, little endian, one channel; standard input ended "
                "amid a sample"
            )
        yield np.frombuffer(content, "<i2").astype(np.int16)
