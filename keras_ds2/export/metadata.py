"""What a program that runs an exported file has to know beside its tensors."""

import json
import shutil
from pathlib import Path

from keras_ds2.export.signatures import NEXT_STATE, STATE, Signatures
from keras_ds2.recognition import Recognizer
from keras_ds2.text.alphabet import BLANK
from keras_ds2.version import __version__

FILE = "keras_ds2.json"
CLIENT = Path(__file__).with_name("client.py")


def write_metadata(folder: Path, *arguments, **facts) -> dict:
    """Writes `metadata(...)` as JSON into a folder, and returns it."""
    said = metadata(*arguments, **facts)
    text = json.dumps(said, indent=1, ensure_ascii=False) + "\n"
    (folder / FILE).write_text(text, encoding="utf-8")
    return said


def copy_client(folder: Path) -> None:
    """Puts beside a model what reads speech with it."""
    shutil.copyfile(CLIENT, folder / CLIENT.name)


def metadata(recognizer: Recognizer, signatures: Signatures, functions: dict, **facts) -> dict:
    """All of it, as JSON has it.

    Args:
        recognizer: what is exported.
        signatures: of it.
        functions: name to concrete function, those that the file holds.
        **facts: more to say, such as `precision`.

    Returns:
        `alphabet` (of the ids from 1 on; `blank_id` 0 is none of them), rates and sizes, and under
        `signatures` the inputs and outputs of each; sizes of -1 are free. Under `streaming` that of
        a chunk, `delay_steps` and `latency_ms` by causes, the state's first values, and for how
        many empty chunks at the most an utterance asks after its end.
    """
    front_end, model = recognizer.front_end, recognizer.model
    said = {
        "format": "keras_ds2.export",
        "version": 1,
        "keras_ds2": __version__,
        **facts,
        "alphabet": list(recognizer.alphabet.symbols),
        "blank_id": BLANK,
        "input": "features" if front_end.kind == "precomputed" else "waveform",
        "sampling_rate": front_end.sampling_rate,
        **({} if front_end.kind == "precomputed" else {"channels": 1, "sample_range": [-1, 1]}),
        "window_ms": front_end.window_ms,
        "hop_ms": front_end.hop_ms,
        "step_ms": model.step_ms,
        "signatures": {name: _signature(function) for name, function in functions.items()},
    }
    if "step" in functions:
        streaming = signatures.streaming
        said["streaming"] = {
            "chunk_shape": list(streaming.chunk_shape),
            "chunk_ms": streaming.chunk_ms,
            "steps_per_chunk": streaming.steps,
            "delay_steps": streaming.delay_steps,
            "latency_ms": streaming.latency_ms,
            "latency": streaming.latency,
            "most_flush_chunks": signatures.flush_chunks,
            "state": {
                STATE + name: {"next": NEXT_STATE + name, "initial": float(array.flat[0])}
                for name, array in signatures.initial_state().items()
            },
        }
    return said


def _signature(function):
    return {
        "inputs": dict(map(_tensor, function.structured_input_signature[1].items())),
        "outputs": dict(map(_tensor, function.structured_outputs.items())),
    }


def _tensor(named):
    name, spec = named
    shape = [-1 if size is None else size for size in spec.shape]
    return name, {"dtype": spec.dtype.name, "shape": shape}
