"""Trainings that a comparison is made of: started, gone on with, and their logs."""

import csv
import json
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from keras_ds2.atomic_write import write_text_atomically


def train(recipe: str, run: Path, overrides: Iterable[str], epochs: int) -> None:
    """Trains a recipe until its log has so many epochs; what it prints goes to `RUN.txt`.

    Args:
        recipe: name, `"claims/relu3"`.
        run: the run folder, new or broken off.
        overrides: `"training.seed=2"`.
        epochs: int >= 1, the recipe's own or what `overrides` makes of it.
    """
    if len(read_log(run)) >= epochs:
        return
    run.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "keras_ds2.cli", "train", recipe, "--output", str(run)]
    for override in overrides:
        command += ["--set", override]
    with open(f"{run}.txt", "a", encoding="utf-8") as log:
        ended = subprocess.run(command, stdout=log, stderr=subprocess.STDOUT, check=False)
    if ended.returncode:
        sys.exit(f"{' '.join(command)}: ended with {ended.returncode}, see {log.name}")


def read_log(run: Path) -> list[dict[str, float]]:
    """Reads a run's `log.csv`: a row an epoch, none where nothing was trained."""
    try:
        with open(run / "log.csv", newline="", encoding="utf-8") as file:
            return [
                {key: float(value) for key, value in row.items() if value}
                for row in csv.DictReader(file)
            ]
    except FileNotFoundError:
        return []


def score(run: Path, manifest: Path, path: Path) -> None:
    """Writes what `keras-ds2 evaluate --json` says of a run; does nothing where that was done."""
    if path.exists():
        return
    command = [sys.executable, "-m", "keras_ds2.cli", "evaluate", str(run), "--json"]
    command += ["--manifest", str(manifest)]
    ended = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if ended.returncode:
        sys.exit(f"{' '.join(command)}: ended with {ended.returncode}")
    write_text_atomically(path, json.dumps(json.loads(ended.stdout), indent=1) + "\n")


def folder_name(case: str) -> str:
    """Of a case's runs."""
    return case.replace(" ", "_")


def read_scores(folder: Path, cases: Iterable[str]) -> dict[str, dict[str, dict[int, dict]]]:
    """Reads every `CASE/seed-N.MANIFEST.json` in a folder.

    Returns:
        Case, manifest, seed, what `keras-ds2 evaluate --json` printed.
    """
    scores: dict[str, dict[str, dict[int, dict]]] = {}
    for case in cases:
        for path in sorted((folder / folder_name(case)).glob("seed-*.json")):
            seed, manifest = path.name.removeprefix("seed-").removesuffix(".json").split(".", 1)
            by_seed = scores.setdefault(case, {}).setdefault(manifest, {})
            by_seed[int(seed)] = json.loads(path.read_text(encoding="utf-8"))
    return scores


def table(
    what: str,
    scores: dict[str, dict[str, dict[int, dict]]],
    manifests: list[str],
    base: str,
    difference: Callable[[list[tuple[float, float]]], str],
) -> str:
    """Markdown: a row a case, two columns a manifest: WER of each seed, and beside the base case.

    Seeds are compared with the same seeds; what only one of the two has counts in neither.

    Args:
        what: the cases are.
        scores: as `read_scores` gives them.
        manifests: names, as in `scores`.
        base: the case that the others stand beside.
        difference: from the WER of a case and of the base, a pair a seed, to what is written.
    """
    header = [what, "seeds"]
    for manifest in manifests:
        header += [f"WER, {manifest}", f"beside {base}"]
    lines = ["| " + " | ".join(header) + " |", "|---" * len(header) + "|"]
    for case, found in scores.items():
        row = [
            case,
            ", ".join(map(str, sorted({seed for each in found.values() for seed in each}))),
        ]
        for manifest in manifests:
            here = found.get(manifest, {})
            beside = {} if case == base else scores.get(base, {}).get(manifest, {})
            pairs = [
                (here[s]["wer"], beside[s]["wer"]) for s in sorted(here.keys() & beside.keys())
            ]
            row.append(", ".join(f"{100 * here[seed]['wer']:.1f} %" for seed in sorted(here)))
            row.append(difference(pairs) if pairs else "")
        lines.append("| " + " | ".join(row) + " |")
    return "\n".join(lines)
