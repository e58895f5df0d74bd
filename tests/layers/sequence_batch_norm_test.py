"""Batch normalisation over the real steps, against NumPy."""

import numpy as np
import pytest
import tensorflow as tf

from keras_ds2.layers import SequenceBatchNorm
from tests.test_case import Padded, apply, assert_near, built
from tests.two_replicas import two_replicas_report

BATCHES = {
    "time": Padded.draw([5, 3, 1], width=6, features=(4,)),
    "time and bins": Padded.draw([5, 3, 1], width=6, features=(7, 4)),
}


@pytest.fixture(params=BATCHES)
def batch(request):
    return BATCHES[request.param]


def real_steps(batch):
    """Every real step as a row of features: `(steps * bins, features)`."""
    return batch.values[batch.mask].reshape(-1, batch.values.shape[-1]).astype(np.float64)


def test_moments_are_those_of_the_real_steps(batch):
    layer = built(lambda: SequenceBatchNorm(epsilon=0.1), batch)
    output = apply(layer, batch.values, batch.mask, training=True).numpy()
    mean, variance = real_steps(batch).mean(axis=0), real_steps(batch).var(axis=0)
    expected = (batch.values - mean) / np.sqrt(variance + 0.1)
    expected = expected * layer.gamma.numpy() + layer.beta.numpy()
    expected[~batch.mask] = 0
    np.testing.assert_allclose(output, expected, atol=1e-5)


def test_without_a_mask_every_step_is_real(batch):
    full = Padded(batch.values, np.full(3, 6))
    layer = built(SequenceBatchNorm, full)
    with_mask = apply(layer, full.values, full.mask, training=True)
    np.testing.assert_allclose(apply(layer, full.values, None, training=True), with_mask, atol=1e-6)


def test_moving_averages_follow_the_momentum(batch):
    layer = SequenceBatchNorm(momentum=0.8)
    layer.build(batch.values.shape)
    mean, variance = np.zeros(4), np.ones(4)
    for factor in (1.0, 3.0):
        scaled = Padded(batch.values * np.float32(factor), batch.lengths)
        apply(layer, scaled.values, scaled.mask, training=True)
        mean = 0.8 * mean + 0.2 * real_steps(scaled).mean(axis=0)
        variance = 0.8 * variance + 0.2 * real_steps(scaled).var(axis=0)
        np.testing.assert_allclose(layer.moving_mean, mean, atol=1e-6)
        np.testing.assert_allclose(layer.moving_variance, variance, rtol=1e-5)


def test_inference_takes_the_moving_averages_and_keeps_them(batch):
    layer = built(SequenceBatchNorm, batch)
    gamma, beta, mean, variance = layer.get_weights()
    output = apply(layer, batch.values, batch.mask)
    expected = (batch.values - mean) / np.sqrt(variance + 1e-3) * gamma + beta
    np.testing.assert_allclose(output[batch.mask], expected[batch.mask], atol=1e-5)
    np.testing.assert_array_equal(layer.moving_mean, mean)
    np.testing.assert_array_equal(layer.moving_variance, variance)


def test_a_frozen_layer_infers_in_training_too(batch):
    layer = built(SequenceBatchNorm, batch)
    expected = apply(layer, batch.values, batch.mask)
    before = layer.get_weights()
    layer.trainable = False
    np.testing.assert_array_equal(apply(layer, batch.values, batch.mask, training=True), expected)
    for weight, value in zip(layer.weights, before, strict=True):
        np.testing.assert_array_equal(weight, value)


def test_a_batch_without_one_real_step_changes_nothing(batch):
    empty = Padded(batch.values, np.zeros(3)).padded_with(np.nan)
    layer = built(SequenceBatchNorm, batch)
    before = [layer.moving_mean.numpy(), layer.moving_variance.numpy()]
    with tf.GradientTape() as tape:
        output = apply(layer, empty.values, empty.mask, training=True)
        loss = tf.reduce_sum(output**2)
    assert not output.numpy().any()
    assert not any(np.any(g) for g in tape.gradient(loss, [layer.gamma, layer.beta]))
    np.testing.assert_array_equal(layer.moving_mean, before[0])
    np.testing.assert_array_equal(layer.moving_variance, before[1])


def test_gradients_equal_those_of_tensorflows_moments(batch):
    """Through the mean and the variance; the second implementation has no padding at all."""
    layer = built(SequenceBatchNorm, batch)
    upstream = np.random.default_rng(1).normal(size=batch.values.shape).astype(np.float32)
    inputs = tf.constant(batch.values)
    weights = [layer.gamma, layer.beta]
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        loss = tf.reduce_sum(apply(layer, inputs, batch.mask, training=True) * upstream)
    seen = tape.gradient(loss, [inputs, *weights])

    with tf.GradientTape() as tape:
        tape.watch(inputs)
        rows = tf.reshape(tf.boolean_mask(inputs, batch.mask), (-1, 4))
        mean, variance = tf.nn.moments(rows, axes=[0])
        gamma, beta = (tf.constant(weight.numpy()) for weight in weights)
        tape.watch([gamma, beta])
        output = tf.nn.batch_normalization(rows, mean, variance, beta, gamma, 1e-3)
        loss = tf.reduce_sum(output * upstream[batch.mask].reshape(-1, 4))
    for one, other in zip(seen, tape.gradient(loss, [inputs, gamma, beta]), strict=True):
        np.testing.assert_allclose(one, other, atol=2e-5)


def test_without_scale_or_centre():
    batch = BATCHES["time"]
    layer = SequenceBatchNorm(center=False, scale=False)
    output = apply(layer, batch.values, batch.mask, training=True).numpy()[batch.mask]
    assert not layer.trainable_weights
    np.testing.assert_allclose(output.mean(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(output.var(axis=0), 1, atol=0.01)


def test_moments_in_half_precision_are_taken_in_float32():
    """A sum over 70 000 values is past what float16 can hold."""
    values = np.random.default_rng(0).normal(3, 2, size=(2, 35_000, 1)).astype(np.float16)
    layer = SequenceBatchNorm(momentum=0.0, dtype="mixed_float16")
    output = apply(layer, values, None, training=True)
    assert output.dtype == tf.float16
    assert_near(
        layer.moving_mean.numpy(), values.astype(np.float64).mean(keepdims=True)[0, 0], 1e-4
    )
    assert_near(output, (values.astype(np.float64) - 3) / 2, 0.02)


@pytest.mark.slow
def test_two_replicas_equal_one_with_both_halves():
    """Under `tf.distribute` outputs, gradients and moving averages are those of the whole batch."""
    report = two_replicas_report()["sequence_batch_norm"]
    assert report["two"].keys() == report["one"].keys()
    for key, expected in report["one"].items():
        np.testing.assert_allclose(report["two"][key], expected, atol=1e-5, err_msg=key)
    assert np.abs(report["one"]["gradient"]).max() > 0.1


@pytest.mark.parametrize("momentum", [-0.1, 1, 1.5])
def test_a_momentum_out_of_range_is_refused(momentum):
    with pytest.raises(ValueError, match=r"SequenceBatchNorm: expected momentum in \[0, 1\)"):
        SequenceBatchNorm(momentum)


def test_an_epsilon_that_is_not_positive_is_refused():
    with pytest.raises(ValueError, match="SequenceBatchNorm: expected epsilon > 0, received 0"):
        SequenceBatchNorm(epsilon=0)
