"""The gated recurrent unit over whole sequences, compiled, its gradient by hand."""

import functools

import tensorflow as tf

from keras_ds2.ops.compiled import compiled, read, with_gradient
from keras_ds2.ops.packed_kernel import PackedKernel, product
from keras_ds2.ops.recurrence import (
    Layout,
    few_steps,
    in_directions,
    kernel_gradient,
    loop_over_steps,
    recur_in_blocks,
    recurrent_product,
    side_by_side,
    state_or_zeros,
    states_before,
)
from keras_ds2.portable import is_portable


def gru_recurrence(
    inputs,
    recurrent_kernels,
    mask=None,
    activation=tf.tanh,
    recurrent_activation=tf.sigmoid,
    initial_state=None,
):
    """The gated recurrent unit over input products that were computed beforehand.

    With the parts of `inputs` and of a kernel in Keras's order (update, reset, candidate):

        z = recurrent_activation(inputs_z[t] + h[t - 1] U_z)
        r = recurrent_activation(inputs_r[t] + h[t - 1] U_r)
        c = activation(inputs_c[t] + r * (h[t - 1] U_c))
        h[t] = z * h[t - 1] + (1 - z) * c

    which is `keras.layers.GRU` with `reset_after=True`. The second kernel's recurrence, if there is
    one, runs from the last step to the first. A masked step hands the state on.

    Args:
        inputs: float `(batch, time, 3 * units)`, with bias; finite at masked steps.
        recurrent_kernels: one or two float `(units, 3 * units)`.
        mask: bool `(batch, time)`, True = real step, or None.
        activation: function for the candidate.
        recurrent_activation: function for the gates. With any other pair than tanh and sigmoid the
            loop is not compiled and TensorFlow derives the gradient, which is slower.
        initial_state: float `(batch, units)`, state before the first step of the first recurrence;
            None for zeros.

    Returns:
        The states of each direction, a list of `(batch, time, units)`. The final state of the first
        is that of the last step.
    """
    initial_state = state_or_zeros(initial_state, inputs, 3)
    if is_portable():

        def few(*block):
            return gru_few_steps(*block, activation, recurrent_activation)

        return recur_in_blocks(few, inputs, recurrent_kernels, mask, initial_state)
    if (activation, recurrent_activation) != (tf.tanh, tf.sigmoid):
        return [
            _gru_of_any_activation(
                inputs, kernel, mask, activation, recurrent_activation, state, backwards
            )
            for kernel, state, backwards in in_directions(recurrent_kernels, initial_state)
        ]

    def recurrence(inputs, initial_state, mask, *kernels):
        layout = Layout(inputs, mask, gates=3)

        @with_gradient
        def run(inputs, initial_state, *kernels):
            turned_inputs = [layout.turn(part) for part in tf.split(inputs, 3, axis=-1)]
            directions = in_directions(kernels, initial_state)
            results = [
                _gru_forward(
                    turned_inputs,
                    layout.turn_kernel(kernel),
                    layout.real,
                    layout.turn_state(start),
                    layout.steps,
                    layout.turned,
                    backwards,
                )
                for kernel, start, backwards in directions
            ]
            output = [layout.turn_back(states) for states, *_ in results]

            def gradient(*upstream):
                input_gradients, kernel_gradients, start_gradients = [], [], []
                for part, (_, *gates), before, (kernel, _, backwards) in zip(
                    upstream, results, states_before(output, initial_state), directions, strict=True
                ):
                    parts, start_gradient = _gru_backward(
                        layout.turn(part),
                        layout.turn(before),
                        gates,
                        layout.turn_kernel(tf.transpose(kernel)),
                        layout.real,
                        layout.steps,
                        layout.turned,
                        backwards,
                    )
                    # The candidate's product passes the reset gate, its input does not.
                    to_product = [*parts[:2], parts[2] * gates[1]]
                    to_input, to_product = (
                        tf.concat([layout.turn_back(each) for each in three], axis=-1)
                        for three in (parts, to_product)
                    )
                    input_gradients.append(to_input)
                    kernel_gradients.append(kernel_gradient(before, to_product))
                    start_gradients.append(start_gradient)
                return (
                    tf.add_n(input_gradients),
                    layout.turn_state(start_gradients[0]),
                    *kernel_gradients,
                )

            return output, gradient

        return run(inputs, initial_state, *kernels)

    return side_by_side(recurrence, inputs, initial_state, mask, recurrent_kernels)


