"""Bins and channels into one axis, and one channel for each bin."""

import numpy as np

from keras_ds2.layers import FlattenBins, SplitBins


def test_channels_of_one_bin_stay_together():
    inputs = np.arange(2 * 3 * 4 * 5, dtype=np.float32).reshape(2, 3, 4, 5)
    output = FlattenBins()(inputs).numpy()
    assert output.shape == (2, 3, 20)
    np.testing.assert_array_equal(output[1, 2, 5:10], inputs[1, 2, 1])


def test_split_then_flattened_is_the_same():
    inputs = np.random.default_rng(0).normal(size=(2, 3, 4)).astype(np.float32)
    split = SplitBins()(inputs)
    assert split.shape == (2, 3, 4, 1)
    np.testing.assert_array_equal(FlattenBins()(split), inputs)
