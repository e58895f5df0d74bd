"""A 2-D convolution whose gradients are convolutions too, as fast as its forward pass."""

import tensorflow as tf

from keras_ds2.ops.compiled import has_gpu, with_gradient


def conv2d(inputs, kernel, strides=(1, 1), padding=((0, 0), (0, 0))):
    """`tf.nn.conv2d` with explicit padding, and on processors a backward pass of its own.

    On processors TensorFlow's gradients of a convolution are far slower than its forward pass
    (`python -m benchmarks.convolution`). Both are forward convolutions in disguise, and are run as
    such here. Where there is a GPU, TensorFlow's gradients, cuDNN's, are kept. Inside a
    `tf.function` the gradient of the inputs is computed only where something asks for it.

    Args:
        inputs: float `(batch, time, bins, channels)`.
        kernel: float `(time, bins, channels, filters)`.
        strides: pair of ints, `(time, bins)`.
        padding: two pairs of ints, the zeros before and after in time and in bins.

    Returns:
        `(batch, steps, bins after striding, filters)`.
    """
    strides, padding = tuple(strides), [list(pair) for pair in padding]

    def convolve(inputs, kernel):
        return tf.nn.conv2d(inputs, kernel, strides, [[0, 0], *padding, [0, 0]])

    if has_gpu():
        return convolve(inputs, kernel)

    @with_gradient
    def convolution(inputs, kernel):
        def gradient(upstream):
            return (
                _input_gradient(upstream, kernel, tf.shape(inputs), strides, padding),
                _kernel_gradient(upstream, inputs, kernel.shape, strides, padding),
            )

        return convolve(inputs, kernel), gradient

    return convolution(inputs, kernel)


def _kernel_gradient(upstream, inputs, kernel_shape, strides, padding):
    """`dW[i, j] = sum over t, f of x[t * stride + i, f * stride + j] dy[t, f]`.

    A convolution of the inputs, their channels as batch, with `upstream` as the kernel, over which
    batch is summed as channels are; the strides spread that kernel out.
    """
    padded = tf.pad(inputs, [[0, 0], *padding, [0, 0]])
    gradient = tf.nn.conv2d(
        tf.transpose(padded, (3, 1, 2, 0)),
        tf.transpose(upstream, (1, 2, 0, 3)),
        strides=1,
        padding="VALID",
        dilations=strides,
    )
    # Where the last stride does not reach the end of the inputs there are lags beyond the kernel.
    gradient = gradient[:, : kernel_shape[0], : kernel_shape[1]]
    return tf.ensure_shape(tf.transpose(gradient, (1, 2, 0, 3)), kernel_shape)


def _input_gradient(upstream, kernel, input_shape, strides, padding):
    """Convolves `upstream` with the flipped kernel, once for each phase of the strides.

    Padded input `stride * q + phase` met the kernel's entries `phase, phase + stride, ...` alone,
    so each phase is a convolution with those, and the phases are interleaved.
    """
    # Phases of the padded inputs: how many of each are needed to cover what is not padding.
    counts = [
        (input_shape[1 + axis] + padding[axis][0] + strides[axis] - 1) // strides[axis]
        for axis in (0, 1)
    ]
    batch, channels = tf.shape(upstream)[0], kernel.shape[2]
    phases = []
    for time_phase in range(strides[0]):
        for bin_phase in range(strides[1]):
            part = kernel[time_phase :: strides[0], bin_phase :: strides[1]]
            if 0 in part.shape[:2]:  # a stride beyond the kernel: inputs that nothing reads
                phases.append(tf.zeros((batch, *counts, channels), upstream.dtype))
                continue
            part = tf.transpose(part[::-1, ::-1], (0, 1, 3, 2))
            widths = [
                (size - 1, tf.maximum(counts[axis] - tf.shape(upstream)[1 + axis], 0))
                for axis, size in enumerate(part.shape[:2])
            ]
            phase = tf.nn.conv2d(
                tf.pad(upstream, [[0, 0], *widths, [0, 0]]), part, strides=1, padding="VALID"
            )
            phases.append(phase[:, : counts[0], : counts[1]])
    full = _interleave(phases, strides)
    (top, _), (left, _) = padding
    return full[:, top : top + input_shape[1], left : left + input_shape[2]]


def _interleave(phases, strides):
    """One tensor `(batch, time, bins, channels)` of its phases, those of bins running fastest."""
    if len(phases) == 1:
        return phases[0]
    batch, counts_time, counts_bins, channels = tf.unstack(tf.shape(phases[0]))
    grid = tf.reshape(
        tf.stack(phases, axis=3), (batch, counts_time, counts_bins, *strides, channels)
    )
    return tf.reshape(
        tf.transpose(grid, (0, 1, 3, 2, 4, 5)),
        (batch, counts_time * strides[0], counts_bins * strides[1], channels),
    )
