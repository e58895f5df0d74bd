"""The folder that a run is written to: new, or that of the same run, to be gone on with."""

import json
import os
from pathlib import Path

from keras_ds2.atomic_write import is_draft
from keras_ds2.data.kept_examples import NAME as EXAMPLES
from keras_ds2.data.kept_examples import parse_examples
from keras_ds2.recipe.load import load_recipe
from keras_ds2.recipe.schema import Recipe
from keras_ds2.recognition.run_folder import ALPHABET
from keras_ds2.text.alphabet import Alphabet
from keras_ds2.training.checkpoints import FOLDER, CheckpointStore

RECIPE = "recipe.yaml"
INITIAL = "initial_weights.json"
HOW_NOT_WHAT = {
    "data": ("on_error", "max_error_share", "service"),
    "training": ("strategy", "replicas", "on_nan", "save_minutes", "keep_checkpoints"),
}
"""Keys of a recipe that say how it is computed and not what: a run may go on with other values."""


class OutputError(ValueError):
    """The output folder cannot be used: the message says why and what to do."""


def check_output(folder: Path, recipe: Recipe) -> None:
    """Makes sure that a run of this recipe can be written to, or gone on with in, a folder.

    Raises:
        OutputError: if it is a file, cannot be written, holds something else than a run, or the run
            of another recipe.
    """
    if not folder.exists():
        parent = next(path for path in folder.absolute().parents if path.exists())
        if not (parent.is_dir() and os.access(parent, os.W_OK)):
            raise OutputError(f"{folder}: cannot be made, {parent} is not writable; name another")
        return
    if not folder.is_dir():
        raise OutputError(f"{folder}: expected a folder, found a file; name another --output")
    if not os.access(folder, os.W_OK):
        raise OutputError(f"{folder}: not writable; change its rights or name another --output")
    if not (folder / RECIPE).exists():
        if not all(map(is_draft, folder.iterdir())):  # drafts: killed while the recipe was written
            raise OutputError(
                f"{folder}: holds files but no run; name a new or an empty folder as --output"
            )
        return
    for path in folder.iterdir():
        if path.is_symlink() and folder.resolve() not in path.resolve().parents:
            raise OutputError(
                f"{path}: is a link to {path.resolve()}, outside of the run's folder, where files "
                "would be written over or removed; put what it leads to in its place, or name "
                "another --output"
            )
    before = load_recipe(folder / RECIPE)
    if _what_is_trained(before) != _what_is_trained(recipe):
        raise OutputError(
            f"{folder}: holds the run of another recipe. Name another --output, or delete the "
            f"folder to start anew. What differs (there, here):\n{_differences(before, recipe)}"
        )


def check_alphabet(folder: Path, alphabet: Alphabet) -> None:
    """Refuses to go on with other symbols: the same recipe may find other transcripts.

    Raises:
        OutputError: if the run in the folder has another alphabet.
    """
    path = folder / ALPHABET
    if path.exists() and Alphabet.load(path) != alphabet:
        raise OutputError(
            f"{folder}: the transcripts have changed since this run began, and with them the "
            "alphabet. Name another --output, or put them back as they were to go on."
        )


def test_manifest(run: str | os.PathLike) -> Path:
    """The manifest that a run's recipe names to be scored on.

    Raises:
        OutputError: if it is no run's folder, or its recipe names none.
        RecipeError: if its recipe cannot be read.
    """
    path = Path(run) / RECIPE
    if not path.exists():
        raise OutputError(f"{run}: expected the folder of a run, with {RECIPE}")
    manifest = load_recipe(path).data.path("test_manifest")
    if manifest is None:
        raise OutputError(f"{path}: names no data.test_manifest; give --manifest FILE")
    return manifest


def has_begun(folder: Path) -> bool:
    """Whether there is a checkpoint to go on from."""
    return bool(CheckpointStore(folder / FOLDER).saved())


def examples_to_go_on_with(folder: Path) -> str | None:
    """What a run trains on, for `parse_examples`; None where it begins, or is of earlier days.

    Raises:
        OutputError: if it is damaged.
    """
    path = folder / EXAMPLES
    if not (has_begun(folder) and path.exists()):
        return None
    try:
        content = path.read_text(encoding="utf-8")
        parse_examples(content)
    except (OSError, ValueError) as error:
        raise OutputError(
            f"{path}: cannot be read ({error}). It says what this run trains on: put it back, or "
            "name another --output to begin anew."
        ) from None
    return content


def weights_source(folder: Path, init_from: str | os.PathLike | None) -> str | None:
    """The run to take weights from; None for none, or where training has begun already.

    Raises:
        OutputError: if the run in the folder began with other weights.
    """
    recorded = None
    if (folder / INITIAL).exists():
        recorded = json.loads((folder / INITIAL).read_text(encoding="utf-8"))["run"]
    given = None if init_from is None else os.path.abspath(init_from)
    begun = has_begun(folder)
    if given is not None and (begun or recorded) and given != recorded:
        began = f"with weights of {recorded}" if recorded else "with new weights"
        raise OutputError(
            f"{folder}: holds a run that began {began}, which --init-from {given} cannot change. "
            "Name another --output, or leave --init-from out to go on."
        )
    return None if begun else given or recorded


def _what_is_trained(recipe):
    values = recipe.model_dump()
    for section, keys in HOW_NOT_WHAT.items():
        for key in keys:
            del values[section][key]
    return values


def _differences(before, now):
    lines = []
    before, now = _what_is_trained(before), _what_is_trained(now)
    for section in now:
        one, other = before[section], now[section]
        if not isinstance(other, dict):
            one, other = {"": one}, {"": other}
        for key in other:
            if one.get(key) != other[key]:
                lines.append(
                    f"  {f'{section}.{key}'.rstrip('.')}: {one.get(key)!r}, {other[key]!r}"
                )
    return "\n".join(lines)
