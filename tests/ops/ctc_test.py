"""The CTC loss against closed forms, enumeration of all alignments, and TensorFlow's dense form."""

import itertools

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_ds2.ops import ctc_loss, labels_fit
from tests.test_case import numeric_gradient


def log_softmax(logits):
    logits = np.asarray(logits, np.float64)
    shifted = logits - logits.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def collapse(path):
    """Merges repeats, then drops blanks."""
    return [symbol for symbol, _ in itertools.groupby(path) if symbol != 0]


def enumerated_loss(labels, logits):
    """One utterance without padding: the sum over every path that collapses to the labels."""
    log_probs = log_softmax(logits)
    steps, symbols = log_probs.shape
    probability = sum(
        np.exp(sum(log_probs[step, symbol] for step, symbol in enumerate(path)))
        for path in itertools.product(range(symbols), repeat=steps)
        if collapse(path) == list(labels)
    )
    return -np.log(probability) if probability else 0.0


def losses_and_gradient(labels, logits, label_length, logit_length):
    logits = tf.constant(logits)
    with tf.GradientTape() as tape:
        tape.watch(logits)
        losses = ctc_loss(labels, logits, label_length, logit_length)
    return losses.numpy(), tape.gradient(losses, logits).numpy()


@pytest.fixture(scope="module")
def ragged():
    """Labels, logits and both lengths of five utterances; the last does not fit."""
    generator = np.random.default_rng(0)
    labels = np.array(
        [[1, 2, 3, 4], [3, 3, 0, 0], [2, 0, 0, 0], [0, 0, 0, 0], [4, 4, 4, 1]], np.int32
    )
    logits = generator.normal(size=(5, 9, 5)).astype(np.float32) * 3
    return labels, logits, np.array([4, 2, 1, 0, 4]), np.array([9, 6, 1, 4, 5])


def test_one_alignment_is_the_sum_of_its_steps():
    """As many steps as symbols and needed blanks leave one path."""
    logits = np.random.default_rng(0).normal(size=(2, 3, 4)).astype(np.float32)
    losses = ctc_loss([[1, 3, 2], [2, 2, 0]], logits, [3, 2], [3, 3])
    first, second = log_softmax(logits)
    expected = [
        -(first[0, 1] + first[1, 3] + first[2, 2]),
        -(second[0, 2] + second[1, 0] + second[2, 2]),
    ]
    assert losses.dtype == tf.float32
    np.testing.assert_allclose(losses, expected, rtol=1e-6)


def test_one_symbol_over_two_steps_has_three_alignments():
    logits = np.random.default_rng(1).normal(size=(1, 2, 3)).astype(np.float32)
    first, second = np.exp(log_softmax(logits))[0]
    probability = first[1] * second[1] + first[1] * second[0] + first[0] * second[1]
    np.testing.assert_allclose(ctc_loss([[1]], logits, [1], [2]), [-np.log(probability)], rtol=1e-6)


def test_an_empty_label_is_blank_at_every_step():
    logits = np.random.default_rng(2).normal(size=(1, 4, 3)).astype(np.float32)
    expected = -log_softmax(logits)[:, :3, 0].sum(axis=1)
    for labels in (np.zeros((1, 0), np.int32), [[0, 0]]):
        np.testing.assert_allclose(ctc_loss(labels, logits, [0], [3]), expected, rtol=1e-6)


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_the_loss_sums_over_every_alignment(data):
    steps = data.draw(st.integers(0, 5))
    labels = data.draw(st.lists(st.integers(1, 2), max_size=4))
    seed = data.draw(st.integers(0, 999))
    logits = np.random.default_rng(seed).normal(size=(steps, 3)) * 2
    expected = enumerated_loss(labels, logits)
    # With another row beside it and padding on all sides.
    padded = np.full((2, 6, 3), np.nan, np.float32)
    padded[0, :steps] = logits
    padded[1] = 0
    padded_labels = np.zeros((2, 5), np.int32)
    padded_labels[0, : len(labels)] = labels
    padded_labels[1, 0] = 2
    losses = ctc_loss(padded_labels, padded, [len(labels), 1], [steps, 6])
    np.testing.assert_allclose(losses[0], expected, rtol=1e-4, atol=1e-5)
    fits = labels_fit(padded_labels, [len(labels), 1], [steps, 6])
    assert bool(fits[0]) == (expected > 0 or (steps == 0 and not labels))


