"""The clipped-ReLU recurrence over whole sequences, compiled, its gradient by hand."""

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
    initial_state = state_or_zeros(initial_state, inputs, 1)
    if is_portable():

        def few(*block):
            return clipped_relu_few_steps(*block, max_value)

        return recur_in_blocks(few, inputs, recurrent_kernels, mask, initial_state)
    max_value = tf.constant(max_value, inputs.dtype)

    def recurrence(inputs, initial_state, mask, *kernels):
        layout = Layout(inputs, mask)

        @with_gradient
        def run(inputs, initial_state, *kernels):
            turned_inputs = layout.turn(inputs)
            directions = in_directions(kernels, initial_state)
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
                for kernel, start, backwards in directions
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
                        for part, part_states, (kernel, _, backwards) in zip(
                            upstream, states, directions, strict=True
                        )
                    ],
                    strict=True,
                )
                input_gradients = [layout.turn_back(part) for part in input_gradients]
                return (
                    tf.add_n(input_gradients),
                    layout.turn_state(start_gradients[0]),
                    *map(kernel_gradient, states_before(output, initial_state), input_gradients),
                )

            return output, gradient

        return run(inputs, initial_state, *kernels)

    return side_by_side(recurrence, inputs, initial_state, mask, recurrent_kernels)


def clipped_relu_few_steps(inputs, kernel, mask, state, max_value=20.0):
    """The first steps of `clipped_relu_recurrence` from a given state, unrolled, no gradient.

    For streams: a handful of steps at a time, in place of a loop.

    Args:
        inputs: float `(batch, time, units)`, time known.
        kernel: float `(units, units)`; or a `PackedKernel` of such, and the batch known.
        mask: bool `(batch, time)`, True = real step.
        state: float `(batch, units)`.
        max_value: float > 0, the upper clip.

    Returns:
        `(states, state)`: `(batch, time, units)` and the last of them.
    """
    run = _few_steps(max_value, isinstance(kernel, PackedKernel))
    return run(inputs, kernel, mask, state)


@functools.cache
def _few_steps(max_value, is_packed):
    def run(inputs, kernel, mask, state):
        def turn(given, real, state):
            new = tf.clip_by_value(given + product(state, kernel), 0.0, max_value)
            return tf.where(real, new, state)

        return few_steps(turn, inputs, mask, state)

    return compiled(run) if is_packed else run


@compiled
def _clipped_relu_forward(inputs, kernel, real, initial, max_value, steps, turned, backwards):
    axis = 0 if turned else 1
    at = functools.partial(read, axis=axis)

    def body(t, state):
        new = at(inputs, t) + recurrent_product(state, kernel, turned)
        new = tf.minimum(tf.maximum(new, 0), max_value)
        if real is not None:
            new = tf.where(at(real, t) > 0, new, state)
        return new, [new]

    _, (states,) = loop_over_steps(body, steps, initial, [tf.zeros_like(inputs)], axis, backwards)
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
            return recurrent_product(passed, kernel, turned), [passed]
        # At a masked step the state is a copy: all goes on to the step before.
        is_real = at(real, t) > 0
        passed = tf.where(is_real, passed, 0)
        handed_on = tf.where(is_real, tf.zeros_like(total), total)
        return recurrent_product(passed, kernel, turned) + handed_on, [passed]

    start = tf.zeros_like(at(upstream, 0))
    gradient, (passed,) = loop_over_steps(
        body, steps, start, [tf.zeros_like(upstream)], axis, not backwards
    )
    return passed, gradient
