"""Tests of alphabets collected from transcripts."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_ds2.text.collection import collect_alphabet, count_characters, rare_characters

TRANSCRIPTS = st.lists(st.text(st.sampled_from("abc我是中国 ")), min_size=1)


def test_order_is_by_count_then_code_point():
    assert list(count_characters(["ba", "我a", "b我", "是"]).items()) == [
        ("a", 2),
        ("b", 2),
        ("我", 2),
        ("是", 1),
    ]


@given(TRANSCRIPTS, st.data())
def test_order_of_the_transcripts_does_not_matter(transcripts, data):
    shuffled = data.draw(st.permutations(transcripts))
    assert list(count_characters(shuffled).items()) == list(count_characters(transcripts).items())


@given(TRANSCRIPTS, st.integers(1, 4))
def test_every_character_is_either_a_symbol_or_rare(transcripts, min_count):
    counts = Counter("".join(transcripts))
    rare = rare_characters(transcripts, min_count, always="z")
    symbols = collect_alphabet(transcripts, min_count, always="z").symbols
    assert set(symbols) - {"z"} | set(rare) == set(counts)
    assert not set(symbols) & set(rare)
    assert all(count == counts[character] < min_count for character, count in rare.items())


def test_always_comes_first_and_once_and_is_never_rare():
    transcripts = ["xxyb"]
    assert collect_alphabet(transcripts, 2, always="ab").symbols == ("a", "b", "x")
    assert rare_characters(transcripts, 2, always="ab") == {"y": 1}


@pytest.mark.parametrize("min_count", [0, -1, 1.5, True, "2"])
def test_min_count_is_checked(min_count):
    with pytest.raises(ValueError, match="min_count: expected an integer >= 1"):
        collect_alphabet(["a"], min_count)
    with pytest.raises(ValueError, match="min_count: expected an integer >= 1"):
        rare_characters(["a"], min_count)


def test_nothing_left_is_an_error_that_says_why():
    with pytest.raises(ValueError, match=r"at least 3 times .*\(2 distinct characters"):
        collect_alphabet(["ab"], 3)


def test_one_text_in_place_of_a_list_is_refused():
    with pytest.raises(ValueError, match="expected a list of texts"):
        collect_alphabet("abc")


def test_transcripts_may_be_read_once_only():
    assert collect_alphabet(iter(["ab", "b"])).symbols == ("b", "a")
