"""The masked convolution against Keras's own, and which frames a step sees."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_ds2.layers import MaskedConv2D
from keras_ds2.sequence import steps_after_stride
from tests.test_case import Padded, apply, assert_all_close, built

BATCH = Padded.draw([11, 6, 1], width=12, features=(9, 2))


def gradients_of(function, inputs, weights):
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        output = function(inputs)
        upstream = np.random.default_rng(1).normal(size=output.shape).astype(np.float32)
        loss = tf.reduce_sum(output * upstream)
    return [output, *tape.gradient(loss, [inputs, *weights])]


@pytest.mark.parametrize(
    ("kernel_size", "strides"), [((5, 3), (1, 1)), ((5, 3), (2, 2)), ((4, 6), (3, 1)), (3, 2)]
)
@pytest.mark.parametrize("padding", ["same", "causal"])
def test_it_equals_kerass_own_convolution_of_the_padded_rows(kernel_size, strides, padding):
    """A "valid" convolution of rows that are padded by hand: forward and every gradient."""
    layer = built(lambda: MaskedConv2D(4, kernel_size, strides, padding=padding), BATCH)
    (k_time, k_bins), (stride, _) = layer.kernel_size, layer.strides
    before = k_time - 1 if padding == "causal" else (k_time - 1) // 2
    peer = keras.layers.Conv2D(4, layer.kernel_size, layer.strides, padding="valid")
    peer.build((None, None, None, 2))
    peer.set_weights(layer.get_weights())
    output_mask = BATCH.mask[:, ::stride, np.newaxis, np.newaxis].astype(np.float32)

    def by_keras(inputs):
        around = [[0, 0], [before, k_time - 1 - before], [(k_bins - 1) // 2, k_bins // 2], [0, 0]]
        return peer(tf.pad(inputs, around)) * output_mask

    inputs = tf.constant(BATCH.values)
    seen = gradients_of(lambda x: apply(layer, x, BATCH.mask), inputs, layer.trainable_weights)
    expected = gradients_of(by_keras, inputs, peer.trainable_weights)
    # Keras's own sees the padding, which is zero, and has a gradient there.
    expected[1] *= BATCH.mask[:, :, np.newaxis, np.newaxis]
    assert_all_close(seen, expected, atol=2e-5)


def test_without_strides_same_padding_is_kerass():
    layer = built(lambda: MaskedConv2D(4, (5, 3)), BATCH)
    peer = keras.layers.Conv2D(4, (5, 3), padding="same")
    peer.build(BATCH.values.shape)
    peer.set_weights(layer.get_weights())
    np.testing.assert_allclose(layer(BATCH.values), peer(BATCH.values), atol=1e-5)


@pytest.mark.parametrize("kernel", [4, 5])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("padding", ["same", "causal"])
def test_a_step_sees_the_frames_that_the_docstring_says(kernel, stride, padding):
    frames = 14
    layer = MaskedConv2D(
        2, (kernel, 1), (stride, 1), padding=padding, kernel_initializer="ones", use_bias=False
    )
    # Frame by frame as the batch: which steps does a one in frame f reach?
    impulses = np.eye(frames, dtype=np.float32)[:, :, np.newaxis, np.newaxis]
    reached = layer(impulses).numpy()[:, :, 0, 0] > 0
    for step in range(steps_after_stride(frames, stride)):
        here = step * stride
        first, last = (
            (here - kernel + 1, here)
            if padding == "causal"
            else (here - (kernel - 1) // 2, here + kernel // 2)
        )
        expected = range(max(first, 0), min(last, frames - 1) + 1)
        assert list(np.flatnonzero(reached[:, step])) == list(expected)


def test_no_bias():
    layer = built(lambda: MaskedConv2D(4, 3, use_bias=False), BATCH)
    assert len(layer.weights) == 1
    assert not layer(np.zeros_like(BATCH.values)).numpy().any()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, 3), "expected filters as an int > 0, received 0"),
        ((2.5, 3), "expected filters as an int > 0, received 2.5"),
        ((4, 0), "expected kernel_size as one or two ints > 0, received 0"),
        ((4, (3, 3, 3)), "expected kernel_size as one or two ints > 0, received"),
        ((4, 3, (0, 1)), "expected strides as one or two ints > 0, received"),
    ],
)
def test_arguments_out_of_range_are_refused(arguments, message):
    with pytest.raises(ValueError, match=f"MaskedConv2D: {message}"):
        MaskedConv2D(*arguments)


def test_an_unknown_padding_is_refused():
    with pytest.raises(ValueError, match="expected padding 'same' or 'causal', received 'valid'"):
        MaskedConv2D(4, 3, padding="valid")
