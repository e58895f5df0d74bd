"""The sums of lengths, masks and strides."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_ds2.sequence import (
    frames_in,
    lengths_to_mask,
    mask_to_lengths,
    steps_after_stride,
    stride_mask,
    zero_masked,
)


@given(st.integers(0, 60), st.integers(1, 12), st.integers(1, 12))
def test_frames_in_counts_whole_windows(samples, window, hop):
    starts = [start for start in range(0, samples, hop) if start + window <= samples]
    assert frames_in(samples, window, hop) == len(starts)


@given(st.integers(0, 60), st.integers(1, 5))
def test_steps_after_stride_counts_the_frames_kept(frames, stride):
    assert steps_after_stride(frames, stride) == len(range(frames)[::stride])


@pytest.mark.parametrize("dtype", [np.int32, np.int64])
def test_arrays_and_tensors_count_as_integers_do(dtype):
    samples = np.array([0, 1, 159, 160, 320, 399, 400, 16000], dtype)
    for count in (lambda s: frames_in(s, 320, 160), lambda s: steps_after_stride(s, 3)):
        expected = [count(int(value)) for value in samples]
        assert all(isinstance(value, int) for value in expected)
        for kind in (samples, tf.constant(samples)):
            seen = count(kind)
            assert seen.dtype == dtype
            assert list(np.asarray(seen)) == expected
        assert count(samples[4]) == expected[4]


def test_lengths_and_masks_are_two_forms_of_one_thing():
    mask = lengths_to_mask(tf.constant([3, 0, 5]), 5)
    assert mask.dtype == tf.bool
    np.testing.assert_array_equal(mask, [[1, 1, 1, 0, 0], [0, 0, 0, 0, 0], [1, 1, 1, 1, 1]])
    lengths = mask_to_lengths(mask)
    assert lengths.dtype == tf.int32
    np.testing.assert_array_equal(lengths, [3, 0, 5])


@settings(max_examples=30)
@given(st.lists(st.integers(0, 9), min_size=1, max_size=4), st.integers(1, 4))
def test_a_strided_mask_agrees_with_the_strided_lengths(lengths, stride):
    lengths = tf.constant(lengths)
    mask = stride_mask(lengths_to_mask(lengths, 9), stride)
    expected = lengths_to_mask(steps_after_stride(lengths, stride), steps_after_stride(9, stride))
    np.testing.assert_array_equal(mask, expected)


def test_no_mask_stays_no_mask():
    assert stride_mask(None, 2) is None
    inputs = tf.constant([[[np.nan]]])
    assert zero_masked(inputs, None) is inputs


@pytest.mark.parametrize("shape", [(2, 3), (2, 3, 4), (2, 3, 4, 5)])
def test_masked_steps_become_zero_and_have_no_gradient(shape):
    mask = np.array([[True, True, False], [True, False, False]])
    values = np.ones(shape, np.float32)
    values[~mask] = np.nan
    inputs = tf.constant(values)
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        output = zero_masked(inputs, tf.constant(mask))
        loss = tf.reduce_sum(output**2)
    expected = np.where(mask.reshape(2, 3, *[1] * (len(shape) - 2)), np.ones(shape), 0)
    np.testing.assert_array_equal(output, expected)
    np.testing.assert_array_equal(tape.gradient(loss, inputs), 2 * expected)
