"""Runs an exported folder as a stranger would: no keras_ds2, only the format's own library.

`python fresh_process.py FOLDER INPUTS.npz OUTPUTS.npz`. The arrays `input_0`, `input_1`, ... are
waveforms (or features) of streams; out come `serve_0`, ..., the logits of each, and `text_0`, ...,
what the folder's `client.py` reads; where there is `step` also `step_0`, ..., as many streams in a
batch as it takes, and `heard_0`, ..., what the client hears.
"""

import importlib.util
import itertools
import os
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
sys.modules["keras_ds2"] = None  # an import fails

import numpy as np  # noqa: E402


def client_of(folder):
    """The script that lies beside the model."""
    specification = importlib.util.spec_from_file_location("client", folder / "client.py")
    client = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(client)
    return client


def served(model, waveform):
    """Logits of a whole utterance; of a batch of two, padded, where the batch is free."""
    inputs = model.facts["signatures"]["serve"]["inputs"]
    (name,) = (each for each in inputs if not each.endswith("_length"))
    rows = 1 if inputs[name]["shape"][0] == 1 else 2
    batch = np.full(
        (rows, len(waveform) + 40 * (rows - 1), *waveform.shape[1:]), np.nan, np.float32
    )
    batch[:, : len(waveform)] = waveform
    length = (name if name == "waveform" else "feature") + "_length"
    outputs = model.call("serve", {name: batch, length: np.full(rows, len(waveform), np.int32)})
    logits = outputs["logits"][-1, : outputs["logit_length"][-1]]
    return logits


def streamed(model, waveforms):
    """Logits of streams that begin and end together with a stream that never speaks."""
    signature = model.facts["signatures"]["step"]
    streaming = model.facts["streaming"]
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
        outputs = model.call("step", inputs)
        for row, found in enumerate(logits):
            found.append(outputs["logits"][row][outputs["logit_mask"][row]])
        states = {name: outputs[each["next"]] for name, each in streaming["state"].items()}
        active &= ~outputs["done"]
        place += size
    assert -(-max(lengths) // size) * size + streaming["most_flush_chunks"] * size >= place
    return [np.concatenate(found) for found in logits]


def heard(model, waveform):
    """The text of a stream as the client beside the model hears it, in pieces of all sizes."""
    stream, place, texts = model.stream(), 0, [""]
    for size in itertools.cycle([1, 700, 0, 61, 3000]):
        texts.append(stream.accept(waveform[place : place + size]))
        assert texts[-1].startswith(texts[-2])
        place += size
        if place >= len(waveform):
            return stream.finish()


def main(folder, given, path):
    model = client_of(Path(folder)).Model(folder)
    arrays = np.load(given)
    waveforms = [arrays[f"input_{index}"] for index in range(len(arrays))]
    found = {}
    for index, waveform in enumerate(waveforms):
        found[f"serve_{index}"] = served(model, waveform)
        found[f"text_{index}"] = model.transcribe(waveform)
    if "step" in model.facts["signatures"]:
        rows = model.facts["signatures"]["step"]["inputs"]["start"]["shape"][0]
        size = len(waveforms) if rows == -1 else rows
        groups = [waveforms[start : start + size] for start in range(0, len(waveforms), size)]
        logits = [each for group in groups for each in streamed(model, group)]
        found |= {f"step_{index}": each for index, each in enumerate(logits)}
        found |= {f"heard_{index}": heard(model, each) for index, each in enumerate(waveforms)}
    assert not any(name.startswith("keras_ds2.") for name in sys.modules)
    np.savez(path, **found)


if __name__ == "__main__":
    main(*sys.argv[1:])
