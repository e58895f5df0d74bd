"""Checkpoints: written whole or not at all, without pickle."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import keras

FOLDER = "checkpoints"
"""Name of the checkpoints' folder in a run's."""

STATE = "state.json"
WEIGHTS = "model.weights.h5"


class CheckpointError(ValueError):
    """A checkpoint that cannot be read: the message says which and what to do."""


class CheckpointStore:
    """The last checkpoints of a run, each a folder of weights, optimiser and position.

    Args:
        folder: where they stand.
        keep: int >= 1, how many of the newest are kept.
    """

    def __init__(self, folder: str | os.PathLike, keep: int = 2):
        self.folder = Path(folder)
        self.keep = keep

    def save(self, model: keras.Model, state: dict[str, Any]) -> None:
        """Writes a checkpoint and then removes those that are one too many.

        Args:
            model: a compiled model: its weights, its optimiser's state and the state of its random
                generators are kept.
            state: JSON-able; `state["iteration"]` names the checkpoint.
        """
        name = f"iteration-{state['iteration']:09d}"
        for left in self.folder.glob(".iteration-*.draft"):  # of a process that was killed
            shutil.rmtree(left, ignore_errors=True)
        draft = self.folder / f".{name}.draft"
        draft.mkdir(parents=True)
        model.save_weights(draft / WEIGHTS)
        content = {**state, "random_states": _random_states(model)}
        (draft / STATE).write_text(json.dumps(content, indent=1), encoding="utf-8")
        for path in draft.iterdir():
            with open(path, "rb") as file:
                os.fsync(file.fileno())
        final = self.folder / name
        shutil.rmtree(final, ignore_errors=True)
        os.replace(draft, final)
        for old in self.saved()[: -self.keep]:
            shutil.rmtree(old, ignore_errors=True)

    def saved(self) -> list[Path]:
        """The checkpoints' folders, oldest first."""
        return sorted(self.folder.glob("iteration-*"))

    def restore(self, model: keras.Model) -> dict[str, Any] | None:
        """Loads the newest checkpoint.

        Args:
            model: compiled, of the same configuration.

        Returns:
            The state, or None where there is no checkpoint.

        Raises:
            CheckpointError: if the checkpoint cannot be read.
        """
        saved = self.saved()
        if not saved:
            return None
        newest = saved[-1]
        try:
            state = json.loads((newest / STATE).read_text(encoding="utf-8"))
            model.optimizer.build(model.trainable_variables)
            model.load_weights(newest / WEIGHTS)
            _set_random_states(model, state["random_states"])
        except Exception as error:  # h5py raises many kinds over a damaged file
            raise CheckpointError(
                f"{newest}: damaged checkpoint ({error}). Delete this folder and run the same "
                "command to go on from the one before, or from the beginning."
            ) from error
        return state


def save_weights(model: keras.Model, path: str | os.PathLike) -> None:
    """Writes a model's weights, without its optimiser, whole or not at all."""
    twin = type(model).from_config(model.get_config())
    twin.set_weights(model.get_weights())
    path = Path(path)
    draft = path.with_name(f".draft.{path.name}")
    twin.save_weights(draft)
    os.replace(draft, path)


def _generators(model):
    for layer in model._flatten_layers():
        generator = getattr(layer, "seed_generator", None)
        if generator is not None:
            yield layer.name, generator


def _random_states(model):
    return {name: generator.state.numpy().tolist() for name, generator in _generators(model)}


def _set_random_states(model, states):
    for name, generator in _generators(model):
        generator.state.assign(states[name])
