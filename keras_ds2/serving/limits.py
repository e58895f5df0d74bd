"""What a server bounds, so that no client can take it from the others."""

import dataclasses
import math


def _bound(default, meaning):
    return dataclasses.field(default=default, metadata={"meaning": meaning})


@dataclasses.dataclass(frozen=True)
class Limits:
    """Bounds of a server: finite numbers > 0.

    Each field's `metadata["meaning"]` says what it bounds.
    """

    max_batch: int = _bound(32, "streams computed at a time")
    max_sessions: int = _bound(64, "streams open at a time, those of files among them")
    max_session_seconds: float = _bound(900.0, "length of one stream, by its audio or the clock")
    max_waiting_seconds: float = _bound(
        5.0, "audio of one stream that waits to be computed; beyond it no more is read"
    )
    idle_seconds: float = _bound(30.0, "until a client that sends nothing is let go")
    send_seconds: float = _bound(10.0, "until a client that reads nothing is let go")
    max_messages_per_second: int = _bound(200, "messages of a connection; more wait to be read")
    max_message_bytes: int = _bound(2**20, "one message of a stream")
    max_files: int = _bound(8, "files that are sent, decoded or recognised at a time")
    max_file_bytes: int = _bound(2**25, "a file to transcribe")
    max_file_seconds: float = _bound(600.0, "audio in a file, checked before it is decoded")
    upload_seconds: float = _bound(120.0, "in which a file must have come")
    max_connections: int = _bound(1000, "connections of all kinds")
    grace_seconds: float = _bound(30.0, "in which sessions may end once the server is told to stop")

    def __post_init__(self):
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            is_bound = value > 0 and math.isfinite(value)
            if not is_bound or (field.type is int and value != int(value)):
                kind = "a whole number" if field.type is int else "a finite number"
                raise ValueError(f"{field.name}: expected {kind} > 0, received {value!r}")
