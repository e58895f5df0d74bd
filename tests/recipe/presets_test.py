"""Presets of the regime: what they stand for, and what stands above them."""

import keras
import pytest
import yaml

from keras_ds2.recipe import RecipeError, load_recipe, parse_recipe, save_recipe
from keras_ds2.recipe.presets import PRESETS
from keras_ds2.recipe.schema import TrainingSection
from keras_ds2.training.schedules import build_optimizer, build_schedule
from tests.recipe.made_up import recipe_values


def training(overrides=(), **changes):
    return parse_recipe(yaml.safe_dump(recipe_values(**changes)), "x.yaml", overrides).training


def write(folder, file, **values):
    (folder / file).write_text(yaml.safe_dump(values), encoding="utf-8")
    return folder / file


@pytest.mark.parametrize("name", PRESETS)
def test_each_is_valid_and_says_the_same_keys(name):
    assert PRESETS[name].keys() == PRESETS["paper"].keys() <= TrainingSection.model_fields.keys()
    section = training(training__preset=name)
    for key, value in PRESETS[name].items():
        assert getattr(section, key) == value


def test_the_papers_regime():
    section = training(training__preset="paper", training__learning_rate=3e-4)
    schedule = build_schedule(
        section.schedule,
        section.learning_rate,
        steps_per_epoch=10,
        epochs=20,
        warmup_steps=section.warmup_steps,
        anneal_factor=section.anneal_factor,
    )
    rates = [float(schedule(step)) for step in (0, 9, 10, 20)]
    assert rates == pytest.approx([3e-4, 3e-4, 3e-4 / 1.2, 3e-4 / 1.44])
    optimizer = build_optimizer(
        section.optimizer,
        schedule,
        clip_norm=section.clip_norm,
        momentum=section.momentum,
        nesterov=section.nesterov,
        weight_decay=section.weight_decay,
    )
    assert type(optimizer) is keras.optimizers.SGD
    assert (optimizer.momentum, optimizer.nesterov) == (0.99, True)
    assert (optimizer.global_clipnorm, optimizer.weight_decay) == (400.0, None)


def test_keys_beside_it_win():
    section = training(
        training__preset="keras_ds2", training__weight_decay=0.1, training__clip_norm=None
    )
    assert (section.weight_decay, section.clip_norm, section.schedule) == (0.1, None, "cosine")


def test_from_the_command_line_it_stands_above_the_file_and_below_other_overrides():
    overrides = ["training.preset=paper", "training.momentum=0.9", "training.clip_norm="]
    section = training(overrides, training__weight_decay=0.1, training__warmup_steps=7)
    assert (section.optimizer, section.momentum) == ("sgd", 0.9)
    assert (section.weight_decay, section.warmup_steps, section.clip_norm) == (None, 0, None)


def test_a_recipe_can_change_the_regime_of_the_one_it_extends(tmp_path):
    base = recipe_values(training__weight_decay=0.1, training__warmup_steps=7)
    write(tmp_path, "base.yaml", **base)
    path = write(tmp_path, "paper.yaml", extends="base.yaml", training={"preset": "paper"})
    section = load_recipe(path).training
    assert (section.optimizer, section.weight_decay, section.warmup_steps) == ("sgd", None, 0)
    assert section.learning_rate == base["training"]["learning_rate"]
    path = write(
        tmp_path, "other.yaml", extends="paper.yaml", training={"clip_norm": None, "preset": None}
    )
    section = load_recipe(path).training
    assert (section.optimizer, section.clip_norm) == ("sgd", None)


def test_a_saved_recipe_holds_the_values_themselves(tmp_path):
    values = recipe_values(training__preset="paper", training__clip_norm=None)
    recipe = parse_recipe(yaml.safe_dump(values), "x.yaml")
    save_recipe(recipe, tmp_path / "recipe.yaml")
    assert "preset" not in (tmp_path / "recipe.yaml").read_text()
    assert load_recipe(tmp_path / "recipe.yaml") == recipe


@pytest.mark.parametrize("name", ["papers", 3, ["paper"]])
def test_another_name_is_a_fault_that_lists_them(name):
    with pytest.raises(RecipeError) as caught:
        training(training__preset=name, training__epochs=0)
    preset, epochs = caught.value.faults
    assert preset == f"training.preset: expected paper or keras_ds2, received {name!r}"
    assert epochs.startswith("training.epochs")