def test_values_and_gradients_equal_tensorflows_dense_form(ragged):
    labels, logits, label_length, logit_length = (part[:4] for part in ragged)
    losses, gradient = losses_and_gradient(labels, logits, label_length, logit_length)
    inputs = tf.constant(logits)
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        expected = tf.nn.ctc_loss(
            labels, inputs, label_length, logit_length, logits_time_major=False, blank_index=0
        )
    np.testing.assert_allclose(losses, expected, rtol=1e-5)
    np.testing.assert_allclose(gradient, tape.gradient(expected, inputs), atol=1e-5)


def test_the_gradient_equals_finite_differences():
    labels = np.array([[1, 1], [2, 0], [0, 0]])
    lengths = [2, 1, 0], [4, 3, 2]
    logits = np.random.default_rng(3).normal(size=(3, 4, 3)).astype(np.float32)

    def total(values):
        return sum(
            enumerated_loss(labels[row, : lengths[0][row]], values[row, : lengths[1][row]])
            for row in range(3)
        )

    _, gradient = losses_and_gradient(labels, logits, *lengths)
    np.testing.assert_allclose(gradient, numeric_gradient(total, logits), atol=1e-5)


def test_the_gradient_of_each_row_is_scaled_by_its_own_upstream(ragged):
    labels, logits, label_length, logit_length = ragged
    _, gradient = losses_and_gradient(*ragged)
    upstream = np.array([1.0, -2.0, 0.5, 3.0, 7.0], np.float32)
    inputs = tf.constant(logits)
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        loss = tf.reduce_sum(ctc_loss(labels, inputs, label_length, logit_length) * upstream)
    np.testing.assert_allclose(
        tape.gradient(loss, inputs), gradient * upstream[:, None, None], rtol=1e-5
    )


def test_what_stands_behind_the_lengths_is_not_read(ragged):
    labels, logits, label_length, logit_length = ragged
    losses, gradient = losses_and_gradient(*ragged)
    behind = np.arange(9) >= logit_length[:, None]
    assert not gradient[behind].any()
    padded = logits.copy()
    padded[behind] = np.nan
    other_labels = np.where(np.arange(4) < label_length[:, None], labels, 3)
    seen = losses_and_gradient(other_labels, padded, label_length, logit_length)
    np.testing.assert_array_equal(seen[0], losses)
    np.testing.assert_array_equal(seen[1], gradient)
    wider = np.pad(padded, [(0, 0), (0, 3), (0, 0)], constant_values=np.inf)
    np.testing.assert_array_equal(
        ctc_loss(np.pad(labels, [(0, 0), (0, 2)]), wider, label_length, logit_length), losses
    )


def test_each_row_alone_gives_the_same(ragged):
    labels, logits, label_length, logit_length = ragged
    losses, _ = losses_and_gradient(*ragged)
    for row in range(5):
        alone = ctc_loss(
            labels[row : row + 1, : label_length[row]],
            logits[row : row + 1, : logit_length[row]],
            label_length[row : row + 1],
            logit_length[row : row + 1],
        )
        np.testing.assert_allclose(alone, losses[row : row + 1], rtol=1e-6)


