"""Nothing of the transform is lost to weights of fewer bits."""

import numpy as np
import tensorflow as tf

from keras_ds2.features.fourier_product import exact_constant, spectrum_by_product


def test_its_constants_are_exact_in_float16_and_their_sum_in_float32():
    values = np.concatenate([np.cos(np.arange(200.0)), [-32.23619, 1e-3, 0.0]])

    @tf.function
    def traced(unknown):
        return exact_constant(values, unknown)

    graph = traced.get_concrete_function(tf.TensorSpec(())).graph
    stored = [
        tf.make_ndarray(op.get_attr("value")) for op in graph.get_operations() if op.type == "Const"
    ]
    assert sum(array.size for array in stored) >= 2 * len(values)
    for array in stored:
        np.testing.assert_array_equal(array.astype(np.float16).astype(array.dtype), array)
    np.testing.assert_allclose(traced(0.0), values, atol=2e-7 * 33)


def test_quiet_bins_beside_a_loud_one_are_those_of_the_transform():
    time = np.arange(3200) / 16000
    waveform = np.sin(2 * np.pi * 1000 * time) + 1e-5 * np.sin(2 * np.pi * 5000 * time)
    found = np.square(spectrum_by_product(tf.constant(waveform[np.newaxis], tf.float32), 320, 160))
    power = found.sum(0)[0]
    np.testing.assert_allclose(power[:, 100] / power[:, 20], 1e-10, rtol=0.05)
    assert (power[:, [60, 140]] / power[:, [20]] < 1e-12).all()
