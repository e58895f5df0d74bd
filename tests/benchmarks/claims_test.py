"""The claims' table: last epochs, seed by seed, and what may be said of them."""

import csv
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.claims import report
from keras_ds2.recipe import recipes_folder

ROOT = Path(__file__).resolve().parents[2]


def write_log(folder, recipe, seed, *rates):
    run = folder / recipe / f"seed-{seed}"
    run.mkdir(parents=True)
    with open(run / "log.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["epoch", "loss", "val_wer", "val_cer"])
        for epoch, rate in enumerate(rates, 1):
            writer.writerow([epoch, 1.0, rate, rate / 2])


def claim_lines(folder, epochs=2):
    curves = report.read_curves(folder)
    curves = report.finished(curves, dict.fromkeys(curves, epochs))
    return {line.split(" | ")[0].strip("| "): line for line in report.table(curves).splitlines()}


def test_every_recipe_of_the_claims_is_trained_and_drawn():
    recipes = {path.stem for path in (recipes_folder() / "claims").glob("*.yaml")}
    assert set(report.SEEDS) == recipes
    assert {name for _, names in report.PANELS for name in names} == recipes
    assert {name for each in report.CLAIMS for name in (each.recipe, each.beside)} == recipes


def test_a_claim_holds_where_all_seeds_agree(tmp_path):
    for seed, (gru, relu) in enumerate([(0.10, 0.20), (0.30, 0.40), (0.01, 0.5)], 1):
        write_log(tmp_path, "gru3", seed, 1.0, gru)
        write_log(tmp_path, "relu3", seed, 1.0, relu)
    line = claim_lines(tmp_path)["GRU beats ReLU of as many weights"]
    assert line.endswith("| 3 | `gru3` 13.7, `relu3` 36.7 | -50 %, -25 %, -98 % | yes |")


def test_small_changes_are_chance(tmp_path):
    for seed, rate in enumerate((0.21, 0.19), 1):
        write_log(tmp_path, "relu3", seed, 1.0, rate)
        write_log(tmp_path, "relu3_no_sortagrad", seed, 1.0, 0.2)
    assert claim_lines(tmp_path)["SortaGrad helps"].endswith("| +5 %, -5 % | within chance |")


def test_seeds_that_differ_and_trainings_that_are_missing_are_told(tmp_path):
    write_log(tmp_path, "relu3", 1, 1.0, 0.2)
    write_log(tmp_path, "relu3", 2, 1.0, 0.2)
    write_log(tmp_path, "relu3_no_sortagrad", 1, 1.0, 0.1)
    write_log(tmp_path, "relu3_no_sortagrad", 2, 1.0, 0.4)
    write_log(tmp_path, "relu3_no_norm", 1, 0.1)  # broken off
    lines = claim_lines(tmp_path)
    assert lines["SortaGrad helps"].endswith("| +100 %, -50 % | seeds differ |")
    assert lines["normalisation helps 3 layers"].endswith("| 0 | | | not trained |")


@pytest.mark.parametrize(("lookahead", "holds"), [(0.104, "yes"), (0.106, "no"), (0.09, "yes")])
def test_within_five_per_cent_is_of_the_mean(tmp_path, lookahead, holds):
    write_log(tmp_path, "relu3", 1, 0.4, 0.1)
    write_log(tmp_path, "lookahead3", 1, 0.4, lookahead)
    line = claim_lines(tmp_path)["... to within 5 % of both directions"]
    assert line.endswith(f"| {holds} |")


def test_the_table_says_when_half_the_words_were_right(tmp_path):
    write_log(tmp_path, "relu1", 1, 0.7, 0.49, 0.3)
    write_log(tmp_path, "relu1", 2, 0.9, 0.8, 0.7)
    curves = report.read_curves(tmp_path)
    assert "| `relu1` | 30.0, 70.0 | 50.0 | 25.0 | 2, never |" in report.table(curves)


def test_the_report_writes_table_and_picture(tmp_path):
    write_log(tmp_path, "forward3", 1, *[0.5] * 40)
    (tmp_path / "forward3" / "seed-1.txt").write_text("what its training printed")
    command = [sys.executable, "-m", "benchmarks.claims", "--report", "--output", str(tmp_path)]
    printed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert "`forward3` | 50.0" in printed
    assert (tmp_path / "claims.md").read_text(encoding="utf-8") == printed
    assert (tmp_path / "claims.png").read_bytes().startswith(b"\x89PNG")
