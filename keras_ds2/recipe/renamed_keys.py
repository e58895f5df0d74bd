"""Keys that had other names once: recipes and runs that hold those mean what they meant."""

from collections.abc import Mapping
from typing import Any

from keras_ds2.recipe.faults import dotted

RENAMED = {("augmentation", "white_noise_share"): ("augmentation", "noise_share")}
"""Old place to new one, in the same section."""


def new_place(place: tuple[str, ...]) -> tuple[str, ...]:
    """Where a key stands today."""
    return RENAMED.get(place, place)


def rename_keys(values: Mapping[str, Any]) -> list[str]:
    """Gives old keys their new names.

    Args:
        values: a recipe's mapping as it stands in the file; changed in place.

    Returns:
        A fault for each key that is given under both names.
    """
    faults = []
    for (section, old), (_, new) in RENAMED.items():
        keys = values.get(section)
        if not (isinstance(keys, dict) and old in keys):
            continue
        value = keys.pop(old)
        if new in keys:
            there = dotted((section, old))
            faults.append(f"{there}: is {new} today, which is given too: leave {old} out")
        else:
            keys[new] = value
    return faults
