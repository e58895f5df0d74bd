"""A recipe found, read, changed from the command line, checked, and written.

All faults are shown at once, whichever step sees them.
"""

import os
from collections.abc import Container, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from keras_ds2.atomic_write import write_text_atomically
from keras_ds2.recipe.faults import RecipeError, describe, dotted, shown, suggestion
from keras_ds2.recipe.presets import PRESET, apply_preset
from keras_ds2.recipe.renamed_keys import new_place, rename_keys
from keras_ds2.recipe.schema import Recipe, cross_faults
from keras_ds2.recipe.yaml_text import parse_yaml

PACKAGE = Path(__file__).resolve().parents[1]

EXTENDS = "extends"
"""Key of a recipe that says only how it differs from another: that one's name or file."""


def recipes_folder() -> Path:
    """The folder of the recipes that come with keras_ds2: in the wheel, else the checkout's own."""
    packed = PACKAGE / "recipes_data"
    return packed if packed.is_dir() else PACKAGE.parent / "recipes"


def recipe_names() -> list[str]:
    """Names that `find_recipe` knows, such as `english/fsdd`."""
    folder = recipes_folder()
    return sorted(
        path.relative_to(folder).with_suffix("").as_posix() for path in folder.rglob("*.yaml")
    )


def find_recipe(name_or_path: str | os.PathLike) -> Path:
    """Finds a recipe's file.

    Args:
        name_or_path: path of a file, else the name of a recipe that comes with keras_ds2,
            with or without its folder: `english/fsdd` or `fsdd`.

    Returns:
        The file's path.

    Raises:
        RecipeError: if there is no such file, or several of that name.
    """
    given = os.fspath(name_or_path)
    if Path(given).is_file():
        return Path(given)
    if Path(given).is_dir():
        raise RecipeError(given, ["expected a recipe's YAML file, received a folder"])
    names = recipe_names()
    wanted = given.removesuffix(".yaml")
    found = [name for name in names if name == wanted or name.split("/")[-1] == wanted]
    if wanted in found or len(found) == 1:
        name = wanted if wanted in found else found[0]
        return recipes_folder() / f"{name}.yaml"
    if found:
        raise RecipeError(given, [f"expected one recipe, received a name of {', '.join(found)}"])
    short = {name.split("/")[-1]: name for name in names}
    hint = suggestion(wanted, [*names, *short]) if names else f"{recipes_folder()} holds none"
    raise RecipeError(given, [f"no such file, and no recipe of that name, {hint}"])


def load_recipe(path: str | os.PathLike, overrides: Sequence[str] = ()) -> Recipe:
    """Reads a recipe.

    Args:
        path: the YAML file. Where it has the key `extends: NAME`, a recipe's name or a file beside
            it, it holds only what differs from that recipe; null unsets a key.
        overrides: `"model.units=512"` and the like, values as in YAML; an empty one unsets the
            key.

    Returns:
        The checked recipe.

    Raises:
        RecipeError: with all faults at once, if it cannot be read or used.
    """
    source = os.fspath(path)
    try:
        text = Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise RecipeError(source, [f"cannot be read: {error.strerror}"]) from error
    except UnicodeDecodeError as error:
        raise RecipeError(source, [f"expected UTF-8 text, received {error.reason}"]) from error
    return parse_recipe(text, source, overrides)


def parse_recipe(text: str, source: str, overrides: Sequence[str] = ()) -> Recipe:
    """Reads a recipe from text, see `load_recipe`.

    Args:
        text: YAML.
        source: what errors call it.
        overrides: as for `load_recipe`.

    Returns:
        The checked recipe.

    Raises:
        RecipeError: with all faults at once.
    """
    values, faults = _read_values(text, source, ())
    changed = set()
    for override in overrides:
        try:
            changed.add(_apply(values, override))
        except ValueError as error:
            faults.append(str(error))
    given = {place[1] for place in changed if place[0] == "training" and len(place) > 1}
    faults += _expand_preset(values, given)
    return _check(values, source, faults, changed)


def save_recipe(recipe: Recipe, path: str | os.PathLike) -> None:
    """Writes a recipe so that `load_recipe` gives it back; the file is whole or not there.

    Args:
        recipe: what to write, keys without a value left out.
        path: the YAML file.
    """
    values = recipe.model_dump(exclude_none=True)
    text = yaml.safe_dump(values, sort_keys=False, allow_unicode=True, width=100)
    write_text_atomically(path, text)


