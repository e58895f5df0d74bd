"""What came out of the trainings: table, comparisons, learning curves."""

import dataclasses
import statistics
from pathlib import Path

from benchmarks._trainings import read_log
from keras_ds2.evaluation.figures import COLOURS, new_figure, save_png

SEEDS = {
    "relu3": 3,
    "relu3_no_norm": 2,
    "relu1": 2,
    "relu1_no_norm": 2,
    "relu5": 2,
    "relu5_no_norm": 2,
    "relu3_no_sortagrad": 2,
    "relu3_no_norm_no_sortagrad": 2,
    "gru3": 2,
    "forward3": 3,
    "lookahead3": 3,
}
"""Recipes of `recipes/claims`, and how many seeds each is trained with."""


@dataclasses.dataclass(frozen=True)
class Claim:
    """What the paper says: one recipe's error is lower than, or close to, another's."""

    said: str
    recipe: str
    beside: str
    within: float | None = None
    """None: lower; 0.05: on the average of the seeds at most 5 % higher."""


CLAIMS = (
    Claim("normalisation helps 1 layer little", "relu1", "relu1_no_norm"),
    Claim("normalisation helps 3 layers", "relu3", "relu3_no_norm"),
    Claim("normalisation helps 5 layers more", "relu5", "relu5_no_norm"),
    Claim("normalised, 5 layers beat 1", "relu5", "relu1"),
    Claim("SortaGrad helps", "relu3", "relu3_no_sortagrad"),
    Claim("without normalisation too", "relu3_no_norm", "relu3_no_norm_no_sortagrad"),
    Claim("GRU beats ReLU of as many weights", "gru3", "relu3"),
    Claim("lookahead helps forward-only layers", "lookahead3", "forward3"),
    Claim("... to within 5 % of both directions", "lookahead3", "relu3", within=0.05),
)

CHANCE = 0.1
"""Smaller relative changes say nothing: of some 120 wrong words a seed, two counts differ by about
15 by chance alone."""

PANELS = (
    (
        "Normalisation and depth",
        ["relu1", "relu3", "relu5", "relu1_no_norm", "relu3_no_norm", "relu5_no_norm"],
    ),
    (
        "SortaGrad",
        ["relu3", "relu3_no_sortagrad", "relu3_no_norm", "relu3_no_norm_no_sortagrad"],
    ),
    ("GRU and ReLU", ["relu3", "gru3"]),
    ("One direction, lookahead, both", ["forward3", "lookahead3", "relu3"]),
)

Curves = dict[str, dict[int, list[dict[str, float]]]]
"""Recipe, seed, a row an epoch."""


def read_curves(folder: Path) -> Curves:
    """Reads every `RECIPE/seed-N/log.csv` in a folder."""
    curves: Curves = {}
    for recipe in SEEDS:
        for run in sorted((folder / recipe).glob("seed-*/")):  # beside each, what it printed
            rows = read_log(run)
            if rows:
                curves.setdefault(recipe, {})[int(run.name.removeprefix("seed-"))] = rows
    return curves


def finished(curves: Curves, epochs: dict[str, int]) -> Curves:
    """Those that were trained to their last epoch."""
    whole = {
        recipe: {seed: rows for seed, rows in seeds.items() if len(rows) == epochs[recipe]}
        for recipe, seeds in curves.items()
    }
    return {recipe: seeds for recipe, seeds in whole.items() if seeds}


def table(curves: Curves) -> str:
    """Markdown: a row a recipe, then a row a claim.

    Args:
        curves: of finished trainings.
    """
    lines = [
        "| recipe | WER of the last epoch, a seed each | mean | mean CER | epochs to 50 % WER |",
        "|---|---|---|---|---|",
    ]
    for recipe, seeds in curves.items():
        last = {seed: rows[-1] for seed, rows in seeds.items()}
        rates = ", ".join(f"{100 * row['val_wer']:.1f}" for row in last.values())
        halves = ", ".join(_first_below(rows, 0.5) for rows in seeds.values())
        lines.append(
            f"| `{recipe}` | {rates} | {_mean_rate(last, 'val_wer')} | "
            f"{_mean_rate(last, 'val_cer')} | {halves} |"
        )
    lines += [
        "",
        "| the paper says | seeds | WER, here | relative change, a seed each | holds |",
        "|---|---|---|---|---|",
    ]
    lines += [_claim_row(claim, curves) for claim in CLAIMS]
    return "\n".join(lines)


def _claim_row(claim, curves):
    here, there = (curves.get(name, {}) for name in (claim.recipe, claim.beside))
    shared = sorted(here.keys() & there.keys())
    if not shared:
        return f"| {claim.said} | 0 | | | not trained |"
    pairs = [(here[seed][-1]["val_wer"], there[seed][-1]["val_wer"]) for seed in shared]
    changes = [one / other - 1 if other else float(one > 0) for one, other in pairs]
    one, other = (statistics.mean(side) for side in zip(*pairs, strict=True))
    if claim.within is not None:
        holds = "yes" if one <= (1 + claim.within) * other else "no"
    elif all(abs(change) < CHANCE for change in changes):
        holds = "within chance"
    elif all(change < 0 for change in changes):
        holds = "yes"
    elif all(change >= 0 for change in changes):
        holds = "no"
    else:
        holds = "seeds differ"
    each = ", ".join(f"{100 * change:+.0f} %" for change in changes)
    compared = f"`{claim.recipe}` {100 * one:.1f}, `{claim.beside}` {100 * other:.1f}"
    return f"| {claim.said} | {len(shared)} | {compared} | {each} | {holds} |"


def save_picture(path: Path, curves: Curves) -> None:
    """Draws the word error rates over the epochs: a line a seed, a colour a recipe."""
    with new_figure(height=7.0) as figure:
        panels = figure.subplots(2, 2, sharey=True).flat
        for axes, (title, recipes) in zip(panels, PANELS, strict=True):
            for colour, recipe in zip(COLOURS, recipes, strict=False):
                for index, rows in enumerate(curves.get(recipe, {}).values()):
                    axes.plot(
                        [row["epoch"] for row in rows],
                        [100 * row["val_wer"] for row in rows],
                        color=colour,
                        linewidth=1.4,
                        alpha=0.8,
                        label=None if index else recipe,
                    )
            axes.set_title(title, loc="left", fontweight="bold")
            axes.set_xlabel("epoch")
            axes.set_ylabel("validation WER (%)")
            axes.set_ylim(0.0, 105.0)
            axes.grid(axis="y", color="#E5E5E5")
            if axes.lines:
                axes.legend(loc="upper right", edgecolor="none", framealpha=0.85)
        save_png(figure, path)


def _first_below(rows, rate):
    reached = (row["epoch"] for row in rows if row["val_wer"] < rate)
    return f"{next(reached, float('nan')):.0f}".replace("nan", "never")


def _mean_rate(rows, key):
    return f"{100 * statistics.mean(row[key] for row in rows.values()):.1f}"
