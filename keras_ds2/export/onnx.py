"""ONNX, for onnxruntime and what else reads it."""

import contextlib
import json
import logging
import types
from pathlib import Path

import numpy as np

from keras_ds2.export.metadata import copy_client, write_metadata
from keras_ds2.export.onnx_weights import halve_weights, quantize_weights
from keras_ds2.export.signatures import Signatures
from keras_ds2.quiet import without_chatter
from keras_ds2.recognition import Recognizer

OPSET = 17

PROPERTY = "keras_ds2"
"""The key of the metadata, JSON, among the file's `metadata_props`."""

_FREE = {
    "waveform": ("batch", "samples"),
    "waveform_length": ("batch",),
    "features": ("batch", "frames"),
    "feature_length": ("batch",),
    "logits": ("batch", "steps"),
    "logit_length": ("batch",),
}


def write_onnx(
    recognizer: Recognizer,
    folder: Path,
    chunk_ms: float | None = None,
    streams: int = 1,
    precision: str = "float32",
) -> dict:
    """Writes `serve.onnx`, if the run streams `step.onnx`, metadata and `client.py`.

    `serve` takes any batch of utterances of any length; `step` has fixed sizes. Every file holds
    the metadata too, as JSON under `keras_ds2` in its `metadata_props`.

    Args:
        recognizer: what is exported.
        folder: to write to; does not exist.
        chunk_ms: of `step`; None for `StreamingStep`'s.
        streams: int >= 1, that `step` advances together.
        precision: `"float32"`; `"float16"`, weights of half the size that are computed with in
            float32; `"int8"`, weights of a quarter: see `quantize_weights`.

    Returns:
        The metadata.

    Raises:
        ImportError: if the extra `export` is not installed.
    """
    packages()
    signatures = Signatures(recognizer, chunk_ms, fourier_transform=False)
    functions = signatures.functions(streams=streams)
    folder.mkdir()
    copy_client(folder)
    said = write_metadata(folder, recognizer, signatures, functions, precision=precision)
    for name, function in functions.items():
        write_function(function, folder / f"{name}.onnx", precision, said)
    return said


def write_function(function, path: Path, precision: str, said: dict) -> None:
    """Writes a concrete function as an ONNX file, with the metadata in it."""
    onnx, _ = packages()
    model = _convert(function)
    if precision == "float16":
        halve_weights(model)
    elif precision == "int8":
        quantize_weights(model)
    _name_free_sizes(model)
    entry = model.metadata_props.add()
    entry.key, entry.value = PROPERTY, json.dumps(said, ensure_ascii=False)
    onnx.checker.check_model(model)
    onnx.save(model, path)


def packages():
    """The modules `onnx` and `tf2onnx`.

    Raises:
        ImportError: if they are not installed; says what to install.
    """
    try:
        import onnx
        import tf2onnx
    except ModuleNotFoundError as error:
        raise ImportError(
            f"this format needs {error.name}; install it with: pip install 'keras-ds2[export]'"
        ) from error
    return onnx, tf2onnx


def _convert(function):
    _, tf2onnx = packages()
    with _quietly():
        model, _ = tf2onnx.convert.from_function(
            types.SimpleNamespace(get_concrete_function=lambda: function),
            input_signature=(),
            opset=OPSET,
            custom_op_handlers={"Log1p": (_log1p, []), "SelectV2": (_select, [])},
        )
    return model


@contextlib.contextmanager
def _quietly():
    """Without advice to whoever writes converters."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with without_chatter():
            yield
    finally:
        logging.disable(level)


def _log1p(context, node, name, arguments):
    """`ln(1 + x)`, which tf2onnx does not know."""
    _, tf2onnx = packages()
    one = context.make_const(tf2onnx.utils.make_name("one"), np.float32(1.0))
    node.type = "Log"
    context.insert_new_node_on_input(node, "Add", [node.input[0], one.output[0]])


def _select(context, node, name, arguments):
    """`Where`; tf2onnx multiplies by 0 and 1, and what is not chosen may be NaN."""
    node.type = "Where"


def _name_free_sizes(model):
    for value in (*model.graph.input, *model.graph.output):
        sizes = value.type.tensor_type.shape.dim
        for size, name in zip(sizes, _FREE.get(value.name, ("streams",)), strict=False):
            if not size.dim_value:
                size.dim_param = name