def _read_values(
    text: str, source: str, below: tuple[Path, ...]
) -> tuple[dict[str, Any], list[str]]:
    """Keys and values of a recipe over those it extends; `below`: the files that lead here."""
    values, faults = parse_yaml(text)
    if values is None and faults:
        raise RecipeError(source, faults)
    if not isinstance(values, Mapping):
        received = "nothing" if values is None else shown(values)
        needed = ", ".join(key for key, field in Recipe.model_fields.items() if field.is_required())
        raise RecipeError(source, [f"expected the keys {needed}, received {received}"])
    faults += rename_keys(values)
    # Here, so that a preset stands above what the recipe extends.
    training = values.get("training")
    faults += _expand_preset(values, training if isinstance(training, Mapping) else ())
    if EXTENDS not in values:
        return values, faults
    name = values.pop(EXTENDS)
    if not isinstance(name, str):
        raise RecipeError(
            source, [f"{EXTENDS}: expected a recipe's name or file, received {shown(name)}"]
        )
    beside = Path(source).parent / name
    try:
        base = beside if beside.is_file() else find_recipe(name)
        base_text = base.read_text(encoding="utf-8")
    except (RecipeError, OSError, UnicodeDecodeError) as error:
        raise RecipeError(source, [f"{EXTENDS}: {error}"]) from error
    below = (*below, Path(source).resolve())
    if base.resolve() in below:
        chain = " -> ".join(path.name for path in (*below, base))
        raise RecipeError(source, [f"{EXTENDS}: expected an end, received the circle {chain}"])
    base_values, base_faults = _read_values(base_text, os.fspath(base), below)
    placed = (f"{EXTENDS} {name}: {fault}" for fault in base_faults)
    return _merged(base_values, values), [*placed, *faults]


def _expand_preset(values: dict[str, Any], given: Container[str]) -> list[str]:
    """Puts the values of `training.preset` in its place, but for keys `given`; returns faults."""
    training = values.get("training")
    if not isinstance(training, Mapping) or PRESET not in training:
        return []
    try:
        values["training"] = apply_preset(training, given)
    except ValueError as error:
        values["training"] = {key: training[key] for key in training if key != PRESET}
        return [str(error)]
    return []


def _merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with the keys of `over` in their place; one that is null there is unset."""
    merged = dict(base)
    for key, value in over.items():
        if isinstance(value, Mapping) and isinstance(merged.get(key), Mapping):
            merged[key] = _merged(merged[key], value)
        elif value is None:
            merged.pop(key, None)
        else:
            merged[key] = value
    return merged


def _apply(values: dict[str, Any], override: str) -> tuple[str, ...]:
    """Puts one override into `values`; returns its place."""
    key, equals, written = override.partition("=")
    place = new_place(tuple(part.strip() for part in key.split(".")))
    if not equals or not all(place):
        raise ValueError(f"--set {override}: expected KEY=VALUE such as model.units=512")
    value, faults = parse_yaml(written)
    if faults:
        raise ValueError(f"--set {override}: {'; '.join(faults)}")
    section = values
    for depth, part in enumerate(place[:-1]):
        if section.get(part) is None:
            section[part] = {}
        section = section[part]
        if not isinstance(section, dict):
            raise ValueError(
                f"--set {override}: expected keys under {dotted(place[: depth + 1])}, "
                f"received {shown(section)}"
            )
    if value is None:
        section.pop(place[-1], None)  # unset: the default, whatever it is
    else:
        section[place[-1]] = value
    return place


def _check(
    values: dict[str, Any], source: str, faults: list[str], changed: set[tuple[str, ...]]
) -> Recipe:
    """Validates; adds the faults of each key and those between keys to `faults`."""
    recipe, placed = None, []
    try:
        recipe = Recipe.model_validate(values)
    except ValidationError as error:
        placed = [(item["loc"], describe(item, Recipe)) for item in error.errors()]
    placed += [
        (place, f"{dotted(place)}: {message}") for place, message in cross_faults(Recipe, values)
    ]
    order = {key: index for index, key in enumerate(Recipe.model_fields)}
    placed.sort(key=lambda item: order.get(item[0][0], -1))
    for place, line in placed:
        from_command = any(place[: len(there)] == there for there in changed)
        faults.append(f"{line} (from --set)" if from_command else line)
    if faults:
        raise RecipeError(source, faults)
    return recipe
