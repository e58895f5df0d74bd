"""The CTC loss against closed forms, enumeration of all alignments, the textbook's recursion in
float64, and what TensorFlow and PyTorch make of it.
"""

import itertools

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_ds2.ops import ctc_loss, labels_fit, lattice
from keras_ds2.ops.compiled import compiled, rounded_up
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


def textbook(labels, logits):
    """Loss and gradient of one utterance without padding, in float64.

    One row of states, a blank before and behind each symbol, forward and back over all steps. What
    does not fit has neither loss nor gradient.
    """
    log_probs = log_softmax(logits)
    if not len(log_probs):
        return 0.0, log_probs
    states = np.zeros(2 * len(labels) + 1, np.int64)
    states[1::2] = labels
    emitted = log_probs[:, states]
    skips = (states[2:] != 0) & (states[2:] != states[:-2])
    arriving = arriving_at(emitted, skips)
    # The way back is the same way through steps, states and skips in reverse.
    leaving = emitted + arriving_at(emitted[::-1, ::-1], skips[::-1])[::-1, ::-1]
    log_probability = np.logaddexp.reduce((arriving + emitted)[-1, -2:])
    if np.isneginf(log_probability):
        return 0.0, np.zeros_like(log_probs)
    share = np.exp(arriving + leaving - log_probability)
    expected = share @ (states[:, np.newaxis] == np.arange(log_probs.shape[1]))
    return -log_probability, np.exp(log_probs) - expected


def arriving_at(emitted, skips):
    """Sums over all ways into each state at each step, what it emits there left out."""
    arriving = np.full(emitted.shape, -np.inf)
    arriving[0, :2] = 0
    for step in range(len(emitted) - 1):
        there, onward = arriving[step] + emitted[step], arriving[step + 1]
        onward[:] = there
        onward[1:] = np.logaddexp(onward[1:], there[:-1])
        onward[2:] = np.logaddexp(onward[2:], np.where(skips, there[:-2], -np.inf))
    return arriving


def textbook_batch(labels, logits, label_length, logit_length):
    """The same of padded rows: losses and gradient as `losses_and_gradient` gives them."""
    losses, gradient = np.zeros(len(logits)), np.zeros(logits.shape)
    for row, (symbols, steps) in enumerate(zip(label_length, logit_length, strict=True)):
        losses[row], gradient[row, :steps] = textbook(
            labels[row, :symbols], logits[row, :steps].astype(np.float64)
        )
    return losses, gradient


def differentiated(labels, logits, label_length, logit_length):
    with tf.GradientTape() as tape:
        tape.watch(logits)
        losses = ctc_loss(labels, logits, label_length, logit_length)
    return losses, tape.gradient(losses, logits)


def losses_and_gradient(labels, logits, label_length, logit_length):
    losses, gradient = differentiated(labels, tf.constant(logits), label_length, logit_length)
    return losses.numpy(), gradient.numpy()


def assert_close(seen, expected):
    """Losses and gradient as near to those in float64 as float32 has them.

    A share of the gradient is the exponential of a difference between logarithms of the loss's
    size; float32 keeps these to seven digits.
    """
    (losses, gradient), (expected_losses, expected_gradient) = seen, expected
    np.testing.assert_allclose(losses, expected_losses, rtol=1e-4, atol=1e-5)
    for row, loss in enumerate(expected_losses):
        rounding = 1e-5 + 4 * np.finfo(np.float32).eps * loss
        np.testing.assert_allclose(
            gradient[row], expected_gradient[row], rtol=1e-4, atol=rounding, err_msg=f"row {row}"
        )


def drawn(batch, steps, symbols, vocabulary_size, scale=3.0, seed=0, alphabet=None):
    """Labels, uniform logits in `[-scale, scale]`, and both lengths: full in row 0, else random.

    Args:
        batch: int, rows.
        steps: int, width of the logits.
        symbols: int, width of the labels.
        vocabulary_size: int.
        scale: float.
        seed: int.
        alphabet: int, how many of the vocabulary's symbols stand in the labels; None for all.
    """
    generator = np.random.default_rng(seed)
    label_length = generator.integers(0, symbols + 1, batch)
    logit_length = generator.integers(0, steps + 1, batch)
    label_length[0], logit_length[0] = symbols, steps
    labels = generator.integers(1, 1 + (alphabet or vocabulary_size - 1), (batch, symbols))
    labels[np.arange(symbols) >= label_length[:, np.newaxis]] = 0
    logits = generator.uniform(-scale, scale, (batch, steps, vocabulary_size)).astype(np.float32)
    return labels.astype(np.int32), logits, label_length, logit_length


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


