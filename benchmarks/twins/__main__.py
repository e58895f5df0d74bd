"""Trains the production recipe and, narrower, the same with both directions; compares their errors.

    python -m benchmarks.twins letters_numbers --data FOLDER [--also REAL.jsonl]
    python -m benchmarks.twins an4 --data FOLDER

Smaller and shorter than the recipes (`report.CORPORA`), for there are six trainings of three
seeds. Broken off, the same command goes on where it stopped.
"""

import argparse
from pathlib import Path

from rich.console import Console

from benchmarks._trainings import folder_name, read_scores, score, train
from benchmarks.twins import report
from keras_ds2.atomic_write import write_text_atomically
from keras_ds2.training.progress import counting


def main():
    options = _options()
    corpus = report.CORPORA[options.corpus]
    manifests = [options.data / "test.jsonl", *options.also]
    names = [f"{path.parent.name}_{path.stem}" for path in map(Path.resolve, manifests)]
    output = options.output / options.corpus
    wanted = [(case, seed) for seed in options.seeds for case in options.only]
    with counting(Console(stderr=True), "training", len(wanted)) as advance:
        for case, seed in wanted:
            run = output / folder_name(case) / f"seed-{seed}"
            overrides = [*corpus.overrides, *report.CASES[case]]
            overrides += [f"training.epochs={corpus.epochs}", f"training.seed={seed}"]
            overrides.append(f"data.folder={options.data.resolve()}")
            train(corpus.recipe, run, overrides, corpus.epochs)
            for name, manifest in zip(names, manifests, strict=True):
                score(run, manifest, run.with_name(f"{run.name}.{name}.json"))
            advance()
    text = report.table(read_scores(output, report.CASES), names)
    print(text)
    write_text_atomically(output / "twins.md", text + "\n")


def _options():
    parser = argparse.ArgumentParser("python -m benchmarks.twins", description=__doc__)
    parser.add_argument("corpus", choices=list(report.CORPORA))
    parser.add_argument(
        "--data", type=Path, required=True, metavar="FOLDER", help="as the recipe's header says"
    )
    parser.add_argument(
        "--also", type=Path, nargs="+", default=[], metavar="FILE", help="manifests to score too"
    )
    parser.add_argument("--output", type=Path, default=Path("runs/twins"), metavar="DIR")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3], metavar="N")
    parser.add_argument(
        "--only",
        nargs="+",
        choices=list(report.CASES),
        default=[report.BOTH, report.LOOKAHEAD],
        metavar="CASE",
        help=f"of {list(report.CASES)}, in place of the first two",
    )
    return parser.parse_args()


if __name__ == "__main__":
    main()
