"""What each augmentation adds: every one is turned off once, seeds are compared with seeds."""

import json

from benchmarks._trainings import folder_name, read_scores
from benchmarks.augmentation import report
from keras_ds2.recipe import find_recipe, load_recipe
from keras_ds2.recipe.schema import AugmentationSection


def augmentation(case):
    shorter = [f"{key}={value}" for key, value in report.SHORTER.items()]
    recipe = find_recipe("english/letters_numbers")
    return load_recipe(recipe, [*shorter, *report.cases()[case]]).augmentation


def write_score(folder, case, seed, rate, manifest="corpus_test"):
    path = folder / folder_name(case) / f"seed-{seed}.{manifest}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({"wer": rate}), encoding="utf-8")


def test_without_any_nothing_of_the_recipe_is_left():
    assert augmentation(report.NONE) == AugmentationSection()


def test_each_case_differs_from_all_of_them_and_from_the_others():
    found = [augmentation(case).model_dump_json() for case in report.cases()]
    assert len(set(found)) == len(found) == len(report.OFF) + 2


def test_seeds_are_compared_with_the_same_seeds(tmp_path):
    write_score(tmp_path, report.ALL, 1, 0.10)
    write_score(tmp_path, report.ALL, 2, 0.12)
    write_score(tmp_path, "without speed", 2, 0.15)
    write_score(tmp_path, "without speed", 3, 0.50)
    lines = report.table(read_scores(tmp_path, report.cases()), ["corpus_test"]).splitlines()
    assert lines[2:] == [
        "| all of them | 1, 2 | 10.0 %, 12.0 % |  |",
        "| without speed | 2, 3 | 15.0 %, 50.0 % | +3.0 |",
    ]


def test_a_manifest_that_was_not_scored_leaves_its_columns_empty(tmp_path):
    write_score(tmp_path, report.ALL, 1, 0.10)
    write_score(tmp_path, report.ALL, 1, 0.30, "real")
    write_score(tmp_path, report.NONE, 1, 0.40)
    lines = report.table(
        read_scores(tmp_path, report.cases()), ["corpus_test", "real"]
    ).splitlines()
    assert lines[2:] == [
        "| all of them | 1 | 10.0 % |  | 30.0 % |  |",
        "| none of them | 1 | 40.0 % | +30.0 |  |  |",
    ]
