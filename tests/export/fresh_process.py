"""Runs an exported folder as a stranger would: no keras_ds2, only the format's own library.

`python fresh_process.py FORMAT FOLDER INPUTS.npz OUTPUTS.npz`. The arrays `input_0`, `input_1`, ...
are waveforms (or features) of streams; out come `serve_0`, ..., the logits of each, their greedy
texts `text_0`, ... and where there is `step` also `step_0`, ..., all streams in one batch.
"""

import json
import os
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
sys.modules["keras_ds2"] = None  # an import fails

import numpy as np  # noqa: E402


class SavedModel:
    """TensorFlow alone."""

    def __init__(self, folder):
        import tensorflow as tf

        self._model = tf.saved_model.load(str(folder))
        self._tensor = tf.constant
        self.facts = json.loads((folder / "assets" / "keras_ds2.json").read_text("utf-8"))

    def call(self, name, inputs):
        tensors = {each: self._tensor(array) for each, array in inputs.items()}
        outputs = self._model.signatures[name](**tensors)
        return {each: tensor.numpy() for each, tensor in outputs.items()}


class TFLite:
    """`ai_edge_litert` where it is installed and asked for, or TensorFlow's interpreter."""

    def __init__(self, folder):
        if os.environ.get("LITERT"):
            from ai_edge_litert.interpreter import Interpreter
        else:
            import tensorflow as tf

            Interpreter = tf.lite.Interpreter
        self.facts = json.loads((folder / "keras_ds2.json").read_text("utf-8"))
        self._runners = {
            name: Interpreter(str(folder / f"{name}.tflite")).get_signature_runner(name)
            for name in self.facts["signatures"]
        }

    def call(self, name, inputs):
        return self._runners[name](**inputs)


class Onnx:
    """onnxruntime; its metadata are within each file."""

    def __init__(self, folder):
        import onnxruntime

        self._sessions = {
            path.stem: onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
            for path in folder.glob("*.onnx")
        }
        properties = self._sessions["serve"].get_modelmeta().custom_metadata_map
        self.facts = json.loads(properties["keras_ds2"])

    def call(self, name, inputs):
        session = self._sessions[name]
        names = [each.name for each in session.get_outputs()]
        return dict(zip(names, session.run(names, inputs), strict=True))


RUNTIMES = {"saved_model": SavedModel, "tflite": TFLite, "onnx": Onnx}


def served(runtime, waveform):
    """Logits of a whole utterance; of a batch of two, padded, where the batch is free."""
    inputs = runtime.facts["signatures"]["serve"]["inputs"]
    (name,) = (each for each in inputs if not each.endswith("_length"))
    rows = 1 if inputs[name]["shape"][0] == 1 else 2
    batch = np.full(
        (rows, len(waveform) + 40 * (rows - 1), *waveform.shape[1:]), np.nan, np.float32
    )
    batch[:, : len(waveform)] = waveform
    length = (name if name == "waveform" else "feature") + "_length"
    outputs = runtime.call("serve", {name: batch, length: np.full(rows, len(waveform), np.int32)})
    logits = outputs["logits"][-1, : outputs["logit_length"][-1]]
    return logits


def streamed(runtime, waveforms):
    """Logits of streams that begin and end together with a stream that never speaks."""
    signature = runtime.facts["signatures"]["step"]
    streaming = runtime.facts["streaming"]
    fixed = signature["inputs"]["start"]["shape"][0]
    rows = len(waveforms) if fixed == -1 else fixed
    assert len(waveforms) <= rows
    size = streaming["chunk_shape"][0]
    lengths = np.array([len(each) for each in waveforms] + [0] * (rows - len(waveforms)))
    inputs, rubbish = signature["inputs"], {"float32": np.float32(np.nan), "int32": np.int32(7)}
    states = {
        name: np.full((rows, *inputs[name]["shape"][1:]), rubbish[inputs[name]["dtype"]])
        for name in streaming["state"]
    }
    logits, place = [[] for _ in waveforms], 0
    active = np.arange(rows) < len(waveforms)
    while active.any():
        chunk = np.full((rows, *streaming["chunk_shape"]), np.nan, np.float32)
        count = np.clip(lengths - place, 0, size).astype(np.int32)
        for row, waveform in enumerate(waveforms):
            chunk[row, : count[row]] = waveform[place : place + count[row]]
        inputs = {"chunk": chunk, "chunk_length": count, "active": active.copy(), **states}
        inputs["start"] = np.full(rows, place == 0)
        inputs["end"] = lengths <= place + size
        outputs = runtime.call("step", inputs)
        for row, found in enumerate(logits):
            found.append(outputs["logits"][row][outputs["logit_mask"][row]])
        states = {name: outputs[each["next"]] for name, each in streaming["state"].items()}
        active &= ~outputs["done"]
        place += size
    assert -(-max(lengths) // size) * size + streaming["most_flush_chunks"] * size >= place
    return [np.concatenate(found) for found in logits]


def text(facts, logits):
    best = logits.argmax(-1)
    starts = (best != facts["blank_id"]) & (np.diff(best, prepend=facts["blank_id"]) != 0)
    return "".join(facts["alphabet"][each - 1] for each in best[starts])


def main(kind, folder, given, path):
    runtime = RUNTIMES[kind](Path(folder))
    arrays = np.load(given)
    waveforms = [arrays[f"input_{index}"] for index in range(len(arrays))]
    found = {}
    for index, waveform in enumerate(waveforms):
        found[f"serve_{index}"] = served(runtime, waveform)
        found[f"text_{index}"] = text(runtime.facts, found[f"serve_{index}"])
    if "step" in runtime.facts["signatures"]:
        steps = runtime.facts["signatures"]["step"]["inputs"]["start"]["shape"][0]
        groups = (
            [waveforms] if steps == -1 else [waveforms[i : i + 1] for i in range(len(waveforms))]
        )
        logits = [each for group in groups for each in streamed(runtime, group)]
        found |= {f"step_{index}": each for index, each in enumerate(logits)}
    assert not any(name.startswith("keras_ds2.") for name in sys.modules)
    np.savez(path, **found)


if __name__ == "__main__":
    main(*sys.argv[1:])
