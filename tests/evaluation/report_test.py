"""Tests of what a score looks like."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_ds2.evaluation.metrics import EditCounts, ErrorCounter, Score, score
from keras_ds2.evaluation.report import (
    group_scores,
    group_table,
    report_dict,
    report_table,
    worst_utterances,
)

TEXTS = st.lists(st.sampled_from(["a", "bb", "我", "是我"]), max_size=8).map(" ".join)
ROWS = st.lists(st.tuples(TEXTS, TEXTS, st.sampled_from(["ann", "bob", None])), max_size=8)


def columns(rows):
    return [list(column) for column in zip(*rows, strict=True)] if rows else [[], [], []]


class TestDict:
    def test_every_figure(self):
        counter = ErrorCounter()
        counter.update(["the cat sat"], ["a cat sat on"])
        counter.skip(2)
        assert report_dict(counter.result()) == {
            "wer": pytest.approx(2 / 3),
            "cer": pytest.approx(6 / 11),
            "substitutions": 1,
            "insertions": 1,
            "deletions": 0,
            "words": 3,
            "character_substitutions": 1,
            "character_insertions": 3,
            "character_deletions": 2,
            "characters": 11,
            "utterances": 1,
            "skipped": 2,
        }

    def test_json_holds_it_even_without_any_reference(self):
        figures = json.loads(json.dumps(report_dict(score([""], ["x"])), allow_nan=False))
        assert figures["wer"] is None
        assert figures["insertions"] == 1


class TestTable:
    def test_by_hand(self):
        result = Score(EditCounts(8, 1, 2, 1), EditCounts(38, 0, 0, 2), utterances=3, skipped=1)
        assert report_table(result).splitlines() == [
            "        rate  errors  substitutions  insertions  deletions      reference",
            "WER  40.00 %       4              1           2          1       10 words",
            "CER   5.00 %       2              0           0          2  40 characters",
            "3 utterances, 1 skipped",
        ]

    def test_the_primary_rate_stands_first(self):
        result = Score(EditCounts(8, 1, 2, 1), EditCounts(38, 0, 0, 2), utterances=3)
        header, words, characters, utterances = report_table(result, "wer").splitlines()
        expected = [header, characters, words, utterances]
        assert report_table(result, "cer").splitlines() == expected

    def test_of_two_rates(self):
        with pytest.raises(ValueError, match="primary: expected wer or cer, received 'loss'"):
            report_table(Score(), "loss")

    def test_nothing_scored(self):
        assert report_table(Score()).endswith("0 utterances")
        assert report_table(score([""], ["x"])).splitlines()[1].split()[:2] == ["WER", "-"]


class TestGroups:
    @given(ROWS, st.booleans())
    def test_groups_sum_to_the_whole(self, rows, ignore_spaces):
        references, hypotheses, groups = columns(rows)
        scores = group_scores(references, hypotheses, groups, ignore_spaces=ignore_spaces)
        whole = score(references, hypotheses, ignore_spaces=ignore_spaces)
        assert sum(scores.values(), Score()) == whole
        assert set(scores) == {group or "(none)" for group in groups}

    def test_table_by_hand(self):
        scores = group_scores(["a b", "a b", "c"], ["a b", "a x", "c"], ["bob", "ann", "bob"])
        assert group_table(scores, "speaker").splitlines() == [
            "speaker      WER      CER  utterances  words  characters",
            "ann      50.00 %  33.33 %           1      2           3",
            "bob       0.00 %   0.00 %           2      3           4",
        ]

    def test_the_primary_rate_stands_first(self):
        scores = group_scores(["a b"], ["a x"], ["ann"])
        assert [line.split() for line in group_table(scores, "speaker", "cer").splitlines()] == [
            ["speaker", "CER", "WER", "utterances", "words", "characters"],
            ["ann", "33.33", "%", "50.00", "%", "1", "2", "3"],
        ]

    def test_as_many_groups_as_texts(self):
        with pytest.raises(ValueError, match="received 1 groups and 2 references"):
            group_scores(["a", "b"], ["a", "b"], ["x"])


class TestWorst:
    def test_most_errors_first_then_the_higher_rate(self):
        references = ["a b c", "a", "a b c d", "x y"]
        hypotheses = ["a b", "b", "a b c d", ""]
        worst = worst_utterances(references, hypotheses, ["f:1", "f:2", "f:3", "f:4"])
        assert [utterance.where for utterance in worst] == ["f:4", "f:2", "f:1"]
        assert worst[0].edits == EditCounts(deletions=2)
        assert (worst[2].reference, worst[2].hypothesis) == ("a b c", "a b")

    def test_no_more_than_asked_for(self):
        worst = worst_utterances(["a"] * 9, ["b"] * 9, count=2)
        assert [utterance.where for utterance in worst] == ["1", "2"]

    def test_alignment_of_words(self):
        (worst,) = worst_utterances(["the cat sat on mats"], ["a cat on mats yes"])
        assert worst.alignment.splitlines() == [
            "said the cat sat on mats ***",
            "read a   cat *** on mats yes",
            "     S       D           I",
        ]

    def test_alignment_of_characters_gives_han_two_columns(self):
        (worst,) = worst_utterances(["我 是中国人"], ["我 在中国a"], ignore_spaces=True)
        assert worst.edits == EditCounts(hits=3, substitutions=2)
        assert worst.alignment.splitlines() == [
            "said 我是中国人",
            "read 我在中国a",
            "       S     S",
        ]

    def test_long_alignments_are_broken(self):
        (worst,) = worst_utterances([" ".join(["word"] * 40)], [""], width=50)
        lines = worst.alignment.splitlines()
        assert len(lines) % 3 == 0
        assert len(lines) > 3
        assert max(map(len, lines)) <= 50
        assert worst.alignment.count("word") == 40

    @given(ROWS, st.booleans())
    def test_all_errors_are_in_them_and_both_texts_can_be_read_off(self, rows, ignore_spaces):
        references, hypotheses, _ = columns(rows)
        worst = worst_utterances(
            references, hypotheses, count=len(rows), ignore_spaces=ignore_spaces, width=30
        )
        whole = score(references, hypotheses, ignore_spaces=ignore_spaces)
        edits = whole.character_edits if ignore_spaces else whole.word_edits
        total = sum((utterance.edits for utterance in worst), EditCounts())
        assert total.errors == edits.errors
        assert (total.substitutions, total.insertions, total.deletions) == (
            edits.substitutions,
            edits.insertions,
            edits.deletions,
        )
        for utterance in worst:
            lines = utterance.alignment.splitlines()
            for first, text in ((0, utterance.reference), (1, utterance.hypothesis)):
                written = "".join(line[4:] for line in lines[first::3])
                bare = written.replace(" ", "").replace("*", "")
                assert bare == text.replace(" ", "")
            signs = "".join(line[5:] for line in lines[2::3]).replace(" ", "")
            assert len(signs) == utterance.edits.errors

    def test_nothing_to_show(self):
        assert worst_utterances([], []) == []
        assert worst_utterances(["a"], ["a"]) == []

    def test_as_many_places_as_texts(self):
        with pytest.raises(ValueError, match="received 3 places and 1 references"):
            worst_utterances(["a"], ["b"], ["x", "y", "z"])
