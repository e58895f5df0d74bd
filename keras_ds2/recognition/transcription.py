"""Many recordings transcribed one after the other; a bad one is named and the others go on."""

import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from keras_ds2.audio.io import AudioError
from keras_ds2.data.features_file import FeaturesError
from keras_ds2.recognition.recognizer import Recognition, Recognizer

SUFFIXES = {
    "log_spectrogram": (".wav", ".flac", ".mp3", ".ogg", ".oga"),
    "precomputed": (".npy",),
}
"""Names of files that are taken from a folder; a file named by itself may be called anything."""


def find_recordings(sources: Sequence[str], kind: str) -> list[str]:
    """Lists files: those named, and those in the folders named, in order of their names.

    Args:
        sources: paths of files and folders; `"-"` for standard input.
        kind: of the front end, which says what names are taken from a folder.

    Returns:
        The paths. A folder without a recording, or a path that is not there, stays as it is: what
        reads it says so.
    """
    found = []
    for source in sources:
        folder = Path(source)
        if source == "-" or not folder.is_dir():
            found.append(source)
            continue
        inside = [
            str(path)
            for path in sorted(folder.rglob("*"))
            if path.suffix.lower() in SUFFIXES[kind] and path.is_file()
        ]
        found += inside or [source]
    return found


def transcribe_files(
    recognizer: Recognizer, sources: Sequence[str]
) -> Iterator[tuple[str, Recognition | ValueError]]:
    """Recognises files one after the other.

    Args:
        recognizer: does it.
        sources: see `find_recordings`.

    Yields:
        The path and what was recognised, or the error that says why it was not.
    """
    kind = recognizer.front_end.kind
    for source in find_recordings(sources, kind):
        try:
            yield source, _recognize(recognizer, source, kind)
        except (AudioError, FeaturesError) as error:
            yield source, error


def _recognize(recognizer, source, kind):
    if source == "-":
        if kind == "precomputed":
            raise FeaturesError("standard input: this model reads .npy files, name their paths")
        return recognizer.recognize(sys.stdin.buffer.read())
    if os.path.isdir(source):
        names = " ".join(f"*{suffix}" for suffix in SUFFIXES[kind])
        raise AudioError(f"{source}: no recording in this folder, expected {names}")
    return recognizer.recognize(source)
