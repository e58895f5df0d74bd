"""A model run over a dataset: order, loss and score, however it is cut into batches."""

import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_ds2.decoding import GreedyDecoder
from keras_ds2.evaluation.evaluator import Evaluator
from keras_ds2.evaluation.metrics import score
from keras_ds2.models import build_model
from keras_ds2.ops.ctc import ctc_loss, labels_fit
from keras_ds2.text.alphabet import Alphabet

ALPHABET = Alphabet(list("abc "))
REFERENCES = ["ab", "ab c", "", "cab", "c", "bacc a", "aa"]
FRAMES = [21, 9, 12, 30, 4, 5, 17]  # "bacc a" needs 7 steps, 5 frames leave 3
BINS = 4


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(2)  # with others it may write the same for all
    return build_model(
        "english",
        vocabulary_size=len(ALPHABET),
        num_bins=BINS,
        conv_type="1d",
        num_conv_layers=1,
        conv_filters=[6],
        conv_kernel_size=[5],
        conv_strides=[2],
        num_rnn_layers=1,
        units=6,
        dense_units=0,
    )


@pytest.fixture(scope="module")
def evaluator(model):
    return Evaluator(model, GreedyDecoder(ALPHABET), BINS)


def utterances():
    draws = np.random.default_rng(0)
    for text, frames in zip(REFERENCES, FRAMES, strict=True):
        yield draws.normal(0, 3, (frames, BINS)).astype(np.float32), ALPHABET.encode(text)


def dataset(batch_size):
    """Batches of the utterances, padded."""

    def batch(rows):
        features, labels = zip(*rows, strict=True)

        def padded(arrays, shape):
            width = max(len(array) for array in arrays)
            rows = [np.pad(a, [(0, width - len(a)), *[(0, 0)] * len(shape)]) for a in arrays]
            return tf.constant(np.stack(rows))

        lengths = [tf.constant([len(each) for each in part]) for part in (features, labels)]
        return (
            {"features": padded(features, (BINS,)), "feature_length": lengths[0]},
            {"labels": padded(labels, ()), "label_length": lengths[1]},
        )

    rows = list(utterances())
    return [batch(rows[start : start + batch_size]) for start in range(0, 7, batch_size)]


@pytest.fixture(scope="module")
def result(evaluator):
    return evaluator.evaluate(dataset(3), REFERENCES)


def test_hypotheses_are_the_models_in_order(model, result):
    alone = []
    for inputs, _ in dataset(1):
        outputs = model(inputs, training=False)
        alone += GreedyDecoder(ALPHABET).decode(outputs["logits"], outputs["logit_length"])
    assert [each.text for each in result.hypotheses] == [each.text for each in alone]
    assert [each.steps for each in result.hypotheses] == [each.steps for each in alone]
    assert len({each.text for each in alone}) > 3


def test_loss_is_the_mean_over_those_that_fit(model, result):
    ((inputs, labels),) = dataset(7)
    outputs = model(inputs, training=False)
    arguments = labels["label_length"], outputs["logit_length"]
    losses = ctc_loss(labels["labels"], outputs["logits"], *arguments).numpy()
    fits = labels_fit(labels["labels"], *arguments).numpy()
    assert fits.tolist() == [True] * 5 + [False, True]
    assert result.loss == pytest.approx(losses[fits].mean(), rel=1e-5)
    assert losses[fits].min() > 0


def test_score_is_of_all_of_them(result):
    texts = [each.text for each in result.hypotheses]
    assert result.references == REFERENCES
    assert result.score == score(REFERENCES, texts)
    assert result.score.utterances == 7


@pytest.mark.parametrize("batch_size", [1, 2, 7])
def test_batches_make_no_difference(evaluator, result, batch_size):
    other = evaluator.evaluate(dataset(batch_size), REFERENCES)
    assert other.score == result.score
    assert other.loss == pytest.approx(result.loss, rel=1e-5)
    for one, two in zip(other.hypotheses, result.hypotheses, strict=True):
        assert (one.text, one.steps) == (two.text, two.steps)
        assert one.log_prob == pytest.approx(two.log_prob, rel=1e-4)


def test_progress_is_told_of_every_batch(evaluator):
    told = []
    evaluator.evaluate(dataset(3), REFERENCES, told.append)
    assert told == [3, 3, 1]


def test_the_model_is_not_trained_by_it(model, evaluator):
    before = model.get_weights()
    evaluator.evaluate(dataset(3), REFERENCES)
    for one, two in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)


def test_new_weights_are_seen(model, evaluator, result):
    before = model.get_weights()
    model.set_weights([-weight for weight in before])
    try:
        assert evaluator.evaluate(dataset(3), REFERENCES).loss != result.loss
    finally:
        model.set_weights(before)


def test_where_nothing_fits_the_loss_is_a_number(evaluator):
    (batch,) = [
        (
            {"features": tf.zeros((1, 1, BINS)), "feature_length": tf.constant([1])},
            {"labels": tf.constant([[1, 1]]), "label_length": tf.constant([2])},
        )
    ]
    assert evaluator.evaluate([batch], ["aa"]).loss == 0.0


def test_ignoring_spaces_changes_the_character_rate_alone(model, result):
    evaluator = Evaluator(model, GreedyDecoder(ALPHABET), BINS, ignore_spaces=True)
    other = evaluator.evaluate(dataset(3), REFERENCES)
    assert other.score.word_edits == result.score.word_edits
    assert other.score.characters == sum(len(text.replace(" ", "")) for text in REFERENCES)
    assert math.isfinite(other.score.cer)


def test_another_number_of_references_is_an_error(evaluator):
    with pytest.raises(ValueError, match=r"6|references"):
        evaluator.evaluate(dataset(3), REFERENCES[:-1])
