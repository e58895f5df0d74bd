"""The lookahead against its formula, and what it may see."""

import numpy as np
import pytest
import tensorflow as tf

from keras_ds2.layers import LookaheadConv1D
from tests.test_case import Padded, apply, built, randomize

BATCH = Padded.draw([7, 4, 1], width=8, features=(3,))


def lookahead(values, kernel):
    """`output[t] = sum(kernel[j] * values[t + j])` of one row without padding."""
    output = np.zeros_like(values)
    for t in range(len(values)):
        for j in range(len(kernel)):
            if t + j < len(values):
                output[t] += kernel[j] * values[t + j]
    return output


@pytest.mark.parametrize("context", [0, 1, 3, 9])
def test_output_and_gradients_follow_the_formula(context):
    layer = randomize(built(lambda: LookaheadConv1D(context), BATCH))
    assert layer.kernel.shape == (context + 1, 3)
    kernel = layer.kernel.numpy()
    inputs = tf.constant(BATCH.values)
    upstream = np.random.default_rng(1).normal(size=inputs.shape).astype(np.float32)
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        output = apply(layer, inputs, BATCH.mask)
        loss = tf.reduce_sum(output * upstream)
    input_gradient, kernel_gradient = tape.gradient(loss, [inputs, layer.kernel])

    expected_kernel_gradient = np.zeros_like(kernel)
    for row, length in enumerate(BATCH.lengths):
        values, above = BATCH.values[row, :length], upstream[row, :length]
        np.testing.assert_allclose(output[row, :length], lookahead(values, kernel), atol=1e-5)
        # A step's gradient is the same sum over the past.
        expected = lookahead(above[::-1], kernel)[::-1]
        np.testing.assert_allclose(input_gradient[row, :length], expected, atol=1e-5)
        for j in range(min(context + 1, length)):
            expected_kernel_gradient[j] += (above[: length - j] * values[j:]).sum(axis=0)
    np.testing.assert_allclose(kernel_gradient, expected_kernel_gradient, atol=1e-5)


def test_it_sees_its_own_step_and_the_next_ones_alone():
    context = 2
    layer = randomize(built(lambda: LookaheadConv1D(context), BATCH))
    values = BATCH.values[:1]
    before = apply(layer, values, mask=None).numpy()
    for changed in range(values.shape[1]):
        other = values.copy()
        other[0, changed] += 1
        after = apply(layer, other, mask=None).numpy()
        steps = np.flatnonzero(np.abs(after - before)[0].max(axis=-1) > 1e-6)
        assert list(steps) == list(range(max(0, changed - context), changed + 1))


def test_at_first_it_hands_on_what_it_is_given():
    for layer in (LookaheadConv1D(2), LookaheadConv1D.from_config(LookaheadConv1D(2).get_config())):
        np.testing.assert_array_equal(layer(BATCH.values), BATCH.values)
    other = LookaheadConv1D(2, kernel_initializer="lecun_uniform")
    assert not np.array_equal(other(BATCH.values), BATCH.values)


@pytest.mark.parametrize("context", [-1, 1.5, "2"])
def test_a_context_that_is_no_count_is_refused(context):
    with pytest.raises(ValueError, match="LookaheadConv1D: expected an int >= 0, received"):
        LookaheadConv1D(context)


def test_a_long_context_may_exceed_the_utterance():
    layer = randomize(LookaheadConv1D(80))
    layer.build((None, None, 3))
    assert layer(BATCH.values).shape == BATCH.values.shape
