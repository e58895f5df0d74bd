"""Phrases of the spoken commands: vocabulary, evenness, held-out sentences."""

import random
from collections import Counter

import pytest

from keras_ds2.data.corpora.command_phrases import command_vocabulary, draw_phrases

# Words that sound like one of the vocabulary, or that are said in two ways.
CONFUSING = {
    "to",
    "too",
    "for",
    "won",
    "ate",
    "by",
    "bye",
    "write",
    "read",
    "close",
    "live",
    "lead",
}


def test_the_vocabulary_is_as_promised():
    words = command_vocabulary()
    assert len(words) >= 150
    assert len(set(words)) == len(words)
    assert all(word.isascii() and word.isalpha() and word.islower() for word in words)
    assert not CONFUSING & set(words)


def test_phrases_keep_to_the_vocabulary_and_to_two_to_seven_words():
    vocabulary = set(command_vocabulary())
    for phrase in draw_phrases(random.Random(1), 500):
        assert set(phrase.split()) <= vocabulary
        assert 2 <= len(phrase.split()) <= 7
        assert phrase == " ".join(phrase.split())


@pytest.mark.parametrize("seed", range(5))
def test_every_word_comes_often_enough(seed):
    heard = Counter(
        word for phrase in draw_phrases(random.Random(seed), 1800) for word in phrase.split()
    )
    assert set(heard) == set(command_vocabulary())
    assert min(heard.values()) >= 10


@pytest.mark.parametrize("seed", range(5))
def test_every_word_comes_from_500_phrases_on(seed):
    phrases = draw_phrases(random.Random(seed), 500)
    assert {word for phrase in phrases for word in phrase.split()} == set(command_vocabulary())


def test_the_same_seed_gives_the_same_phrases():
    first, second, other = (draw_phrases(random.Random(seed), 100) for seed in (7, 7, 8))
    assert first == second
    assert first != other


def test_excluded_phrases_are_not_drawn():
    held_out = set(draw_phrases(random.Random(0), 400))
    assert not held_out & set(draw_phrases(random.Random(1), 1000, exclude=held_out))


def test_says_when_nothing_is_left():
    class Everything(set):
        def __contains__(self, _):
            return True

    with pytest.raises(ValueError, match="exclude"):
        draw_phrases(random.Random(0), 1, exclude=Everything())
