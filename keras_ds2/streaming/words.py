"""Words with their times and confidence, of the symbols that a decoder found."""

import dataclasses
import math
from collections.abc import Sequence

from keras_ds2.streaming.greedy import Symbol
from keras_ds2.text.alphabet import Alphabet

# From here on Unicode has the scripts that are written without spaces: Han, Kana and the like.
_FIRST_UNSPACED = 0x2E80


@dataclasses.dataclass(frozen=True)
class Word:
    """One word.

    Attributes:
        text: without spaces.
        start_ms: from the start of the audio to the first step that the model writes it at.
        end_ms: to the end of the last such step. CTC lets a network write a symbol where it
            likes: somewhat behind what is heard, or before it where it looks ahead.
        confidence: from 0 to 1, the geometric mean of its symbols' probabilities.
    """

    text: str
    start_ms: float
    end_ms: float
    confidence: float


def words_of(symbols: Sequence[Symbol], alphabet: Alphabet, step_ms: float) -> list[Word]:
    """Cuts symbols into words: at spaces, and around each character of an unspaced script."""
    words, current = [], []

    def close():
        if current:
            mean = sum(each.log_prob for each in current) / len(current)
            words.append(
                Word(
                    text=alphabet.decode([each.id for each in current]),
                    start_ms=current[0].first_step * step_ms,
                    end_ms=(current[-1].last_step + 1) * step_ms,
                    confidence=math.exp(mean),
                )
            )
            current.clear()

    for symbol in symbols:
        text = alphabet.symbols[symbol.id - 1]
        if ends_word(text):
            close()
        if not text.isspace():
            current.append(symbol)
        if ends_word(text):
            close()
    close()
    return words


def ends_word(text: str) -> bool:
    """Whether no word is open behind a symbol: it is a space, or a word by itself."""
    return text.isspace() or ord(text) >= _FIRST_UNSPACED
