"""What a key of a recipe holds, in words: read off its type, so that no text can differ from it."""

import typing
from typing import Any

from pydantic import BaseModel

_UNITS = {"_ms": " ms", "_db": " dB", "_seconds": " s", "sampling_rate": " Hz"}


def unit_of(key: str) -> str:
    """The unit that a key's name says, with a space before it; empty where it says none."""
    return next((unit for ending, unit in _UNITS.items() if key.endswith(ending)), "")


def words_of(section: type[BaseModel], key: str) -> str:
    """What `section.key` holds: `number > 0 ms`, `english | mandarin`, `list of texts`."""
    annotation = typing.get_type_hints(section, include_extras=True)[key]
    return _words(annotation) + unit_of(key)


def _words(annotation: Any) -> str:
    """The last text of an `Annotated` type, or a literal's choices; `| None` is left out."""
    if typing.get_origin(annotation) is typing.Annotated:
        texts = [item for item in annotation.__metadata__ if isinstance(item, str)]
        return texts[-1] if texts else _words(annotation.__origin__)
    if typing.get_origin(annotation) is typing.Literal:
        return " | ".join(str(choice) for choice in typing.get_args(annotation))
    inner = [item for item in typing.get_args(annotation) if item is not type(None)]
    return _words(inner[0])
