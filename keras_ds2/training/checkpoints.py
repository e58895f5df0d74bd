"""Checkpoints: written whole or not at all, checked before they are read, without pickle."""

import hashlib
import json
import math
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_ds2.atomic_write import explained, reserve, sync, write_file_atomically
from keras_ds2.weights_file import check_weights_file

FOLDER = "checkpoints"
"""Name of the checkpoints' folder in a run's."""

STATE = "state.json"
WEIGHTS = "model.weights.h5"
CHECKSUMS = "checksums.sha256"
KEEP = 2
"""Checkpoints that are kept, unless told otherwise."""

_NAME = re.compile(r"iteration-(\d{9,})(?:\.(\d+))?")
_HEADROOM = 2**16  # bytes of a checkpoint that are no weights: HDF5's own, and state.json


class CheckpointError(ValueError):
    """No checkpoint can be read: the message says why and what to do."""


class CheckpointStore:
    """The last checkpoints of a run, each a folder of weights, optimiser, position and checksums.

    A folder gets its name when all that is in it is on the disk, and no checkpoint is removed
    before a newer one has its name: a process may be killed at any moment.

    Args:
        folder: where they stand.
        keep: int >= 1, how many of the newest are kept.
    """

    def __init__(self, folder: str | os.PathLike, keep: int = KEEP):
        self.folder = Path(folder)
        self.keep = keep

    def save(self, model: keras.Model, state: dict[str, Any]) -> None:
        """Writes a checkpoint and then removes those that are one too many.

        Args:
            model: a compiled model: its weights, its optimiser's state and the state of its random
                generators are kept.
            state: JSON-able; `state["iteration"]`, the batches of the run so far, names the
                checkpoint. Checkpoints of later iterations are those of a future given up (they
                could not be read): they are removed too.

        Raises:
            WriteError: if it cannot be written; those before stay as they are.
        """
        iteration = state["iteration"]
        final = self.folder / self._free_name(iteration)
        size = _bytes_of(model) + len(json.dumps(state)) + _HEADROOM
        with explained(final, size):
            self.folder.mkdir(parents=True, exist_ok=True)
            self._sweep()
            draft = self.folder / f".{final.name}.draft"
            try:
                draft.mkdir()
                reserve(draft / WEIGHTS, size)
                _write(draft, model, {**state, "random_states": _random_states(model)})
                os.replace(draft, final)
                sync(self.folder)
            except BaseException:
                shutil.rmtree(draft, ignore_errors=True)
                raise
        own = [path for path in self.saved() if _position(path)[0] <= iteration]
        kept = {_position(path)[0]: path for path in own}  # the last written of each iteration
        for path in set(self.saved()) - set(list(kept.values())[-self.keep :]):
            self._remove(path)

    def saved(self) -> list[Path]:
        """The checkpoints' folders, oldest first."""
        found = [path for path in self.folder.glob("iteration-*") if _NAME.fullmatch(path.name)]
        return sorted(found, key=_position)

    def restore(
        self, model: keras.Model, report: Callable[[str], None] = lambda line: None
    ) -> dict[str, Any] | None:
        """Loads the newest checkpoint that is not damaged.

        Args:
            model: compiled, of the same configuration.
            report: is given a line about each damaged checkpoint that is passed over.

        Returns:
            The state, or None where there is no checkpoint.

        Raises:
            CheckpointError: if there are checkpoints and none can be read.
        """
        faults = []
        for path in reversed(self.saved()):
            try:
                state = _read(path, model)
            except Exception as error:  # h5py raises many kinds over what it cannot read
                faults.append(f"{path}: damaged checkpoint ({error})")
                continue
            for fault in faults:
                report(f"{fault}; taking {path.name}, the one before")
            return state
        if faults:
            raise CheckpointError(
                "\n".join(faults) + "\nNo checkpoint of this run can be read. Put back a copy of "
                f"one, or delete {self.folder} and run the same command to start from the "
                "beginning."
            )
        return None

    def _free_name(self, iteration):
        """A name that none has: what stands under a name is never replaced."""
        taken = [_position(path) for path in self.saved()]
        version = max((v for number, v in taken if number == iteration), default=0) + 1
        return f"iteration-{iteration:09d}" + (f".{version}" if version > 1 else "")

    def _sweep(self):
        """Removes what a process that was killed has left."""
        for left in self.folder.glob(".iteration-*"):
            shutil.rmtree(left, ignore_errors=True)

    def _remove(self, path):
        hidden = path.with_name(f".{path.name}.old")  # a half removed one is no checkpoint
        try:
            os.replace(path, hidden)
        except OSError:
            return
        shutil.rmtree(hidden, ignore_errors=True)


def save_weights(model: keras.Model, path: str | os.PathLike) -> None:
    """Writes a model's weights whole or not at all.

    Args:
        model: not compiled, or its optimiser's state is written too: see `without_optimizer`.
        path: an existing file is replaced.

    Raises:
        WriteError: if they cannot be written; an older file stays as it is.
    """
    size = sum(_size_of(weight) for weight in model.weights) + _HEADROOM
    write_file_atomically(path, model.save_weights, size)


def without_optimizer(model: keras.Model) -> keras.Model:
    """A copy of a model and its weights that is not compiled."""
    twin = type(model).from_config(model.get_config())
    twin.set_weights(model.get_weights())
    return twin


def metric_sums(model: keras.Model) -> list[list[float]]:
    """What each metric has summed up so far, exactly: JSON-able."""
    return [[float(v.numpy()) for v in metric.variables] for metric in model.metrics]


def set_metric_sums(model: keras.Model, sums: list[list[float]]) -> None:
    """Sets what `metric_sums` has given."""
    for metric, values in zip(model.metrics, sums, strict=True):
        for variable, value in zip(metric.variables, values, strict=True):
            variable.assign(value)


def _write(folder, model, content):
    model.save_weights(folder / WEIGHTS)
    (folder / STATE).write_text(json.dumps(content, indent=1), encoding="utf-8")
    lines = [f"{_checksum(folder / name)}  {name}\n" for name in (STATE, WEIGHTS)]
    (folder / CHECKSUMS).write_text("".join(lines), encoding="utf-8")
    for path in (*folder.iterdir(), folder):
        sync(path)


def _read(folder, model):
    lines = (folder / CHECKSUMS).read_text(encoding="utf-8").splitlines()
    stated = {name: checksum for checksum, _, name in (line.partition("  ") for line in lines)}
    for name in (STATE, WEIGHTS):
        if stated.get(name) != _checksum(folder / name):
            raise ValueError(f"{name} is not what was written, by {CHECKSUMS}")
    state = json.loads((folder / STATE).read_text(encoding="utf-8"))
    model.optimizer.build(model.trainable_variables)
    check_weights_file(folder / WEIGHTS)
    model.load_weights(folder / WEIGHTS)
    _set_random_states(model, state["random_states"])
    return state


def _checksum(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _position(path):
    """Iteration and version of a checkpoint's folder."""
    number, version = _NAME.fullmatch(path.name).groups()
    return int(number), int(version or 1)


def _bytes_of(model):
    variables = [*model.weights, *model.optimizer.variables]
    return sum(_size_of(variable) for variable in variables)


def _size_of(variable):
    return math.prod(variable.shape) * np.dtype(variable.dtype).itemsize


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
