"""A recipe with a key's old name means what it meant."""

import pytest
import yaml

from keras_ds2.recipe import RecipeError, parse_recipe
from keras_ds2.recipe.load import load_recipe, save_recipe
from keras_ds2.recipe.renamed_keys import RENAMED
from keras_ds2.recipe.schema import Recipe
from tests.recipe.made_up import recipe_values

SNR = {"augmentation__noise_snr_db": [5, 20]}


def load(overrides=(), **changes):
    return parse_recipe(yaml.safe_dump(recipe_values(**changes)), "made_up.yaml", overrides)


def test_white_noise_share_is_noise_share():
    old = load(augmentation__white_noise_share=0.3, **SNR)
    assert old == load(augmentation__noise_share=0.3, **SNR)
    assert old.augmentation.noise_share == 0.3
    assert (old.augmentation.noise_manifest, old.augmentation.noise_color) == (None, None)


def test_so_a_run_that_began_under_the_old_name_goes_on(tmp_path):
    path = tmp_path / "recipe.yaml"
    save_recipe(load(augmentation__noise_share=0.3, **SNR), path)
    path.write_text(path.read_text().replace("noise_share", "white_noise_share"))
    assert load_recipe(path) == load(augmentation__noise_share=0.3, **SNR)


def test_from_the_command_line_too():
    override = "augmentation.white_noise_share=0.2"
    assert load([override], augmentation__noise_share=0.3, **SNR).augmentation.noise_share == 0.2
    with pytest.raises(RecipeError, match=r"augmentation.noise_share: .* \(from --set\)"):
        load(["augmentation.white_noise_share=2"], **SNR)


def test_in_a_recipe_and_in_one_that_extends_it(tmp_path):
    values = recipe_values(augmentation__white_noise_share=0.3, **SNR)
    (tmp_path / "base.yaml").write_text(yaml.safe_dump(values))
    for key in ("white_noise_share", "noise_share"):
        over = tmp_path / "over.yaml"
        over.write_text(f"extends: base.yaml\naugmentation:\n  {key}: 0.1\n")
        assert load_recipe(over).augmentation.noise_share == 0.1


def test_both_names_at_once_are_a_fault():
    both = {"augmentation__white_noise_share": 0.3, "augmentation__noise_share": 0.3}
    with pytest.raises(RecipeError, match="white_noise_share: is noise_share today, which is"):
        load(**both, **SNR)


def test_new_names_are_keys_and_old_ones_are_not():
    for (old_section, old), (section, new) in RENAMED.items():
        assert section == old_section
        keys = Recipe.model_fields[section].annotation.model_fields
        assert new in keys
        assert old not in keys