@settings(max_examples=25)
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


@pytest.mark.parametrize("vocabulary_size", [6, 300])
def test_what_stands_behind_the_lengths_changes_no_bit(vocabulary_size):
    labels, logits, label_length, logit_length = drawn(4, 9, 5, vocabulary_size, seed=1)
    losses, gradient = losses_and_gradient(labels, logits, label_length, logit_length)
    behind = np.arange(9) >= logit_length[:, np.newaxis]
    behind_labels = np.arange(5) >= label_length[:, np.newaxis]
    assert behind.any()
    assert behind_labels.any()
    for padding in (np.nan, np.inf, -np.inf, 1e4, -1e4):
        padded = np.where(
            behind[..., np.newaxis] & (np.arange(vocabulary_size) > 1), padding, logits
        )
        for symbol in (-1, 1, vocabulary_size + 7):
            seen = losses_and_gradient(
                np.where(behind_labels, symbol, labels), padded, label_length, logit_length
            )
            np.testing.assert_array_equal(seen[0], losses)
            np.testing.assert_array_equal(seen[1], gradient)


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


def test_the_textbook_sums_over_every_alignment():
    logits = np.random.default_rng(5).normal(size=(5, 3)) * 2
    for labels in ([], [1], [2, 1], [1, 1], [2, 2, 1], [1, 2, 1, 2], [1, 1, 1, 1]):
        loss, gradient = textbook(np.array(labels, np.int64), logits)
        np.testing.assert_allclose(loss, enumerated_loss(labels, logits), rtol=1e-12)
        expected = numeric_gradient(lambda values, of=labels: enumerated_loss(of, values), logits)
        np.testing.assert_allclose(gradient, expected, atol=1e-8)


@settings(max_examples=50)
@given(st.data())
def test_values_and_gradients_equal_the_textbooks(data):
    """Empty labels, repeats, steps too few and padding among them."""
    vocabulary_size = data.draw(st.sampled_from([2, 3, 29, 256, 257, 300]))
    batch = drawn(
        batch=data.draw(st.integers(1, 3)),
        steps=data.draw(st.integers(0, 40)),
        symbols=data.draw(st.integers(0, 20)),
        vocabulary_size=vocabulary_size,
        scale=data.draw(st.sampled_from([0.0, 0.1, 1.0, 10.0, 100.0])),
        alphabet=min(data.draw(st.sampled_from([1, 2, 255])), vocabulary_size - 1),
        seed=data.draw(st.integers(0, 999)),
    )
    assert_close(losses_and_gradient(*batch), textbook_batch(*batch))


@pytest.mark.parametrize("vocabulary_size", [29, 300])
@pytest.mark.parametrize("scale", [1.0, 100.0])
def test_200_symbols_over_3000_steps(vocabulary_size, scale):
    batch = drawn(2, 3000, 200, vocabulary_size, scale)
    losses, gradient = losses_and_gradient(*batch)
    assert np.isfinite(losses).all()
    assert np.isfinite(gradient).all()
    expected, expected_gradient = textbook_batch(*batch)
    np.testing.assert_allclose(losses, expected, rtol=1e-6)
    assert_close((losses, gradient), (expected, expected_gradient))
    # That leaves room for the worst of a million; on the whole it is nearer.
    assert np.abs(gradient - expected_gradient).sum() < 0.01 * np.abs(expected_gradient).sum()


@pytest.mark.parametrize("vocabulary_size", [5, 257])
@pytest.mark.parametrize("scale", [3.0, 100.0])
def test_values_and_gradients_equal_pytorchs(vocabulary_size, scale):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    labels, logits, label_length, logit_length = drawn(4, 40, 9, vocabulary_size, scale, alphabet=3)
    logit_length = np.maximum(logit_length, 20)  # all fit
    inputs = torch.tensor(logits, dtype=torch.float64, requires_grad=True)
    expected = torch.nn.functional.ctc_loss(
        inputs.log_softmax(-1).transpose(0, 1),
        torch.tensor(labels),
        torch.tensor(logit_length),
        torch.tensor(label_length),
        reduction="none",
    )
    expected.sum().backward()
    assert_close(
        losses_and_gradient(labels, logits, label_length, logit_length),
        (expected.detach().numpy(), inputs.grad.numpy()),
    )


