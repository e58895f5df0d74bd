"""Differences over time against the formula, at the edges of each row, and masked."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_ds2.features import Deltas
from keras_ds2.sequence import lengths_to_mask


def reference(features, window):
    """One utterance, frame by frame."""
    last = len(features) - 1
    result = np.zeros_like(features)
    for t in range(len(features)):
        for k in range(1, window + 1):
            result[t] += k * (features[min(t + k, last)] - features[max(t - k, 0)])
    return result / (2 * sum(k * k for k in range(1, window + 1)))


@pytest.mark.parametrize("window", [1, 2, 3])
@pytest.mark.parametrize("order", [0, 1, 2])
def test_equals_the_formula_row_by_row(order, window):
    lengths = [12, 7, 2, 1, 0]
    generator = np.random.default_rng(0)
    features = generator.normal(size=(5, 12, 3)).astype(np.float32)
    mask = lengths_to_mask(lengths, 12)
    features[~mask.numpy()] = np.nan
    layer = Deltas(order, window)
    result = layer(tf.constant(features), mask=mask)
    assert result.shape == layer.compute_output_shape(features.shape) == (5, 12, 3 * (1 + order))
    np.testing.assert_array_equal(layer.compute_mask(features, mask), mask)
    for row, length in enumerate(lengths):
        expected = [features[row, :length]]
        for _ in range(order):
            expected.append(reference(expected[-1], window))
        np.testing.assert_allclose(
            result[row, :length], np.concatenate(expected, axis=1), atol=1e-6
        )
        np.testing.assert_array_equal(result[row, length:], 0.0)


def test_a_straight_line_has_its_slope_and_no_bend():
    line = 0.5 * np.arange(20, dtype=np.float32).reshape(1, 20, 1)
    result = Deltas()(line)[0, 4:-4].numpy()
    np.testing.assert_allclose(result[:, 1], 0.5, atol=1e-6)
    np.testing.assert_allclose(result[:, 2], 0.0, atol=1e-6)


def test_without_a_mask_all_frames_are_real():
    features = np.random.default_rng(0).normal(size=(2, 6, 4)).astype(np.float32)
    np.testing.assert_array_equal(
        Deltas()(features), Deltas()(features, mask=tf.ones([2, 6], tf.bool))
    )


def test_gradients_stay_out_of_the_padding():
    features = tf.constant([[[1.0], [2.0], [np.nan]]])
    with tf.GradientTape() as tape:
        tape.watch(features)
        total = tf.reduce_sum(Deltas()(features, mask=lengths_to_mask([2], 3)) ** 2)
    gradient = tape.gradient(total, features).numpy()
    assert np.isfinite(gradient).all()
    assert gradient[0, 2, 0] == 0.0


@pytest.mark.parametrize("policy", ["float32", "mixed_float16", "mixed_bfloat16"])
def test_serialises_with_its_policy(policy):
    layer = Deltas(order=1, window=3, dtype=policy)
    copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    assert (copy.order, copy.window, copy.compute_dtype) == (1, 3, layer.compute_dtype)
    features = np.random.default_rng(0).normal(size=(2, 6, 4)).astype(np.float32)
    assert copy(features).dtype == layer.compute_dtype
    np.testing.assert_array_equal(copy(features), layer(features))


@pytest.mark.parametrize("arguments", [{"order": -1}, {"window": 0}])
def test_impossible_settings(arguments):
    with pytest.raises(ValueError, match="expected >="):
        Deltas(**arguments)
