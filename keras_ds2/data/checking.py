"""Before the first step: every utterance read once, what cannot be used left out and named."""

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from keras_ds2.audio.io import AudioError, is_silent, read_audio_file
from keras_ds2.data.features_file import FeaturesError, read_features
from keras_ds2.data.manifest import Utterance
from keras_ds2.data.sound_facts import SoundFacts, sound_facts
from keras_ds2.features.front_end import FeatureFrontEnd
from keras_ds2.sequence import steps_after_stride
from keras_ds2.text.alphabet import Alphabet, describe_symbol

SKIPPED_KINDS = {
    "broken": "cannot be read",
    "silent": "silent",
    "short": "shorter than one window",
    "text": "nothing to write",
    "symbols": "symbols outside the alphabet",
    "unfit": "more symbols than steps",
}
"""Why utterances are left out, each in words."""


class _Unusable(AudioError):
    """Audio that can be read and is of no use; `kind` as in `SKIPPED_KINDS`."""

    def __init__(self, kind, reason):
        super().__init__(reason)
        self.kind = kind


@dataclasses.dataclass(frozen=True)
class Example:
    """An utterance that was read and found usable.

    Attributes:
        utterance: the manifest's line.
        text: its text, normalised.
        labels: int32 `(symbols,)`, the text's ids.
        frames: its frames.
        sound: what its recording is like; None where features are read.
    """

    utterance: Utterance
    text: str
    labels: np.ndarray
    frames: int
    sound: SoundFacts | None = None


@dataclasses.dataclass(frozen=True)
class Skipped:
    """An utterance that cannot be used.

    Attributes:
        utterance: the manifest's line.
        reason: why not, with the remedy.
        kind: which of `SKIPPED_KINDS` that is.
    """

    utterance: Utterance
    reason: str
    kind: str = "broken"

    def __str__(self) -> str:
        return f"{self.utterance.where}: {self.reason}"


def check_utterances(
    utterances: Sequence[Utterance],
    front_end: FeatureFrontEnd,
    alphabet: Alphabet,
    normalize: Callable[[str], str],
    time_strides: Iterable[int],
    *,
    keep_unknown_symbols: bool = False,
    keep_unfit: bool = False,
    progress: Callable[[], None] | None = None,
) -> tuple[list[Example], list[Skipped]]:
    """Reads every utterance and sorts out those that cannot be trained or scored on.

    Left out are: files that cannot be read, silence, fewer samples than one frame, texts with
    nothing left after normalisation, symbols outside the alphabet, and labels that have no
    alignment with so few steps.

    Args:
        utterances: what a manifest holds.
        front_end: counts the frames.
        alphabet: gives the labels.
        normalize: applied to every text first.
        time_strides: of the model's convolutions.
        keep_unknown_symbols: for scoring: a text's unknown symbols are left out of the labels, not
            the utterance; the text keeps them.
        keep_unfit: for scoring: labels may be longer than the steps.
        progress: called after every utterance.

    Returns:
        The examples in the order of the utterances, and what was left out.
    """
    time_strides = list(time_strides)

    def check(utterance):
        text = normalize(utterance.text)
        kind, reason = _text_fault(text, utterance.text, alphabet, keep_unknown_symbols)
        if reason:
            return Skipped(utterance, reason, kind)
        labels = known_labels(text, alphabet, utterance.where)
        try:
            frames, sound = _read(utterance, front_end)
        except (AudioError, FeaturesError) as error:
            return Skipped(utterance, str(error), getattr(error, "kind", "broken"))
        if not keep_unfit:
            reason = _fit_fault(labels, frames, time_strides)
            if reason:
                return Skipped(utterance, reason, "unfit")
        return Example(utterance, text, labels, frames, sound)

    # Reading waits for files and decoders, which let other threads run.
    with ThreadPoolExecutor(max_workers=2) as pool:
        results = []
        for result in pool.map(check, utterances):
            results.append(result)
            if progress:
                progress()
    examples = [result for result in results if isinstance(result, Example)]
    skipped = [result for result in results if isinstance(result, Skipped)]
    return examples, skipped


def known_labels(text: str, alphabet: Alphabet, where: str) -> np.ndarray:
    """The labels of a text without the symbols outside the alphabet: int32 `(symbols,)`.

    Args:
        text: normalised.
        alphabet: gives the labels.
        where: the utterance's place, for errors.
    """
    return alphabet.encode("".join(symbol for symbol in text if symbol in alphabet), where)


def count_frames(utterance: Utterance, front_end: FeatureFrontEnd) -> int:
    """Reads an utterance's file again and counts its frames.

    Raises:
        AudioError: if the audio cannot be read, is silent or is shorter than one frame.
        FeaturesError: if the features cannot be read or have another shape.
    """
    return _read(utterance, front_end)[0]


def _read(utterance, front_end):
    """`(frames, sound)`; AudioError or FeaturesError if the file is of no use."""
    path = utterance.filepath
    if front_end.kind == "precomputed":
        if utterance.features_filepath is None:
            raise FeaturesError(
                f"{path}: expected features_filepath, received audio_filepath; set features.kind "
                "to log_spectrogram to train on audio"
            )
        return len(read_features(path, front_end.num_bins)), None
    if utterance.audio_filepath is None:
        raise AudioError(
            f"{path}: expected audio_filepath, received features_filepath; set features.kind to "
            "precomputed and features.num_bins to train on features"
        )
    file = read_audio_file(path)
    waveform = file.resampled(front_end.sampling_rate)
    if is_silent(waveform):
        reason = f"{path}: silent, every sample is 0; record it again or leave it out"
        raise _Unusable("silent", reason)
    frames = front_end.frames(len(front_end.trim(waveform)))
    if not frames:
        raise _Unusable(
            "short",
            f"{path}: {len(waveform)} samples at {front_end.sampling_rate} Hz are shorter than one "
            f"window of {front_end.window_ms:g} ms; leave it out",
        )
    return frames, sound_facts(file)


def _text_fault(text, original, alphabet, keep_unknown_symbols):
    if not text:
        reason = f"text {original!r} has nothing left to write after normalisation; correct it"
        return "text", reason
    unknown = alphabet.unknown_symbols(text)
    if unknown and not keep_unknown_symbols:
        named = ", ".join(describe_symbol(symbol) for symbol in unknown)
        reason = f"outside the alphabet: {named} in {text!r}; correct the text or leave it out"
        return "symbols", reason
    return None, None


def _fit_fault(labels, frames, time_strides):
    steps = frames
    for stride in time_strides:
        steps = steps_after_stride(steps, stride)
    needed = len(labels) + int(np.sum(labels[1:] == labels[:-1]))
    if needed > steps:
        return (
            f"{len(labels)} symbols need {needed} steps, {frames} frames leave {steps}; the audio "
            "is cut off, the text is another's, or the time stride is too large"
        )
    return None
