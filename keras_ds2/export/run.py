"""A run written out in a format, whole or not at all."""

import inspect
import os
import shutil
import tempfile
from pathlib import Path

from keras_ds2.export.onnx import write_onnx
from keras_ds2.export.saved_model import write_saved_model
from keras_ds2.export.tflite import write_tflite
from keras_ds2.export.triton import write_triton
from keras_ds2.recognition import Recognizer

FORMATS = {
    "saved_model": write_saved_model,
    "tflite": write_tflite,
    "onnx": write_onnx,
    "triton": write_triton,
}
"""Name to function `(recognizer, folder, **options) -> metadata`."""

PRECISIONS = ("float32", "float16", "int8")
"""Of the weights, where a format has a choice."""


def export_run(
    run: str | os.PathLike, file_format: str, output: str | os.PathLike, **options
) -> dict:
    """Writes a run's best weights, front end and all, as a model for other programs.

    Args:
        run: run folder.
        file_format: one of `FORMATS`.
        output: folder to write; must not exist yet.
        **options: of the format's function; None for its default.

    Returns:
        The metadata that were written: see `export.metadata`.

    Raises:
        RunFolderError: if the run cannot be read.
        StreamingError: for options of `step`, if the run cannot stream.
        ValueError: if the format is unknown, or has no such option, or `output` exists.
        ImportError: if the format needs a package that is not there; says which to install.
    """
    if file_format not in FORMATS:
        raise ValueError(f"format: expected one of {', '.join(FORMATS)}, received {file_format!r}")
    given = {key: value for key, value in options.items() if value is not None}
    _check_options(file_format, given)
    output = Path(output)
    if output.exists():
        raise ValueError(f"{output}: exists already; name another output, or remove it first")
    recognizer = Recognizer.load(run)
    if "chunk_ms" in given or "streams" in given:
        recognizer.stream(chunk_ms=given.get("chunk_ms"))  # says why, where the run cannot stream
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".draft.", dir=output.parent) as draft:
        said = FORMATS[file_format](recognizer, Path(draft) / "export", **given)
        shutil.move(Path(draft) / "export", output)
    return said


def _check_options(file_format, given):
    known = inspect.signature(FORMATS[file_format]).parameters
    for name, value in given.items():
        if name not in known:
            raise ValueError(
                f"{name}: {file_format} has no such choice: expected none, received {value!r}"
            )
    precision = given.get("precision", PRECISIONS[0])
    if precision not in PRECISIONS:
        raise ValueError(
            f"precision: expected one of {', '.join(PRECISIONS)}, received {precision!r}"
        )
    if not given.get("streams", 1) >= 1:
        raise ValueError(f"streams: expected a number >= 1, received {given['streams']!r}")
