"""What the recurrences over whole sequences share: directions, layout, loop, gradient of weights.

The input product is computed beforehand for all steps and shared by the directions, so that a
loop's turn holds the product with the recurrent weights and one pass over the state. The gradient
is a second loop for the states, and then one product for the recurrent weights. The two directions
run side by side, each a loop of its own; a single direction runs as two halves of the batch: a
product with a narrow state keeps one core busy, not two.
"""

import tensorflow as tf

from keras_ds2.ops.compiled import loops_side_by_side, rounded_up, write
from keras_ds2.portable import of_shape

# Above this width the loops run on arrays `(time, units, batch)`: a product of a weight too large
# for the cache with a narrow state is faster where the weight stands left.
_WIDEST_UNTURNED = 512

_BLOCK_STEPS = 16


def side_by_side(recurrence, inputs, initial_state, mask, kernels):
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


def state_or_zeros(initial_state, inputs, gates):
    """The state given, or zeros: `(batch, units)` for inputs of `gates * units`."""
    if initial_state is not None:
        return initial_state
    return tf.zeros((tf.shape(inputs)[0], inputs.shape[-1] // gates), inputs.dtype)


def in_directions(kernels, initial_state):
    """`(kernel, start, backwards)` of each direction: its weights, and the state it starts from."""
    starts = initial_state, tf.zeros_like(initial_state)
    return list(zip(kernels, starts, (False, True), strict=False))  # of one kernel, the first


class Layout:
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
        """A kernel as `product` wants it."""
        return tf.transpose(kernel) if self.turned else kernel


def states_before(states, initial_state):
    """The state that each step of each direction started from, `(batch, time, units)` each."""
    initial = initial_state[:, tf.newaxis]
    shifted = [tf.concat([initial, states[0][:, :-1]], axis=1)]
    for part in states[1:]:
        shifted.append(tf.concat([part[:, 1:], tf.zeros_like(initial)], axis=1))
    return shifted


def kernel_gradient(before, product_gradient):
    """`before^T product_gradient` over all steps of all rows."""
    return tf.matmul(
        tf.reshape(before, (-1, before.shape[-1])),
        tf.reshape(product_gradient, (-1, product_gradient.shape[-1])),
        transpose_a=True,
    )


def recurrent_product(state, kernel, turned):
    """`state kernel`, both as the layout has them."""
    return tf.matmul(kernel, state) if turned else tf.matmul(state, kernel)


def loop_over_steps(body, steps, state, outputs, axis, backwards):
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


def recur_in_blocks(few, inputs, kernels, mask, initial_state):
    """A recurrence as a plain loop over blocks of a few unrolled steps, without a gradient.

    Args:
        few: `(inputs, kernel, mask, state) -> (states, state)` over a block: see `few_steps`.
        inputs: float `(batch, time, gates * units)`.
        kernels: one or two, see `in_directions`.
        mask: bool `(batch, time)` or None.
        initial_state: float `(batch, units)`.

    Returns:
        The states of each direction, a list of `(batch, time, units)`.
    """
    steps, units = tf.shape(inputs)[1], initial_state.shape[-1]
    blocks = (steps + _BLOCK_STEPS - 1) // _BLOCK_STEPS
    padding = blocks * _BLOCK_STEPS - steps
    mask = tf.ones(tf.shape(inputs)[:2], tf.bool) if mask is None else mask
    # By hand, since not every runtime pads bools.
    mask = tf.concat([mask, tf.zeros((tf.shape(inputs)[0], padding), tf.bool)], axis=1)
    padded = tf.pad(inputs, [[0, 0], [0, padding], [0, 0]])

    def direction(kernel, start, backwards):
        given, real = (tf.reverse(each, [1]) if backwards else each for each in (padded, mask))

        def turn(block, state, collected):
            part = slice(block * _BLOCK_STEPS, (block + 1) * _BLOCK_STEPS)
            rows = of_shape(given[:, part], (None, _BLOCK_STEPS, given.shape[-1]))
            are_real = of_shape(real[:, part], (None, _BLOCK_STEPS))
            states, state = few(rows, kernel, are_real, state)
            return block + 1, state, collected.write(block, states)

        shape = (inputs.shape[0], _BLOCK_STEPS, units)
        collected = tf.TensorArray(inputs.dtype, blocks, element_shape=shape)
        _, _, collected = tf.while_loop(
            lambda block, *_: block < blocks, turn, (0, start, collected)
        )
        states = tf.transpose(collected.stack(), (1, 0, 2, 3))
        states = tf.reshape(states, (tf.shape(start)[0], blocks * _BLOCK_STEPS, units))
        states = tf.reverse(states, [1]) if backwards else states
        return of_shape(states[:, :steps], (*inputs.shape[:2], units))

    return [direction(*each) for each in in_directions(kernels, initial_state)]


def few_steps(turn, inputs, mask, state):
    """Unrolls `turn(inputs[:, t], mask[:, t, newaxis], state) -> state` over a known, small time.

    Returns:
        `(states, state)`: `(batch, time, units)` and the last of them.
    """
    states = []
    for given, real in zip(
        tf.unstack(inputs, axis=1), tf.unstack(tf.expand_dims(mask, 2), axis=1), strict=True
    ):
        state = turn(given, real, state)
        states.append(state)
    return tf.stack(states, axis=1), state
