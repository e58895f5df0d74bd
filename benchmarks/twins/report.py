"""The table of what hearing forward only costs."""

from typing import NamedTuple

from benchmarks import _trainings

BOTH = "both directions"
LOOKAHEAD = "forward and lookahead"
FORWARD = "forward only"

CASES = {
    BOTH: ("model.units=192", "model.bidirectional=true", "model.lookahead_context=0"),
    LOOKAHEAD: ("model.units=272", "model.bidirectional=false", "model.lookahead_context=20"),
    FORWARD: ("model.units=272", "model.bidirectional=false", "model.lookahead_context=0"),
}
"""Overrides of each. Both directions share their upward weights, so that the three recurrences hold
1.04 million weights in them, and 1.33 million forward."""

SHORTER = (
    "model.num_rnn_layers=3",
    "model.dense_units=256",
    "model.conv_filters=[256]",
    "training.learning_rate=2e-3",
)


class Corpus(NamedTuple):
    """What is trained.

    Attributes:
        recipe: its name.
        overrides: what the trainings here have that the recipe has not; they are many.
        epochs: int.
    """

    recipe: str
    overrides: tuple[str, ...]
    epochs: int


CORPORA = {
    "letters_numbers": Corpus(
        "english/letters_numbers_live",
        (
            *SHORTER,
            "augmentation.frequency_masks=0",
            "augmentation.frequency_mask_max_bins=null",
        ),
        30,
    ),
    "an4": Corpus(
        "english/an4",
        (
            *SHORTER,
            "features.normalization=running",
            "model.variant=production",
            "model.recurrent_initializer=null",
            "model.recurrent_gain=null",
            "model.dropout=0.2",
        ),
        40,
    ),
}
"""Waveforms, and cepstra of waveforms."""


def table(scores: dict[str, dict[str, dict[int, dict]]], manifests: list[str]) -> str:
    """`_trainings.table` beside both directions, in shares of their errors, and of all seeds."""

    def shares(pairs):
        each = ", ".join(f"{100 * (here / base - 1):+.0f} %" for here, base in pairs)
        together = sum(here for here, _ in pairs) / sum(base for _, base in pairs)
        return f"{each}; together {100 * (together - 1):+.0f} %"

    return _trainings.table("recurrences", scores, manifests, BOTH, shares)
