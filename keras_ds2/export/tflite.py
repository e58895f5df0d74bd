"""TensorFlow Lite's format, for phones and small machines."""

import tempfile
from pathlib import Path

import tensorflow as tf

from keras_ds2.export.metadata import copy_client, write_metadata
from keras_ds2.export.saved_model import save_functions
from keras_ds2.export.signatures import Signatures
from keras_ds2.quiet import without_chatter
from keras_ds2.recognition import Recognizer


def write_tflite(
    recognizer: Recognizer,
    folder: Path,
    chunk_ms: float | None = None,
    streams: int = 1,
    precision: str = "float32",
) -> dict:
    """Writes `serve.tflite`, if the run streams `step.tflite`, metadata and `client.py`.

    All of TensorFlow Lite's built-in operations. `serve` takes one utterance of any length; `step`
    has fixed sizes. Each file has one signature, of its own name.

    Args:
        recognizer: what is exported.
        folder: to write to; does not exist.
        chunk_ms: of `step`; None for `StreamingStep`'s.
        streams: int >= 1, that `step` advances together.
        precision: `"float32"`; `"float16"`, weights of half the size, or `"int8"`, of a quarter,
            whose products are computed in int8 with inputs that are scaled as they come.

    Returns:
        The metadata.
    """
    signatures = Signatures(recognizer, chunk_ms, fourier_transform=False)
    functions = signatures.functions(batch=1, streams=streams)
    folder.mkdir()
    for name, function in functions.items():
        with tempfile.TemporaryDirectory() as saved, without_chatter():
            save_functions(signatures, {name: function}, saved)
            converter = tf.lite.TFLiteConverter.from_saved_model(saved, signature_keys=[name])
            if precision != "float32":
                converter.optimizations = [tf.lite.Optimize.DEFAULT]
            if precision == "float16":
                converter.target_spec.supported_types = [tf.float16]
            (folder / f"{name}.tflite").write_bytes(converter.convert())
    copy_client(folder)
    return write_metadata(folder, recognizer, signatures, functions, precision=precision)
