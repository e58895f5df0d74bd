"""Mandarin characters with Roman letters, and Mandarin texts written with them alone."""

import re
import string
from collections.abc import Iterable

from keras_ds2.text.alphabet import Alphabet
from keras_ds2.text.collection import collect_alphabet, rare_characters
from keras_ds2.text.mandarin_numbers import speak_numbers
from keras_ds2.text.unicode_forms import fold_letters, keep_letters, plain_forms

ROMAN_SYMBOLS = (" ", *string.ascii_lowercase)
"""Symbols of every Mandarin alphabet, whatever the transcripts hold: speakers mix languages."""

_HAN = (
    r"\u3005\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
    r"\U00020000-\U0002fa1f\U00030000-\U0003ffff"
)
_SPACE_BY_HAN = re.compile(rf"\s+(?=[{_HAN}])|(?<=[{_HAN}])\s+")


def mandarin_alphabet(transcripts: Iterable[str], min_count: int = 1) -> Alphabet:
    """Collects the alphabet of Mandarin transcripts: space and a to z, then their characters.

    The order does not depend on the transcripts' order: count descending, then code point.

    Args:
        transcripts: texts as the model will see them, that is after `normalize_mandarin`.
        min_count: int >= 1; a character that occurs less often is left out, see
            `rare_mandarin_characters`.

    Raises:
        ValueError: if `min_count` is below 1 or a character cannot be a symbol.
    """
    return collect_alphabet(transcripts, min_count, always=ROMAN_SYMBOLS)


def rare_mandarin_characters(transcripts: Iterable[str], min_count: int) -> dict[str, int]:
    """Gives the characters that `mandarin_alphabet` leaves out as too rare, with their counts."""
    return rare_characters(transcripts, min_count, always=ROMAN_SYMBOLS)


def normalize_mandarin(text: str) -> str:
    """Writes a Mandarin text as it is spoken: Han characters and lower-case Roman words.

    Full-width forms become plain, digits become Chinese numerals (see `speak_numbers`), 〇 becomes
    零, punctuation goes, Roman letters are lower-cased without accents, and spaces stay only
    between Roman words. Simplified and traditional characters stay as they are. Normalising twice
    changes nothing.
    """
    text = _SPACE_BY_HAN.sub("", plain_forms(text).strip())
    text = speak_numbers(text).replace("〇", "零").replace("&", "和")
    return _SPACE_BY_HAN.sub("", keep_letters(fold_letters(text)))
