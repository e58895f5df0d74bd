"""Live recognition: state in, state out, chunk by chunk; samples to text as it settles."""

from keras_ds2.streaming.session import Final, Partial, StreamingSession, advance_sessions
from keras_ds2.streaming.step import END_UNKNOWN, StreamingError, StreamingStep, gather, scatter
from keras_ds2.streaming.words import Word

__all__ = [
    "END_UNKNOWN",
    "Final",
    "Partial",
    "StreamingError",
    "StreamingSession",
    "StreamingStep",
    "Word",
    "advance_sessions",
    "gather",
    "scatter",
]
