"""Tests of English letters and normalisation."""

import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_ds2.text import english_numbers
from keras_ds2.text.english import english_alphabet, normalize_english


def test_29_symbols_with_the_blank():
    alphabet = english_alphabet()
    assert len(alphabet) == 29
    assert "".join(alphabet.symbols) == " 'abcdefghijklmnopqrstuvwxyz"


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("Dr. O'Neil paid $25 on 3/4", "doctor o'neil paid twenty five dollars on three quarters"),
        ("Hello, World!", "hello world"),
        ("“Don’t” ‘stop’ rock 'n' roll", "don't stop rock n roll"),
        ("ＦＵＬＬ　ｗｉｄｔｈ １２", "full width twelve"),
        ("in 1995, the 2nd was 3.5 of 10,000", "in nineteen ninety five the second was three point "
         "five of ten thousand"),
        ("Mr. and Mrs. Smith vs. Prof. Jones", "mister and missus smith versus professor jones"),
        ("DR. NO", "doctor no"),
        ("St. John of Main St.", "saint john of main street"),
        ("the dr said mr smith", "the dr said mr smith"),
        ("well-known — e.g. U.S.A.", "well known e g u s a"),
        ("25% & more @ home", "twenty five percent and more at home"),
        ("café Straße", "cafe strasse"),
        ("O''Neil's 'tis students'", "o neil's tis students"),
        ("line\nbreak\ttab", "line break tab"),
        ("", ""),
        ("...", ""),
    ],
)  # fmt: skip
def test_written_as_spoken(text, normal):
    assert normalize_english(text) == normal


def test_letters_of_other_scripts_stay_for_the_alphabet_to_report():
    normal = normalize_english("Привет 我 2")
    assert normal == "привет 我 two"
    assert english_alphabet().unknown_symbols(normal) == [*"привет", "我"]


@given(st.text(st.characters(codec="ascii")))
def test_any_ascii_text_ends_up_in_the_alphabet(text):
    normal = normalize_english(text)
    assert english_alphabet().unknown_symbols(normal) == []
    assert normal == " ".join(normal.split())


@given(
    st.text(st.one_of(st.characters(exclude_categories=("Cs",)), st.sampled_from("Dr.'’1½²3/ ")))
)
@settings(max_examples=500)
def test_normalising_twice_changes_nothing(text):
    once = normalize_english(text)
    assert normalize_english(once) == once


def test_normalising_twice_changes_nothing_for_any_character_that_has_other_forms():
    points = map(chr, (*range(0x3400), *range(0xF900, 0x10000)))
    texts = [f"a{character}b 1{character}3" for character in points]
    once = [normalize_english(text) for text in texts]
    assert [normalize_english(text) for text in once] == once


def test_number_words_are_loaded_only_when_a_text_holds_digits(monkeypatch):
    english_numbers._engine.cache_clear()
    english_numbers._cardinal.cache_clear()
    monkeypatch.setitem(sys.modules, "inflect", None)  # importing it fails from here on
    assert normalize_english("no digits") == "no digits"
    with pytest.raises(ImportError, match="inflect"):
        normalize_english("1 digit")


@pytest.mark.data
def test_real_transcripts_end_up_in_the_alphabet(speech_data):
    from keras_ds2.data.manifest import read_manifest

    alphabet = english_alphabet()
    for corpus in ("en_prompts/train", "ljspeech/all", "librispeech/test_other", "fsdd/test"):
        manifest = speech_data / f"{corpus}.jsonl"
        if not manifest.is_file():
            pytest.skip(f"no {manifest}")
        utterances = read_manifest(manifest)
        normal = [normalize_english(utterance.text) for utterance in utterances]
        alphabet.require_known(zip(normal, (u.where for u in utterances), strict=True))
        assert all(normal)
        assert [normalize_english(text) for text in normal] == normal
