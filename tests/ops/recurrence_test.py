"""The whole-sequence recurrences against loops written out."""

import numpy as np
import pytest
import tensorflow as tf

from keras_ds2.ops import clipped_relu_recurrence, gru_recurrence

DIRECTIONS, BATCH, TIME, UNITS = 2, 3, 6, 4


@pytest.fixture(scope="module")
def mask():
    """Rows padded at the end, padded at the start (a reversed direction), and with a hole."""
    mask = np.ones((DIRECTIONS, BATCH, TIME), bool)
    mask[0, 0, 4:] = False
    mask[1, 0, :2] = False
    mask[:, 1, 2:4] = False
    return mask


def drawn(*shape, seed):
    return np.random.default_rng(seed).normal(size=shape)


def clipped_relu_loop(inputs, kernel, mask, max_value):
    """The definition, differentiable by TensorFlow."""
    rows = []
    for direction in range(DIRECTIONS):
        state = tf.zeros((BATCH, UNITS), inputs.dtype)
        states = []
        for step in range(TIME):
            new = inputs[direction, :, step] + state @ kernel[direction]
            new = tf.minimum(tf.nn.relu(new), max_value)
            state = tf.where(mask[direction, :, step, np.newaxis], new, state)
            states.append(state)
        rows.append(tf.stack(states, axis=1))
    return tf.stack(rows)


def gru_loop(inputs, kernel, mask):
    rows = []
    for direction in range(DIRECTIONS):
        state = tf.zeros((BATCH, UNITS), inputs.dtype)
        states = []
        for step in range(TIME):
            x_z, x_r, x_c = tf.split(inputs[direction, :, step], 3, axis=-1)
            u_z, u_r, u_c = tf.split(kernel[direction], 3, axis=-1)
            update = tf.sigmoid(x_z + state @ u_z)
            reset = tf.sigmoid(x_r + state @ u_r)
            candidate = tf.tanh(x_c + reset * (state @ u_c))
            new = update * state + (1 - update) * candidate
            state = tf.where(mask[direction, :, step, np.newaxis], new, state)
            states.append(state)
        rows.append(tf.stack(states, axis=1))
    return tf.stack(rows)


def with_gradients(function, *arguments):
    arguments = [tf.constant(argument, tf.float64) for argument in arguments]
    with tf.GradientTape() as tape:
        tape.watch(arguments)
        output = function(*arguments)
        loss = tf.reduce_sum(output * drawn(*output.shape, seed=9))
    return [output, *tape.gradient(loss, arguments)]


@pytest.mark.parametrize("max_value", [0.7, 20.0])
def test_the_clipped_relu_recurrence_equals_its_definition(mask, max_value):
    inputs = drawn(DIRECTIONS, BATCH, TIME, UNITS, seed=0)
    kernel = drawn(DIRECTIONS, UNITS, UNITS, seed=1)
    seen = with_gradients(
        lambda x, u: clipped_relu_recurrence(x, u, tf.constant(mask), max_value), inputs, kernel
    )
    expected = with_gradients(lambda x, u: clipped_relu_loop(x, u, mask, max_value), inputs, kernel)
    states = expected[0].numpy()
    assert (states == 0).any()
    assert (states == max_value).any() == (max_value < 1)
    for one, other in zip(seen, expected, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-12)


def test_the_gru_recurrence_equals_its_definition(mask):
    inputs = drawn(DIRECTIONS, BATCH, TIME, 3 * UNITS, seed=0)
    kernel = drawn(DIRECTIONS, UNITS, 3 * UNITS, seed=1)
    seen = with_gradients(lambda x, u: gru_recurrence(x, u, tf.constant(mask)), inputs, kernel)
    expected = with_gradients(lambda x, u: gru_loop(x, u, mask), inputs, kernel)
    for one, other in zip(seen, expected, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-12)


@pytest.mark.parametrize(
    ("recurrence", "gates"), [(clipped_relu_recurrence, 1), (gru_recurrence, 3)]
)
def test_no_mask_means_every_step_is_real(recurrence, gates):
    inputs = tf.constant(drawn(DIRECTIONS, BATCH, TIME, gates * UNITS, seed=0))
    kernel = tf.constant(drawn(DIRECTIONS, UNITS, gates * UNITS, seed=1))
    every = tf.ones((DIRECTIONS, BATCH, TIME), tf.bool)
    np.testing.assert_array_equal(
        recurrence(inputs, kernel), recurrence(inputs, kernel, mask=every)
    )


def test_a_masked_step_hands_the_state_on(mask):
    inputs = tf.constant(drawn(DIRECTIONS, BATCH, TIME, UNITS, seed=0) + 1)
    kernel = tf.constant(drawn(DIRECTIONS, UNITS, UNITS, seed=1))
    states = clipped_relu_recurrence(inputs, kernel, tf.constant(mask)).numpy()
    np.testing.assert_array_equal(states[0, 0, 4], states[0, 0, 3])
    np.testing.assert_array_equal(states[1, 1, 3], states[1, 1, 1])
    assert not states[1, 0, :2].any(), "before the first real step the state is zero"
