"""Graphs that other programs run: plain operations in place of what only TensorFlow here can run.

Kernels ask here while they are traced. Values are the same but for rounding.
"""

import contextlib
import contextvars
from collections.abc import Iterator

import tensorflow as tf

_PORTABLE = contextvars.ContextVar("portable", default=False)
_FOURIER = contextvars.ContextVar("fourier", default=True)


@contextlib.contextmanager
def portable_ops(*, fourier_transform: bool) -> Iterator[None]:
    """What is traced inside has no kernel compiled by XLA, no gradient and no condition.

    Args:
        fourier_transform: whether what will run the graph has one, of any length; without, it is a
            product with the transform's matrix.
    """
    portable, fourier = _PORTABLE.set(True), _FOURIER.set(fourier_transform)
    try:
        yield
    finally:
        _FOURIER.reset(fourier)
        _PORTABLE.reset(portable)


def is_portable() -> bool:
    """Whether what is being traced is to be of plain operations."""
    return _PORTABLE.get()


def has_fourier_transform() -> bool:
    """Whether what is being traced may hold a Fourier transform."""
    return _FOURIER.get()


def of_shape(tensor, shape):
    """`tf.ensure_shape`; in portable graphs it is believed, since not every runtime can check."""
    if is_portable():
        tensor.set_shape(shape)
        return tensor
    return tf.ensure_shape(tensor, shape)
