"""Recurrences over whole sequences, compiled, all directions in one loop, gradients by hand.

The input product is computed beforehand for all steps and shared by the directions, so that a
loop's turn holds the products with the recurrent weights and one pass over the state. The gradient
is a second loop for the states, and then one product for each recurrent weight.
"""

import functools

import tensorflow as tf

from keras_ds2.ops.compiled import compiled, read, rounded_up, with_gradient, write

# Above this width the loops run on arrays `(time, units, batch)`: a product of a weight too large
# for the cache with a narrow state is up to twice as fast where the weight stands left.
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

    @with_gradient
    def recurrence(inputs, initial_state, *kernels):
        layout = _Layout(inputs, mask)
        states = _clipped_relu_forward(
            layout.turn(inputs),
            [layout.turn_kernel(kernel) for kernel in kernels],
            layout.real,
            layout.turn_state(initial_state),
            max_value,
            layout.steps,
            layout.turned,
        )

        def gradient(*upstream):
            input_gradients, state_gradient = _clipped_relu_backward(
                [layout.turn(part) for part in upstream],
                states,
                [layout.turn_kernel(tf.transpose(kernel)) for kernel in kernels],
                layout.real,
                max_value,
                layout.steps,
                layout.turned,
            )
            input_gradients = [layout.turn_back(part) for part in input_gradients]
            return (
                tf.add_n(input_gradients),
                layout.turn_state(state_gradient),
                *map(_kernel_gradient, _before(output, initial_state), input_gradients),
            )

        output = [layout.turn_back(part) for part in states]
        return output, gradient

    return recurrence(inputs, _state_or_zeros(initial_state, inputs, 1), *recurrent_kernels)


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
            loop is not compiled and TensorFlow derives the gradient: several times slower.
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
                recurrent_kernels, _starts(initial_state, 2), (False, True), strict=False
            )
        ]

    @with_gradient
    def recurrence(inputs, initial_state, *kernels):
        layout = _Layout(inputs, mask, gates=3)
        states, *gates = _gru_forward(
            [layout.turn(part) for part in tf.split(inputs, 3, axis=-1)],
            [
                [layout.turn_kernel(part) for part in tf.split(kernel, 3, axis=1)]
                for kernel in kernels
            ],
            layout.real,
            layout.turn_state(initial_state),
            layout.steps,
            layout.turned,
        )

        def gradient(*upstream):
            before = _before(output, initial_state)
            product_gradients, state_gradient = _gru_backward(
                [layout.turn(part) for part in upstream],
                [layout.turn(part) for part in before],
                gates,
                [
                    [layout.turn_kernel(tf.transpose(part)) for part in tf.split(kernel, 3, axis=1)]
                    for kernel in kernels
                ],
                layout.real,
                layout.steps,
                layout.turned,
            )
            product_gradients = [
                [layout.turn_back(part) for part in parts] for parts in product_gradients
            ]
            kernel_gradients = [
                tf.concat(
                    [
                        _kernel_gradient(old, to_update),
                        _kernel_gradient(old, to_reset),
                        # The candidate's product passes the reset gate, its input does not.
                        _kernel_gradient(old, to_candidate * layout.turn_back(reset)),
                    ],
                    axis=1,
                )
                for old, (to_update, to_reset, to_candidate), reset in zip(
                    before, product_gradients, gates[1], strict=True
                )
            ]
            input_gradients = [tf.add_n(parts) for parts in zip(*product_gradients, strict=True)]
            return (
                tf.concat(input_gradients, axis=-1),
                layout.turn_state(state_gradient),
                *kernel_gradients,
            )

        output = [layout.turn_back(part) for part in states]
        return output, gradient

    return recurrence(inputs, initial_state, *recurrent_kernels)


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
    units = before.shape[-1]
    return tf.matmul(
        tf.reshape(before, (-1, units)), tf.reshape(product_gradient, (-1, units)), transpose_a=True
    )


def _product(state, kernel, turned):
    return tf.matmul(kernel, state) if turned else tf.matmul(state, kernel)


def _loop(body, steps, states, outputs, axis, backwards=False):
    """Runs `body(direction, t, state) -> state, rows` for every step; writes each row at `t`.

    Args:
        body: function of a direction's number, a step and a state.
        steps: int32 scalar.
        states: a state for each direction.
        outputs: for each direction a list of arrays to be written.
        axis: int, that of time in them.
        backwards: bool, whether each direction runs against its own.

    Returns:
        `(states, outputs)` after the last turn.
    """

    def turn(k, states, outputs):
        new_states, new_outputs = [], []
        for direction, (state, rows) in enumerate(zip(states, outputs, strict=True)):
            t = k if (direction == 0) != backwards else steps - 1 - k
            state, written = body(direction, t, state)
            new_states.append(state)
            new_outputs.append(
                [write(row, t, new, axis) for row, new in zip(rows, written, strict=True)]
            )
        return k + 1, new_states, new_outputs

    _, states, outputs = tf.while_loop(lambda k, *_: k < steps, turn, (0, states, outputs))
    return states, outputs


