"""The gated layer against Keras's own, and against its equations written out."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_ds2.layers import SequenceNormGRU
from tests.test_case import Padded, apply, assert_all_close, built

BATCH = Padded.draw([7, 4, 1], width=8)


def sigmoid(values):
    return 1 / (1 + np.exp(-values))


def gru(projected, recurrent_kernel):
    """The docstring's equations for one row."""
    u_z, u_r, u_c = np.split(recurrent_kernel, 3, axis=1)
    state = np.zeros(recurrent_kernel.shape[0])
    states = []
    for step in projected:
        x_z, x_r, x_c = np.split(step, 3)
        update = sigmoid(x_z + state @ u_z)
        reset = sigmoid(x_r + state @ u_r)
        candidate = np.tanh(x_c + reset * (state @ u_c))
        state = update * state + (1 - update) * candidate
        states.append(state)
    return np.stack(states)


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("training", [False, True])
def test_the_equations_written_out(bidirectional, training):
    layer = built(lambda: SequenceNormGRU(4, bidirectional), BATCH)
    norm = layer.normalization
    gamma, beta = norm.gamma.numpy(), norm.beta.numpy()
    mean, variance = norm.moving_mean.numpy(), norm.moving_variance.numpy()
    kernel = layer.kernel.numpy()
    recurrent_kernels = [weight.numpy() for weight in layer.recurrent_kernels]
    rows = [BATCH.values[row, :length] @ kernel for row, length in enumerate(BATCH.lengths)]
    if training:
        together = np.concatenate(rows)
        mean, variance = together.mean(axis=0), together.var(axis=0)
    output = apply(layer, BATCH.values, BATCH.mask, training=training)
    for row, length in enumerate(BATCH.lengths):
        normalized = gamma * (rows[row] - mean) / np.sqrt(variance + norm.epsilon) + beta
        expected = gru(normalized, recurrent_kernels[0])
        if bidirectional:
            expected += gru(normalized[::-1], recurrent_kernels[1])[::-1]
        np.testing.assert_allclose(output[row, :length], expected, atol=1e-5)


@pytest.mark.parametrize("recurrent_activation", ["sigmoid", "hard_sigmoid"])
def test_without_normalisation_it_is_kerass_own(recurrent_activation):
    """`keras.layers.GRU` with copied weights: values and every gradient, on padded rows."""
    layer = built(
        lambda: SequenceNormGRU(4, batch_norm=False, recurrent_activation=recurrent_activation),
        BATCH,
    )
    peer = keras.layers.GRU(
        4,
        return_sequences=True,
        reset_after=True,
        recurrent_activation=recurrent_activation,
        zero_output_for_mask=True,
    )
    peer.build(BATCH.values.shape)
    # Keras adds a second bias on the recurrent side: zero here.
    bias = np.stack([layer.bias.numpy(), np.zeros(12)])
    peer.set_weights([layer.kernel.numpy(), layer.recurrent_kernels[0].numpy(), bias])
    upstream = np.random.default_rng(1).normal(size=(3, 8, 4)).astype(np.float32)

    def with_gradients(function, weights):
        inputs = tf.constant(BATCH.values)
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            output = function(inputs)
            loss = tf.reduce_sum(output * upstream)
        return [output, *tape.gradient(loss, [inputs, *weights])]

    seen = with_gradients(
        lambda inputs: apply(layer, inputs, BATCH.mask),
        [layer.kernel, layer.recurrent_kernels[0], layer.bias],
    )
    expected = with_gradients(
        lambda inputs: peer(inputs, mask=tf.constant(BATCH.mask)), peer.trainable_weights
    )
    expected[-1] = expected[-1][0]
    assert_all_close(seen, expected, atol=1e-5)


@pytest.mark.parametrize(
    ("bidirectional", "batch_norm", "count"),
    [
        (False, True, 3 * 12 + 4 * 12 + 4 * 12),
        (True, True, 3 * 12 + 2 * 4 * 12 + 4 * 12),
        (True, False, 3 * 12 + 2 * 4 * 12 + 12),
    ],
)
def test_its_weights_counted(bidirectional, batch_norm, count):
    layer = SequenceNormGRU(4, bidirectional, batch_norm)
    layer.build((None, None, 3))
    assert layer.count_params() == count


def test_units_that_are_no_count_are_refused():
    with pytest.raises(ValueError, match="SequenceNormGRU: expected units > 0, received 0"):
        SequenceNormGRU(0)
