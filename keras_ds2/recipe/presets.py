"""Presets of the training regime: one key of a recipe in place of many."""

from collections.abc import Container, Mapping
from typing import Any

from keras_ds2.recipe.faults import shown

PRESET = "preset"
"""Key of `training` that stands for the keys and values below; a key beside it wins."""

PRESETS = {
    # Amodei et al., 2015, arXiv:1512.02595. Left to the recipe: there the learning rate was chosen
    # from 1e-4 to 6e-4, batches were of 512 utterances, and 20 epochs were trained.
    "paper": {
        "optimizer": "sgd",
        "momentum": 0.99,
        "nesterov": True,
        "weight_decay": None,
        "schedule": "annealed",
        "anneal_factor": 1.2,
        "warmup_steps": 0,
        "clip_norm": 400.0,
        "sorta_grad": True,
    },
    # What the recipes that come with keras_ds2 settled on, at rates from 1e-3 to 3e-3.
    "keras_ds2": {
        "optimizer": "adamw",
        "momentum": None,
        "nesterov": None,
        "weight_decay": 0.01,
        "schedule": "cosine",
        "anneal_factor": None,
        "warmup_steps": 200,
        "clip_norm": 5.0,
        "sorta_grad": True,
    },
}
"""Values of `training`, None where the regime has no such thing."""


def apply_preset(training: Mapping[str, Any], given: Container[str]) -> dict[str, Any]:
    """Puts a preset's values in the place of its name.

    Args:
        training: the section as read, with the key `preset`.
        given: keys whose values stay as they are.

    Returns:
        The section without the key `preset`.

    Raises:
        ValueError: if there is no such preset.
    """
    name = training[PRESET]
    rest = {key: value for key, value in training.items() if key != PRESET}
    if name is None:
        return rest
    if not isinstance(name, str) or name not in PRESETS:
        expected = " or ".join(PRESETS)
        raise ValueError(f"training.{PRESET}: expected {expected}, received {shown(name)}")
    return {**rest, **{key: PRESETS[name][key] for key in PRESETS[name] if key not in given}}
