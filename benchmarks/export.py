"""Exported models: their size, their speed and their errors, beside keras_ds2 itself.

`python -m benchmarks.export RUN --manifest M` writes the run in every precision of every format,
reads the manifest's utterances with each and scores the greedy texts. All contenders read an
utterance in turn, so that whatever else the machine does meets all of them. A run that streams is
also read a chunk at a time, by `step`, and scored as well; that of triton, which has nothing else,
by onnxruntime. Without a run it is an untrained production model on noise: sizes and speed alone.
Formats whose packages are missing are named.
"""

import json
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks import _harness
from keras_ds2.export.client import Model

CONTENDERS = (
    ("saved_model", "float32"),
    *(
        (name, precision)
        for name in ("tflite", "onnx", "triton")
        for precision in ("float32", "float16", "int8")
    ),
)
STREAMS = (1, 4, 16)
RATE = 16000


def main():
    parser = _harness.parser(__doc__)
    parser.set_defaults(repeats=3)
    parser.add_argument("run_folder", nargs="?", metavar="RUN")
    parser.add_argument("--manifest", metavar="M", help="JSON lines with texts")
    parser.add_argument("--utterances", type=int, metavar="N", help="only so many of them")
    arguments = parser.parse_args()
    if (arguments.run_folder is None) != (arguments.manifest is None):
        parser.error("RUN and --manifest: expected both or neither")

    from keras_ds2.quiet import import_tensorflow

    import_tensorflow()
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(arguments.threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    about = {"threads": arguments.threads, "repeats": arguments.repeats}
    about |= _harness.about_run(arguments)
    with tempfile.TemporaryDirectory() as folder:
        for line in measured(arguments, Path(folder)):
            print(json.dumps({"benchmark": "export", **line, **about}), flush=True)
            print(table(line), file=sys.stderr, flush=True)


def measured(arguments, folder):
    """The cases' lines: whole utterances, then streams."""
    recognizer, utterances, ignore_spaces = (
        made_up(arguments.quick) if arguments.run_folder is None else read(arguments)
    )
    contenders, sizes, skipped = exported(recognizer, folder, arguments.threads, arguments.only)
    contenders = {"keras_ds2": Ours(recognizer), **contenders}
    whole = {name: each for name, each in contenders.items() if each.whole}
    entries = serve(whole, utterances, arguments.repeats, ignore_spaces)
    for name, entry in entries.items():
        entry |= {"bytes": sizes.get((name, "serve"))}
    shapes = {"utterances": len(utterances), "audio_s": round(seconds(recognizer, utterances), 1)}
    yield {"case": "serve", "shapes": shapes, "contenders": entries, "skipped": skipped}
    streaming = {name: each for name, each in contenders.items() if each.steps}
    if streaming:
        entries = stream(streaming, utterances, ignore_spaces)
        yield {"case": "stream", "shapes": shapes, "contenders": entries, "skipped": {}}
        yield from steps(streaming, sizes, recognizer, arguments)


def made_up(quick):
    """An untrained production model, a second of noise."""
    from keras_ds2.features import FeatureFrontEnd
    from keras_ds2.models import build_model
    from keras_ds2.recognition import Recognizer
    from keras_ds2.text.alphabet import Alphabet

    noise = np.random.default_rng(0).normal(0, 0.1, RATE).astype(np.float32)
    front_end = FeatureFrontEnd(sampling_rate=RATE, normalization="running")
    front_end.adapt([(noise, RATE)])
    alphabet = Alphabet(list(" abcdefghijklmnopqrstuvwxyz'"))
    model = build_model(
        "production", units=32 if quick else 512, lookahead_context=4 if quick else 20
    )
    return Recognizer(model, front_end, alphabet), [(noise, None)], False


def read(arguments):
    """The run's recognizer; waveforms or features with their texts; how errors are counted."""
    from keras_ds2.audio.io import AudioError
    from keras_ds2.data.features_file import FeaturesError, read_features
    from keras_ds2.data.manifest import read_manifest
    from keras_ds2.recognition import Recognizer
    from keras_ds2.recognition.run_folder import read_configuration
    from keras_ds2.text.normalization import normalizer

    recognizer = Recognizer.load(arguments.run_folder)
    configuration = read_configuration(arguments.run_folder)
    normalize = normalizer(configuration["language"])
    found = []
    for utterance in read_manifest(arguments.manifest)[: arguments.utterances]:
        try:
            if recognizer.front_end.kind == "precomputed":
                given = read_features(utterance.filepath, recognizer.front_end.num_bins)
            else:
                given = recognizer.read_waveform(utterance.filepath)
        except (AudioError, FeaturesError) as error:
            print(f"skipped {error}", file=sys.stderr)
            continue
        found.append((given, normalize(utterance.text)))
    return recognizer, found, configuration["ignore_spaces"]


def seconds(recognizer, utterances):
    """Of sound, all together."""
    front_end = recognizer.front_end
    precomputed = front_end.kind == "precomputed"
    a_row = front_end.hop_ms / 1000 if precomputed else 1 / front_end.sampling_rate
    return sum(len(given) for given, _ in utterances) * a_row


def exported(recognizer, folder, threads, only):
    """Contenders by name; bytes by name and function; those left out, with the reason."""
    from keras_ds2.export.run import FORMATS

    found, sizes, skipped = {}, {}, {}
    streams = can_stream(recognizer)
    for file_format, precision in CONTENDERS:
        name = f"{file_format}_{precision}"
        if only not in (None, name):
            continue
        if file_format == "triton" and not streams:
            skipped[name] = "the run needs whole utterances"
            continue
        options = {} if file_format == "saved_model" else {"precision": precision}
        try:
            said = FORMATS[file_format](recognizer, folder / name, **options)
            reads = Triton if file_format == "triton" else Exported
            found[name] = reads(folder / name, said, threads)
        except ImportError as error:
            skipped[name] = str(error)
            continue
        for function in said["signatures"]:
            sizes[name, function] = found[name].size(function)
    return found, sizes, skipped


def can_stream(recognizer):
    """Whether model and features both need nothing but the past."""
    from keras_ds2.streaming import StreamingError

    try:
        recognizer.stream()
    except StreamingError:
        return False
    return True


class Ours:
    """keras_ds2 itself, without reading files."""

    whole = True

    def __init__(self, recognizer):
        self._recognizer = recognizer
        self.steps = can_stream(recognizer)

    def logits(self, given):
        """Of one utterance, `(steps, vocabulary_size)`."""
        front_end = self._recognizer.front_end
        rate = None if front_end.kind == "precomputed" else front_end.sampling_rate
        return self._recognizer.recognize(given, rate).log_probs

    def streamed(self, given):
        """The text of an utterance heard a chunk at a time."""
        session = self._recognizer.stream()
        session.accept(given)
        return session.finish().text

    def step(self, streams):
        """What advances so many streams by a chunk of noise, or None."""
        step = self._recognizer.stream().step
        states = [step.initial_state() for _ in range(streams)]
        chunks = noise((streams, *step.chunk_shape))

        def work():
            nonlocal states
            states, _ = step.advance(states, chunks, [2**62] * streams)

        return work


class Exported:
    """An exported folder, read by the client that lies in it."""

    def __init__(self, folder, said, threads):
        self._folder, self._inputs = folder, said["signatures"].get("step", {}).get("inputs")
        self._model = Model(folder, threads)
        self.logits = self._model.logits
        self.whole, self.steps = (name in said["signatures"] for name in ("serve", "step"))

    def step(self, streams):
        """What advances so many streams by a chunk of noise, or None."""
        fixed = self._inputs["start"]["shape"][0]
        if fixed not in (-1, streams):
            return None
        given = {
            name: np.zeros((streams, *each["shape"][1:]), each["dtype"])
            for name, each in self._inputs.items()
        }
        given["chunk"] = noise(given["chunk"].shape)
        given["chunk_length"][:] = given["chunk"].shape[1]
        given["active"][:] = given["start"][:] = True

        def work():
            outputs = self._model.call("step", given)
            states = self._model.facts["streaming"]["state"].items()
            given.update({name: outputs[each["next"]] for name, each in states})
            given["start"] = np.zeros_like(given["start"])

        return work

    def streamed(self, given):
        """The text of an utterance heard a chunk at a time."""
        stream = self._model.stream()
        stream.accept(given)
        return stream.finish()

    def size(self, function):
        """Bytes on the disk: of a function's file, or of a SavedModel, which holds both."""
        files = list(self._folder.glob(f"{function}.*")) or self._folder.rglob("*")
        return sum(path.stat().st_size for path in files if path.is_file())


class Triton(Exported):
    """The model that Triton's onnxruntime backend would run, of any number of streams."""

    def __init__(self, folder, said, threads):
        from keras_ds2.export.triton import MODEL

        version = folder / MODEL / "1"
        (version / "model.onnx").rename(version / "step.onnx")
        super().__init__(version, said, threads)


def noise(shape):
    return np.random.default_rng(0).normal(0, 0.1, shape).astype(np.float32)


def serve(contenders, utterances, repeats, ignore_spaces):
    """Each contender's errors and ms: the least of the repetitions, summed over the utterances."""
    decoder = contenders["keras_ds2"]._recognizer.decoder
    texts = {name: [] for name in contenders}
    total = dict.fromkeys(contenders, 0.0)
    furthest = dict.fromkeys(contenders, 0.0)
    for each in contenders.values():
        each.logits(utterances[0][0])  # compiled, warm
    for given, _ in utterances:
        least, logits = {}, {}
        for _ in range(repeats):
            for name, each in contenders.items():
                start = time.perf_counter()
                logits[name] = each.logits(given)
                passed = time.perf_counter() - start
                least[name] = min(least.get(name, passed), passed)
        for name, rows in logits.items():
            total[name] += 1000 * least[name]
            texts[name].append(decoder.decode(rows[np.newaxis], [len(rows)])[0].text)
            difference = np.abs(log_softmax(rows) - log_softmax(logits["keras_ds2"])).max()
            furthest[name] = max(furthest[name], float(difference))
    entries = {}
    for name in contenders:
        entry = {"ms": round(total[name], 2), "furthest_log_prob": float(f"{furthest[name]:.2g}")}
        changed = [one != other for one, other in zip(texts[name], texts["keras_ds2"], strict=True)]
        entry["texts_changed"] = sum(changed)
        entries[name] = entry | errors(texts[name], utterances, ignore_spaces)
    return entries


def errors(texts, utterances, ignore_spaces):
    """Rates of the texts, where the references are known."""
    from keras_ds2.evaluation.metrics import score

    if utterances[0][1] is None:
        return {}
    found = score([text for _, text in utterances], texts, ignore_spaces=ignore_spaces)
    return {"wer": round(found.wer, 5), "cer": round(found.cer, 5)}


def stream(contenders, utterances, ignore_spaces):
    """Each contender's errors, each utterance heard a chunk at a time."""
    entries, ours = {}, None
    for name, each in contenders.items():
        texts = [each.streamed(given) for given, _ in utterances]
        ours = texts if ours is None else ours
        changed = [one != other for one, other in zip(texts, ours, strict=True)]
        entry = {"texts_changed": sum(changed), **errors(texts, utterances, ignore_spaces)}
        entries[name] = entry
    return entries


def log_softmax(logits):
    logits = logits.astype(np.float64)
    top = logits.max(-1, keepdims=True)
    return logits - top - np.log(np.exp(logits - top).sum(-1, keepdims=True))


def steps(contenders, sizes, recognizer, arguments):
    """A line for each number of streams: ms of a chunk of all of them."""
    chunk_ms = recognizer.stream().step.chunk_ms
    for streams in STREAMS:
        works = {name: each.step(streams) for name, each in contenders.items()}
        works = {name: work for name, work in works.items() if work is not None}
        for work in works.values():
            for _ in range(3):
                work()
        samples = {name: [] for name in works}
        for _ in range(arguments.repeats * 10):
            for name, work in works.items():
                start = time.perf_counter()
                work()
                samples[name].append(1000 * (time.perf_counter() - start))
        entries = {
            name: {**_harness.spread(each), "bytes": sizes.get((name, "step"))}
            for name, each in samples.items()
        }
        for entry in entries.values():
            entry["streams_in_real_time"] = int(chunk_ms / entry["median_ms"] * streams)
        shapes = {"streams": streams, "chunk_ms": chunk_ms}
        yield {"case": f"step_{streams}", "shapes": shapes, "contenders": entries, "skipped": {}}


def table(line):
    """A case for human eyes."""
    columns = sorted({key for entry in line["contenders"].values() for key in entry})
    rows = [f"export {line['case']} {line['shapes']}"]
    rows += [f"  {'':<18}" + "".join(f"{column:>22}" for column in columns)]
    for name, entry in line["contenders"].items():
        cells = "".join(f"{entry.get(key)!s:>22}" for key in columns)
        rows.append(f"  {name:<18}{cells}")
    rows += [f"  {name}: skipped, {reason}" for name, reason in line["skipped"].items()]
    return "\n".join([*rows, ""])


if __name__ == "__main__":
    main()
