"""What a decoder finds."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Hypothesis:
    """One reading of an utterance.

    Attributes:
        text: the words.
        ids: the symbols' ids, blanks and repeats removed.
        steps: for each symbol, the step at which it starts.
        log_prob: natural logarithm of the alignment's probability.
    """

    text: str
    ids: tuple[int, ...]
    steps: tuple[int, ...]
    log_prob: float