def gru_few_steps(inputs, kernel, mask, state, activation=tf.tanh, recurrent_activation=tf.sigmoid):
    """The first steps of `gru_recurrence` from a given state, unrolled, without a gradient.

    For streams: a handful of steps at a time, in place of a loop.

    Args:
        inputs: float `(batch, time, 3 * units)`, time known.
        kernel: float `(units, 3 * units)`; or a `PackedKernel` of such, and the batch known.
        mask: bool `(batch, time)`, True = real step.
        state: float `(batch, units)`.
        activation: function for the candidate.
        recurrent_activation: function for the gates.

    Returns:
        `(states, state)`: `(batch, time, units)` and the last of them.
    """
    run = _few_steps(activation, recurrent_activation, isinstance(kernel, PackedKernel))
    return run(inputs, kernel, mask, state)


@functools.cache
def _few_steps(activation, recurrent_activation, is_packed):
    def run(inputs, kernel, mask, state):
        def turn(given, real, state):
            parts = [2 * state.shape[-1], state.shape[-1]]
            x_gates, x_candidate = tf.split(given, parts, axis=-1)
            h_gates, h_candidate = tf.split(product(state, kernel), parts, axis=-1)
            update, reset = tf.split(recurrent_activation(x_gates + h_gates), 2, axis=-1)
            candidate = activation(x_candidate + reset * h_candidate)
            return tf.where(real, candidate + update * (state - candidate), state)

        return few_steps(turn, inputs, mask, state)

    return compiled(run) if is_packed else run


def _gru_of_any_activation(
    inputs, kernel, mask, activation, recurrent_activation, state, backwards
):
    steps = tf.shape(inputs)[1]

    def turn(k, state, collected):
        t = steps - 1 - k if backwards else k
        x_update, x_reset, x_candidate = tf.split(inputs[:, t], 3, axis=-1)
        h_update, h_reset, h_candidate = tf.split(tf.matmul(state, kernel), 3, axis=-1)
        update = recurrent_activation(x_update + h_update)
        reset = recurrent_activation(x_reset + h_reset)
        new = update * state + (1 - update) * activation(x_candidate + reset * h_candidate)
        if mask is not None:
            new = tf.where(mask[:, t, tf.newaxis], new, state)
        return k + 1, new, collected.write(t, new)

    collected = tf.TensorArray(inputs.dtype, steps, element_shape=state.shape)
    _, _, collected = tf.while_loop(lambda k, *_: k < steps, turn, (0, state, collected))
    return tf.transpose(collected.stack(), (1, 0, 2))


@compiled
def _gru_forward(inputs, kernel, real, initial, steps, turned, backwards):
    """States, update gates, reset gates, candidates and the products that these reset."""
    axis = 0 if turned else 1
    at = functools.partial(read, axis=axis)

    def body(t, state):
        products = tf.split(recurrent_product(state, kernel, turned), 3, axis=axis)
        update = tf.sigmoid(at(inputs[0], t) + products[0])
        reset = tf.sigmoid(at(inputs[1], t) + products[1])
        candidate = tf.tanh(at(inputs[2], t) + reset * products[2])
        new = update * state + (1 - update) * candidate
        if real is not None:
            new = tf.where(at(real, t) > 0, new, state)
        return new, [new, update, reset, candidate, products[2]]

    outputs = [tf.zeros_like(inputs[0])] * 5
    return loop_over_steps(body, steps, initial, outputs, axis, backwards)[1]


@compiled
def _gru_backward(upstream, before, gates, kernel, real, steps, turned, backwards):
    """Gradients of the three sums before their activations; of the initial state."""
    axis = 0 if turned else 1
    at = functools.partial(read, axis=axis)

    def body(t, gradient):
        total = at(upstream, t) + gradient
        old, update, reset, candidate, product = (at(part, t) for part in (before, *gates))
        new = total if real is None else tf.where(at(real, t) > 0, total, 0)
        to_update = new * (old - candidate) * update * (1 - update)
        to_candidate = new * (1 - update) * (1 - tf.square(candidate))
        to_reset = to_candidate * product * reset * (1 - reset)
        to_products = tf.concat([to_update, to_reset, to_candidate * reset], axis=axis)
        handed_on = new * update + recurrent_product(to_products, kernel, turned)
        if real is not None:
            handed_on += tf.where(at(real, t) > 0, tf.zeros_like(total), total)
        return handed_on, [to_update, to_reset, to_candidate]

    start = tf.zeros_like(at(upstream, 0))
    gradient, parts = loop_over_steps(
        body, steps, start, [tf.zeros_like(upstream)] * 3, axis, not backwards
    )
    return parts, gradient
