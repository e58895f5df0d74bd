"""Trains `english/letters_numbers` without one augmentation after the other, and scores each.

    python -m benchmarks.augmentation --data FOLDER [--also REAL.jsonl] [--output runs/augmentation]

Smaller and shorter than the recipe (`report.SHORTER`), for there are seven trainings a seed. Broken
off, the same command goes on where it stopped.
"""

import argparse
from pathlib import Path

from rich.console import Console

from benchmarks._trainings import folder_name, read_scores, score, train
from benchmarks.augmentation import report
from keras_ds2.atomic_write import write_text_atomically
from keras_ds2.training.progress import counting


def main():
    options = _options()
    manifests = [options.data / "test.jsonl", *options.also]
    names = [f"{path.parent.name}_{path.stem}" for path in map(Path.resolve, manifests)]
    wanted = [(case, seed) for seed in range(1, options.seeds + 1) for case in report.cases()]
    with counting(Console(stderr=True), "training", len(wanted)) as advance:
        for case, seed in wanted:
            run = options.output / folder_name(case) / f"seed-{seed}"
            _train(run, case, seed, options)
            for name, manifest in zip(names, manifests, strict=True):
                score(run, manifest, run.with_name(f"{run.name}.{name}.json"))
            advance()
    text = report.table(read_scores(options.output, report.cases()), names)
    print(text)
    write_text_atomically(options.output / "augmentation.md", text + "\n")


def _options():
    parser = argparse.ArgumentParser("python -m benchmarks.augmentation", description=__doc__)
    parser.add_argument(
        "--data",
        type=Path,
        required=True,
        metavar="FOLDER",
        help="as recipes/english/letters_numbers.yaml says",
    )
    parser.add_argument(
        "--also", type=Path, nargs="+", default=[], metavar="FILE", help="manifests to score too"
    )
    parser.add_argument("--output", type=Path, default=Path("runs/augmentation"), metavar="DIR")
    parser.add_argument("--seeds", type=int, default=1, metavar="N")
    return parser.parse_args()


def _train(run, case, seed, options):
    overrides = [f"{key}={value}" for key, value in report.SHORTER.items()]
    overrides += [f"data.folder={options.data.resolve()}", f"training.seed={seed}"]
    overrides += report.cases()[case]
    train("english/letters_numbers", run, overrides, report.SHORTER["training.epochs"])


if __name__ == "__main__":
    main()
