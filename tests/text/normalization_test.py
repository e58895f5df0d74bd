"""Tests of choosing a normaliser by language."""

import pytest

from keras_ds2.text.normalization import LANGUAGES, normalizer


@pytest.mark.parametrize(
    ("language", "normal"),
    [("english", "it's two"), ("mandarin", "it's二"), ("none", "It’s 2!")],
)
def test_each_language(language, normal):
    assert normalizer(language)("It’s 2!") == normal


def test_every_language_is_tested():
    assert set(LANGUAGES) == {"english", "mandarin", "none"}


@pytest.mark.parametrize("language", ["klingon", "", None, "English"])
def test_another_language_is_refused(language):
    with pytest.raises(ValueError, match='expected one of "english", "mandarin", "none", received'):
        normalizer(language)
