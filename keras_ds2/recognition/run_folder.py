"""What a run folder holds for recognition: configuration as JSON, weights, no code."""

import json
import math
import os
from pathlib import Path

from keras_ds2.atomic_write import write_file_atomically, write_text_atomically
from keras_ds2.evaluation.metrics import rates_in_order
from keras_ds2.features.front_end import FeatureFrontEnd
from keras_ds2.models.deep_speech_2 import DeepSpeech2
from keras_ds2.text.alphabet import Alphabet
from keras_ds2.weights_file import check_weights_file, count_numbers

CONFIGURATION = "recognizer.json"
ALPHABET = "alphabet.json"
FRONT_END_WEIGHTS = "front_end.weights.h5"
WEIGHTS = "best.weights.h5"

_ALWAYS_FINE = 2**24  # numbers: 64 MB of weights

_FORMAT = {"format": "keras_ds2.recognizer", "version": 1}
_FRONT_END_KEYS = (
    "kind",
    "sampling_rate",
    "window_ms",
    "hop_ms",
    "epsilon",
    "trim_db",
    "num_bins",
    "deltas",
    "normalization",
    "normalization_prior_frames",
    "normalization_memory_frames",
    "power_normalize",
)


class RunFolderError(ValueError):
    """A folder that holds no usable run: the message says what is missing and what to do."""


def write_configuration(
    folder: Path,
    model: DeepSpeech2,
    front_end: FeatureFrontEnd,
    alphabet: Alphabet,
    language: str,
    ignore_spaces: bool,
    primary: str,
) -> None:
    """Writes everything that recognition needs but the model's weights.

    Args:
        folder: of the run; exists.
        model: its configuration is kept.
        front_end: its configuration and, where it has them, a corpus's statistics are kept.
        alphabet: kept.
        language: names the normalisation of transcripts.
        ignore_spaces: whether the character error rate counts no spaces.
        primary: `"wer"` or `"cer"`, the rate that reports lead with.
    """
    alphabet.save(folder / ALPHABET)
    if front_end.weights:
        size = sum(weight.nbytes for weight in front_end.get_weights()) + 2**14  # HDF5's own
        write = _holder(front_end).save_weights
        write_file_atomically(folder / FRONT_END_WEIGHTS, write, size)
    content = {
        **_FORMAT,
        "model": model.get_config(),
        "front_end": {key: front_end.get_config()[key] for key in _FRONT_END_KEYS},
        "language": language,
        "ignore_spaces": ignore_spaces,
        "primary": primary,
    }
    write_text_atomically(folder / CONFIGURATION, json.dumps(content, indent=1) + "\n")


def read_statistics(folder: Path, front_end: FeatureFrontEnd) -> None:
    """Gives a front end the corpus's statistics that `write_configuration` wrote.

    Args:
        folder: of the run.
        front_end: of the run's configuration, and `is_measured`.

    Raises:
        RunFolderError: if they cannot be read.
    """
    path = folder / FRONT_END_WEIGHTS
    try:
        _load_statistics(path, front_end)
    except Exception as error:  # h5py raises many kinds over what it cannot read
        raise RunFolderError(
            f"{path}: the statistics that this run began with cannot be read ({error}); put the "
            "file back, or name a new --output to begin anew"
        ) from error


def read_configuration(folder: str | os.PathLike) -> dict:
    """Reads what `write_configuration` wrote, without the weights.

    Returns:
        `{"model", "front_end", "alphabet", "language", "ignore_spaces", "primary"}`, the first
        three as objects.

    Raises:
        RunFolderError: if the folder is not a run, or a part of it cannot be read.
    """
    folder = Path(folder)
    path = folder / CONFIGURATION
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RunFolderError(
            f"{folder}: expected the folder of a run, which keras-ds2 train writes, found no "
            f"readable {CONFIGURATION} ({error.strerror})"
        ) from error
    except ValueError as error:
        raise RunFolderError(f"{path}: not JSON ({error}); train the run again") from error
    found = {key: content.get(key) for key in _FORMAT} if isinstance(content, dict) else content
    if found != _FORMAT:
        raise RunFolderError(
            f"{path}: expected {_FORMAT}, received {found}; another release of keras_ds2 wrote it"
        )
    try:
        alphabet = Alphabet.load(folder / ALPHABET)
        _check_plain(content["front_end"])
        front_end = FeatureFrontEnd(**content["front_end"])
        _check_numbers(content["model"], folder / WEIGHTS)
        model = DeepSpeech2(**content["model"])
        if front_end.is_measured:
            _load_statistics(folder / FRONT_END_WEIGHTS, front_end)
        usable = {key: content[key] for key in ("language", "ignore_spaces")}
        # Runs of earlier days do not name it.
        usable["primary"] = rates_in_order(content.get("primary", "wer"))[0]
    # Objects and h5py raise many kinds over what they cannot read.
    except Exception as error:
        raise RunFolderError(f"{path}: cannot be used: {error}; train the run again") from error
    if len(alphabet) != model.vocabulary_size:
        raise RunFolderError(
            f"{folder / ALPHABET}: expected the model's {model.vocabulary_size} symbols, blank "
            f"included, received {len(alphabet)}; it is another run's: train the run again"
        )
    return {**usable, "model": model, "front_end": front_end, "alphabet": alphabet}


def _check_plain(values):
    """Refuses what could name a class: Keras reads some settings as names of objects."""
    for key, value in values.items():
        items = value if isinstance(value, list) else [value]
        items = [part for item in items for part in (item if isinstance(item, list) else [item])]
        if any(isinstance(item, dict | list) for item in items):
            raise ValueError(f"{key}: expected a number, a word or a list of them, not {value!r}")
    if not isinstance(values.get("dtype", "float32"), str):
        raise ValueError(f"dtype: expected a word, received {values['dtype']!r}")


def _check_numbers(values, weights):
    """Refuses a model that is far larger than its weights, before memory is taken for it.

    What is no number at all is left to the model's own checks.
    """
    _check_plain(values)
    held = max(count_numbers(weights) if weights.is_file() else 0, _ALWAYS_FINE)

    def number(value):
        return abs(value) if isinstance(value, int | float) else 0

    single = ("num_bins", "vocabulary_size", "dense_units", "lookahead_context")
    counts = [number(values.get(key)) for key in single]
    layers = number(values.get("num_rnn_layers")) + number(values.get("num_conv_layers"))
    counts += [10_000 * layers, number(values.get("units")) ** 2 * max(layers, 1)]
    filters, sizes = (values.get(key) or [] for key in ("conv_filters", "conv_kernel_size"))
    for count, size in zip(filters, sizes, strict=False):
        sides = size if isinstance(size, list) else [size, values.get("num_bins")]
        counts.append(number(count) * math.prod(map(number, sides)))
    if max(counts) > held:
        raise ValueError(
            f"its model needs more than the {held} numbers that its weights can hold; check "
            + ", ".join(("units", "num_rnn_layers", "conv_filters", "conv_kernel_size", *single))
        )


def _load_statistics(path, front_end):
    check_weights_file(path)
    _holder(front_end).load_weights(path)


def _holder(front_end):
    """A model around the front end: Keras saves weights of models only."""
    import keras

    shape = (None,) if front_end.kind == "log_spectrogram" else (None, front_end.num_bins)
    inputs = keras.Input(shape)
    return keras.Model(inputs, front_end(inputs))
