"""Recurrences over whole sequences, all directions in one loop.

Both take an input product computed beforehand for all steps, so that a loop's turn holds one
product with the recurrent weights and nothing else that could stand outside. Directions are an
axis: a bidirectional layer passes its second direction reversed in time.
"""

import tensorflow as tf


def clipped_relu_recurrence(inputs, recurrent_kernel, mask=None, max_value=20.0):
    """`h[t] = min(max(inputs[t] + h[t - 1] U, 0), max_value)`, with `h[-1] = 0`.

    A masked step hands its predecessor's state on. The gradient is written by hand: a second loop
    for the states, then one product for the recurrent weights.

    Args:
        inputs: float `(directions, batch, time, units)`, the input product with its bias. Masked
            steps must hold finite numbers.
        recurrent_kernel: float `(directions, units, units)`.
        mask: bool `(directions, batch, time)`, True = real step, or None.
        max_value: float > 0, the upper clip.

    Returns:
        The states, `(directions, batch, time, units)`; at a masked step the state handed on.
    """
    real = _as_number(mask, inputs)
    max_value = tf.constant(max_value, inputs.dtype)

    @tf.custom_gradient
    def recurrence(inputs, recurrent_kernel):
        states = _run(
            lambda h, x, m: m * _clip(x + tf.matmul(h, recurrent_kernel), max_value) + (1 - m) * h,
            tf.zeros_like(inputs[0]),
            inputs,
            real,
        )

        def gradient(upstream):
            # The clip passes a gradient where the state lies strictly between its ends. At a masked
            # step the state is a copy, so what passes there is decided by `real` alone.
            passes = real * tf.cast((states > 0) & (states < max_value), inputs.dtype)
            steps = tf.shape(inputs)[0]
            before = tf.concat([tf.zeros_like(states[:1]), states[:-1]], axis=0)
            collected = tf.TensorArray(inputs.dtype, steps, element_shape=inputs.shape[1:])

            def step(t, h_gradient, collected):
                total = upstream[t] + h_gradient
                x_gradient = total * passes[t]
                h_gradient = tf.matmul(x_gradient, recurrent_kernel, transpose_b=True)
                h_gradient += (1 - real[t]) * total
                return t - 1, h_gradient, collected.write(t, x_gradient)

            _, _, collected = tf.while_loop(
                lambda t, *_: t >= 0,
                step,
                (steps - 1, tf.zeros_like(inputs[0]), collected),
            )
            x_gradient = collected.stack()
            return x_gradient, tf.einsum("tdbi,tdbj->dij", before, x_gradient)

        return states, gradient

    # Time leads inside, so that each turn reads and writes one block of memory.
    states = recurrence(tf.transpose(inputs, (2, 0, 1, 3)), recurrent_kernel)
    return tf.transpose(states, (1, 2, 0, 3))


def gru_recurrence(
    inputs,
    recurrent_kernel,
    mask=None,
    activation=tf.tanh,
    recurrent_activation=tf.sigmoid,
):
    """The gated recurrent unit over input products that were computed beforehand.

    With the parts of `inputs` and `recurrent_kernel` in Keras's order (update, reset, candidate):

        z = recurrent_activation(inputs_z[t] + h[t - 1] U_z)
        r = recurrent_activation(inputs_r[t] + h[t - 1] U_r)
        c = activation(inputs_c[t] + r * (h[t - 1] U_c))
        h[t] = z * h[t - 1] + (1 - z) * c

    which is `keras.layers.GRU` with `reset_after=True`. A masked step hands the state on.

    Args:
        inputs: float `(directions, batch, time, 3 * units)`, with bias; finite at masked steps.
        recurrent_kernel: float `(directions, units, 3 * units)`.
        mask: bool `(directions, batch, time)`, True = real step, or None.
        activation: function for the candidate.
        recurrent_activation: function for the gates.

    Returns:
        The states, `(directions, batch, time, units)`; at a masked step the state handed on.
    """
    real = _as_number(mask, inputs)

    def step(h, x, m):
        x_update, x_reset, x_candidate = tf.split(x, 3, axis=-1)
        product = tf.matmul(h, recurrent_kernel)
        h_update, h_reset, h_candidate = tf.split(product, 3, axis=-1)
        update = recurrent_activation(x_update + h_update)
        reset = recurrent_activation(x_reset + h_reset)
        candidate = activation(x_candidate + reset * h_candidate)
        return m * (update * h + (1 - update) * candidate) + (1 - m) * h

    inputs = tf.transpose(inputs, (2, 0, 1, 3))
    units = recurrent_kernel.shape[1]
    states = _run(step, tf.zeros_like(inputs[0, :, :, :units]), inputs, real)
    return tf.transpose(states, (1, 2, 0, 3))


def _run(step, state, inputs, real):
    steps = tf.shape(inputs)[0]
    collected = tf.TensorArray(inputs.dtype, steps, element_shape=state.shape)

    def turn(t, state, collected):
        state = step(state, inputs[t], real[t])
        return t + 1, state, collected.write(t, state)

    _, _, collected = tf.while_loop(lambda t, *_: t < steps, turn, (0, state, collected))
    return collected.stack()


def _as_number(mask, inputs):
    """The mask `(directions, batch, time)` as 1 and 0, `(time, directions, batch, 1)`."""
    if mask is None:
        mask = tf.ones(tf.shape(inputs)[:3], tf.bool)
    # Not by tf.cast, which TensorFlow moves behind the transpose: on processors without AVX-512
    # oneDNN then complains, on standard error, of transposing a bool.
    number = tf.where(mask, tf.ones([], inputs.dtype), tf.zeros([], inputs.dtype))
    return tf.transpose(number, (2, 0, 1))[..., tf.newaxis]


def _clip(values, max_value):
    return tf.minimum(tf.maximum(values, 0), max_value)
