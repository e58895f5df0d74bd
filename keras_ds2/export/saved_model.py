"""TensorFlow's own format."""

import json
from pathlib import Path

import tensorflow as tf

from keras_ds2.export.metadata import FILE, metadata
from keras_ds2.export.signatures import Signatures
from keras_ds2.recognition import Recognizer


def write_saved_model(recognizer: Recognizer, folder: Path, chunk_ms: float | None = None) -> dict:
    """Writes a SavedModel with the signatures `serve` and, if the run streams, `step`.

    Batch, streams and samples are free. `assets/keras_ds2.json` is the metadata.

    Args:
        recognizer: what is exported.
        folder: to write to; does not exist.
        chunk_ms: of `step`; None for `StreamingStep`'s.

    Returns:
        The metadata.
    """
    signatures = Signatures(recognizer, chunk_ms)
    functions = {"serve": signatures.function("serve", signatures.serve_shapes())}
    if signatures.streaming is not None:
        functions["step"] = signatures.function("step", signatures.step_shapes())
    said = metadata(recognizer, signatures, functions, precision="float32")
    module = tf.Module()
    module.held = signatures.variables  # what is saved is found on the module
    folder.mkdir()
    asset = folder.parent / FILE
    asset.write_text(json.dumps(said, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    module.asset = tf.saved_model.Asset(str(asset))
    options = tf.saved_model.SaveOptions(experimental_custom_gradients=False)
    tf.saved_model.save(module, str(folder), signatures=functions, options=options)
    return said
