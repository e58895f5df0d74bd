"""Tests of the Unicode forms that all languages share."""

import pytest

from keras_ds2.text.unicode_forms import fold_letters, is_latin, keep_letters, plain_forms


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("Ａｂ１２！", "Ab12!"),
        ("it’s ‘x’ ʼ ´ `", "it's 'x' ' ' '"),
        ("1–2—3−4", "1-2-3-4"),
        ("٣४", "34"),
        ("3½", "3 1/2 "),
        ("10²", "10 2 "),
        ("a\u00adb\u200bc\ufeff", "abc"),
        ("a\u00a0b\u3000c", "a b c"),
        ("℃", "°C"),
    ],
)
def test_look_alikes_are_written_in_one_way(text, plain):
    assert plain_forms(text) == plain


@pytest.mark.parametrize(
    ("text", "folded"),
    [
        ("Café NAÏVE", "cafe naive"),
        ("Straße Æsir Łódź Øre Ǣ ǿ", "strasse aesir lodz ore ae o"),
        ("İstanbul ıı", "istanbul ii"),
        ("Привет Йод", "привет йод"),
        ("が ガ", "が ガ"),
        ("e\u0301 \u0301x", "e x"),
    ],
)
def test_latin_letters_lose_accents_and_others_keep_theirs(text, folded):
    assert fold_letters(text) == folded


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("a,b.c", "a b c"),
        ("don't 'quoted' students' 'n' o''neil '", "don't quoted students n o neil"),
        ("  a \t\n b  ", "a b"),
        ("你好，世界！", "你好 世界"),
        ("№\u0000☺", ""),
    ],
)
def test_only_letters_and_inner_apostrophes_are_kept(text, kept):
    assert keep_letters(text) == kept


def test_latin_letters_are_known():
    assert all(map(is_latin, "aZéßł"))
    assert not any(map(is_latin, "жα我が"))
