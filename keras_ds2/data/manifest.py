"""Manifests: JSON lines that say which audio goes with which words."""

import codecs
import dataclasses
import json
import math
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from keras_ds2.atomic_write import write_text_atomically

_PATH_KEYS = ("audio_filepath", "features_filepath")
_KEYS = (*_PATH_KEYS, "duration", "text", "speaker")
_SHOWN = 20


class ManifestError(ValueError):
    """A manifest cannot be used.

    Attributes:
        faults: every fault, each as `"file:line: fault"`; the message shows the first ones.
    """

    def __init__(self, message: str, faults: Iterable[str] = ()):
        super().__init__(message)
        self.faults = tuple(faults)


@dataclasses.dataclass(frozen=True)
class Utterance:
    """One line of a manifest.

    Attributes:
        audio_filepath: absolute path of the audio, or None where there are features.
        features_filepath: absolute path of precomputed features, or None where there is audio.
        duration: seconds.
        text: what is said.
        speaker: who says it, or None.
        extra: the line's other keys.
        manifest: the manifest's path, as it was given.
        line: the line's number in the manifest, from 1.
    """

    audio_filepath: str | None
    features_filepath: str | None
    duration: float
    text: str
    speaker: str | None = None
    extra: Mapping[str, Any] = dataclasses.field(default_factory=dict, hash=False)
    manifest: str = ""
    line: int = 0

    @property
    def where(self) -> str:
        """The utterance's place, `"file:line"`."""
        return f"{self.manifest}:{self.line}"

    @property
    def filepath(self) -> str:
        """The path of the audio or of the features."""
        return self.audio_filepath or self.features_filepath or ""


def read_manifest(
    path: str | os.PathLike, require_text: bool = True, require_files: bool = True
) -> list[Utterance]:
    """Reads and checks a manifest.

    Each line is a JSON object: `audio_filepath` or `features_filepath` (relative to the manifest's
    folder, or absolute), `duration` in seconds, `text`, and optionally `speaker`; other keys are
    kept in `extra`. Blank lines are passed over.

    Args:
        path: the manifest.
        require_text: whether each line needs a text that is not empty; if not, a missing text is
            read as the empty one.
        require_files: whether a file that is not there is a fault.

    Returns:
        The utterances, in the file's order.

    Raises:
        ManifestError: if the file is missing, empty, or any line is faulty. All faults are told
            together, each with its file and line.
    """
    path = os.fspath(path)
    content = _read_bytes(path)
    folder = os.path.dirname(os.path.abspath(path))
    utterances: list[Utterance] = []
    faults: list[str] = []
    for line, raw in enumerate(content.split(b"\n"), start=1):
        if not raw.strip():
            continue
        try:
            row = _parse(raw)
        except ValueError as error:
            faults.append(f"{path}:{line}: {error}")
            continue
        row_faults = _row_faults(row, require_text)
        if require_files and not row_faults:
            row_faults = _missing_file(row, folder)
        faults.extend(f"{path}:{line}: {fault}" for fault in row_faults)
        if not row_faults:
            utterances.append(_utterance(row, folder, path, line))
    _raise_faults(path, faults, "Correct or remove these lines")
    if not utterances:
        raise ManifestError(
            f"{path}: empty; expected at least one line such as "
            '{"audio_filepath": "a.wav", "duration": 1.5, "text": "hello"}.'
        )
    return utterances


def write_manifest(path: str | os.PathLike, rows: Iterable[Utterance | Mapping[str, Any]]) -> None:
    """Writes a manifest, whole or not at all.

    Args:
        path: the manifest; an existing one is replaced, missing folders are made.
        rows: utterances, or mappings with a line's keys. Absolute paths are written relative to
            the manifest's folder; relative ones are taken to be so already. The files themselves
            need not exist yet.

    Raises:
        ManifestError: if there is no row or any is faulty; nothing is written.
    """
    path = os.fspath(path)
    folder = os.path.dirname(os.path.abspath(path))
    lines: list[str] = []
    faults: list[str] = []
    for number, row in enumerate(rows, start=1):
        row = _as_row(row) if isinstance(row, Utterance) else dict(row)
        row_faults = _row_faults(row, require_text=False)
        if not row_faults:
            row = _relative(row, folder)
            try:
                lines.append(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n")
                lines[-1].encode("utf-8")
            except (TypeError, ValueError) as error:
                row_faults = [f"cannot be written as JSON ({error})"]
        faults.extend(f"{path}:{number}: {fault}" for fault in row_faults)
    _raise_faults(path, faults, "Nothing was written; correct these rows")
    if not lines:
        raise ManifestError(
            f"{path}: no rows to write; expected at least one. Nothing was written."
        )
    write_text_atomically(path, "".join(lines))


def _read_bytes(path: str) -> bytes:
    """The manifest's content without a byte order mark."""
    try:
        content = Path(path).read_bytes()
    except FileNotFoundError:
        raise ManifestError(
            f"{path}: no such manifest (in {os.path.dirname(os.path.abspath(path))}). Check the "
            "path, or prepare the data first so that the manifest is made."
        ) from None
    except IsADirectoryError:
        inside = sorted(p.name for p in Path(path).glob("*.json*"))[:_SHOWN]
        hint = f" It holds {', '.join(inside)}." if inside else ""
        raise ManifestError(f"{path}: a folder; expected a manifest, a file.{hint}") from None
    except OSError as error:
        raise ManifestError(f"{path}: cannot be read ({error.strerror}).") from None
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise ManifestError(f"{path}:1: UTF-16; expected UTF-8. Save the manifest as UTF-8.")
    if content.lstrip(codecs.BOM_UTF8 + b" \r\n\t").startswith(b"["):
        raise ManifestError(
            f"{path}:1: a JSON list; expected JSON lines: one object {{...}} a line, with neither "
            "brackets around them nor commas between."
        )
    return content.removeprefix(codecs.BOM_UTF8)


def _parse(raw: bytes) -> dict[str, Any]:
    """One line's object; ValueError says what is wrong with it."""
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"not UTF-8 (byte 0x{raw[error.start]:02x} at column {error.start + 1}); "
            "save the manifest as UTF-8"
        ) from None
    try:
        row = json.loads(text, object_pairs_hook=_object)
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON: {error.msg} at column {error.colno}") from None
    except RecursionError:
        raise ValueError("not a manifest's line: nested too deeply") from None
    if not isinstance(row, dict):
        raise ValueError(f"expected a JSON object {{...}}, received {_shown(row)}")
    return row


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"key {twice!r} is given twice")
    return content


