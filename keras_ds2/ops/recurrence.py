"""Recurrences over whole sequences, compiled, gradients by hand.

The input product is computed beforehand for all steps and shared by the directions, so that a
loop's turn holds the product with the recurrent weights and one pass over the state. The gradient
is a second loop for the states, and then one product for the recurrent weights. The two directions
run side by side, each a loop of its own; a single direction runs as two halves of the batch: a
product with a narrow state keeps one core busy, not two.
"""

import functools

import tensorflow as tf

from keras_ds2.ops.compiled import (
    compiled,
    loops_side_by_side,
    read,
    rounded_up,
    with_gradient,
    write,
)

# Above this width the loops run on arrays `(time, units, batch)`: a product of a weight too large
# for the cache with a narrow state is faster where the weight stands left.
_WIDEST_UNTURNED = 512


def clipped_relu_recurrence(
    inputs, recurrent_kernels, mask=None, max_value=20.0, initial_state=None
):
    """`h[t] = min(max(inputs[t] + h[t - 1] U, 0), max_value)`.

    The first kernel's recurrence runs from the first step to the last, the second's, if there is
    one, from the last to the first. A masked step hands the state on.

    Args:
        inputs: float `(batch, time, units)`, the input product with its bias. Masked steps must
            hold finite numbers.
        recurrent_kernels: one or two float `(units, units)`.
        mask: bool `(batch, time)`, True = real step, or None.
        max_value: float > 0, the upper clip.
        initial_state: float `(batch, units)`, state before the first step of the first recurrence;
            None for zeros.

    Returns:
        The states of each direction, a list of `(batch, time, units)`. The final state of the first
        is that of the last step.
    """
    max_value = tf.constant(max_value, inputs.dtype)

    def recurrence(inputs, initial_state, mask, *kernels):
        layout = _Layout(inputs, mask)

        @with_gradient
        def run(inputs, initial_state, *kernels):
            turned_inputs = layout.turn(inputs)
            states = [
                _clipped_relu_forward(
                    turned_inputs,
                    layout.turn_kernel(kernel),
                    layout.real,
                    layout.turn_state(start),
                    max_value,
                    layout.steps,
                    layout.turned,
                    backwards,
                )
                for kernel, start, backwards in zip(
                    kernels, _starts(initial_state), (False, True), strict=False
                )
            ]
            output = [layout.turn_back(part) for part in states]

            def gradient(*upstream):
                input_gradients, start_gradients = zip(
                    *[
                        _clipped_relu_backward(
                            layout.turn(part),
                            part_states,
                            layout.turn_kernel(tf.transpose(kernel)),
                            layout.real,
                            max_value,
                            layout.steps,
                            layout.turned,
                            backwards,
                        )
                        for part, part_states, kernel, backwards in zip(
                            upstream, states, kernels, (False, True), strict=False
                        )
                    ],
                    strict=True,
                )
                input_gradients = [layout.turn_back(part) for part in input_gradients]
                return (
                    tf.add_n(input_gradients),
                    layout.turn_state(start_gradients[0]),
                    *map(_kernel_gradient, _before(output, initial_state), input_gradients),
                )

            return output, gradient

        return run(inputs, initial_state, *kernels)

    initial_state = _state_or_zeros(initial_state, inputs, 1)
    return _side_by_side(recurrence, inputs, initial_state, mask, recurrent_kernels)


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
    initial_state = _state_or_zeros(initial_state, inputs, 3)
    if (activation, recurrent_activation) != (tf.tanh, tf.sigmoid):
        return [
            _gru_of_any_activation(
                inputs, kernel, mask, activation, recurrent_activation, state, backwards
            )
            for kernel, state, backwards in zip(
                recurrent_kernels, _starts(initial_state), (False, True), strict=False
            )
        ]

    def recurrence(inputs, initial_state, mask, *kernels):
        layout = _Layout(inputs, mask, gates=3)

        @with_gradient
        def run(inputs, initial_state, *kernels):
            turned_inputs = [layout.turn(part) for part in tf.split(inputs, 3, axis=-1)]
            directions = [
                _gru_forward(
                    turned_inputs,
                    layout.turn_kernel(kernel),
                    layout.real,
                    layout.turn_state(start),
                    layout.steps,
                    layout.turned,
                    backwards,
                )
                for kernel, start, backwards in zip(
                    kernels, _starts(initial_state), (False, True), strict=False
                )
            ]
            output = [layout.turn_back(states) for states, *_ in directions]

            def gradient(*upstream):
                input_gradients, kernel_gradients, start_gradients = [], [], []
                for part, (_, *gates), kernel, before, backwards in zip(
                    upstream,
                    directions,
                    kernels,
                    _before(output, initial_state),
                    (False, True),
                    strict=False,
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
                    kernel_gradients.append(_kernel_gradient(before, to_product))
                    start_gradients.append(start_gradient)
                return (
                    tf.add_n(input_gradients),
                    layout.turn_state(start_gradients[0]),
                    *kernel_gradients,
                )

            return output, gradient

        return run(inputs, initial_state, *kernels)

    return _side_by_side(recurrence, inputs, initial_state, mask, recurrent_kernels)


def _side_by_side(recurrence, inputs, initial_state, mask, kernels):
    """Runs a recurrence of one direction as two halves of the batch, where there are two cores."""
    if len(kernels) > 1 or loops_side_by_side() == 1:
        directions = recurrence(inputs, initial_state, mask, *kernels)
    else:
        half = (tf.shape(inputs)[0] + 1) // 2
        halves = [
            recurrence(
                inputs[part], initial_state[part], None if mask is None else mask[part], *kernels
            )
            for part in (slice(None, half), slice(half, None))
        ]
        directions = [tf.concat(parts, axis=0) for parts in zip(*halves, strict=True)]
    shape = (*inputs.shape[:2], initial_state.shape[-1])
    return [tf.ensure_shape(states, shape) for states in directions]


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


def _state_or_zeros(initial_state, inputs, gates):
    if initial_state is not None:
        return initial_state
    return tf.zeros((tf.shape(inputs)[0], inputs.shape[-1] // gates), inputs.dtype)


class _Layout:
    """How arrays lie inside the loops: as they come, or turned, `(time, units, batch)`, if wide."""

    def __init__(self, inputs, mask, gates=1):
        self.units = inputs.shape[-1] // gates
        self.turned = self.units > _WIDEST_UNTURNED
        self.steps = tf.shape(inputs)[1]
        self._padding = rounded_up(self.steps) - self.steps
        self.real = None
        if mask is not None:
            # Not by tf.cast, which TensorFlow moves behind the transpose: on processors without
            # AVX-512 oneDNN then complains, on standard error, of transposing a bool.
            number = tf.where(mask, tf.ones([], inputs.dtype), tf.zeros([], inputs.dtype))
            self.real = self.turn(number[..., tf.newaxis])

    def turn(self, values):
        """From `(batch, time, units)` to the loop's layout."""
        values = tf.pad(values, [[0, 0], [0, self._padding], [0, 0]])
        return tf.transpose(values, (1, 2, 0)) if self.turned else values

    def turn_back(self, values):
        """From the loop's layout to `(batch, time, units)`."""
        values = tf.transpose(values, (2, 0, 1)) if self.turned else values
        return values[:, : self.steps]

    def turn_state(self, state):
        """`(batch, units)` to the loop's layout, or back."""
        return tf.transpose(state) if self.turned else state

    def turn_kernel(self, kernel):
        """A kernel as `_product` wants it."""
        return tf.transpose(kernel) if self.turned else kernel


def _before(states, initial_state):
    """The state that each step of each direction started from, `(batch, time, units)` each."""
    initial = initial_state[:, tf.newaxis]
    shifted = [tf.concat([initial, states[0][:, :-1]], axis=1)]
    for part in states[1:]:
        shifted.append(tf.concat([part[:, 1:], tf.zeros_like(initial)], axis=1))
    return shifted


def _kernel_gradient(before, product_gradient):
    """`before^T product_gradient` over all steps of all rows."""
    return tf.matmul(
        tf.reshape(before, (-1, before.shape[-1])),
        tf.reshape(product_gradient, (-1, product_gradient.shape[-1])),
        transpose_a=True,
    )


def _starts(initial_state):
    """The state that each of two directions starts from."""
    return initial_state, tf.zeros_like(initial_state)


def _product(state, kernel, turned):
    return tf.matmul(kernel, state) if turned else tf.matmul(state, kernel)


def _loop(body, steps, state, outputs, axis, backwards):
    """Runs `body(t, state) -> state, rows` for every step; writes each row at `t`.

    Args:
        body: function of a step and a state.
        steps: int32 scalar.
        state: what the first turn starts from.
        outputs: list of arrays to be written.
        axis: int, that of time in them.
        backwards: bool, from the last step to the first.

    Returns:
        `(state, outputs)` after the last turn.
    """

    def turn(k, state, outputs):
        t = steps - 1 - k if backwards else k
        state, rows = body(t, state)
        return (
            k + 1,
            state,
            [write(output, t, row, axis) for output, row in zip(outputs, rows, strict=True)],
        )

    _, state, outputs = tf.while_loop(lambda k, *_: k < steps, turn, (0, state, outputs))
    return state, outputs


@compiled
def _clipped_relu_forward(inputs, kernel, real, initial, max_value, steps, turned, backwards):
    axis = 0 if turned else 1
    at = functools.partial(read, axis=axis)

    def body(t, state):
        new = at(inputs, t) + _product(state, kernel, turned)
        new = tf.minimum(tf.maximum(new, 0), max_value)
        if real is not None:
            new = tf.where(at(real, t) > 0, new, state)
        return new, [new]

    _, (states,) = _loop(body, steps, initial, [tf.zeros_like(inputs)], axis, backwards)
    return states


@compiled
def _clipped_relu_backward(upstream, states, kernel, real, max_value, steps, turned, backwards):
    axis = 0 if turned else 1
    at = functools.partial(read, axis=axis)

    def body(t, gradient):
        total = at(upstream, t) + gradient
        # The clip passes a gradient where the state lies strictly between its ends.
        state = at(states, t)
        passed = tf.where((state > 0) & (state < max_value), total, 0)
        if real is None:
            return _product(passed, kernel, turned), [passed]
        # At a masked step the state is a copy: all goes on to the step before.
        is_real = at(real, t) > 0
        passed = tf.where(is_real, passed, 0)
        handed_on = tf.where(is_real, tf.zeros_like(total), total)
        return _product(passed, kernel, turned) + handed_on, [passed]

    start = tf.zeros_like(at(upstream, 0))
    gradient, (passed,) = _loop(body, steps, start, [tf.zeros_like(upstream)], axis, not backwards)
    return passed, gradient


@compiled
def _gru_forward(inputs, kernel, real, initial, steps, turned, backwards):
    """States, update gates, reset gates, candidates and the products that these reset."""
    axis = 0 if turned else 1
    at = functools.partial(read, axis=axis)

    def body(t, state):
        products = tf.split(_product(state, kernel, turned), 3, axis=axis)
        update = tf.sigmoid(at(inputs[0], t) + products[0])
        reset = tf.sigmoid(at(inputs[1], t) + products[1])
        candidate = tf.tanh(at(inputs[2], t) + reset * products[2])
        new = update * state + (1 - update) * candidate
        if real is not None:
            new = tf.where(at(real, t) > 0, new, state)
        return new, [new, update, reset, candidate, products[2]]

    outputs = [tf.zeros_like(inputs[0])] * 5
    return _loop(body, steps, initial, outputs, axis, backwards)[1]


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
        handed_on = new * update + _product(to_products, kernel, turned)
        if real is not None:
            handed_on += tf.where(at(real, t) > 0, tf.zeros_like(total), total)
        return handed_on, [to_update, to_reset, to_candidate]

    start = tf.zeros_like(at(upstream, 0))
    gradient, parts = _loop(body, steps, start, [tf.zeros_like(upstream)] * 3, axis, not backwards)
    return parts, gradient
