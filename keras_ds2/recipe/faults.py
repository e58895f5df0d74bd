"""Faults of a recipe in one voice: dotted key, what was expected, what was received."""

import difflib
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel

from keras_ds2.recipe.type_words import unit_of, words_of

LONGEST_VALUE = 60


class RecipeError(ValueError):
    """A recipe that cannot be used, with all its faults.

    Args:
        source: file (or what else was read) that the faults are in.
        faults: one line each.
    """

    def __init__(self, source: str, faults: Sequence[str]):
        self.source = source
        self.faults = list(faults)
        count = f"{len(self.faults)} error{'' if len(self.faults) == 1 else 's'}"
        super().__init__("\n  ".join([f"{source}: {count}", *self.faults]))


def dotted(place: Sequence[str | int]) -> str:
    """Writes a place as a recipe's reader would: `data.validation_speakers[0]`."""
    text = ""
    for part in place:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text


def shown(value: Any) -> str:
    """A value in a message: as YAML users know it, and never a screenful."""
    text = {None: "null", True: "true", False: "false"}.get(value) if _is_plain(value) else None
    text = repr(value) if text is None else text
    return text if len(text) <= LONGEST_VALUE else text[: LONGEST_VALUE - 3] + "..."


def _is_plain(value: Any) -> bool:
    return value is None or isinstance(value, bool)


def suggestion(word: str, known: Sequence[str]) -> str:
    """What an unknown key may have meant, else what there is."""
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    return f"did you mean {close[0]}?" if close else f"expected one of {', '.join(sorted(known))}"


def describe(error: Mapping[str, Any], schema: type[BaseModel]) -> str:
    """One line for one of pydantic's errors.

    Args:
        error: an item of `ValidationError.errors()`.
        schema: class that was validated, to know the keys that there are.

    Returns:
        `key: what, expected, received`.
    """
    place, kind, context = error["loc"], error["type"], error.get("ctx", {})
    key = next((part for part in reversed(place) if isinstance(part, str)), "")
    if kind == "extra_forbidden":
        return f"{dotted(place)}: unknown key, {suggestion(key, keys_at(schema, place[:-1]))}"
    if kind == "missing":
        return f"{dotted(place)}: {_missing(schema, place)}"
    if kind == "value_error":
        expected = str(context["error"])
    elif kind in _BOUNDS:
        sign, name = _BOUNDS[kind]
        expected = f"expected {sign} {context[name]:g}{unit_of(key)}"
    elif kind in ("too_short", "too_long"):
        expected = _length(context)
    elif kind == "literal_error":
        expected = "expected " + context["expected"].replace("'", "")
    else:
        expected = _EXPECTED.get(kind, error["msg"])
    return f"{dotted(place)}: {expected}, received {shown(error['input'])}"


_BOUNDS = {
    "greater_than": (">", "gt"),
    "greater_than_equal": (">=", "ge"),
    "less_than": ("<", "lt"),
    "less_than_equal": ("<=", "le"),
}
_EXPECTED = {
    "int_type": "expected a whole number",
    "int_parsing": "expected a whole number",
    "int_from_float": "expected a whole number",
    "int_parsing_size": "expected a whole number that fits 64 bits",
    "float_type": "expected a number",
    "float_parsing": "expected a number",
    "finite_number": "expected a finite number",
    "bool_type": "expected true or false",
    "string_type": "expected text",
    "string_too_short": "expected text",
    "list_type": "expected a list",
    "model_type": "expected keys with values",
    "invalid_key": "expected a key that is text",
}


def _length(context: Mapping[str, Any]) -> str:
    wanted = context.get("min_length", context.get("max_length"))
    wanted = "2 values, [minimum, maximum]" if wanted == 2 else f"at least {wanted} value(s)"
    return f"expected {wanted}"


def keys_at(schema: type[BaseModel], place: Sequence[str | int]) -> list[str]:
    """Names of the keys that the section at `place` has."""
    for part in place:
        schema = schema.model_fields[part].annotation
    return list(schema.model_fields)


def _missing(schema: type[BaseModel], place: Sequence[str | int]) -> str:
    for part in place[:-1]:
        schema = schema.model_fields[part].annotation
    field = schema.model_fields[place[-1]]
    if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
        needed = [
            key for key, inner in field.annotation.model_fields.items() if inner.is_required()
        ]
        return f"missing, expected a section with at least {', '.join(needed)}"
    return f"missing, expected {words_of(schema, place[-1])} ({field.description})"
