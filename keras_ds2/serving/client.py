"""A client of `keras-ds2 serve`: audio to a server, its text back."""

import dataclasses
import http.client
import json
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from urllib.parse import urlsplit, urlunsplit

import numpy as np
from rich.console import Console
from websockets.exceptions import ConnectionClosed, InvalidHandshake
from websockets.sync.client import connect

from keras_ds2.audio.containers import HIGHEST_RATE
from keras_ds2.audio.io import read_audio
from keras_ds2.recognition.live import piped_samples, print_final, shown_partials
from keras_ds2.serving.messages import ENCODINGS
from keras_ds2.streaming import Partial, Word

_PIECE_SECONDS = 0.1
_LOWEST_RATE = 1000  # Hz
_MOST_BYTES = 2**16  # of an answer about the model
_OTHER_KIND = "expected keras-ds2 serve, found another kind of server"


@dataclasses.dataclass(frozen=True)
class ServerFinal:
    """The whole text, as a server gives it.

    Attributes:
        text: of what was heard.
        words: each with its time and confidence.
        seconds: length of what was heard.
        complete: False where the server ended the stream, before it had heard all.
        delay: seconds from the last sample sent to the text.
    """

    text: str
    words: tuple[Word, ...]
    seconds: float
    complete: bool
    delay: float = 0.0


class ServerError(ValueError):
    """A server that cannot be reached, or does not do what it was asked: the message says why.

    Attributes:
        final: `ServerFinal`, the text of what it had heard, where it ended the stream; or None.
    """

    def __init__(self, message: str, final: ServerFinal | None = None):
        super().__init__(message)
        self.final = final


def stream_to_server(
    url: str,
    chunks: Iterable[np.ndarray],
    sampling_rate: int,
    *,
    encoding: str = "pcm16",
    report: Callable[[float, Partial], None] = lambda seconds, partial: None,
    token: str | None = None,
    endpoint_ms: float | None = None,
) -> ServerFinal:
    """Sends samples as they come.

    Args:
        url: of the server, such as `http://127.0.0.1:8000`.
        chunks: arrays `(samples,)`, of any lengths: int16, or for `"float32"` floats with full
            scale at 1, of which a server refuses those past 2 as integers that nobody divided.
        sampling_rate: Hz; a server takes no other than its model's: see `model_facts`.
        encoding: `"pcm16"`, or `"float32"`, which takes twice the bytes and does not clip.
        report: called with the seconds computed and the text so far, when it has changed.
        token: the server's, where it has one.
        endpoint_ms: silence that makes an endpoint; None for the server's.

    Returns:
        The whole text.

    Raises:
        ServerError: if the server cannot be reached, or refuses, or ends the stream before all was
            heard, and then with the text of what was.
        ValueError: for chunks of another type than `encoding` wants.
    """
    start = {"type": "start", "sampling_rate": sampling_rate, "encoding": encoding}
    start |= {"endpoint_ms": endpoint_ms, "token": token}
    start = {name: value for name, value in start.items() if value is not None}
    final = None

    def heard(message):
        nonlocal final
        said = _said(url, message)
        if isinstance(said, ServerFinal):
            final = said
        elif said is not None:
            report(*said)

    def hear_what_came():
        while True:
            try:
                heard(socket.recv(timeout=0))
            except TimeoutError:
                return

    try:
        with connect(_address(url, "/v1/stream", "ws"), compression=None) as socket:
            try:
                socket.send(json.dumps(start))
                heard(socket.recv())
                for chunk in chunks:
                    socket.send(_encoded(chunk, encoding))
                    hear_what_came()
                sent = time.monotonic()
                socket.send(json.dumps({"type": "end"}))
                while final is None or not final.complete:  # an error says why it is not
                    heard(socket.recv())
            except ConnectionClosed:
                while True:  # what it said before it closed
                    heard(socket.recv())
    except (OSError, InvalidHandshake, ConnectionClosed) as error:
        raise ServerError(f"{url}: cannot be reached, or broke off: {error}", final) from error
    except ServerError as error:
        error.final = final
        raise
    return dataclasses.replace(final, delay=time.monotonic() - sent)


def _encoded(chunk, encoding):
    """The bytes of a chunk; floats cut to integers would be silence."""
    chunk = np.asarray(chunk)
    wanted = ENCODINGS[encoding]
    if chunk.dtype.kind != wanted.kind or (wanted.kind == "i" and chunk.dtype != np.int16):
        raise ValueError(
            f"chunks: expected {'int16' if wanted.kind == 'i' else 'floats'} for encoding "
            f"{encoding!r}, received {chunk.dtype}"
        )
    return chunk.astype(wanted).tobytes()


