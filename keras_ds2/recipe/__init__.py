"""One YAML file, all that a training run needs: keys, reading, faults."""

from keras_ds2.recipe.faults import RecipeError
from keras_ds2.recipe.load import (
    find_recipe,
    load_recipe,
    parse_recipe,
    recipe_names,
    recipes_folder,
    save_recipe,
)
from keras_ds2.recipe.reference import RecipeKey, format_recipe_keys, recipe_keys
from keras_ds2.recipe.schema import Recipe

__all__ = [
    "Recipe",
    "RecipeError",
    "RecipeKey",
    "find_recipe",
    "format_recipe_keys",
    "load_recipe",
    "parse_recipe",
    "recipe_keys",
    "recipe_names",
    "recipes_folder",
    "save_recipe",
]
