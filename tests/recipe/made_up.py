"""A small valid recipe to change in tests."""

import copy
from typing import Any

VALID = {
    "name": "digits",
    "data": {
        "train_manifest": "train.jsonl",
        "validation_share": 0.1,
        "how_to_get": "record ten people",
    },
    "text": {"language": "english", "alphabet": "english"},
    "model": {"variant": "english", "units": 64},
    "training": {"epochs": 2, "batch_size": 8, "learning_rate": 0.001},
}


def recipe_values(**changes: Any) -> dict[str, Any]:
    """The valid recipe with keys put in, `section__key=value`; `...` takes one out."""
    values = copy.deepcopy(VALID)
    for place, value in changes.items():
        *sections, key = place.split("__")
        target = values
        for section in sections:
            target = target.setdefault(section, {})
        if value is ...:
            del target[key]
        else:
            target[key] = value
    return values
