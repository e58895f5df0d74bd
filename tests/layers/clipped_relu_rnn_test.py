"""The recurrent layer against its equation written out, and against Keras running its cell."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_ds2.layers import ClippedReLURNN, ClippedReLURNNCell
from tests.test_case import Padded, apply, assert_all_close, built

BATCH = Padded.draw([7, 4, 1], width=8)


def batch_moments(projected):
    """Mean and variance over every real step: `projected` is a list of rows without padding."""
    together = np.concatenate(projected)
    return together.mean(axis=0), together.var(axis=0)


def recurrence(projected, recurrent_kernel, max_value):
    """`h[t] = min(max(projected[t] + h[t - 1] U, 0), max_value)` of one row."""
    state = np.zeros(projected.shape[-1])
    states = []
    for step in projected:
        state = np.clip(step + state @ recurrent_kernel, 0, max_value)
        states.append(state)
    return np.stack(states)


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("training", [False, True])
def test_the_equation_written_out(bidirectional, training):
    """`h_t = f(B(W x_t) + U h_{t-1})`: `W` and `B` shared by both directions, their states summed,
    the second from each row's own last step.
    """
    layer = built(lambda: ClippedReLURNN(4, bidirectional, max_value=1.5), BATCH)
    norm = layer.normalization
    gamma, beta = norm.gamma.numpy(), norm.beta.numpy()
    mean, variance = norm.moving_mean.numpy(), norm.moving_variance.numpy()
    kernel = layer.kernel.numpy()
    recurrent_kernels = [weight.numpy() for weight in layer.recurrent_kernels]
    assert len(recurrent_kernels) == (2 if bidirectional else 1)
    rows = [BATCH.values[row, :length] @ kernel for row, length in enumerate(BATCH.lengths)]
    if training:
        mean, variance = batch_moments(rows)

    output = apply(layer, BATCH.values, BATCH.mask, training=training).numpy()
    assert (output == 0).any()
    for row, length in enumerate(BATCH.lengths):
        normalized = gamma * (rows[row] - mean) / np.sqrt(variance + norm.epsilon) + beta
        expected = recurrence(normalized, recurrent_kernels[0], 1.5)
        if bidirectional:
            expected += recurrence(normalized[::-1], recurrent_kernels[1], 1.5)[::-1]
        np.testing.assert_allclose(output[row, :length], expected, atol=1e-5)


@pytest.mark.parametrize("masked", [True, False])
def test_keras_running_the_cell_gives_the_same_values_and_gradients(masked):
    layer = built(lambda: ClippedReLURNN(4, batch_norm=False, max_value=1.0), BATCH)
    cell = ClippedReLURNNCell(4, max_value=1.0)
    peer = keras.layers.RNN(cell, return_sequences=True, zero_output_for_mask=True)
    peer.build(BATCH.values.shape)
    for name in ("kernel", "recurrent_kernel", "bias"):
        ours = layer.recurrent_kernels[0] if name == "recurrent_kernel" else getattr(layer, name)
        getattr(cell, name).assign(ours)
    mask = BATCH.mask if masked else None

    def with_gradients(function, weights):
        inputs = tf.constant(BATCH.values)
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            output = function(inputs)
            upstream = np.random.default_rng(1).normal(size=output.shape).astype(np.float32)
            loss = tf.reduce_sum(output * upstream)
        return [output, *tape.gradient(loss, [inputs, *weights])]

    seen = with_gradients(
        lambda inputs: apply(layer, inputs, mask),
        [layer.kernel, layer.recurrent_kernels[0], layer.bias],
    )
    expected = with_gradients(
        lambda inputs: peer(inputs, mask=None if mask is None else tf.constant(mask)),
        [cell.kernel, cell.recurrent_kernel, cell.bias],
    )
    assert_all_close(seen, expected, atol=1e-5)


def test_gradients_through_the_normalisation_equal_tensorflows_own():
    """The whole layer, both ways, written in plain TensorFlow without a loop of its own."""
    layer = built(lambda: ClippedReLURNN(4, True, max_value=1.0), BATCH)
    norm = layer.normalization
    weights = [layer.kernel, *layer.recurrent_kernels, norm.gamma, norm.beta]
    upstream = np.random.default_rng(1).normal(size=(3, 8, 4)).astype(np.float32)

    def plain(inputs, kernel, forward, backward, gamma, beta):
        rows = [inputs[row, :length] @ kernel for row, length in enumerate(BATCH.lengths)]
        mean, variance = tf.nn.moments(tf.concat(rows, axis=0), axes=[0])
        loss = 0.0
        for row, projected in enumerate(rows):
            steps = len(projected)
            normalized = gamma * (projected - mean) / tf.sqrt(variance + norm.epsilon) + beta
            for kernel, order in ((forward, range(steps)), (backward, reversed(range(steps)))):
                state = tf.zeros((1, 4))
                for step in order:
                    state = normalized[step : step + 1] + state @ kernel
                    state = tf.clip_by_value(state, 0, 1.0)
                    loss += tf.reduce_sum(state * upstream[row, step])
        return loss

    def gradients(function, arguments):
        with tf.GradientTape() as tape:
            tape.watch(arguments)
            loss = function()
        return tape.gradient(loss, arguments)

    inputs = tf.constant(BATCH.values)
    values = [inputs, *(tf.constant(weight.numpy()) for weight in weights)]
    expected = gradients(lambda: plain(*values), values)
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        output = apply(layer, inputs, BATCH.mask, training=True)
        loss = tf.reduce_sum(output * upstream)
    assert_all_close(tape.gradient(loss, [inputs, *weights]), expected, atol=1e-4)


def test_the_two_directions_start_from_different_weights():
    layer = ClippedReLURNN(4, True)
    layer.build((None, None, 3))
    forward, backward = (weight.numpy() for weight in layer.recurrent_kernels)
    assert np.abs(forward - backward).max() > 0.1
    np.testing.assert_allclose(forward @ forward.T, np.eye(4), atol=1e-5)
    np.testing.assert_allclose(backward @ backward.T, np.eye(4), atol=1e-5)


def test_initial_weights_are_those_asked_for():
    layer = ClippedReLURNN(
        4,
        True,
        False,
        kernel_initializer="ones",
        recurrent_initializer=keras.initializers.Identity(0.5),
        bias_initializer=lambda shape, dtype: tf.fill(shape, 3.0),
    )
    layer.build((None, None, 2))
    expected = [np.ones((2, 4)), 0.5 * np.eye(4), 0.5 * np.eye(4), np.full(4, 3.0)]
    assert_all_close(layer.get_weights(), expected)


@pytest.mark.parametrize(
    ("bidirectional", "batch_norm", "use_bias", "count"),
    [
        (False, True, True, 3 * 4 + 16 + 4 * 4),
        (True, True, True, 3 * 4 + 2 * 16 + 4 * 4),
        (True, True, False, 3 * 4 + 2 * 16 + 3 * 4),
        (True, False, True, 3 * 4 + 2 * 16 + 4),
        (False, False, False, 3 * 4 + 16),
    ],
)
def test_its_weights_counted(bidirectional, batch_norm, use_bias, count):
    """`W`, a `U` each way, and gamma, beta, two moving averages, or a bias."""
    layer = ClippedReLURNN(4, bidirectional, batch_norm, use_bias=use_bias)
    layer.build((None, None, 3))
    assert layer.count_params() == count


@pytest.mark.parametrize("units", [0, -3, 2.5, "4"])
def test_units_that_are_no_count_are_refused(units):
    with pytest.raises(ValueError, match="ClippedReLURNN: expected units > 0, received"):
        ClippedReLURNN(units)


def test_an_upper_clip_that_is_not_positive_is_refused():
    with pytest.raises(ValueError, match="ClippedReLURNN: expected max_value > 0, received 0"):
        ClippedReLURNN(2, max_value=0)


def test_a_momentum_out_of_range_is_refused():
    with pytest.raises(ValueError, match=r"expected momentum in \[0, 1\), received 1.5"):
        ClippedReLURNN(2, momentum=1.5)
