"""Spoken commands, a corpus made on the spot with eSpeak NG: no download (extra `demo`)."""

import json
import os
import random
import shutil
import tempfile
import wave
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from keras_ds2.audio.synthesis import Synthesizer
from keras_ds2.data.corpora.command_phrases import command_vocabulary, draw_phrases
from keras_ds2.data.manifest import write_manifest

SAMPLING_RATE = 16000
VERSION = 2
"""Raised whenever the same settings would give another corpus than before."""

SPLITS = ("train", "validation", "test")
_VARIANTS = {
    "train": "m1 m3 m6 m7 m8 Denis Gene2 Nguyen adam benjamin ed max michel pablo quincy "
    "f1 f3 f5 Andrea grandma linda steph",
    "validation": "Michael rob victor Annie",
    "test": "m2 m5 Mario f2 f4 belinda",
}
# Chosen by measurement, held-out variants too: of 40 words said alone in en-us at least 95 % are
# recognised by the templates of m3 or f5, whichever does better (time warping over cepstra),
# none clips, and no held-out variant has a twin in training (mean spectra in 24 mel bands lie at
# least 2.3 dB r.m.s. apart). So the test's voices are new to a model, but all of them clear ones.
_ACCENT = "en-us"

VOICES = {
    split: tuple(f"{_ACCENT}+{variant}" for variant in variants.split())
    for split, variants in _VARIANTS.items()
}
"""eSpeak NG voices by split; a variant is a vocal tract, and in one split alone."""

_SETTINGS_NAME = "settings.json"
_WORDS_PER_MINUTE = (110, 150)
_PITCH = (30, 70)
_PITCH_RANGE = (35, 65)
_SNR_DB = (15.0, 40.0)
_SPEECH_LEVEL_DB = (-32.0, -20.0)  # root mean square, 0 dB = full scale
_NOISE_SLOPE = (0.0, 2.0)  # power falls as 1 / frequency ** slope: 0 white, 1 pink, 2 brown
_NOISE_CORNER_HZ = 50.0  # flat below: no rumble where there is no speech
_NOISE_BLOCK = 4096  # samples
_MARGIN_SECONDS = (0.05, 0.25)  # without speech, before and after
_PEAK = 0.95


@dataclass(frozen=True)
class _Spoken:
    """One utterance to be made."""

    split: str
    index: int
    text: str
    voice: str
    words_per_minute: int
    pitch: int
    pitch_range: int
    snr_db: float
    level_db: float
    noise_slope: float
    margins: tuple[float, float]


def make_spoken_commands(
    folder: str | os.PathLike,
    *,
    num_words: int = 1200,
    num_train: int = 1200,
    num_validation: int = 100,
    num_test: int = 150,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Path]:
    """Makes a corpus of spoken commands: 16 kHz 16-bit WAV files and one manifest a split.

    Validation and test hold voices that are not in training, and no sentence of training. Rate,
    pitch, noise and level vary from utterance to utterance. Everything is made in a temporary
    folder beside `folder`, which then takes its place: an interrupted call leaves nothing. A corpus
    that is there with the same settings is kept as it is.

    Args:
        folder: Where the corpus goes; absent, empty, or a corpus made with the same settings.
        num_words: int >= 0, training utterances of a single word, besides the phrases: short ones
            are what a network learns its letters from first. Each word of the vocabulary in turn.
        num_train: int >= 1, training phrases.
        num_validation: int >= 1, utterances.
        num_test: int >= 1, utterances.
        seed: int; another seed gives other sentences, rates, noise, with the same voices.
        progress: Called as `progress(utterances_done, utterances_in_all)` after each utterance.

    Returns:
        The manifests' paths by split: "train", "validation", "test".

    Raises:
        ValueError: if a number is too small, or `folder` holds something else.
        ImportError: if the extra `demo` is not installed.
        SynthesisError: if eSpeak NG fails.
    """
    counts = {"train": num_train, "validation": num_validation, "test": num_test}
    for split, count in counts.items():
        if count < 1:
            raise ValueError(f"num_{split}: expected >= 1 utterance, received {count}")
    if num_words < 0:
        raise ValueError(f"num_words: expected >= 0 utterances, received {num_words}")
    settings = {"corpus": "spoken_commands", "version": VERSION, "seed": seed, **counts}
    settings["words"] = num_words
    folder = Path(os.path.abspath(folder))
    manifests = {split: folder / f"{split}.jsonl" for split in SPLITS}
    if _is_made(folder, settings):
        return manifests

    plan = _plan(counts, num_words, seed)
    folder.parent.mkdir(parents=True, exist_ok=True)
    workshop = Path(tempfile.mkdtemp(prefix=f".{folder.name}.partial-", dir=folder.parent))
    try:
        workshop.chmod(folder.parent.stat().st_mode & 0o777)
        _speak(plan, seed, workshop, progress)
        (workshop / _SETTINGS_NAME).write_text(
            json.dumps(settings, indent=2) + "\n", encoding="utf-8"
        )
        if folder.exists():
            folder.rmdir()  # empty: checked by _is_made
        workshop.rename(folder)
    except BaseException:
        shutil.rmtree(workshop, ignore_errors=True)
        raise
    return manifests


