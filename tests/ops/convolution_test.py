"""The convolution's own gradients against TensorFlow's."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_ds2.ops import conv2d

SIZES = st.integers(1, 9)


def gradients(convolve, inputs, kernel, weights):
    with tf.GradientTape() as tape:
        tape.watch([inputs, kernel])
        output = convolve(inputs, kernel)
        loss = tf.reduce_sum(output * weights)
    return [output, *tape.gradient(loss, [inputs, kernel])]


@settings(max_examples=60)
@given(
    time=SIZES,
    bins=SIZES,
    kernel_size=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    strides=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    before=st.tuples(st.integers(0, 4), st.integers(0, 4)),
    after=st.tuples(st.integers(0, 4), st.integers(0, 4)),
    channels=st.integers(1, 3),
    seed=st.integers(0, 1000),
)
def test_gradients_are_tensorflows(time, bins, kernel_size, strides, before, after, channels, seed):
    padding = [[before[0], after[0]], [before[1], after[1]]]
    if time + sum(padding[0]) < kernel_size[0] or bins + sum(padding[1]) < kernel_size[1]:
        return  # not one output
    generator = np.random.default_rng(seed)
    inputs = tf.constant(generator.normal(size=(2, time, bins, channels)), tf.float32)
    kernel = tf.constant(generator.normal(size=(*kernel_size, channels, 4)), tf.float32)

    def stock(inputs, kernel):
        return tf.nn.conv2d(inputs, kernel, strides, [[0, 0], *padding, [0, 0]])

    weights = tf.constant(generator.normal(size=stock(inputs, kernel).shape), tf.float32)
    expected = gradients(stock, inputs, kernel, weights)
    found = gradients(lambda x, w: conv2d(x, w, strides, padding), inputs, kernel, weights)
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("jit_compile", [False, True])
def test_shapes_unknown_at_tracing(jit_compile):
    signature = [
        tf.TensorSpec((None, None, None, 2), tf.float32),
        tf.TensorSpec((3, 5, 2, 4), tf.float32),
    ]

    @tf.function(input_signature=signature, jit_compile=jit_compile)
    def ours(inputs, kernel):
        return gradients(lambda x, w: conv2d(x, w, (2, 3), ((1, 1), (2, 2))), inputs, kernel, 1.0)

    generator = np.random.default_rng(0)
    kernel = tf.constant(generator.normal(size=(3, 5, 2, 4)), tf.float32)
    for time, bins in ((7, 11), (8, 12)):
        inputs = tf.constant(generator.normal(size=(2, time, bins, 2)), tf.float32)

        def stock(inputs, kernel):
            return tf.nn.conv2d(inputs, kernel, (2, 3), [[0, 0], [1, 1], [2, 2], [0, 0]])

        for found, expected in zip(
            ours(inputs, kernel), gradients(stock, inputs, kernel, 1.0), strict=True
        ):
            np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_input_gradient_is_left_out_where_nothing_asks_for_it():
    inputs, kernel = tf.ones((1, 8, 8, 1)), tf.Variable(tf.ones((3, 3, 1, 2)))

    @tf.function
    def kernel_alone():
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(conv2d(inputs, kernel))
        return tape.gradient(loss, kernel)

    graph = kernel_alone.get_concrete_function().graph.as_graph_def()
    kept = tf.compat.v1.graph_util.extract_sub_graph(
        graph, [kernel_alone.get_concrete_function().outputs[0].op.name]
    )
    # Forward is not needed for the gradient of a sum: what is left is the kernel's gradient.
    operations = [node.op for node in kept.node]
    assert operations.count("Conv2D") <= 2
    assert "Conv2DBackpropInput" not in operations
    if not tf.config.list_logical_devices("GPU"):  # there cuDNN's gradient is kept
        assert "Conv2DBackpropFilter" not in operations


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_other_precisions(dtype):
    generator = np.random.default_rng(0)
    inputs = tf.cast(generator.normal(size=(2, 9, 7, 2)), dtype)
    kernel = tf.cast(generator.normal(size=(3, 3, 2, 4)), dtype)
    found = gradients(lambda x, w: conv2d(x, w, (2, 1), ((1, 1), (1, 1))), inputs, kernel, 1.0)
    expected = gradients(
        lambda x, w: conv2d(x, w, (2, 1), ((1, 1), (1, 1))),
        tf.cast(inputs, tf.float32),
        tf.cast(kernel, tf.float32),
        1.0,
    )
    for ours, exact in zip(found, expected, strict=True):
        assert ours.dtype == dtype
        scale = float(tf.reduce_max(tf.abs(exact)))
        np.testing.assert_allclose(tf.cast(ours, tf.float32), exact, atol=0.03 * scale)
