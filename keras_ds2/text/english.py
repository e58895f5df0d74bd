"""English letters, and English texts written with them alone."""

import functools
import re
import string

from keras_ds2.text.alphabet import Alphabet
from keras_ds2.text.english_numbers import speak_numbers
from keras_ds2.text.unicode_forms import fold_letters, keep_letters, plain_forms

_TITLES = {
    "Prof": "professor",
    "Rev": "reverend",
    "Hon": "honorable",
    "Capt": "captain",
    "Col": "colonel",
    "Gen": "general",
    "Lt": "lieutenant",
    "Maj": "major",
    "Sgt": "sergeant",
    "Gov": "governor",
    "Sen": "senator",
    "Mt": "mount",
}
_SHORT_FORMS = [
    (r"\b(?:Dr\b\.?|(?i:dr)\.)", "doctor"),
    (r"\b(?:Mr\b\.?|(?i:mr)\.)", "mister"),
    (r"\b(?:Mrs\b\.?|(?i:mrs)\.)", "missus"),
    *((rf"\b{short}\.(?=\s+[A-Z])", words) for short, words in _TITLES.items()),
    (r"\b[Jj]r\.", "junior"),
    (r"\b[Ss]r\.", "senior"),
    (r"\bSt\.(?=\s+[A-Z])", "saint"),
    (r"\b[Ss]t\.", "street"),
    (r"\b[Vv]s\.", "versus"),
    (r"\b[Ee]tc\.", "et cetera"),
    (r"\bInc\.", "incorporated"),
    (r"\bLtd\.", "limited"),
    (r"&", "and"),
    (r"@", "at"),
]


def english_alphabet() -> Alphabet:
    """Space, apostrophe and the letters a to z: 29 symbols with the blank."""
    return Alphabet([" ", "'", *string.ascii_lowercase])


def normalize_english(text: str) -> str:
    """Writes an English text as it is spoken: lower-case letters, apostrophes and single spaces.

    Numbers become words (`$25`: twenty five dollars; see `speak_numbers`), titles and a few other
    short forms are written out, accents go, apostrophes stay inside words, and all other
    punctuation becomes a space. Letters that are not Latin stay, for the alphabet to report.
    Normalising twice changes nothing.
    """
    text = plain_forms(text)
    for pattern, words in _patterns():
        text = pattern.sub(f" {words} ", text)
    text = speak_numbers(text).replace("%", " percent ")
    return keep_letters(fold_letters(text))


@functools.cache
def _patterns() -> tuple:
    return tuple((re.compile(pattern), words) for pattern, words in _SHORT_FORMS)
