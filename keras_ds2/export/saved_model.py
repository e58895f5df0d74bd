"""TensorFlow's own format."""

import os
import tempfile
from pathlib import Path

import tensorflow as tf

from keras_ds2.export.metadata import FILE, copy_client, write_metadata
from keras_ds2.export.signatures import Signatures
from keras_ds2.recognition import Recognizer


def write_saved_model(recognizer: Recognizer, folder: Path, chunk_ms: float | None = None) -> dict:
    """Writes a SavedModel with the signatures `serve` and, if the run streams, `step`.

    Batch, streams and samples are free. `assets/keras_ds2.json` is the metadata, and
    `client.py` reads speech with it.

    Args:
        recognizer: what is exported.
        folder: to write to; does not exist.
        chunk_ms: of `step`; None for `StreamingStep`'s.

    Returns:
        The metadata.
    """
    signatures = Signatures(recognizer, chunk_ms)
    functions = signatures.functions()
    with tempfile.TemporaryDirectory() as assets:
        said = write_metadata(Path(assets), recognizer, signatures, functions, precision="float32")
        asset = tf.saved_model.Asset(str(Path(assets) / FILE))
        save_functions(signatures, functions, folder, asset=asset)
    copy_client(folder)
    return said


def save_functions(
    signatures: Signatures, functions: dict, folder: str | os.PathLike, **tracked
) -> None:
    """Saves concrete functions with the variables that they read.

    Args:
        signatures: theirs.
        functions: name to concrete function.
        folder: to write to.
        **tracked: more to be saved with them.
    """
    module = tf.Module()
    module.held = signatures.variables  # what is saved is found on the module
    for name, each in tracked.items():
        setattr(module, name, each)
    options = tf.saved_model.SaveOptions(experimental_custom_gradients=False)
    tf.saved_model.save(module, os.fspath(folder), signatures=functions, options=options)
