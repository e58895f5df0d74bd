"""Unicode forms that all languages share: one way to write a letter, a digit, an apostrophe."""

import unicodedata

_APOSTROPHES = dict.fromkeys("\u2019\u2018\u201b\u02b9\u02bb\u02bc\u2032\u055a\u00b4`", "'")
_DASHES = dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2015\u2212\uff0d", "-")
_SLASHES = dict.fromkeys("\u2044\u2215", "/")
_SIGNS = str.maketrans(_APOSTROPHES | _DASHES | _SLASHES)

_FOLDED_LETTERS = str.maketrans(
    {"æ": "ae", "œ": "oe", "ø": "o", "đ": "d", "ð": "d", "þ": "th", "ł": "l", "ħ": "h", "ı": "i"}
)


def plain_forms(text: str) -> str:
    """Writes look-alikes in one way, and keeps case and punctuation.

    NFKC (full-width forms become plain); apostrophes, dashes and slashes of every shape become
    `'`, `-` and `/`; decimal digits of every script become 0 to 9; other numerals (superscripts,
    fractions, circled) are set apart by spaces; soft hyphens and other format characters go.
    """
    text = text.translate(_SIGNS)
    if text.isascii():
        return text
    text = "".join(
        f" {unicodedata.normalize('NFKC', character)} "
        if unicodedata.category(character) == "No"
        else character
        for character in text
    )
    text = unicodedata.normalize("NFKC", text).translate(_SIGNS)
    return "".join(map(_plain_character, text))


def fold_letters(text: str) -> str:
    """Lower-cases all letters and takes accents off Latin ones: `Café` becomes `cafe`.

    Letters of other scripts keep their marks and stay, so that an alphabet can report them.
    """
    if text.isascii():
        return text.lower()
    text = unicodedata.normalize("NFKC", text.casefold())
    kept = []
    marks_stay = False
    for character in unicodedata.normalize("NFD", text):
        if not unicodedata.combining(character):
            marks_stay = character.isalpha() and not is_latin(character)
            kept.append(character)
        elif marks_stay:
            kept.append(character)
    return unicodedata.normalize("NFC", "".join(kept)).translate(_FOLDED_LETTERS)


def keep_letters(text: str) -> str:
    """Keeps letters, marks and numerals, and apostrophes between letters; the rest become spaces.

    Runs of spaces become one, and none is left at the ends.
    """
    kept = []
    for index, character in enumerate(text):
        if character == "'":
            inside = 0 < index < len(text) - 1
            keep = inside and text[index - 1].isalpha() and text[index + 1].isalpha()
        else:
            keep = unicodedata.category(character)[0] in "LMN"
        kept.append(character if keep else " ")
    return " ".join("".join(kept).split())


def is_latin(letter: str) -> bool:
    """Tells whether a letter is of the Latin script."""
    return letter.isascii() or unicodedata.name(letter, "").startswith("LATIN ")


def _plain_character(character: str) -> str:
    if character.isascii():
        return character
    category = unicodedata.category(character)
    if category == "Cf":
        return ""
    return str(unicodedata.decimal(character)) if category == "Nd" else character
