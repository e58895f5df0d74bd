"""The server's description in OpenAPI 3.1, at `/openapi.json`."""

from keras_ds2.serving.limits import Limits
from keras_ds2.serving.messages import ENCODINGS
from keras_ds2.version import __version__

_WORD = {
    "type": "object",
    "required": ["text", "start_ms", "end_ms", "confidence"],
    "properties": {
        "text": {"type": "string"},
        "start_ms": {"type": "number"},
        "end_ms": {"type": "number"},
        "confidence": {"type": "number", "minimum": 0, "maximum": 1},
    },
}
_WORDS = {"type": "array", "items": {"$ref": "#/components/schemas/Word"}}
_STREAM = """\
A WebSocket; OpenAPI has no words for what follows, so here it is. The client sends a `Start`
as text, then samples in binary messages of any length, then `End` as text. The server sends
`Ready`, then a `Partial` whenever there is something new, then `Final`, and closes with 1000.
In place of any of these it may send an `Error` and close with its code: 1003 for what this
model cannot do (another sampling rate or encoding, a model that does not stream), 1007 for
messages that are wrong, 1008 for a wrong token, silence or too long a stream, 1009 for too
long a message, 1011 for a fault of the server, 1012 when it stops, 1013 when it is full.
Silence, length and stopping still give a `Final` of what was heard, with `complete` false. A
browser's page must come from this server."""

_FORBIDDEN = (
    "A page of another origin asks; or a server of this machine alone, without a token, is asked "
    "for by a name that is not loopback's."
)


def openapi_description(limits: Limits) -> dict:
    """The whole document.

    Args:
        limits: of the server; those that a client meets are told.
    """
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "keras_ds2",
            "version": __version__,
            "description": "Speech to text. Where the server was given a token, a client brings it "
            "as `Authorization: Bearer`, or in the first message of a stream.",
        },
        "paths": {
            "/v1/stream": {
                "get": {
                    "summary": "Live speech to text",
                    "description": _STREAM.replace("\n", " "),
                    "responses": {
                        "101": {"description": "The protocol changes to WebSocket."},
                        "403": {"description": _FORBIDDEN},
                    },
                }
            },
            "/v1/transcribe": {
                "post": {
                    "summary": "The text of a file",
                    "description": "The body is a WAV, FLAC, MP3 or Ogg Vorbis file of any rate, "
                    f"of at most {limits.max_file_bytes} bytes and {limits.max_file_seconds:g} s.",
                    "security": [{}, {"token": []}],
                    "requestBody": {
                        "required": True,
                        "content": {"application/octet-stream": {}},
                    },
                    "responses": {
                        "200": _json("What was recognised.", "Transcript"),
                        "401": _json("Without the token.", "Fault"),
                        "403": _json(_FORBIDDEN, "Fault"),
                        "408": _json("The body took too long.", "Fault"),
                        "413": _json("Too many bytes, or too many seconds.", "Fault"),
                        "422": _json("No audio that can be read; the message says why.", "Fault"),
                        "500": _json("A fault of the server.", "Fault"),
                        "503": _json("The server is full, or stopping.", "Fault"),
                    },
                }
            },
            "/v1/model": {"get": _simple("What the model hears and whether it streams.", "Model")},
            "/healthz": {
                "get": {
                    "summary": "Whether the server takes clients",
                    "responses": {
                        "200": {"description": "It does."},
                        "503": {"description": "It is stopping."},
                    },
                }
            },
            "/metrics": {
                "get": {
                    "summary": "Figures for Prometheus",
                    "security": [{}, {"token": []}],
                    "responses": {
                        "200": {
                            "description": "In its text format.",
                            "content": {"text/plain": {}},
                        },
                        "401": _json("Without the token.", "Fault"),
                    },
                }
            },
            "/openapi.json": {
                "get": {
                    "summary": "This document",
                    "responses": {"200": {"description": "OpenAPI 3.1."}},
                }
            },
            "/": {
                "get": {
                    "summary": "A page to try it",
                    "responses": {"200": {"description": "HTML.", "content": {"text/html": {}}}},
                }
            },
        },
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "schemas": _schemas(limits),
        },
    }


def _schemas(limits):
    text, number, yes_or_no = {"type": "string"}, {"type": "number"}, {"type": "boolean"}
    return {
        "Word": _WORD,
        "Transcript": _object(text=text, seconds=number, log_prob=number, words=_WORDS),
        "Fault": _object(error=text),
        "Model": _object(
            sampling_rate={"type": "integer"},
            streams=yes_or_no,
            why_not=text,
            latency_ms={"type": ["number", "null"]},
            needs_token=yes_or_no,
            max_session_seconds=number,
            max_file_seconds=number,
        ),
        "Start": _object(
            optional=("endpoint_ms", "token"),
            type={"const": "start"},
            sampling_rate={"type": "integer", "description": "The model's, in Hz."},
            encoding={"enum": list(ENCODINGS), "description": "Little endian, one channel."},
            endpoint_ms={"type": "number", "exclusiveMinimum": 0},
            token=text,
        ),
        "End": _object(type={"const": "end"}),
        "Ready": _object(
            type={"const": "ready"}, sampling_rate=number, latency_ms=number, max_seconds=number
        ),
        "Partial": _object(
            type={"const": "partial"},
            seconds={"type": "number", "description": "Audio that was computed."},
            stable={"type": "string", "description": "Stays as it is."},
            tentative={"type": "string", "description": "Follows it, and may change."},
            endpoint={"type": "boolean", "description": "Speech, and then silence."},
        ),
        "Final": _object(
            type={"const": "final"}, text=text, seconds=number, complete=yes_or_no, words=_WORDS
        ),
        "Error": _object(type={"const": "error"}, code={"type": "integer"}, message=text),
    }


def _object(optional=(), **properties):
    required = [name for name in properties if name not in optional]
    return {"type": "object", "required": required, "properties": properties}


def _json(description, schema):
    content = {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}}
    return {"description": description, "content": content}


def _simple(summary, schema):
    return {"summary": summary, "responses": {"200": _json(summary, schema)}}