def _is_made(folder: Path, settings: dict) -> bool:
    if not folder.exists():
        return False
    if folder.is_dir() and not any(folder.iterdir()):
        return False
    try:
        found = json.loads((folder / _SETTINGS_NAME).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        found = None
    if found == settings:
        return True
    what = "something else" if found is None else f"a corpus made with {found}"
    raise ValueError(
        f"{folder}: expected no folder, an empty one, or a corpus made with {settings}, "
        f"found {what}; name another folder, or remove this one"
    )


def _plan(counts: dict[str, int], num_words: int, seed: int) -> list[_Spoken]:
    """Decides all that is made, held-out splits first so that training avoids their sentences."""
    generator = random.Random(f"spoken_commands {seed}")
    taken: set[str] = set()
    plan = []
    for split in reversed(SPLITS):
        texts = draw_phrases(generator, counts[split], exclude=taken)
        taken.update(texts)
        if split == "train":
            words = command_vocabulary()
            texts += [words[index % len(words)] for index in range(num_words)]
        voices = [VOICES[split][index % len(VOICES[split])] for index in range(len(texts))]
        generator.shuffle(voices)
        plan += [
            _Spoken(
                split=split,
                index=index,
                text=text,
                voice=voice,
                words_per_minute=generator.randint(*_WORDS_PER_MINUTE),
                pitch=generator.randint(*_PITCH),
                pitch_range=generator.randint(*_PITCH_RANGE),
                snr_db=round(generator.uniform(*_SNR_DB), 1),
                level_db=round(generator.uniform(*_SPEECH_LEVEL_DB), 1),
                noise_slope=generator.uniform(*_NOISE_SLOPE),
                margins=(generator.uniform(*_MARGIN_SECONDS), generator.uniform(*_MARGIN_SECONDS)),
            )
            for index, (text, voice) in enumerate(zip(texts, voices, strict=True))
        ]
    return plan


def _speak(
    plan: list[_Spoken], seed: int, folder: Path, progress: Callable[[int, int], None] | None
) -> None:
    rows: dict[str, dict[int, dict]] = {split: {} for split in SPLITS}
    for split in SPLITS:
        (folder / split).mkdir()
    done = 0
    # One synthesizer a voice: what other voices said before then colours nothing.
    for voice in sorted({spoken.voice for spoken in plan}):
        with Synthesizer(SAMPLING_RATE) as synthesizer:
            for spoken in (one for one in plan if one.voice == voice):
                waveform = synthesizer.speak(
                    spoken.text,
                    voice=voice,
                    words_per_minute=spoken.words_per_minute,
                    pitch=spoken.pitch,
                    pitch_range=spoken.pitch_range,
                )
                waveform = _record(waveform, spoken, seed)
                name = f"{spoken.split}/{spoken.index:05d}.wav"
                _write_wav(folder / name, waveform)
                rows[spoken.split][spoken.index] = {
                    "audio_filepath": name,
                    "duration": round(len(waveform) / SAMPLING_RATE, 4),
                    "text": spoken.text,
                    "speaker": voice,
                    "words_per_minute": spoken.words_per_minute,
                    "pitch": spoken.pitch,
                    "snr_db": spoken.snr_db,
                }
                done += 1
                if progress is not None:
                    progress(done, len(plan))
    for split in SPLITS:
        in_order = [rows[split][index] for index in sorted(rows[split])]
        write_manifest(folder / f"{split}.jsonl", in_order)


def _record(waveform: np.ndarray, spoken: _Spoken, seed: int) -> np.ndarray:
    """Speech as a microphone might hand it over: at some level, within noise, with margins."""
    generator = np.random.default_rng([seed, SPLITS.index(spoken.split), spoken.index])
    before, after = (round(seconds * SAMPLING_RATE) for seconds in spoken.margins)
    level = 10.0 ** (spoken.level_db / 20.0)
    speech = waveform - waveform.mean(dtype=np.float64)  # some voices carry a constant
    speech = np.pad(speech * (level / np.sqrt(np.mean(np.square(speech)))), (before, after))
    noise = _noise(generator, len(speech), spoken.noise_slope)
    mixture = speech + noise * level * 10.0 ** (-spoken.snr_db / 20.0)
    return mixture * min(1.0, _PEAK / np.abs(mixture).max())


def _noise(generator: np.random.Generator, samples: int, slope: float) -> np.ndarray:
    """Noise with a root mean square of 1 whose power falls as `1 / frequency ** slope`."""
    width = -(-samples // _NOISE_BLOCK) * _NOISE_BLOCK  # a length that the FFT is fast at
    spectrum = np.fft.rfft(generator.standard_normal(width))
    lowest = _NOISE_CORNER_HZ * width / SAMPLING_RATE
    spectrum *= np.maximum(np.arange(len(spectrum)), lowest) ** (-slope / 2.0)
    noise = np.fft.irfft(spectrum, width)[:samples]
    return noise / np.sqrt(np.mean(np.square(noise)))


def _write_wav(path: Path, waveform: np.ndarray) -> None:
    pcm = np.round(waveform * 32767.0).astype("<i2")
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLING_RATE)
        file.writeframes(pcm.tobytes())