@pytest.mark.parametrize(
    ("labels", "steps", "fits"),
    [
        ([1, 2, 3], 3, True),
        ([1, 2, 3], 2, False),
        ([1, 1], 2, False),
        ([1, 1], 3, True),
        ([2, 2, 2, 1, 1], 7, False),
        ([2, 2, 2, 1, 1], 8, True),
        ([1], 0, False),
        ([], 0, True),
    ],
)
def test_labels_that_do_not_fit_give_neither_loss_nor_gradient(labels, steps, fits):
    # Equal neighbours in the padding do not count, nor the last symbol repeated there.
    padded = np.array([[*labels, *(labels[-1:] or [0]) * 2]])
    lengths = [len(labels)], [steps]
    logits = np.random.default_rng(4).normal(size=(1, 9, 4)).astype(np.float32)
    assert labels_fit(padded, *lengths).numpy().tolist() == [fits]
    losses, gradient = losses_and_gradient(padded, logits, *lengths)
    assert np.isfinite(losses).all()
    assert np.isfinite(gradient).all()
    assert (losses[0] > 0) == (fits and steps > 0)
    assert gradient.any() == (fits and steps > 0)


def test_lengths_may_be_of_any_integer_type(ragged):
    labels, logits, label_length, logit_length = ragged
    expected = ctc_loss(*ragged).numpy()
    seen = ctc_loss(
        labels.astype(np.int64),
        logits,
        tf.constant(label_length, tf.int64),
        tf.constant(logit_length, tf.int32),
    )
    np.testing.assert_array_equal(seen, expected)
    fits = labels_fit(labels.astype(np.int64), tf.constant(label_length, tf.int64), logit_length)
    assert fits.numpy().tolist() == [True, True, True, True, False]


@pytest.mark.parametrize("dtype", [tf.float16, tf.bfloat16])
def test_half_precision_logits_are_computed_in_float32(ragged, dtype):
    labels, logits, *lengths = ragged
    rounded = tf.cast(logits, dtype)
    with tf.GradientTape() as tape:
        tape.watch(rounded)
        losses = ctc_loss(labels, rounded, *lengths)
    assert losses.dtype == tf.float32
    np.testing.assert_array_equal(losses, ctc_loss(labels, tf.cast(rounded, tf.float32), *lengths))
    assert np.isfinite(tf.cast(tape.gradient(losses, rounded), tf.float32)).all()


@pytest.mark.parametrize("certain_of", ["the labels", "blank", "another symbol"])
def test_logits_of_plus_and_minus_100(certain_of):
    """Probabilities of 1e-87 are below float32, their logarithms are not."""
    labels, steps = [1, 2, 2], 4
    path = {"the labels": [1, 2, 0, 2], "blank": [0] * 4, "another symbol": [3] * 4}[certain_of]
    logits = np.full((1, steps, 4), -100, np.float32)
    logits[0, range(steps), path] = 100
    losses, gradient = losses_and_gradient([labels], logits, [3], [steps])
    # One alignment alone fits: 1, 2, blank, 2.
    expected = -log_softmax(logits)[0, range(steps), [1, 2, 0, 2]].sum()
    np.testing.assert_allclose(losses, [expected], atol=1e-6)
    occupancy = np.eye(4)[[1, 2, 0, 2]]
    np.testing.assert_allclose(gradient[0], np.exp(log_softmax(logits[0])) - occupancy, atol=1e-6)


def test_a_batch_without_steps_or_symbols():
    losses = ctc_loss(np.zeros((2, 0), np.int32), np.zeros((2, 0, 3), np.float32), [0, 0], [0, 0])
    np.testing.assert_array_equal(losses, [0, 0])


def test_one_trace_serves_every_shape(ragged):
    traced = tf.function(
        ctc_loss,
        input_signature=[
            tf.TensorSpec([None, None], tf.int32),
            tf.TensorSpec([None, None, 5]),
            tf.TensorSpec([None], tf.int32),
            tf.TensorSpec([None], tf.int32),
        ],
    )
    for rows, width in ((5, 9), (1, 12)):
        labels, logits, *lengths = (part[:rows] for part in ragged)
        logits = np.resize(logits, (rows, width, 5))
        np.testing.assert_allclose(
            traced(labels, logits, *lengths), ctc_loss(labels, logits, *lengths), rtol=1e-6
        )
    assert traced.experimental_get_tracing_count() == 1
