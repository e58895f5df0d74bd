"""Trains `recipes/claims/*.yaml`, several seeds each, and compares them: table and picture.

    python -m benchmarks.claims --data FOLDER [--output runs/claims]

Broken off, the same command goes on where it stopped; `--report` compares what is there. A seed
sets the weights, the order, the augmentation and the speakers held out, and is the same for all
recipes: they are compared seed by seed, by the word error rate of the last epoch.
"""

import argparse
from pathlib import Path

from rich.console import Console

from benchmarks._trainings import train
from benchmarks.claims import report
from keras_ds2.atomic_write import write_text_atomically
from keras_ds2.recipe import find_recipe, load_recipe
from keras_ds2.training.progress import counting


def main():
    options = _options()
    console = Console(stderr=True)
    wanted = [
        (recipe, seed)
        for seed in range(1, options.seeds + 1)
        for recipe, seeds in report.SEEDS.items()
        if seed <= seeds and (not options.only or recipe in options.only)
    ]
    if not options.report:
        with counting(console, "training", len(wanted)) as advance:
            for recipe, seed in wanted:
                _train(recipe, seed, options)
                advance()
    curves = report.read_curves(options.output)
    epochs = {name: _epochs(name, options) for name in curves}
    finished = report.finished(curves, epochs)
    text = report.table(finished)
    print(text)
    write_text_atomically(options.output / "claims.md", text + "\n")
    report.save_picture(options.output / "claims.png", curves)
    console.print(f"{options.output / 'claims.md'}, {options.output / 'claims.png'}")


def _options():
    parser = argparse.ArgumentParser("python -m benchmarks.claims", description=__doc__)
    parser.add_argument("--data", type=Path, help="folder of AN4, see recipes/english/an4.yaml")
    parser.add_argument("--output", type=Path, default=Path("runs/claims"), metavar="DIR")
    parser.add_argument("--seeds", type=int, default=3, help="at most so many seeds each")
    parser.add_argument("--only", nargs="+", choices=list(report.SEEDS), metavar="RECIPE")
    parser.add_argument("--epochs", type=int, help="in place of the recipes', to try it out")
    parser.add_argument("--report", action="store_true", help="train nothing")
    options = parser.parse_args()
    if options.data is None and not options.report:
        parser.error("--data: expected the folder of AN4, or --report")
    return options


def _train(recipe, seed, options):
    overrides = [f"data.folder={options.data.resolve()}", f"training.seed={seed}"]
    if options.epochs:
        overrides.append(f"training.epochs={options.epochs}")
    run = options.output / recipe / f"seed-{seed}"
    train(f"claims/{recipe}", run, overrides, _epochs(recipe, options))


def _epochs(recipe, options):
    return options.epochs or load_recipe(find_recipe(f"claims/{recipe}")).training.epochs


if __name__ == "__main__":
    main()