@pytest.mark.parametrize("vocabulary_size", [5, 257])
def test_values_and_gradients_equal_tensorflows_sparse_form(vocabulary_size):
    labels, logits, label_length, logit_length = drawn(4, 40, 9, vocabulary_size, alphabet=3)
    label_length = np.maximum(label_length, 1)  # it takes no empty label
    labels[:, 0] = np.maximum(labels[:, 0], 1)
    logit_length = np.maximum(logit_length, 20)
    inputs = tf.constant(logits, tf.float64)
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        # Its blank is the last id.
        expected = tf.compat.v1.nn.ctc_loss(
            tf.sparse.map_values(tf.subtract, tf.sparse.from_dense(labels), 1),
            tf.roll(inputs, -1, axis=-1),
            logit_length,
            time_major=False,
        )
    assert_close(
        losses_and_gradient(labels, logits, label_length, logit_length),
        (expected.numpy(), tape.gradient(expected, inputs).numpy()),
    )


@pytest.mark.parametrize("vocabulary_size", [5, 300])
def test_it_compiles_within_a_caller_that_xla_compiles(vocabulary_size):
    batch = drawn(3, 20, 6, vocabulary_size)
    compiled = tf.function(differentiated, jit_compile=True)
    losses, gradient = losses_and_gradient(*batch)
    seen_losses, seen_gradient = compiled(*map(tf.constant, batch))
    np.testing.assert_allclose(seen_losses, losses, rtol=1e-6)
    np.testing.assert_allclose(seen_gradient, gradient, atol=1e-6)


@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize("vocabulary_size", [5, 300, None])
def test_one_trace_gives_values_and_gradients_of_every_shape(vocabulary_size, jit_compile):
    traced = tf.function(
        differentiated,
        jit_compile=jit_compile,
        input_signature=[
            tf.TensorSpec([None, None], tf.int32),
            tf.TensorSpec([None, None, vocabulary_size]),
            tf.TensorSpec([None], tf.int64),
            tf.TensorSpec([None], tf.int64),
        ],
    )
    for shape in ((3, 20, 6), (1, 12, 17), (2, 5, 0)):
        batch = drawn(*shape, vocabulary_size or 7)
        assert_close([part.numpy() for part in traced(*batch)], textbook_batch(*batch))
    assert traced.experimental_get_tracing_count() == 1


@pytest.mark.parametrize("vocabulary_size", [5, 256, 300])
@pytest.mark.parametrize("beyond", [0, 7])
def test_a_label_beyond_the_vocabulary_makes_its_own_row_nan(vocabulary_size, beyond):
    labels, logits, label_length, logit_length = drawn(3, 12, 4, vocabulary_size, seed=2)
    label_length[1], logit_length[1] = 3, 12
    losses, gradient = losses_and_gradient(labels, logits, label_length, logit_length)
    labels[1, 1] = vocabulary_size + beyond
    seen, seen_gradient = losses_and_gradient(labels, logits, label_length, logit_length)
    assert np.isnan(seen).tolist() == [False, True, False]
    others = [0, 2]
    np.testing.assert_allclose(seen[others], losses[others], rtol=1e-6)
    np.testing.assert_allclose(seen_gradient[others], gradient[others], atol=1e-6)


@pytest.mark.parametrize("vocabulary_size", [6, 300])
def test_a_symbol_ruled_out_is_as_if_it_were_not_there(vocabulary_size):
    """A logit of minus infinity, of a symbol that stands in no label."""
    labels, logits, *lengths = drawn(3, 20, 6, vocabulary_size, alphabet=vocabulary_size - 3)
    logits[..., -2:] = -np.inf
    losses, gradient = losses_and_gradient(labels, logits, *lengths)
    assert not gradient[..., -2:].any()
    assert_close((losses, gradient[..., :-2]), textbook_batch(labels, logits[..., :-2], *lengths))


