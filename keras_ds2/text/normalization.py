"""Text normalisation by language."""

from collections.abc import Callable

from keras_ds2.text.english import normalize_english
from keras_ds2.text.mandarin import normalize_mandarin


def as_it_is(text: str) -> str:
    """Changes nothing."""
    return text


_NORMALIZERS = {"english": normalize_english, "mandarin": normalize_mandarin, "none": as_it_is}

LANGUAGES = tuple(_NORMALIZERS)
"""The names that `normalizer` knows."""


def normalizer(language: str) -> Callable[[str], str]:
    """Gives the function that normalises a language's texts.

    Args:
        language: `"english"`, `"mandarin"`, or `"none"` for texts that are used as they are.

    Raises:
        ValueError: if the language is another.
    """
    if language not in _NORMALIZERS:
        names = ", ".join(f'"{name}"' for name in LANGUAGES)
        raise ValueError(f"language: expected one of {names}, received {language!r}.")
    return _NORMALIZERS[language]
