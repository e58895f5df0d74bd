"""Lengths to a mask, at the model's entrance."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_ds2.layers import LengthMask
from tests.test_case import MaskProbe

FEATURES = np.random.default_rng(0).normal(size=(3, 5, 2)).astype(np.float32)
MASK = [[1, 1, 1, 0, 0], [0, 0, 0, 0, 0], [1, 1, 1, 1, 1]]


@pytest.mark.parametrize("dtype", [np.int32, np.int64])
def test_it_zeroes_what_stands_behind_and_attaches_the_mask(dtype):
    lengths = np.array([3, 0, 5], dtype)
    features = FEATURES.copy()
    features[0, 3:] = np.nan
    features[1] = np.inf
    output = LengthMask()({"features": features, "feature_length": lengths})
    expected = FEATURES * np.array(MASK)[..., np.newaxis]
    np.testing.assert_array_equal(output, expected)
    np.testing.assert_array_equal(MaskProbe()(output), MASK)


def test_in_a_functional_model_saved_and_loaded(tmp_path):
    inputs = {
        "features": keras.Input((None, 2), name="features"),
        "feature_length": keras.Input((), dtype="int32", name="feature_length"),
    }
    output = LengthMask()(inputs)
    assert output.shape == (None, None, 2)
    model = keras.Model(inputs, [output, MaskProbe()(output)])
    model.save(tmp_path / "model.keras")
    model = keras.saving.load_model(
        tmp_path / "model.keras", custom_objects={"MaskProbe": MaskProbe}
    )
    seen, mask = model({"features": FEATURES, "feature_length": np.array([3, 0, 5])})
    np.testing.assert_array_equal(seen, FEATURES * np.array(MASK)[..., np.newaxis])
    np.testing.assert_array_equal(mask, MASK)


def test_no_gradient_reaches_the_padding():
    inputs = tf.constant(FEATURES)
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        output = LengthMask()({"features": inputs, "feature_length": tf.constant([3, 0, 5])})
    gradient = tape.gradient(output, inputs)
    np.testing.assert_array_equal(gradient, np.repeat(np.array(MASK)[..., np.newaxis], 2, axis=-1))