def _starts(initial, directions):
    return [initial, *[tf.zeros_like(initial)] * (directions - 1)]


@compiled
def _clipped_relu_forward(inputs, kernels, real, initial, max_value, steps, turned):
    axis = 0 if turned else 1
    at = functools.partial(read, axis=axis)

    def body(direction, t, state):
        new = at(inputs, t) + _product(state, kernels[direction], turned)
        new = tf.minimum(tf.maximum(new, 0), max_value)
        if real is not None:
            new = tf.where(at(real, t) > 0, new, state)
        return new, [new]

    _, outputs = _loop(
        body,
        steps,
        _starts(initial, len(kernels)),
        [[tf.zeros_like(inputs)] for _ in kernels],
        axis,
    )
    return [states for (states,) in outputs]


@compiled
def _clipped_relu_backward(upstream, states, kernels, real, max_value, steps, turned):
    axis = 0 if turned else 1
    at = functools.partial(read, axis=axis)

    def body(direction, t, gradient):
        total = at(upstream[direction], t) + gradient
        # The clip passes a gradient where the state lies strictly between its ends.
        state = at(states[direction], t)
        passed = tf.where((state > 0) & (state < max_value), total, 0)
        if real is None:
            return _product(passed, kernels[direction], turned), [passed]
        # At a masked step the state is a copy: all goes on to the step before.
        passed = tf.where(at(real, t) > 0, passed, 0)
        handed_on = tf.where(at(real, t) > 0, tf.zeros_like(total), total)
        return _product(passed, kernels[direction], turned) + handed_on, [passed]

    gradients, outputs = _loop(
        body,
        steps,
        [tf.zeros_like(at(upstream[0], 0)) for _ in kernels],
        [[tf.zeros_like(part)] for part in upstream],
        axis,
        backwards=True,
    )
    return [rows for (rows,) in outputs], gradients[0]


@compiled
def _gru_forward(inputs, kernels, real, initial, steps, turned):
    """States, update gates, reset gates, candidates, their products: a list of directions each."""
    axis = 0 if turned else 1
    at = functools.partial(read, axis=axis)

    def body(direction, t, state):
        products = [_product(state, kernel, turned) for kernel in kernels[direction]]
        update = tf.sigmoid(at(inputs[0], t) + products[0])
        reset = tf.sigmoid(at(inputs[1], t) + products[1])
        candidate = tf.tanh(at(inputs[2], t) + reset * products[2])
        new = update * state + (1 - update) * candidate
        if real is not None:
            new = tf.where(at(real, t) > 0, new, state)
        return new, [new, update, reset, candidate, products[2]]

    _, outputs = _loop(
        body,
        steps,
        _starts(initial, len(kernels)),
        [[tf.zeros_like(inputs[0])] * 5 for _ in kernels],
        axis,
    )
    return [list(part) for part in zip(*outputs, strict=True)]


@compiled
def _gru_backward(upstream, before, gates, kernels, real, steps, turned):
    """Gradients of each direction's three sums before their activations; of the initial state."""
    axis = 0 if turned else 1
    at = functools.partial(read, axis=axis)

    def body(direction, t, gradient):
        total = at(upstream[direction], t) + gradient
        old, update, reset, candidate, product = (
            at(part[direction], t) for part in (before, *gates)
        )
        new = total if real is None else tf.where(at(real, t) > 0, total, 0)
        to_update = new * (old - candidate) * update * (1 - update)
        to_candidate = new * (1 - update) * (1 - tf.square(candidate))
        to_reset = to_candidate * product * reset * (1 - reset)
        parts = [to_update, to_reset, to_candidate]
        handed_on = new * update
        if real is not None:
            handed_on += tf.where(at(real, t) > 0, tf.zeros_like(total), total)
        for part, kernel in zip(
            (to_update, to_reset, to_candidate * reset), kernels[direction], strict=True
        ):
            handed_on += _product(part, kernel, turned)
        return handed_on, parts

    gradients, outputs = _loop(
        body,
        steps,
        [tf.zeros_like(at(upstream[0], 0)) for _ in kernels],
        [[tf.zeros_like(part)] * 3 for part in upstream],
        axis,
        backwards=True,
    )
    return outputs, gradients[0]
