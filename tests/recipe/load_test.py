"""Recipes found, read, changed from the command line, and written; all faults at once."""

import os

import pytest
import yaml

from keras_ds2.recipe import (
    RecipeError,
    find_recipe,
    load_recipe,
    parse_recipe,
    recipe_names,
    recipes_folder,
    save_recipe,
)
from tests.recipe.made_up import recipe_values

SIX_FAULTS = """
name: x
data:
  train_manifest: train.jsonl
  how_to_get: record ten people
text: {language: klingon, alphabet: english}
features: {window_ms: -20}
model: {variant: english, num_rnn_layer: 3}
training:
  epochs: 2
  batch_size: 8
  batch_size: 16
  schedule: annealed
  learning_rate: 1e-3
"""


@pytest.fixture
def recipe_file(tmp_path):
    path = tmp_path / "digits.yaml"
    path.write_text(yaml.safe_dump(recipe_values()), encoding="utf-8")
    return path


def faults(text, overrides=()):
    with pytest.raises(RecipeError) as caught:
        parse_recipe(text, "x.yaml", overrides)
    return caught.value.faults


def test_six_faults_are_shown_at_once():
    with pytest.raises(RecipeError) as caught:
        parse_recipe(SIX_FAULTS, "recipes/english/x.yaml")
    assert str(caught.value) == (
        "recipes/english/x.yaml: 6 errors\n"
        "  training.batch_size: expected once, received twice, on lines 11 and 12\n"
        "  data.validation_manifest: expected exactly one of validation_manifest, "
        "validation_speakers, validation_share, received none\n"
        "  text.language: expected english, mandarin or none, received 'klingon'\n"
        "  features.window_ms: expected > 0 ms, received -20\n"
        "  model.num_rnn_layer: unknown key, did you mean num_rnn_layers?\n"
        "  training.anneal_factor: expected > 1, since schedule is annealed, received nothing"
    )


def test_one_fault_is_an_error_in_the_singular():
    with pytest.raises(RecipeError, match=r"^x\.yaml: 1 error\n  model\.units: "):
        parse_recipe(yaml.safe_dump(recipe_values(model__units=0)), "x.yaml")


def test_an_unknown_key_like_no_other_lists_what_there_is():
    (line,) = faults(yaml.safe_dump(recipe_values(evaluation__zzz=1)))
    assert line == "evaluation.zzz: unknown key, expected one of primary"


def test_what_is_missing_is_named_with_its_meaning():
    lines = faults(yaml.safe_dump(recipe_values(training=..., model__variant=...)))
    assert lines == [
        "model.variant: missing, expected english | mandarin | production (base configuration)",
        "training: missing, expected a section with at least epochs, learning_rate",
    ]


@pytest.mark.parametrize(
    ("text", "start"),
    [
        ("a: [1", "line 1:6: not YAML: expected ',' or ']'"),
        ("name: x\n  data: 1", "line 2:7: not YAML: mapping values are not allowed"),
        ("name: x\ndata: \x07", "line 2:7: not YAML: character U+0007 is not allowed"),
        ("a: {[1]: 2}", "line 1:5: not YAML: found unhashable key"),
        ("a: 1\n---\nb: 2", "line 2:1: not YAML: but found another document"),
        ("a: !!python/object:os.x 1", "line 1:4: not YAML: could not determine a constructor"),
        ("a: 2026-99-99", "not YAML: month must be in 1..12"),
        ("", "expected the keys name, data, text, model, training, received nothing"),
        ("- 1", "expected the keys name, data, text, model, training, received [1]"),
    ],
)
def test_text_that_is_no_recipe(text, start):
    (line,) = faults(text)
    assert line.startswith(start)


def test_keys_that_are_no_text_and_empty_sections():
    lines = faults(yaml.safe_dump(recipe_values(features=None)) + "7: 1\n")
    assert sorted(lines) == [
        "[7]: expected a key that is text, received 7",
        "features: expected keys with values, received null",
    ]


def test_an_alias_that_holds_itself_is_read_once():
    assert any("unknown key" in line for line in faults("a: &x {b: *x, c: 1}"))


def test_overrides_change_values_and_make_sections(recipe_file):
    recipe = load_recipe(
        recipe_file,
        [
            "model.units=512",
            "training.learning_rate=1e-4",
            "features.normalization=none",
            "augmentation.gain_db=[-3, 3]",
            "data.how_to_get=a=b, c",
            "data.validation_share=",
            "data.validation_speakers=[ann, bob]",
        ],
    )
    assert recipe.model.units == 512
    assert recipe.training.learning_rate == 1e-4
    assert recipe.features.normalization == "none"
    assert recipe.augmentation.gain_db == [-3, 3]
    assert recipe.data.how_to_get == "a=b, c"
    assert recipe.data.validation_share is None
    assert recipe.data.validation_speakers == ["ann", "bob"]


