"""The table of what hearing forward only costs."""

from typing import NamedTuple

BOTH = "both directions"
LOOKAHEAD = "forward and lookahead"
FORWARD = "forward only"

DIRECTIONS = {
    BOTH: ("model.bidirectional=true", "model.lookahead_context=0"),
    LOOKAHEAD: ("model.bidirectional=false", "model.lookahead_context=20"),
    FORWARD: ("model.bidirectional=false", "model.lookahead_context=0"),
}
"""The cases: nothing else differs, but that both directions have two sets of recurrent weights."""

SHORTER = (
    "model.num_rnn_layers=3",
    "model.units=192",
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
    """Markdown: a row a case, two columns a manifest: WER of each seed, and beside both directions.

    Seeds are compared with the same seeds; what only one of the two has counts in neither.

    Args:
        scores: case, manifest, seed, what `keras-ds2 evaluate --json` printed.
        manifests: names, as in `scores`.
    """
    header = ["recurrences", "seeds"]
    for manifest in manifests:
        header += [f"WER, {manifest}", f"beside {BOTH}"]
    lines = ["| " + " | ".join(header) + " |", "|---" * len(header) + "|"]
    for case, found in scores.items():
        seeds = sorted({seed for each in found.values() for seed in each})
        row = [case, ", ".join(map(str, seeds))]
        for manifest in manifests:
            row += _columns(found.get(manifest, {}), scores.get(BOTH, {}).get(manifest, {}))
        lines.append("| " + " | ".join(row) + " |")
    return "\n".join(lines)


def _columns(here, base):
    rates = ", ".join(f"{100 * here[seed]['wer']:.1f} %" for seed in sorted(here))
    shared = sorted(here.keys() & base.keys())
    if here is base or not shared:
        return [rates, ""]
    changes = [here[seed]["wer"] / base[seed]["wer"] - 1 for seed in shared]
    together = sum(here[seed]["wer"] for seed in shared) / sum(base[seed]["wer"] for seed in shared)
    listed = ", ".join(f"{100 * change:+.0f} %" for change in changes)
    return [rates, f"{listed}; together {100 * (together - 1):+.0f} %"]
