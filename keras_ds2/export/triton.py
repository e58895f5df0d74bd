"""A model repository for NVIDIA Triton: live streams on many instances, their state kept there."""

import json
from pathlib import Path

from keras_ds2.export.metadata import write_metadata
from keras_ds2.export.onnx import packages, write_function
from keras_ds2.export.signatures import NEXT_STATE, Signatures, in_rows
from keras_ds2.recognition import Recognizer

MODEL = "keras_ds2"

_TYPES = {"float32": "TYPE_FP32", "int32": "TYPE_INT32", "bool": "TYPE_BOOL"}
_CONTROLS = {
    "start": "CONTROL_SEQUENCE_START",
    "end": "CONTROL_SEQUENCE_END",
    "active": "CONTROL_SEQUENCE_READY",
}


def write_triton(
    recognizer: Recognizer,
    folder: Path,
    chunk_ms: float | None = None,
    streams: int = 16,
    precision: str = "float32",
) -> dict:
    """Writes `keras_ds2/config.pbtxt` and `keras_ds2/1/model.onnx`, which is `step`.

    A sequence of requests is a stream: each brings `chunk` and `chunk_length`, and is answered
    with `logits`, `logit_mask` and `done`. Triton batches those of different streams, oldest first,
    and keeps their states. It does so for ONNX; its TensorFlow backend does not, and is deprecated
    since release 25.03.

    Args:
        recognizer: what is exported; forward only.
        folder: the repository to write; does not exist.
        chunk_ms: of a request; None for `StreamingStep`'s.
        streams: int >= 1, that a batch holds at the most.
        precision: see `write_onnx`.

    Returns:
        The metadata, which stand in `keras_ds2/1/keras_ds2.json` too.

    Raises:
        ValueError: for a run that cannot stream.
        ImportError: if the extra `export` is not installed.
    """
    packages()
    signatures = Signatures(recognizer, chunk_ms, fourier_transform=False)
    if signatures.streaming is None:
        raise ValueError(
            "format triton: expected a run that streams, this one needs whole utterances; take "
            "onnx, whose serve.onnx any server can run"
        )
    step = signatures.function("step_of_rows", in_rows(signatures.step_shapes()))
    version = folder / MODEL / "1"
    version.mkdir(parents=True)
    functions = {"step": step}
    said = write_metadata(version, recognizer, signatures, functions, precision=precision)
    write_function(step, version / "model.onnx", precision, said)
    (folder / MODEL / "config.pbtxt").write_text(configuration(said, streams), encoding="utf-8")
    return said


def configuration(said: dict, streams: int) -> str:
    """The text of `config.pbtxt`.

    Args:
        said: metadata, of a `step` of rows.
        streams: that a batch holds at the most.
    """
    signature, streaming = said["signatures"]["step"], said["streaming"]
    states = streaming["state"]
    inputs = [
        _tensor(name, each)
        for name, each in signature["inputs"].items()
        if name not in states and name not in _CONTROLS
    ]
    outputs = [
        _tensor(name, each)
        for name, each in signature["outputs"].items()
        if not name.startswith(NEXT_STATE)
    ]
    kept = [
        {"input_name": name, "output_name": each["next"], **_sizes(signature["inputs"][name])}
        for name, each in states.items()
    ]
    controls = [
        {
            "name": name,
            "control": [{"kind": _Word(kind), "bool_false_true": [False, True]}],
        }
        for name, kind in _CONTROLS.items()
    ]
    # A batch waits for others at the most a tenth of the time in which a chunk is spoken.
    wait = round(100 * streaming["chunk_ms"])
    content = {
        "name": MODEL,
        "backend": "onnxruntime",
        "max_batch_size": streams,
        "input": inputs,
        "output": outputs,
        "sequence_batching": {
            "max_sequence_idle_microseconds": 60_000_000,
            "oldest": {
                "max_candidate_sequences": 8 * streams,
                "preferred_batch_size": [streams],
                "max_queue_delay_microseconds": wait,
            },
            "control_input": controls,
            "state": kept,
        },
    }
    about = f"# {MODEL} {said['keras_ds2']}, {said['precision']}; see 1/keras_ds2.json\n"
    return about + "".join(_lines(content))


class _Word(str):
    """A name of an enumeration, which stands without quotation marks."""


def _tensor(name, spec):
    return {"name": name, **_sizes(spec)}


def _sizes(spec):
    return {"data_type": _Word(_TYPES[spec["dtype"]]), "dims": spec["shape"][1:]}


def _lines(content, indent=""):
    for key, value in content.items():
        nested = value if isinstance(value, list) else [value]
        if all(isinstance(each, dict) for each in nested):
            for each in nested:
                yield f"{indent}{key} {{\n"
                yield from _lines(each, indent + "  ")
                yield f"{indent}}}\n"
        elif isinstance(value, list):
            yield f"{indent}{key}: [{', '.join(map(_scalar, value))}]\n"
        else:
            yield f"{indent}{key}: {_scalar(value)}\n"


def _scalar(value):
    return str(value) if isinstance(value, _Word) else json.dumps(value)
