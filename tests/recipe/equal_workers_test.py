"""Workers with another recipe than the chief's are told which keys differ, and all end."""

import pytest

from keras_ds2.recipe import equal_workers
from keras_ds2.recipe.equal_workers import OWN, refuse_unequal, require_equal_recipes
from keras_ds2.recipe.schema import Recipe
from keras_ds2.training.agreement import WorkerLost
from keras_ds2.training.distribution import DistributionError
from tests.made_up_corpus import audio_changes, tiny_recipe
from tests.training.made_up_workers import together


def compared(*recipes):
    """What each worker raises."""

    def compare(agreement):
        try:
            require_equal_recipes(recipes[agreement.worker], agreement)
        except (DistributionError, WorkerLost) as error:
            return error
        return None

    return together(compare, len(recipes))


def test_equal_ones_train(tmp_path):
    recipe = tiny_recipe(tmp_path)
    assert compared(recipe, recipe) == [None, None]


def test_what_may_be_a_machines_own_is_not_compared(tmp_path):
    changes = {
        "data__train_manifest": "/mnt/train.jsonl",
        "data__service": "grpc://near:5000",
        "training__save_minutes": 0,
        "training__keep_checkpoints": 5,
    }
    one = tiny_recipe(tmp_path, **audio_changes())
    other = tiny_recipe(tmp_path / "mine", **audio_changes(), **changes)
    assert compared(one, other) == [None, None]


@pytest.mark.parametrize(
    ("key", "chiefs", "own"),
    [
        ("training.learning_rate", 0.1, 0.2),
        ("training.clip_norm", 0.5, None),
        ("training.ema_momentum", None, 0.9),
        ("training.num_buckets", 2, 3),
        ("training.sorta_grad", True, False),
        ("data.on_error", "skip", "stop"),
    ],
)
def test_what_differs_is_named_and_all_end(tmp_path, key, chiefs, own):
    place = key.replace(".", "__")
    one, other = (tiny_recipe(tmp_path, **{place: value}) for value in (chiefs, own))
    chief, second, third = compared(one, other, one)
    assert isinstance(second, DistributionError)
    shown = {None: "null", True: "true", False: "false", "skip": '"skip"', "stop": '"stop"'}
    line = f"  {key}: {shown.get(chiefs, chiefs)}, {shown.get(own, own)}"
    assert str(second).splitlines()[1:] == [line]
    for waiting in (chief, third):
        assert isinstance(waiting, WorkerLost)
        assert "worker 1: this worker has another recipe" in str(waiting)
        assert line in str(waiting)


def test_another_keras_ds2_is_another_recipe(tmp_path, monkeypatch):
    recipe = tiny_recipe(tmp_path)

    def compare(agreement):
        content = equal_workers._compared(recipe)
        content["version of keras_ds2"] = f"0.{agreement.worker}"
        return content

    contents = iter(together(compare))
    monkeypatch.setattr(equal_workers, "_compared", lambda recipe: next(contents))
    errors = compared(recipe, recipe)
    assert all("version of keras_ds2" in str(error) for error in errors)


def test_of_many_differences_the_first_are_named(tmp_path):
    one = tiny_recipe(tmp_path)
    other = tiny_recipe(
        tmp_path,
        **{
            f"training__{key}": value
            for key, value in {
                "epochs": 9,
                "learning_rate": 0.5,
                "warmup_steps": 5,
                "weight_decay": 0.1,
                "clip_norm": 7.0,
                "ema_momentum": 0.5,
                "average_best": 3,
                "early_stop_patience": 2,
                "seed": 8,
                "sorta_grad": False,
                "num_buckets": 9,
                "on_nan": "skip",
            }.items()
        },
    )
    (_, error) = compared(one, other)
    assert len(str(error).splitlines()) == 12
    assert str(error).endswith("... and 2 more")


def test_keys_that_are_not_compared_are_keys():
    for key in OWN:
        section, _, name = key.rpartition(".")
        fields = Recipe.model_fields
        if section:
            fields = fields[section].annotation.model_fields
        assert name in fields, key


def test_who_has_the_others_fault_only_waits_for_nothing():
    def refuse(agreement):
        with pytest.raises((DistributionError, WorkerLost)) as caught:
            refuse_unequal(agreement, "other data" if agreement.worker == 2 else None)
        return caught.type, str(caught.value)

    chief, second, third = together(refuse, 3)
    assert third == (DistributionError, "worker 2: other data")
    assert chief == second == (WorkerLost, "cannot train together: worker 2: other data")
