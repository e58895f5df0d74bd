"""Weights in 16 bits, for products with a few rows: what takes the time there is to read them."""

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from keras_ds2.ops.compiled import has_gpu
from keras_ds2.portable import is_portable

_LARGEST = 2**15 - 1
_UNROLLED = 4  # rows of a kernel that a turn of the loop takes in
# A kernel of more bytes, in float32, is not kept in a processor's second-level cache.
_CACHED = 8 * 2**20
_MOST_ROWS = 8


class PackedKernel(NamedTuple):
    """A kernel in whole numbers of 16 bits, each column in units of its own.

    No entry is further from the kernel's than half a unit, 1 / 65534 of its column's largest.

    Attributes:
        values: int16 `(rows, columns)`, filled up with rows of zeros to a multiple of four.
        units: float32 `(columns,)`, > 0.
    """

    values: tf.Tensor
    units: tf.Tensor


def pack_kernel(kernel) -> PackedKernel:
    """Rounds a float kernel `(rows, columns)` to 16 bits.

    Raises:
        ValueError: if it holds what is not finite.
    """
    kernel = np.asarray(kernel, np.float32)
    if not np.isfinite(kernel).all():
        raise ValueError("kernel: expected finite weights")
    largest = np.abs(kernel).max(axis=0, initial=0.0)
    # Of a column of zeros, or of numbers next to nothing, the unit stays above zero.
    units = np.maximum(largest / _LARGEST, np.finfo(np.float32).tiny).astype(np.float32)
    values = np.clip(np.rint(kernel / units), -_LARGEST, _LARGEST).astype(np.int16)
    values = np.pad(values, [(0, -len(values) % _UNROLLED), (0, 0)])
    return PackedKernel(tf.constant(values), tf.constant(units))


def is_packed_faster(rows: int, kernel_shape: tuple[int, int]) -> bool:
    """Whether a product of so many rows with a packed kernel beats one with the kernel itself.

    On processors, as measured there: of one row, and of a few with a kernel too large for the
    cache.
    """
    if is_portable() or has_gpu():
        return False
    return rows <= (_MOST_ROWS if 4 * np.prod(kernel_shape) > _CACHED else 1)


def product(inputs, kernel):
    """`inputs kernel`, where the kernel may be packed.

    A packed one becomes floats a few rows at a time, inside a function compiled by XLA; elsewhere
    it would be slow.

    Args:
        inputs: float32 `(rows, features)`, both known.
        kernel: float32 `(features, columns)`, or `PackedKernel`.

    Returns:
        float32 `(rows, columns)`.
    """
    if not isinstance(kernel, PackedKernel):
        return tf.matmul(inputs, kernel)
    features, columns = kernel.values.shape
    rows = inputs.shape[0]
    inputs = tf.pad(inputs, [[0, 0], [0, features - inputs.shape[1]]])

    def turn(first, total):
        for index in range(_UNROLLED):
            row = tf.slice(kernel.values, [first + index, 0], [1, columns])
            total += tf.slice(inputs, [0, first + index], [rows, 1]) * tf.cast(row, tf.float32)
        return first + _UNROLLED, total

    start = 0, tf.zeros((rows, columns))
    _, total = tf.while_loop(lambda first, _: first < features, turn, start)
    return total * kernel.units