@pytest.mark.parametrize("vocabulary_size", [6, 300])
def test_symbols_ruled_out_in_some_steps(vocabulary_size):
    """Those of labels too, and blank: alignments are left that go around them."""
    labels, logits, *_ = batch = drawn(1, 30, 4, vocabulary_size)
    labels[:] = [2, 1, 1, 3]
    logits[:, 3:6, :2] = -np.inf
    logits[:, 8:10, 0] = -np.inf
    logits[:, 15:20, 1:] = -np.inf
    expected = textbook_batch(*batch)
    assert expected[0][0] > 0
    assert_close(losses_and_gradient(*batch), expected)


@pytest.mark.parametrize("vocabulary_size", [6, 300])
@pytest.mark.parametrize("lead", [60, 68, 70, 80, 110, 1000])
def test_steps_that_leave_next_to_nothing_to_the_rows_symbols(vocabulary_size, lead):
    """Around probabilities of 1e-30, 69 below the first, 1e-45, 103 below, and far beyond."""
    _, logits, *_ = batch = drawn(3, 20, 6, vocabulary_size, scale=0.5, alphabet=3)
    logits[:, [0, 7, 8, 19], -1] = lead
    assert_close(losses_and_gradient(*batch), textbook_batch(*batch))


@pytest.mark.parametrize("vocabulary_size", [6, 300])
def test_a_constant_added_to_all_logits_of_a_step_changes_nothing(vocabulary_size):
    labels, logits, *lengths = drawn(3, 20, 6, vocabulary_size)
    logits = np.round(logits * 64) / 64  # the sums are exact
    moved = logits + np.linspace(-999, 999, 20).round().astype(np.float32)[:, np.newaxis]
    assert_close(
        losses_and_gradient(labels, moved, *lengths), textbook_batch(labels, logits, *lengths)
    )


def test_few_shapes_reach_the_compiler(monkeypatch):
    shapes = set()

    def recorded(symbol_scores, blank_scores, labels, label_length, blocks):
        assert symbol_scores.shape[:2] == blank_scores.shape
        assert symbol_scores.shape[2] == labels.shape[1]
        assert blocks * lattice._BLOCK <= symbol_scores.shape[1]
        shapes.add(tuple(symbol_scores.shape))
        return tf.zeros_like(blank_scores[:, 0]), tf.zeros_like(symbol_scores)

    monkeypatch.setattr(lattice, "_compiled_lattice", recorded)
    monkeypatch.setattr(lattice, "loops_side_by_side", lambda: 1)
    for steps in (1, 2, 15, 16, 17, 31, 32, 33, 47, 48, 49, 63, 64):
        for symbols in (1, 2, 14, 15, 16, 20):
            ctc_loss(*drawn(2, steps, symbols, 5))
    assert shapes == {(2, steps, symbols) for steps in (16, 32, 48, 64) for symbols in (16, 32)}


def test_widths_are_rounded_up_to_few():
    widths = np.arange(1, 2**20 + 1)
    rounded = rounded_up(tf.constant(widths, tf.int32)).numpy()
    assert (rounded >= widths).all()
    assert (np.diff(rounded) >= 0).all()
    assert (rounded % lattice._BLOCK == 0).all()
    assert (rounded - widths <= np.maximum(widths / 8, 15)).all()
    # 16 of them up to 256, then 8 each time that this doubles.
    assert len(np.unique(rounded)) == 16 + 8 * 12
    np.testing.assert_array_equal(np.unique(rounded[:256]), 16 * np.arange(1, 17))


@pytest.mark.parametrize("cores", [1, 2, 3, 8])
def test_rows_shared_among_any_number_of_cores(monkeypatch, ragged, cores):
    expected = losses_and_gradient(*ragged)
    monkeypatch.setattr(lattice, "loops_side_by_side", lambda: cores)
    for one, other in zip(losses_and_gradient(*ragged), expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-6)


@pytest.mark.slow
def test_steps_written_out_as_for_a_gpu_give_the_same(monkeypatch):
    batch = drawn(2, 40, 6, 5)
    expected = losses_and_gradient(*batch)
    monkeypatch.setattr(lattice, "has_gpu", lambda: True)
    written_out = compiled(lattice._compiled_lattice.__wrapped__)
    monkeypatch.setattr(lattice, "_compiled_lattice", written_out)
    for one, other in zip(losses_and_gradient(*batch), expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5)
