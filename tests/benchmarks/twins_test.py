"""The production recipe's twins: directions alone differ, seeds are compared with seeds."""

import json

import pytest

from benchmarks._trainings import folder_name, read_scores
from benchmarks.twins import report
from keras_ds2 import build_model
from keras_ds2.recipe import find_recipe, load_recipe


def models(corpus):
    settings = report.CORPORA[corpus]
    for direction in report.CASES.values():
        recipe = load_recipe(find_recipe(settings.recipe), [*settings.overrides, *direction])
        yield recipe.model_dump(mode="json")


@pytest.mark.parametrize("corpus", report.CORPORA)
def test_twins_differ_in_direction_lookahead_and_width_alone(corpus):
    found = list(models(corpus))
    differing = ("bidirectional", "lookahead_context", "units")
    values = [tuple(each["model"].pop(key) for key in differing) for each in found]
    assert values == [(True, 0, 192), (False, 20, 272), (False, 0, 272)]
    assert found[0] == found[1] == found[2]


@pytest.mark.parametrize("corpus", report.CORPORA)
def test_those_that_hear_forward_have_a_quarter_more_recurrent_weights(corpus):
    weights = []
    for each in models(corpus):
        numbers = {key: value for key, value in each["model"].items() if value is not None}
        model = build_model(numbers.pop("variant"), **numbers)
        recurrences = [layer for layer in model.layers if layer.name.startswith("rnn_")]
        weights.append(sum(layer.count_params() for layer in recurrences))
    assert [round(each / 1e6, 2) for each in weights] == [1.04, 1.33, 1.33]


@pytest.mark.parametrize("corpus", report.CORPORA)
def test_every_twin_is_normalised_as_a_live_model_is(corpus):
    for each in models(corpus):
        assert each["features"]["normalization"] == "running"
        assert each["model"]["variant"] == "production"


def test_seeds_are_compared_with_the_same_seeds(tmp_path):
    for case, seed, rate in (
        (report.BOTH, 1, 0.10),
        (report.BOTH, 2, 0.30),
        (report.LOOKAHEAD, 2, 0.33),
        (report.LOOKAHEAD, 3, 0.90),
        (report.FORWARD, 1, 0.15),
        (report.FORWARD, 2, 0.33),
    ):
        path = tmp_path / folder_name(case) / f"seed-{seed}.corpus_test.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps({"wer": rate}), encoding="utf-8")
    lines = report.table(read_scores(tmp_path, report.CASES), ["corpus_test"]).splitlines()
    assert lines[2:] == [
        "| both directions | 1, 2 | 10.0 %, 30.0 % |  |",
        "| forward and lookahead | 2, 3 | 33.0 %, 90.0 % | +10 %; together +10 % |",
        "| forward only | 1, 2 | 15.0 %, 33.0 % | +50 %, +10 %; together +20 % |",
    ]
