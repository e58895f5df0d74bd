"""Made-up speech, a tone for each letter, as audio or features; and a tiny run trained on it."""

import functools
import io
import json
from pathlib import Path

import numpy as np
import tensorflow_io as tfio
import yaml
from rich.console import Console

from keras_ds2.data.manifest import Utterance
from keras_ds2.recipe import Recipe, parse_recipe
from keras_ds2.recipe.train import train_recipe
from tests.audio.made_up_audio import wav
from tests.recipe.made_up import recipe_values

RATE = 8000
TONES = {"a": 400, "b": 900, "c": 1700, "d": 3000}
TEXTS = ("a", "bad", "cab", "dab ad", "ab", "cad", "ad", "bad cab", "da", "c", "abc", "dad")


def spoken(text: str, sampling_rate: int = RATE, letter_seconds: float = 0.1, seed: int = 0):
    """A burst of noise and, for a to d, a tone for each letter: float64 `(samples,)`."""
    draws = np.random.default_rng([seed, len(text)])
    samples = round(letter_seconds * sampling_rate)
    time = np.arange(samples) / sampling_rate
    bursts = [0.5 * np.sin(2 * np.pi * TONES.get(letter, 0) * time) for letter in text]
    return np.concatenate(bursts) + draws.normal(0, 0.01, samples * len(text))


def wav_bytes(text: str, sampling_rate: int = RATE, **options) -> bytes:
    """A text spoken, as a 16-bit WAV file."""
    return wav(spoken(text, sampling_rate, **options), sampling_rate)


def flac_bytes(text: str, sampling_rate: int = RATE, **options) -> bytes:
    """A text spoken, as a 16-bit FLAC file."""
    samples = np.round(spoken(text, sampling_rate, **options) * 32767).astype(np.int16)
    return tfio.audio.encode_flac(samples[:, np.newaxis], sampling_rate).numpy()


def features_of(text: str, frames_per_letter: int = 6, seed: int = 0):
    """A column of its own for each letter, and noise: float32 `(frames, 4)`."""
    draws = np.random.default_rng([seed, len(text)])
    columns = np.eye(9)[["abcd ".find(letter) for letter in text], :4]
    features = np.repeat(columns, frames_per_letter, axis=0)
    return (features + draws.normal(0, 0.1, features.shape)).astype(np.float32)


def write_manifest_lines(path: Path, rows: list[dict]) -> Path:
    """Writes a manifest without any check."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def audio_corpus(folder: Path, texts=TEXTS, name: str = "train", seed: int = 0) -> Path:
    """Writes WAV and FLAC files of 8, 16 and 11.025 kHz, and their manifest.

    Returns:
        The manifest.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for index, text in enumerate(texts):
        write, suffix = (flac_bytes, "flac") if index % 3 == 1 else (wav_bytes, "wav")
        rate = (RATE, 16000, RATE, RATE, 11025)[index % 5]
        path = folder / f"{name}_{index}.{suffix}"
        path.write_bytes(write(text, rate, seed=seed + index))
        row = {"audio_filepath": path.name, "duration": 0.1 * len(text), "text": text}
        rows.append({**row, "speaker": f"speaker {index % 4}"})
    return write_manifest_lines(folder / f"{name}.jsonl", rows)


def features_corpus(folder: Path, texts=TEXTS, name: str = "train", seed: int = 0) -> Path:
    """Writes `.npy` features of 4 bins, and their manifest.

    Returns:
        The manifest.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for index, text in enumerate(texts):
        features = features_of(text, seed=seed + index)
        np.save(folder / f"{name}_{index}.npy", features)
        row = {"features_filepath": f"{name}_{index}.npy", "duration": 0.01 * len(features)}
        rows.append({**row, "text": text, "speaker": f"speaker {index % 4}"})
    return write_manifest_lines(folder / f"{name}.jsonl", rows)


def utterance(path: Path, text: str = "ab", line: int = 1) -> Utterance:
    """A manifest's line, `.npy` files as features."""
    is_features = path.suffix == ".npy"
    return Utterance(
        audio_filepath=None if is_features else str(path),
        features_filepath=str(path) if is_features else None,
        duration=1.0,
        text=text,
        manifest="made_up.jsonl",
        line=line,
    )


def tiny_recipe(folder: Path, **changes) -> Recipe:
    """A recipe for `features_corpus` with the smallest model; changes as in `recipe_values`."""
    numbers = {
        "conv_type": "1d",
        "num_conv_layers": 1,
        "conv_filters": [8],
        "conv_kernel_size": [5],
        "conv_strides": [2],
        "num_rnn_layers": 1,
        "units": 8,
        "bidirectional": False,
        "dense_units": 0,
        "dropout": 0.1,
    }
    values = {
        "data__folder": str(folder),
        "data__validation_share": ...,
        "data__validation_manifest": "validation.jsonl",
        "features__kind": "precomputed",
        "features__num_bins": 4,
        "text__alphabet": "transcripts",
        "training__batch_size": 4,
        **{f"model__{key}": value for key, value in numbers.items()},
        **changes,
    }
    return parse_recipe(yaml.safe_dump(recipe_values(**values)), "made_up.yaml")


def audio_changes() -> dict:
    """What `tiny_recipe` needs in order to hear `audio_corpus`."""
    return {
        "features__kind": "log_spectrogram",
        "features__num_bins": None,
        "features__sampling_rate": RATE,
        "features__normalization": "corpus",
    }


@functools.cache
def trained_run(base: Path) -> Path:
    """A run on made-up audio, trained once a session; its folder is `run`, beside `corpus`.

    Its learning rate is so low that it still writes down letters at random: transcripts are never
    empty, and any difference in the numbers shows in them.

    Args:
        base: `tmp_path_factory.getbasetemp()`.
    """
    folder = base / "trained"
    audio_corpus(folder / "corpus")
    audio_corpus(folder / "corpus", ("bad", "cab a", "dad"), "validation", seed=100)
    recipe = tiny_recipe(
        folder / "corpus",
        **audio_changes(),
        model__batch_norm_momentum=0.5,
        training__learning_rate=1e-4,
        augmentation__gain_db=[-3, 3],
        augmentation__time_warp=[0.9, 1.1],
    )
    train_recipe(recipe, folder / "run", Console(file=io.StringIO()))
    return folder / "run"
