"""The clipped ReLU."""

import numpy as np
import pytest
import tensorflow as tf

from keras_ds2.layers import ClippedReLU


def test_it_clips_at_zero_and_at_its_upper_end():
    inputs = tf.constant([[-3.0, -0.5, 0.25], [19.5, 20.5, 1e9]])
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        output = ClippedReLU()(inputs)
    np.testing.assert_array_equal(output, [[0, 0, 0.25], [19.5, 20, 20]])
    np.testing.assert_array_equal(tape.gradient(output, inputs), [[0, 0, 1], [1, 0, 0]])
    np.testing.assert_array_equal(ClippedReLU(1.5)(inputs), [[0, 0, 0.25], [1.5, 1.5, 1.5]])


@pytest.mark.parametrize("max_value", [0, -1.0, float("nan")])
def test_an_upper_end_that_is_none_is_refused(max_value):
    with pytest.raises(ValueError, match="ClippedReLU: expected max_value > 0, received"):
        ClippedReLU(max_value)
