"""Tests of word and character error rates, against a Levenshtein distance by hand."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_ds2.evaluation.metrics import EditCounts, ErrorCounter, Score, score


def distance(reference, hypothesis) -> int:
    """The fewest edits that turn one sequence into the other, row by row."""
    row = list(range(len(hypothesis) + 1))
    for i, said in enumerate(reference, start=1):
        above, row = row, [i]
        for j, read in enumerate(hypothesis, start=1):
            row.append(min(above[j] + 1, row[-1] + 1, above[j - 1] + (said != read)))
    return row[-1]


TEXTS = st.lists(st.sampled_from(["a", "b", "ab", "我", "是我", "c'"]), max_size=8).map(" ".join)
PAIRS = st.lists(st.tuples(TEXTS, TEXTS), max_size=6)


def columns(pairs):
    return [said for said, _ in pairs], [read for _, read in pairs]


@given(PAIRS)
def test_errors_are_the_levenshtein_distance_summed_over_the_corpus(pairs):
    result = score(*columns(pairs))
    assert result.utterances == len(pairs)
    assert result.words == sum(len(said.split()) for said, _ in pairs)
    assert result.characters == sum(len(said) for said, _ in pairs)
    assert result.word_edits.errors == sum(distance(s.split(), r.split()) for s, r in pairs)
    assert result.character_edits.errors == sum(distance(s, r) for s, r in pairs)


@given(PAIRS)
def test_the_counts_account_for_every_unit(pairs):
    result = score(*columns(pairs))
    hypothesis_words = sum(len(read.split()) for _, read in pairs)
    edits = result.word_edits
    assert edits.hits + edits.substitutions + edits.insertions == hypothesis_words
    assert edits.hits + edits.substitutions + edits.deletions == result.words
    assert (result.substitutions, result.insertions, result.deletions) == (
        edits.substitutions,
        edits.insertions,
        edits.deletions,
    )


@given(PAIRS)
def test_ignoring_spaces_counts_characters_without_them_and_words_as_ever(pairs):
    result = score(*columns(pairs), ignore_spaces=True)
    bare = [(said.replace(" ", ""), read.replace(" ", "")) for said, read in pairs]
    assert result.character_edits.errors == sum(distance(s, r) for s, r in bare)
    assert result.characters == sum(len(said) for said, _ in bare)
    assert result.word_edits == score(*columns(pairs)).word_edits


@given(PAIRS, st.integers(0, 6), st.booleans())
def test_batch_by_batch_is_the_same_as_at_once(pairs, cut, ignore_spaces):
    counter = ErrorCounter(ignore_spaces)
    for batch in (pairs[:cut], pairs[cut:]):
        counter.update(*columns(batch))
    assert counter.result() == score(*columns(pairs), ignore_spaces=ignore_spaces)


def test_rates_are_of_sums_and_not_averages():
    result = score(["a", "a b c d e f g h i"], ["x", "a b c d e f g h i"])
    assert result.wer == pytest.approx(1 / 10)


def test_by_hand():
    result = score(["the cat sat on the mat"], ["a cat sat the mat now"])
    assert result.word_edits == EditCounts(hits=4, substitutions=1, insertions=1, deletions=1)
    assert result.wer == pytest.approx(3 / 6)


def test_mandarin_without_spaces():
    result = score(["我 是 中国人"], ["我是 中国"], ignore_spaces=True)
    assert result.character_edits == EditCounts(hits=4, deletions=1)
    assert result.cer == pytest.approx(1 / 5)


def test_an_empty_hypothesis_deletes_everything():
    result = score(["a b"], [""])
    assert result.word_edits == EditCounts(deletions=2)
    assert (result.wer, result.cer) == (1.0, 1.0)


def test_an_empty_reference_inserts_everything():
    result = score(["", "a b"], ["x y", "a b"])
    assert result.word_edits == EditCounts(hits=2, insertions=2)
    assert result.wer == 1.0


def test_rates_without_any_reference():
    assert score([""], ["x"]).wer == math.inf
    assert score([""], [""]).wer == 0.0
    assert score([], []) == Score()


def test_runs_of_white_space_count_as_one_space():
    assert score(["  a \t b\n"], ["a b"]).character_edits.errors == 0


def test_case_is_not_forgiven():
    assert score(["A"], ["a"]).wer == 1.0


def test_counter_counts_the_skipped_and_starts_over():
    counter = ErrorCounter()
    counter.update(["a"], ["a"])
    counter.skip()
    counter.skip(2)
    assert counter.result() == Score(EditCounts(hits=1), EditCounts(hits=1), 1, 3)
    counter.reset()
    assert counter.result() == Score()


@pytest.mark.parametrize(
    ("references", "hypotheses", "said"),
    [
        (["a"], [], "received 1 references and 0 hypotheses"),
        ("abc", ["a"], "references: expected a list of texts, received one text 'abc'"),
        (["a"], [None], r"hypotheses\[0\]: expected a text \(str\), received NoneType"),
        ([b"a"], ["a"], r"references\[0\]: expected a text \(str\), received bytes"),
    ],
)
def test_what_cannot_be_scored_is_refused(references, hypotheses, said):
    with pytest.raises(ValueError, match=said):
        score(references, hypotheses)