def _row_faults(row: Mapping[str, Any], require_text: bool) -> list[str]:
    """Every fault of a line's keys; the file itself is not looked for."""
    faults = []
    given = [key for key in _PATH_KEYS if row.get(key) is not None]
    if len(given) != 1:
        received = "both" if given else "neither"
        faults.append(f"expected one of {' and '.join(_PATH_KEYS)}, received {received}")
    for key in given:
        if not isinstance(row[key], str) or not row[key].strip():
            faults.append(f"{key}: expected a path, received {_shown(row[key])}")
    faults.extend(_duration_faults(row))
    text = row.get("text", "" if not require_text else None)
    if "text" not in row and require_text:
        faults.append("text: missing; expected what is said")
    elif not isinstance(text, str):
        faults.append(f"text: expected a text, received {_shown(text)}")
    elif require_text and not text.strip():
        faults.append("text: empty; expected what is said, remove an utterance without words")
    if not isinstance(row.get("speaker"), str | None):
        faults.append(f"speaker: expected a text, received {_shown(row['speaker'])}")
    for key in _KEYS:
        if isinstance(row.get(key), str) and _has_surrogate(row[key]):
            faults.append(f"{key}: expected whole characters, received half a surrogate pair")
    return faults


def _duration_faults(row: Mapping[str, Any]) -> list[str]:
    if "duration" not in row:
        return ["duration: missing; expected seconds > 0"]
    duration = row["duration"]
    if isinstance(duration, bool) or not isinstance(duration, int | float):
        return [f"duration: expected seconds > 0, a number, received {_shown(duration)}"]
    try:
        valid = math.isfinite(duration) and duration > 0
    except OverflowError:
        valid = False
    return [] if valid else [f"duration: expected finite seconds > 0, received {_shown(duration)}"]


def _missing_file(row: Mapping[str, Any], folder: str) -> list[str]:
    for key in _PATH_KEYS:
        if row.get(key) is not None:
            path = os.path.join(folder, row[key])
            if not os.path.isfile(path):
                what = "a folder, not a file" if os.path.isdir(path) else "no such file"
                return [f"{key}: {what}: {path} (paths are relative to the manifest)"]
    return []


def _utterance(row: dict[str, Any], folder: str, path: str, line: int) -> Utterance:
    audio, features = (
        None if row.get(key) is None else os.path.normpath(os.path.join(folder, row[key]))
        for key in _PATH_KEYS
    )
    return Utterance(
        audio_filepath=audio,
        features_filepath=features,
        duration=float(row["duration"]),
        text=row.get("text", ""),
        speaker=row.get("speaker"),
        extra={key: value for key, value in row.items() if key not in _KEYS},
        manifest=path,
        line=line,
    )


def _as_row(utterance: Utterance) -> dict[str, Any]:
    row = {key: getattr(utterance, key) for key in _KEYS}
    return {**{key: value for key, value in row.items() if value is not None}, **utterance.extra}


def _relative(row: dict[str, Any], folder: str) -> dict[str, Any]:
    """The row with its path relative to the folder, and the known keys first."""
    row = {key: row[key] for key in (*_KEYS, *row) if row.get(key) is not None or key not in _KEYS}
    for key in _PATH_KEYS:
        if key in row and os.path.isabs(row[key]):
            row[key] = Path(os.path.relpath(row[key], folder)).as_posix()
    return row


def _raise_faults(path: str, faults: list[str], remedy: str) -> None:
    if not faults:
        return
    lines = [f"{path}: {len(faults)} fault{'' if len(faults) == 1 else 's'}"]
    lines += [f"  {fault}" for fault in faults[:_SHOWN]]
    if len(faults) > _SHOWN:
        lines.append(f"  ... and {len(faults) - _SHOWN} more")
    raise ManifestError("\n".join([*lines, f"{remedy}."]), faults)


def _has_surrogate(text: str) -> bool:
    return any("\ud800" <= character <= "\udfff" for character in text)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
