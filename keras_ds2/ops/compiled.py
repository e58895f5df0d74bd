"""What the kernels compiled by XLA share: few shapes, rows in loops, gradients by hand."""

import functools
import os

import tensorflow as tf
from tensorflow.compiler.tf2xla.ops import gen_xla_ops
from tensorflow.python.ops import control_flow_util

from keras_ds2.portable import is_portable
from keras_ds2.quiet import start_xla

_QUANTUM = 16
_MOST_LOOPS = 8


def compiled(function):
    """A `tf.function` compiled by XLA, once for each shape that it is called with."""
    kernel = tf.function(function, jit_compile=True, autograph=False)

    @functools.wraps(function)
    def run(*arguments):
        start_xla()
        return kernel(*arguments)

    return run


def in_xla():
    """Whether what is being traced will be compiled by XLA as a whole."""
    return control_flow_util.GraphOrParentsInXlaContext(tf.compat.v1.get_default_graph())


def has_gpu():
    """Whether TensorFlow sees a GPU: what is faster differs from processors."""
    return bool(tf.config.list_logical_devices("GPU"))


def loops_side_by_side():
    """How many compiled loops, each of which keeps one core busy, are best run at a time."""
    return 1 if in_xla() or has_gpu() else min(os.cpu_count() or 1, _MOST_LOOPS)


def with_gradient(function):
    """`tf.custom_gradient` that a tape outside a `tf.function` does not look into.

    In portable graphs there is none.
    """

    @tf.custom_gradient
    def unseen(*arguments):
        return function(*map(tf.stop_gradient, arguments))

    if is_portable():
        return lambda *arguments: function(*arguments)[0]
    return unseen


def rounded_up(width):
    """The next width of a short list: multiples of 16, from 256 on an eighth of a power of two.

    Kernels pad to it, since XLA compiles once for every shape.

    Args:
        width: int32 scalar tensor or int.

    Returns:
        int32 scalar: from `width` to `width + 15`, or at most an eighth more.
    """
    width = tf.maximum(width, 1)
    step = tf.constant(_QUANTUM)
    for power in range(8, 20):
        step = tf.where(width > 2**power, 2 ** (power - 3), step)
    return (width + step - 1) // step * step


def read(rows, index, axis):
    """The row at `index` of `axis`, which must be in range, inside a compiled loop.

    Faster there than `rows[index]`, which also asks whether the index is negative.
    """
    sizes = tf.unstack(tf.shape(rows))
    sizes[axis] = 1
    row = gen_xla_ops.xla_dynamic_slice(rows, _starts(rows, index, axis), tf.stack(sizes))
    return tf.squeeze(tf.ensure_shape(row, [None] * len(sizes)), axis)


def write(rows, index, row, axis):
    """`rows` with `row` at `index` of `axis`: in place, inside a compiled loop."""
    return gen_xla_ops.xla_dynamic_update_slice(
        rows, tf.expand_dims(row, axis), _starts(rows, index, axis)
    )


def _starts(rows, index, axis):
    starts = [0] * len(rows.shape)
    starts[axis] = index
    return tf.stack(starts)
