"""Tests of Mandarin characters and normalisation."""

import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_ds2.text.mandarin import (
    mandarin_alphabet,
    normalize_mandarin,
    rare_mandarin_characters,
)


class TestAlphabet:
    def test_space_and_roman_letters_are_always_in(self):
        symbols = mandarin_alphabet(["我"]).symbols
        assert "".join(symbols) == f" {string.ascii_lowercase}我"

    def test_characters_by_count_then_code_point(self):
        symbols = mandarin_alphabet(["是我", "我是", "国中", "it's"]).symbols
        expected = sorted("我是", key=ord) + sorted("国中'", key=ord)
        assert symbols[27:] == tuple(expected)

    def test_minimum_count_and_what_fell_below_it(self):
        transcripts = ["我我我", "是是ab", "中"]
        alphabet = mandarin_alphabet(transcripts, min_count=2)
        assert alphabet.symbols[27:] == ("我", "是")
        assert rare_mandarin_characters(transcripts, 2) == {"中": 1}
        assert len(alphabet) == 1 + 27 + 2

    def test_no_transcripts_leave_the_roman_letters(self):
        assert len(mandarin_alphabet([])) == 28


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("你好，世界！", "你好世界"),
        ("２０２４年５月３日，星期五。", "二零二四年五月三日星期五"),
        ("我 用 iPhone 15 Pro 手机", "我用iphone十五pro手机"),
        ("ＯＫ ＡＢＣ", "ok abc"),
        ("hello, world 你好", "hello world你好"),
        ("don’t 停", "don't停"),
        ("25％的人", "百分之二十五的人"),
        ("1995 年", "一九九五年"),
        ("-3℃", "负三摄氏度"),
        ("二〇二四", "二零二四"),
        ("《红楼梦》（上）", "红楼梦上"),
        ("café", "cafe"),
        ("學習", "學習"),
        ("A&B", "a和b"),
        ("  ", ""),
    ],
)
def test_written_as_spoken(text, normal):
    assert normalize_mandarin(text) == normal


MIXED = st.sampled_from("我是中国〇年月点个，。 ab'’1２½3%-./:~°")


@given(st.text(st.one_of(MIXED, st.characters(exclude_categories=("Cs",)))))
@settings(max_examples=500)
def test_normalising_twice_changes_nothing(text):
    once = normalize_mandarin(text)
    assert normalize_mandarin(once) == once


def test_normalising_twice_changes_nothing_for_any_character_that_has_other_forms():
    points = map(chr, (*range(0x3400), *range(0xF900, 0x10000)))
    texts = [f"a{character}b 1{character}中" for character in points]
    once = [normalize_mandarin(text) for text in texts]
    assert [normalize_mandarin(text) for text in once] == once


@given(st.text(MIXED))
def test_texts_of_han_roman_and_digits_end_up_in_an_alphabet_of_han_and_roman(text):
    normal = normalize_mandarin(text)
    han = "我是中国年月点个零一二三四五六七八九十百千万亿两负到比分之度摄氏华秒加乘等于元日"
    allowed = set(" '" + string.ascii_lowercase + han)
    assert set(normal) <= allowed
    assert normal == " ".join(normal.split())


@pytest.mark.data
@pytest.mark.parametrize("corpus", ["zh_words20", "zh_sentences_synthetic", "zh_words"])
def test_real_transcripts_give_their_own_alphabet(speech_data, corpus):
    from keras_ds2.data.manifest import read_manifest

    manifest = speech_data / corpus / "train.jsonl"
    if not manifest.is_file():
        pytest.skip(f"no {manifest}")
    texts = [normalize_mandarin(utterance.text) for utterance in read_manifest(manifest)]
    assert all(texts)
    alphabet = mandarin_alphabet(texts)
    alphabet.require_known((text, None) for text in texts)
    assert [normalize_mandarin(text) for text in texts] == texts
    rare = rare_mandarin_characters(texts, 3)
    assert len(mandarin_alphabet(texts, 3)) == len(alphabet) - len(rare)