def _said(url, message):
    """Of a server's message: seconds and `Partial`, a `ServerFinal`, or None where it is neither.

    Raises:
        ServerError: where it is an error, or none of `keras-ds2 serve`'s messages.
    """
    try:
        fields = json.loads(message)
        kind = fields.pop("type")
        if kind == "error":
            fault = f"{url}: {fields['message']}"
        elif kind == "partial":
            return float(fields.pop("seconds")), Partial(**fields)
        elif kind == "final":
            words = tuple(Word(**word) for word in fields["words"])
            seconds, complete = float(fields["seconds"]), bool(fields["complete"])
            return ServerFinal(str(fields["text"]), words, seconds, complete)
        else:
            return None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ServerError(f"{url}: {_OTHER_KIND}: its messages are others") from error
    raise ServerError(fault)


def model_facts(url: str) -> dict:
    """What a server says of its model: `sampling_rate`, `streams`, `latency_ms` and others.

    Raises:
        ServerError: if it cannot be reached, refuses, or is another kind of server.
    """
    try:
        with urllib.request.urlopen(_address(url, "/v1/model", "http"), timeout=10) as answer:
            facts = json.loads(answer.read(_MOST_BYTES))
    except urllib.error.HTTPError as error:
        with error:
            raise ServerError(f"{url}: {_refusal(error)}") from error
    except (OSError, ValueError, RecursionError, http.client.HTTPException) as error:
        raise ServerError(f"{url}: cannot be reached, or is no keras-ds2 serve: {error}") from error
    rate = facts.get("sampling_rate") if isinstance(facts, dict) else None
    if not (isinstance(rate, int) and _LOWEST_RATE <= rate <= HIGHEST_RATE):
        raise ServerError(
            f"{url}: {_OTHER_KIND}: /v1/model states no sampling_rate from {_LOWEST_RATE} to "
            f"{HIGHEST_RATE} Hz"
        )
    return facts


def _refusal(error):
    """What the server says of an HTTP error, or the error."""
    try:
        return json.loads(error.read(_MOST_BYTES))["error"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError, http.client.HTTPException):
        return f"{_OTHER_KIND}: {error}"


def show_server_stream(
    url: str,
    source: str,
    console: Console,
    *,
    as_json: bool = False,
    realtime: bool = False,
    token: str | None = None,
    endpoint_ms: float | None = None,
) -> ServerFinal:
    """As `recognition.live.show_stream`, but a server recognises.

    Args:
        url: of the server.
        source: path of a recording, or `"-"` for raw int16 samples from standard input.
        console: shows it.
        as_json: print JSON objects.
        realtime: whether to send as slowly as it was spoken.
        token: the server's.
        endpoint_ms: see `stream_to_server`.

    Raises:
        ServerError, AudioError, ValueError: see `stream_to_server`, `show_stream`; what a server
            heard before it ended the stream is printed first.
    """
    rate = model_facts(url)["sampling_rate"]
    size = int(_PIECE_SECONDS * rate)
    if source == "-":
        encoding = "pcm16"
        chunks = piped_samples(sys.stdin.buffer, size)
    else:
        encoding = "float32"  # a float WAV and the lossy formats may go past full scale
        waveform = read_audio(source, rate)
        chunks = (waveform[place : place + size] for place in range(0, len(waveform), size))
    try:
        with shown_partials(console, as_json=as_json) as show:
            final = stream_to_server(
                url,
                _as_spoken(chunks, rate) if realtime else chunks,
                rate,
                encoding=encoding,
                report=show,
                token=token,
                endpoint_ms=endpoint_ms,
            )
    except ServerError as error:
        if error.final is not None:
            _print(error.final, as_json)
        raise
    _print(final, as_json)
    return final


def _print(final, as_json):
    print_final(final.text, final.words, final.seconds, as_json=as_json, complete=final.complete)


def _as_spoken(chunks, rate) -> Iterator[np.ndarray]:
    begin, spoken = time.monotonic(), 0.0
    for chunk in chunks:
        spoken += len(chunk) / rate
        time.sleep(max(0.0, begin + spoken - time.monotonic()))
        yield chunk


def _address(url, path, scheme):
    parts = urlsplit(url)
    known = {"http": "", "https": "s", "ws": "", "wss": "s"}
    if parts.scheme not in known or not parts.netloc:
        raise ServerError(f"{url}: expected a server's URL, such as http://127.0.0.1:8000")
    path = parts.path.rstrip("/") + path
    return urlunsplit((scheme + known[parts.scheme], parts.netloc, path, "", ""))
