"""The list of all keys of a recipe: what each is, its default, what it means."""

from collections.abc import Iterator
from dataclasses import dataclass

from pydantic.fields import FieldInfo

from keras_ds2.recipe.faults import shown
from keras_ds2.recipe.load import EXTENDS
from keras_ds2.recipe.presets import PRESET, PRESETS
from keras_ds2.recipe.schema import Recipe, Section, TrainingSection
from keras_ds2.recipe.type_words import words_of

_PRESET_MEANING = (
    "optimizer, schedule, clipping and SortaGrad of the paper or of ours; a key beside it wins"
)


@dataclass(frozen=True)
class RecipeKey:
    """One key of a recipe.

    Args:
        key: dotted, `model.units`.
        type: what it holds, in words.
        default: "default X", "required", or "not set": the part that the key is passed to chooses.
        description: what it means.
    """

    key: str
    type: str
    default: str
    description: str


def recipe_keys() -> list[RecipeKey]:
    """All keys, in the order a recipe has them."""
    extends = "another recipe: this one then says only what differs, null unsets a key"
    return [RecipeKey(EXTENDS, "name or file", "not set", extends), *_keys(Recipe, "")]


def format_recipe_keys() -> str:
    """All keys as a text for the terminal, section by section."""
    lines, section = [], None
    for key in recipe_keys():
        head, _, name = key.key.rpartition(".")
        if head != section:
            section = head
            lines += ["", f"{head}:"] if head else []
        indent = "  " if head else ""
        lines += [
            f"{indent}{name}: {key.type}; {key.default}",
            f"{indent}    {key.description}",
        ]
    return "\n".join(lines).strip("\n")


def _keys(section: type[Section], prefix: str) -> Iterator[RecipeKey]:
    if section is TrainingSection:
        yield RecipeKey(prefix + PRESET, " | ".join(PRESETS), "not set", _PRESET_MEANING)
    for name, field in section.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, Section):
            yield from _keys(field.annotation, f"{prefix}{name}.")
            continue
        yield RecipeKey(prefix + name, words_of(section, name), _default(field), field.description)


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    return "not set" if field.default is None else f"default {shown(field.default)}"
