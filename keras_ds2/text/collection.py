"""Alphabets collected from transcripts: how often each character occurs, and which are too rare."""

from collections import Counter
from collections.abc import Iterable

from keras_ds2.text.alphabet import Alphabet


def count_characters(transcripts: Iterable[str]) -> dict[str, int]:
    """Counts the characters of transcripts, in order of count descending, then code point.

    Args:
        transcripts: texts, normalised as the model will see them.

    Returns:
        Each character and its count.
    """
    counts: Counter[str] = Counter()
    for text in _texts(transcripts):
        counts.update(text)
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def rare_characters(
    transcripts: Iterable[str], min_count: int, always: Iterable[str] = ()
) -> dict[str, int]:
    """Gives the characters that occur less than `min_count` times, so are no symbols, with counts.

    Args:
        transcripts: texts, normalised as the model will see them.
        min_count: int >= 1.
        always: symbols that are in the alphabet whatever their count.
    """
    _check_min_count(min_count)
    always = set(always)
    counts = count_characters(transcripts)
    return {c: count for c, count in counts.items() if count < min_count and c not in always}


def collect_alphabet(
    transcripts: Iterable[str], min_count: int = 1, always: Iterable[str] = ()
) -> Alphabet:
    """Makes the alphabet of what transcripts hold.

    The order does not depend on the transcripts' order: first `always`, then the characters by
    count descending, then by code point.

    Args:
        transcripts: texts, normalised as the model will see them.
        min_count: int >= 1; a character that occurs less often is left out.
        always: symbols that are in whatever their count.

    Raises:
        ValueError: if `min_count` is below 1, nothing is left, or a character cannot be a symbol.
    """
    _check_min_count(min_count)
    always = list(always)
    counts = count_characters(transcripts)
    frequent = [c for c, count in counts.items() if count >= min_count and c not in always]
    if not frequent and not always:
        raise ValueError(
            f"No character occurs at least {min_count} times in the transcripts "
            f"({len(counts)} distinct characters in all). Lower min_count or give more transcripts."
        )
    return Alphabet([*always, *frequent])


def _check_min_count(min_count: int) -> None:
    if isinstance(min_count, bool) or not isinstance(min_count, int) or min_count < 1:
        raise ValueError(f"min_count: expected an integer >= 1, received {min_count!r}.")


def _texts(transcripts: Iterable[str]) -> Iterable[str]:
    if isinstance(transcripts, str):
        raise ValueError(f"transcripts: expected a list of texts, received one: {transcripts!r}.")
    return transcripts
