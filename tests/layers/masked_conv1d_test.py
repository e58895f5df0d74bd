"""The convolution over time against Keras's own."""

import keras
import numpy as np
import pytest

from keras_ds2.layers import MaskedConv1D
from tests.test_case import Padded, apply, built

BATCH = Padded.draw([11, 6, 1], width=12, features=(5,))


@pytest.mark.parametrize(("kernel_size", "strides"), [(3, 1), (4, 2)])
@pytest.mark.parametrize("padding", ["same", "causal"])
def test_it_equals_kerass_own_convolution_of_each_row(kernel_size, strides, padding):
    layer = built(lambda: MaskedConv1D(4, kernel_size, strides, padding=padding), BATCH)
    assert layer.kernel.shape == (kernel_size, 1, 5, 4)
    peer = keras.layers.Conv1D(4, kernel_size, strides, padding="valid")
    peer.build((None, None, 5))
    peer.set_weights([layer.kernel.numpy()[:, 0], layer.bias.numpy()])
    before = kernel_size - 1 if padding == "causal" else (kernel_size - 1) // 2
    output = apply(layer, BATCH.values, BATCH.mask)
    for row, length in enumerate(BATCH.lengths):
        values = np.pad(BATCH.values[row, :length], [(before, kernel_size - 1 - before), (0, 0)])
        expected = peer(values[np.newaxis])[0]
        np.testing.assert_allclose(output[row, : len(expected)], expected, atol=1e-5)


@pytest.mark.parametrize("kernel_size", [0, (3, 3), "3"])
def test_a_kernel_that_is_no_count_of_frames_is_refused(kernel_size):
    with pytest.raises(ValueError, match="MaskedConv1D: expected kernel_size as an int > 0"):
        MaskedConv1D(4, kernel_size)
