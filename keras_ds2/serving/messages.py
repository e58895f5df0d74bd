"""The messages of `/v1/stream`: what a client may say, what it is told."""

import dataclasses
import json

import numpy as np

from keras_ds2.streaming import Final, Partial, Word

ENCODINGS = {"pcm16": np.dtype("<i2"), "float32": np.dtype("<f4")}
"""Name to type of a sample; both little endian, one channel."""

# RFC 6455, section 7.4.1, and the registry of close codes it began.
NORMAL, UNSUPPORTED, INVALID, POLICY, TOO_BIG = 1000, 1003, 1007, 1008, 1009
INTERNAL, RESTART, TRY_LATER = 1011, 1012, 1013

_LONGEST_REASON = 123  # bytes of UTF-8 that a close frame holds


class Refusal(Exception):
    """Why a client is let go: the close code, and a message for it.

    Args:
        code: of the WebSocket's close frame.
        message: what was expected, what was received.
        logged: the message without the client's own words, for the log; None where it has none.
    """

    def __init__(self, code: int, message: str, logged: str | None = None):
        super().__init__(message)
        self.code = code
        self.logged = message if logged is None else logged

    @property
    def reason(self) -> str:
        """The message, as long as a close frame takes it."""
        return str(self).encode()[:_LONGEST_REASON].decode(errors="ignore")


@dataclasses.dataclass(frozen=True)
class Start:
    """The first message of a client.

    Attributes:
        encoding: key of `ENCODINGS`.
        endpoint_ms: None for the session's own.
        token: None where it sent none.
    """

    encoding: str
    endpoint_ms: float | None
    token: str | None


def read_start(text: str | None, sampling_rate: int) -> Start:
    """Reads the first message.

    Args:
        text: received; None where it was no text.
        sampling_rate: the model's.

    Raises:
        Refusal: if it is anything else than a start that this model can serve.
    """
    fields = _read_object(text, 'expected {"type": "start", "sampling_rate": ..., ...} first')
    if fields.pop("type", None) != "start":
        raise Refusal(INVALID, 'type: expected "start" in the first message')
    rate = fields.pop("sampling_rate", None)
    if rate != sampling_rate or isinstance(rate, bool):
        raise _refusal(
            UNSUPPORTED,
            f"sampling_rate: expected the model's {sampling_rate} Hz",
            rate,
            "; resample before sending",
        )
    encoding = fields.pop("encoding", None)
    if not isinstance(encoding, str) or encoding not in ENCODINGS:
        raise _refusal(UNSUPPORTED, f"encoding: expected {' or '.join(ENCODINGS)}", encoding)
    endpoint = fields.pop("endpoint_ms", None)
    if endpoint is not None and not (
        isinstance(endpoint, int | float) and not isinstance(endpoint, bool) and 0 < endpoint < 1e9
    ):
        raise _refusal(INVALID, "endpoint_ms: expected ms > 0", endpoint)
    token = fields.pop("token", None)
    if token is not None and not isinstance(token, str):
        raise Refusal(INVALID, "token: expected a string")
    if fields:
        why = "unknown key; expected type, sampling_rate, encoding, endpoint_ms, token"
        raise Refusal(INVALID, f"{_short(next(iter(fields)))}: {why}", logged=why)
    return Start(encoding, endpoint, token)


def read_end(text: str) -> None:
    """Makes sure that a message amid audio says that no more comes.

    Raises:
        Refusal: if it says anything else.
    """
    expected = 'expected audio in binary messages, then {"type": "end"}'
    if _read_object(text, expected) != {"type": "end"}:
        raise Refusal(INVALID, expected)


def read_samples(content: bytes, encoding: str) -> np.ndarray:
    """Samples of a binary message.

    Raises:
        Refusal: if it holds no whole number of them.
    """
    dtype = ENCODINGS[encoding]
    if len(content) % dtype.itemsize:
        raise Refusal(
            INVALID,
            f"audio: expected whole {encoding} samples of {dtype.itemsize} bytes, received "
            f"{len(content)} bytes",
        )
    return np.frombuffer(content, dtype).astype(dtype.newbyteorder("="))


def ready_message(sampling_rate: int, latency_ms: float, max_seconds: float) -> str:
    """What a client is told once it may send."""
    return _write(
        type="ready",
        sampling_rate=sampling_rate,
        latency_ms=round(latency_ms, 3),
        max_seconds=max_seconds,
    )


def partial_message(partial: Partial, seconds: float) -> str:
    """What has been understood of the first `seconds`."""
    return _write(type="partial", seconds=round(seconds, 3), **dataclasses.asdict(partial))


def final_message(final: Final, complete: bool = True) -> str:
    """The whole text.

    Args:
        final: of the session.
        complete: whether the client said itself that this is the end.
    """
    return _write(
        type="final",
        text=final.text,
        seconds=round(final.seconds, 3),
        complete=complete,
        words=word_rows(final.words),
    )


def error_message(refusal: Refusal) -> str:
    """What a client is told before it is let go."""
    return _write(type="error", code=refusal.code, message=str(refusal))


def word_rows(words: tuple[Word, ...] | list[Word]) -> list[dict]:
    """Words as JSON objects."""
    return [{**dataclasses.asdict(word), "confidence": round(word.confidence, 4)} for word in words]


def _write(**fields):
    return json.dumps(fields, ensure_ascii=False)


def _read_object(text, expected):
    if text is None:
        raise Refusal(INVALID, f"{expected}, received binary")
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise _refusal(INVALID, expected, text)
    return found


def _refusal(code, expected, received, remedy=""):
    return Refusal(code, f"{expected}, received {_short(received)}{remedy}", expected + remedy)


def _short(value):
    text = json.dumps(value, ensure_ascii=True) if not isinstance(value, str) else repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
