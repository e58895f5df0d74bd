"""One step of the clipped-ReLU recurrence, as a Keras cell."""

import keras
import numpy as np
import pytest

from keras_ds2.layers import ClippedReLURNNCell
from tests.test_case import randomize


@pytest.mark.parametrize("use_bias", [True, False])
def test_a_step_by_hand(use_bias):
    cell = ClippedReLURNNCell(2, max_value=5.0, use_bias=use_bias)
    cell.build((None, 3))
    kernel = np.array([[1.0, -1], [0, 2], [3, 0]], np.float32)
    recurrent_kernel = np.array([[0.5, 0], [0, -1]], np.float32)
    bias = np.array([1.0, -1], np.float32)
    cell.set_weights([kernel, recurrent_kernel, bias][: 3 if use_bias else 2])
    inputs = np.array([[1.0, 1, 1], [-1, 0, 0]], np.float32)
    state = np.array([[2.0, 0], [0, 0.5]], np.float32)
    output, (new_state,) = cell(inputs, [state])
    # Row 1: (1 + 3, -1 + 2) + (1, 0) + bias; row 2: (-1, 1) + (0, -0.5) + bias.
    expected = [[5, 0], [0, 0]] if use_bias else [[5, 1], [0, 0.5]]
    np.testing.assert_array_equal(output, expected)
    np.testing.assert_array_equal(new_state, output)


def test_keras_runs_it_over_a_sequence_saved_and_loaded(tmp_path):
    inputs = keras.Input((None, 3))
    model = keras.Model(
        inputs, keras.layers.RNN(ClippedReLURNNCell(4), return_sequences=True)(inputs)
    )
    randomize(model)
    values = np.random.default_rng(0).normal(size=(2, 5, 3)).astype(np.float32)
    expected = model(values).numpy()

    kernel, recurrent_kernel, bias = model.get_weights()
    state = np.zeros((2, 4))
    for step in range(5):
        state = np.clip(values[:, step] @ kernel + state @ recurrent_kernel + bias, 0, 20)
        np.testing.assert_allclose(expected[:, step], state, atol=1e-5)

    model.save(tmp_path / "model.keras")
    np.testing.assert_array_equal(
        keras.saving.load_model(tmp_path / "model.keras")(values), expected
    )


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision(policy):
    cell = ClippedReLURNNCell(4, dtype=policy)
    output = keras.layers.RNN(cell, dtype=policy)(np.ones((2, 5, 3), np.float32))
    assert output.dtype == policy.removeprefix("mixed_")
    assert all(weight.dtype == "float32" for weight in cell.weights)


@pytest.mark.parametrize("units", [0, -1, 2.5])
def test_units_that_are_no_count_are_refused(units):
    with pytest.raises(ValueError, match="ClippedReLURNNCell: expected units > 0, received"):
        ClippedReLURNNCell(units)


def test_an_upper_clip_that_is_not_positive_is_refused():
    with pytest.raises(ValueError, match="ClippedReLURNNCell: expected max_value > 0, received 0"):
        ClippedReLURNNCell(2, max_value=0)
