"""Words: where they begin and end, and how sure they are."""

import math

import pytest

from keras_ds2.streaming.greedy import Symbol
from keras_ds2.streaming.words import Word, words_of
from keras_ds2.text.alphabet import Alphabet

ALPHABET = Alphabet(list(" ab中国"))


def symbols(text, log_prob=0.0):
    """Two steps for each symbol, one blank between them."""
    ids = ALPHABET.encode(text).tolist()
    return [Symbol(each, 3 * i, 3 * i + 1, log_prob) for i, each in enumerate(ids)]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", []),
        (" ", []),
        ("ab", ["ab"]),
        (" ab  b ", ["ab", "b"]),
        ("中国", ["中", "国"]),
        ("ab中 b国a", ["ab", "中", "b", "国", "a"]),
    ],
)
def test_words_of_a_text(text, words):
    assert [word.text for word in words_of(symbols(text), ALPHABET, 20.0)] == words


def test_times_and_confidence():
    found = symbols("ab a")
    found[0].log_prob, found[1].log_prob = math.log(0.5), math.log(0.125)
    assert words_of(found, ALPHABET, 20.0) == [
        Word("ab", 0.0, 100.0, pytest.approx(0.25)),
        Word("a", 180.0, 220.0, 1.0),
    ]
