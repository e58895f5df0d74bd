"""Batch normalisation and the clip, each a few passes over memory, gradients by hand.

XLA fuses what goes element by element; the sums, which it is slow at on processors, are
TensorFlow's.
"""

import tensorflow as tf

from keras_ds2.ops.compiled import compiled, with_gradient
from keras_ds2.ops.replicas import sum_over_replicas


def batch_normalize(values, mask, gamma, beta, epsilon):
    """Normalises each feature by its moments over the real steps of all replicas' rows.

    Args:
        values: float32 `(batch, time, ..., features)`.
        mask: bool `(batch, time)`, True = real step, or None.
        gamma: float32 `(features,)`.
        beta: float32 `(features,)`.
        epsilon: float, added to the variance.

    Returns:
        `(output, mean, variance, count)`: as `values`, zero at masked steps; the moments, float32
        `(features,)`, and the number that they are taken over, float32 scalar. Gradients go through
        `output` alone.
    """
    axes = list(range(len(values.shape) - 1))
    shape = tf.cast(tf.shape(values), tf.float32)
    if mask is None:
        count = tf.reduce_prod(shape[:-1])
    else:
        count = tf.reduce_sum(tf.cast(mask, tf.float32)) * tf.reduce_prod(shape[2:-1])
        mask = tf.reshape(mask, tf.concat([tf.shape(mask), [1] * (len(axes) - 1)], axis=0))

    def total(tensor):
        return tf.reduce_sum(tensor, axes)

    def real(tensor):
        return tensor if mask is None else _real(tensor, mask)

    @with_gradient
    def normalized(values, gamma, beta):
        sums, number = sum_over_replicas([total(real(values)), count])
        divisor = tf.maximum(number, 1.0)
        mean = sums / divisor
        variance = sum_over_replicas([total(_squares(values, mask, mean))])[0] / divisor
        scale = tf.math.rsqrt(variance + epsilon)

        def gradient(upstream, *_):
            to_beta = total(real(upstream))
            to_gamma = total(_products(values, upstream, mask, mean)) * scale
            # The moments depend on every value of every replica.
            mean_shift, mean_scaled = (
                part / divisor for part in sum_over_replicas([to_beta, to_gamma])
            )
            to_values = _value_gradient(
                values,
                upstream,
                mask,
                gamma * scale,
                gamma * scale * (mean_shift - mean_scaled * scale * mean),
                gamma * scale * mean_scaled * scale,
            )
            return to_values, to_gamma, to_beta

        factor = scale * gamma
        output = _scaled(values, mask, factor, beta - mean * factor)
        return (output, mean, variance, number), gradient

    output, *moments = normalized(values, gamma, beta)
    return tf.ensure_shape(output, values.shape), *map(tf.stop_gradient, moments)


def clip(values, max_value):
    """`min(max(values, 0), max_value)`; the gradient passes strictly between.

    Args:
        values: float, any shape.
        max_value: float > 0.
    """

    @with_gradient
    def clipped(values):
        output = _clip(values, max_value)

        def gradient(upstream):
            return _clip_gradient(output, upstream, max_value)

        return output, gradient

    return tf.ensure_shape(clipped(values), values.shape)


def _where(mask, values):
    return values if mask is None else tf.where(mask, values, tf.zeros_like(values))


@compiled
def _real(values, mask):
    return _where(mask, values)


@compiled
def _squares(values, mask, mean):
    return tf.square(_where(mask, values - mean))


@compiled
def _products(values, upstream, mask, mean):
    return _where(mask, (values - mean) * upstream)


@compiled
def _scaled(values, mask, factor, shift):
    return _where(mask, values * factor + shift)


@compiled
def _value_gradient(values, upstream, mask, factor, shift, slope):
    return _where(mask, upstream * factor - shift - values * slope)


@compiled
def _clip(values, max_value):
    return tf.minimum(tf.maximum(values, 0), tf.cast(max_value, values.dtype))


@compiled
def _clip_gradient(output, upstream, max_value):
    passes = (output > 0) & (output < tf.cast(max_value, output.dtype))
    return tf.where(passes, upstream, tf.zeros_like(upstream))
