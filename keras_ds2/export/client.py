"""Reads speech with an exported model, without keras_ds2: yours to copy and to change.

    python client.py speech.wav             # 16 bits, one channel, at the model's rate
    python client.py speech.wav --stream    # a chunk at a time, as a microphone brings it

It stands in the folder of the model. Wants NumPy and, for a SavedModel, tensorflow; for .tflite
files ai-edge-litert or tensorflow; for .onnx files onnxruntime. For a model of features in place
of samples, name a file .npy, float32 `(frames, bins)`.
"""

import argparse
import json
import wave
from pathlib import Path

import numpy as np


class Model:
    """What a folder holds.

    Args:
        folder: with `keras_ds2.json`, or with a SavedModel, whose `assets/` hold it.
        threads: of the processor, for .tflite and .onnx files; None for the runtime's default.

    Attributes:
        facts: dict, the content of `keras_ds2.json`.
    """

    def __init__(self, folder, threads=None):
        folder = Path(folder)
        inside = folder / "saved_model.pb"
        facts = folder / ("assets" if inside.exists() else "") / "keras_ds2.json"
        self.facts = json.loads(facts.read_text("utf-8"))
        load = _saved_model
        if not inside.exists():
            load = _tflite if list(folder.glob("*.tflite")) else _onnx
        self._functions = load(folder, list(self.facts["signatures"]), threads)

    def call(self, name, inputs):
        """`serve` or `step`: arrays by name to arrays by name."""
        return self._functions[name](inputs)

    def transcribe(self, samples):
        """The text of a whole utterance: float samples in [-1, 1] at `facts["sampling_rate"]`."""
        return self.text(self.logits(samples))

    def logits(self, samples):
        """Of a whole utterance, `(steps, vocabulary_size)`."""
        name = self.facts["input"]
        length = {"waveform": "waveform_length", "features": "feature_length"}[name]
        batch = np.asarray(samples, np.float32)[np.newaxis]
        outputs = self.call("serve", {name: batch, length: np.int32([len(samples)])})
        return outputs["logits"][0, : outputs["logit_length"][0]]

    def stream(self):
        """A live speaker; the model must have the signature `step`."""
        return Stream(self)

    def text(self, logits):
        """Greedily: the likeliest symbol of each step, repeats once, without blanks."""
        return self._spelled(logits.argmax(-1), self.facts["blank_id"])

    def _spelled(self, best, before):
        """Likeliest ids of steps that follow one whose id was `before`."""
        first = (best != self.facts["blank_id"]) & (np.diff(best, prepend=before) != 0)
        return "".join(self.facts["alphabet"][each - 1] for each in best[first])


class Stream:
    """One speaker, heard as the samples come.

    Attributes:
        text: what was said so far.
    """

    def __init__(self, model):
        inputs = model.facts["signatures"]["step"]["inputs"]
        rows = max(1, inputs["start"]["shape"][0])  # the speaker is the first, others are idle
        self._model, self._inputs = model, {}
        for name, each in inputs.items():
            self._inputs[name] = np.zeros((rows, *each["shape"][1:]), each["dtype"])
        self._chunk = self._inputs["chunk"][0]
        self._filled, self._last, self.text = 0, model.facts["blank_id"], ""
        self._inputs["start"][0] = self._inputs["active"][0] = True

    def accept(self, samples):
        """Hears more, any number of them; returns the text so far."""
        samples = np.asarray(samples, np.float32)
        while len(samples):
            # A full chunk waits: `step` wants to know whether it is the last.
            if self._filled == len(self._chunk):
                self._step()
            taken = samples[: len(self._chunk) - self._filled]
            self._chunk[self._filled : self._filled + len(taken)] = taken
            self._filled += len(taken)
            samples = samples[len(taken) :]
        return self.text

    def finish(self):
        """Has heard all; returns the text."""
        self._inputs["end"][0] = True
        while not self._step():
            pass
        return self.text

    def _step(self):
        self._inputs["chunk_length"][0] = self._filled
        outputs = self._model.call("step", self._inputs)
        best = outputs["logits"][0][outputs["logit_mask"][0]].argmax(-1)
        if len(best):
            self.text += self._model._spelled(best, self._last)
            self._last = best[-1]
        for name, state in self._model.facts["streaming"]["state"].items():
            self._inputs[name] = outputs[state["next"]]
        self._inputs["start"][0], self._filled = False, 0
        return outputs["done"][0]


def _saved_model(folder, names, threads):
    import tensorflow as tf

    signatures = tf.saved_model.load(str(folder)).signatures

    def call(name, inputs):
        tensors = {each: tf.constant(array) for each, array in inputs.items()}
        return {each: tensor.numpy() for each, tensor in signatures[name](**tensors).items()}

    return {name: lambda inputs, name=name: call(name, inputs) for name in names}


def _tflite(folder, names, threads):
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ModuleNotFoundError:
        import tensorflow as tf

        Interpreter = tf.lite.Interpreter
    paths = {name: str(folder / f"{name}.tflite") for name in names}
    interpreters = {name: Interpreter(path, num_threads=threads) for name, path in paths.items()}
    runners = {name: each.get_signature_runner(name) for name, each in interpreters.items()}
    return {name: lambda inputs, run=run: run(**inputs) for name, run in runners.items()}


def _onnx(folder, names, threads):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or 0

    def load(path):
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        outputs = [each.name for each in session.get_outputs()]
        return lambda inputs: dict(zip(outputs, session.run(outputs, inputs), strict=True))

    return {name: load(folder / f"{name}.onnx") for name in names}


def _read(path, facts):
    if facts["input"] == "features":
        return np.load(path)
    with wave.open(path) as file:
        given = (file.getframerate(), file.getnchannels(), 8 * file.getsampwidth())
        wanted = (facts["sampling_rate"], 1, 16)
        if given != wanted:
            raise SystemExit(
                "{}: expected {} Hz, {} channel, {} bits; received {} Hz, {} channels, {} "
                "bits".format(path, *wanted, *given)
            )
        whole = np.frombuffer(file.readframes(file.getnframes()), "<i2")
    return (whole / 32768).astype(np.float32)


def _main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("file", help="16 bits, one channel, at the model's rate")
    parser.add_argument("--stream", action="store_true", help="show the text as it grows")
    options = parser.parse_args()
    model = Model(Path(__file__).parent)
    samples = _read(options.file, model.facts)
    if not options.stream:
        print(model.transcribe(samples))
        return
    if "step" not in model.facts["signatures"]:
        raise SystemExit("--stream: this model needs the whole utterance")
    stream, size = model.stream(), model.facts["streaming"]["chunk_shape"][0]
    for place in range(0, len(samples), size):
        print(stream.accept(samples[place : place + size]))
    print(stream.finish())


if __name__ == "__main__":
    _main()
