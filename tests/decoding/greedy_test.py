"""Greedy decoding: hand cases, and every short alignment read by the rule itself."""

import itertools

import numpy as np
import pytest

from keras_ds2.decoding import GreedyDecoder, Hypothesis
from keras_ds2.text.alphabet import Alphabet

ALPHABET = Alphabet(list("ab "))


def logits_of(*rows):
    """Logits whose best symbols are the ids given; rows of one length."""
    ids = np.array(rows)
    draws = np.random.default_rng(0)
    return draws.uniform(-1, 1, (*ids.shape, 4)) + 3 * np.eye(4)[ids]


def decode(*rows, lengths=None):
    lengths = lengths or [len(row) for row in rows]
    return GreedyDecoder(ALPHABET).decode(logits_of(*rows), np.array(lengths))


@pytest.mark.parametrize(
    ("alignment", "text", "steps"),
    [
        ([1, 2], "ab", (0, 1)),
        ([1, 1, 1], "a", (0,)),
        ([1, 0, 1], "aa", (0, 2)),
        ([1, 1, 0, 0, 1, 1], "aa", (0, 4)),
        ([0, 0, 0], "", ()),
        ([0, 0, 2, 2, 0], "b", (2,)),
        ([1, 2, 1, 2], "abab", (0, 1, 2, 3)),
        ([1, 3, 3, 0, 3, 2], "a  b", (0, 1, 4, 5)),
        ([3, 1, 3], " a ", (0, 1, 2)),
        ([2], "b", (0,)),
        ([0], "", ()),
    ],
)
def test_by_hand(alignment, text, steps):
    (hypothesis,) = decode(alignment)
    assert isinstance(hypothesis, Hypothesis)
    assert hypothesis.text == text
    assert hypothesis.steps == steps
    assert hypothesis.ids == tuple(ALPHABET.encode(text).tolist())


def test_every_alignment_of_four_steps():
    alignments = list(itertools.product(range(4), repeat=4))
    for alignment, hypothesis in zip(alignments, decode(*alignments), strict=True):
        merged = [symbol for symbol, _ in itertools.groupby(alignment)]
        assert hypothesis.ids == tuple(symbol for symbol in merged if symbol)
        assert [alignment[step] for step in hypothesis.steps] == list(hypothesis.ids)


class TestLengths:
    def test_steps_behind_the_length_are_not_read(self):
        logits = logits_of([1, 2, 1, 1], [2, 2, 2, 2])
        whole = GreedyDecoder(ALPHABET).decode(logits, [2, 3])
        logits[0, 2:] = np.nan
        logits[1, 3:] = 1e9
        assert GreedyDecoder(ALPHABET).decode(logits, [2, 3]) == whole
        assert [each.text for each in whole] == ["ab", "b"]

    def test_no_steps_at_all(self):
        first, second = decode([1, 2], [1, 2], lengths=[0, 2])
        assert first == Hypothesis(text="", ids=(), steps=(), log_prob=0.0)
        assert second.text == "ab"

    def test_an_empty_batch(self):
        assert GreedyDecoder(ALPHABET).decode(np.zeros((0, 5, 4)), np.zeros(0, int)) == []

    def test_fewer_lengths_than_rows_are_an_error(self):
        with pytest.raises(ValueError, match="zip"):
            GreedyDecoder(ALPHABET).decode(np.zeros((2, 5, 4)), [5])


class TestLogProb:
    def test_is_the_alignments(self):
        logits = logits_of([1, 0, 2, 2], [0, 1, 1, 3])
        probabilities = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
        expected = np.log(probabilities.max(axis=-1))
        first, second = GreedyDecoder(ALPHABET).decode(logits, [4, 2])
        assert first.log_prob == pytest.approx(expected[0].sum(), rel=1e-5)
        assert second.log_prob == pytest.approx(expected[1, :2].sum(), rel=1e-5)

    def test_is_the_same_before_and_after_log_softmax(self):
        logits = logits_of([1, 0, 2, 2])
        log_probs = logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))
        (one,), (two,) = (GreedyDecoder(ALPHABET).decode(x, [4]) for x in (logits, log_probs))
        assert (one.text, one.steps) == (two.text, two.steps)
        assert one.log_prob == pytest.approx(two.log_prob, rel=1e-5)

    def test_large_logits_do_not_overflow(self):
        (hypothesis,) = GreedyDecoder(ALPHABET).decode(1e4 * logits_of([1, 0, 2]), [3])
        assert hypothesis.text == "ab"
        assert hypothesis.log_prob == pytest.approx(0, abs=1e-6)


def test_another_alphabets_logits_are_an_error():
    with pytest.raises(ValueError, match=r"of 4 symbols, blank included, received 29.*alphabet\?"):
        GreedyDecoder(ALPHABET).decode(np.zeros((1, 5, 29)), [5])
