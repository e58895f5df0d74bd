"""Trainings that a comparison is made of: started, gone on with, and their logs."""

import csv
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path


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
