"""Kernels in 16 bits: how far off, and that a product reads them right."""

import hypothesis
import hypothesis.extra.numpy
import hypothesis.strategies as st
import numpy as np
import pytest
import tensorflow as tf

from keras_ds2.ops import packed_kernel
from keras_ds2.ops.clipped_relu import clipped_relu_few_steps
from keras_ds2.ops.compiled import compiled
from keras_ds2.ops.gru import gru_few_steps
from keras_ds2.ops.packed_kernel import is_packed_faster, pack_kernel, product
from keras_ds2.portable import portable_ops

kernels = hypothesis.extra.numpy.arrays(
    np.float32,
    hypothesis.extra.numpy.array_shapes(min_dims=2, max_dims=2, max_side=9),
    elements=st.floats(-1e6, 1e6, width=32),
)


def drawn(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


@hypothesis.given(kernel=kernels)
def test_no_weight_is_off_by_more_than_half_a_unit_of_its_column(kernel):
    packed = pack_kernel(kernel)
    units = packed.units.numpy().astype(float)
    found = packed.values.numpy()[: len(kernel)] * units
    most = np.abs(kernel).max(axis=0).astype(float)
    # A little more than half: the unit itself is a float32.
    assert (np.abs(found - kernel) <= 0.51 * np.maximum(most / 32767, units)).all()
    assert not packed.values.numpy()[len(kernel) :].any()


@pytest.mark.parametrize("features", [1, 4, 7, 512])
@pytest.mark.parametrize("rows", [1, 3])
def test_a_product_is_exact_where_the_weights_are(features, rows):
    whole = np.random.default_rng(0).integers(-32767, 32768, (features, 6)).astype(np.float32)
    whole[0] = 32767
    kernel = whole / 2.0**10
    kernel[:, 2] = 0
    inputs = np.random.default_rng(1).integers(-3, 4, (rows, features)).astype(np.float32)
    packed = pack_kernel(kernel)
    found = compiled(product)(tf.constant(inputs), packed)
    np.testing.assert_allclose(found, inputs @ kernel, rtol=1e-6)
    np.testing.assert_array_equal(found[:, 2], 0)


@pytest.mark.parametrize(("few_steps", "gates"), [(gru_few_steps, 3), (clipped_relu_few_steps, 1)])
def test_a_recurrence_with_a_packed_kernel_is_the_recurrence(few_steps, gates):
    inputs, start = drawn(2, 5, gates * 9), np.abs(drawn(2, 9, seed=1))
    kernel = drawn(9, gates * 9, seed=2) / 3
    mask = np.ones((2, 5), bool)
    mask[0, :2] = mask[1, 3:] = False
    given = tf.constant(inputs), tf.constant(mask), tf.constant(start)
    expected, last = few_steps(given[0], tf.constant(kernel), *given[1:])
    found, state = few_steps(given[0], pack_kernel(kernel), *given[1:])
    np.testing.assert_allclose(found, expected, atol=1e-3)
    np.testing.assert_allclose(state, last, atol=1e-3)
    assert not np.array_equal(found, expected), "16 bits are not 32"
    np.testing.assert_array_equal(found[0, :2], [start[0]] * 2)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_not_finite_are_refused(value):
    with pytest.raises(ValueError, match="finite"):
        pack_kernel([[1.0, value]])


def test_they_are_for_few_rows_on_a_processor(monkeypatch):
    small, large = (512, 1536), (2560, 7680)
    monkeypatch.setattr(packed_kernel, "has_gpu", lambda: False)
    assert [is_packed_faster(rows, small) for rows in (1, 2)] == [True, False]
    assert [is_packed_faster(rows, large) for rows in (1, 8, 9)] == [True, True, False]
    with portable_ops(fourier_transform=True):
        assert not is_packed_faster(1, large)
    monkeypatch.setattr(packed_kernel, "has_gpu", lambda: True)
    assert not is_packed_faster(1, large)