def test_faulty_overrides_are_shown_with_all_else():
    lines = faults(
        yaml.safe_dump(recipe_values(text__min_count=0)),
        [
            "model.units",
            "=3",
            "model..units=3",
            "name.x=1",
            "training.epoch=3",
            "model.units=many",
            "model.variant=[",
            "features.window_ms=0",
        ],
    )
    assert lines == [
        "--set model.units: expected KEY=VALUE such as model.units=512",
        "--set =3: expected KEY=VALUE such as model.units=512",
        "--set model..units=3: expected KEY=VALUE such as model.units=512",
        "--set name.x=1: expected keys under name, received 'digits'",
        "--set model.variant=[: line 1:2: not YAML: expected the node content, but found "
        "'<stream end>' (while parsing a flow node)",
        "text.min_count: expected >= 1, received 0",
        "features.window_ms: expected > 0 ms, received 0 (from --set)",
        "model.units: expected a whole number, received 'many' (from --set)",
        "training.epoch: unknown key, did you mean epochs? (from --set)",
    ]


def test_a_saved_recipe_is_the_same_recipe(recipe_file, tmp_path):
    recipe = load_recipe(
        recipe_file,
        [
            "description=数字 ten digits",
            "training.learning_rate=3e-5",
            "model.conv_strides=[[2, 2], [1, 2]]",
            "training.sorta_grad=false",
        ],
    )
    save_recipe(recipe, tmp_path / "saved.yaml")
    assert load_recipe(tmp_path / "saved.yaml") == recipe
    assert "数字" in (tmp_path / "saved.yaml").read_text(encoding="utf-8")
    assert sorted(os.listdir(tmp_path)) == ["digits.yaml", "saved.yaml"]


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", None])
def test_a_file_that_cannot_be_read(tmp_path, content):
    path = tmp_path / "x.yaml"
    if content:
        path.write_bytes(content)
    with pytest.raises(RecipeError) as caught:
        load_recipe(path)
    assert str(caught.value).startswith(f"{path}: 1 error\n")


def test_every_recipe_that_comes_with_the_package_loads():
    files = sorted(recipes_folder().rglob("*.yaml"))
    assert sorted(find_recipe(name) for name in recipe_names()) == files
    names = [load_recipe(path).name for path in files]
    assert names, f"{recipes_folder()} holds no recipe"
    assert len(set(names)) == len(names)


def test_a_recipe_is_found_by_path_and_by_name(recipe_file, tmp_path, monkeypatch):
    folder = tmp_path / "recipes"
    for name in ("english/fsdd", "english/an4", "mandarin/an4"):
        path = folder / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    monkeypatch.setattr("keras_ds2.recipe.load.recipes_folder", lambda: folder)
    assert find_recipe(recipe_file) == recipe_file
    assert find_recipe("fsdd") == find_recipe("fsdd.yaml") == folder / "english" / "fsdd.yaml"
    assert find_recipe("mandarin/an4") == folder / "mandarin" / "an4.yaml"
    with pytest.raises(RecipeError, match=r"a name of english/an4, mandarin/an4"):
        find_recipe("an4")
    with pytest.raises(RecipeError, match=r"no recipe of that name, did you mean fsdd\?"):
        find_recipe("fsd")
    with pytest.raises(RecipeError, match="received a folder"):
        find_recipe(folder)


def write(folder, name, values):
    path = folder / name
    path.write_text(yaml.safe_dump(values), encoding="utf-8")
    return path


def test_a_recipe_that_extends_another_says_only_what_differs(tmp_path, recipe_file):
    changes = {
        "extends": recipe_file.name,
        "name": "forward",
        "data": {"validation_share": None, "validation_speakers": ["a"]},
        "model": {"bidirectional": False},
    }
    recipe = load_recipe(write(tmp_path, "forward.yaml", changes), ["model.units=32"])
    expected = recipe_values(
        name="forward",
        data__validation_share=...,
        data__validation_speakers=["a"],
        model__bidirectional=False,
        model__units=32,
    )
    assert recipe == parse_recipe(yaml.safe_dump(expected), "x.yaml")


def test_recipes_extend_each_other_in_a_chain_and_by_name(tmp_path):
    write(tmp_path, "a.yaml", {"extends": "english/an4", "model": {"units": 8}})
    path = write(tmp_path, "b.yaml", {"extends": "a.yaml", "training": {"epochs": 1}})
    recipe, an4 = load_recipe(path), load_recipe(find_recipe("english/an4"))
    assert (recipe.model.units, recipe.training.epochs) == (8, 1)
    assert recipe.data == an4.data
    assert recipe.training.batch_size == an4.training.batch_size


@pytest.mark.parametrize(
    ("base", "said"),
    [
        ("b.yaml", "expected an end, received the circle b.yaml -> b.yaml"),
        ("c.yaml", "expected an end, received the circle b.yaml -> c.yaml -> b.yaml"),
        ("english/an5", "did you mean english/an4"),
        (7, "expected a recipe's name or file, received 7"),
    ],
)
def test_a_base_that_cannot_be_is_refused(tmp_path, base, said):
    path = write(tmp_path, "b.yaml", {"extends": base})
    write(tmp_path, "c.yaml", {"extends": "b.yaml"})
    with pytest.raises(RecipeError) as caught:
        load_recipe(path)
    assert said in str(caught.value)
    assert ".yaml: 1 error\n  extends: " in str(caught.value)


def test_faults_of_the_base_name_it(tmp_path):
    (tmp_path / "a.yaml").write_text("name: x\nname: y\n", encoding="utf-8")
    with pytest.raises(RecipeError) as caught:
        load_recipe(write(tmp_path, "b.yaml", {"extends": "a.yaml"}))
    assert "  extends a.yaml: name: expected once, received twice" in str(caught.value)
