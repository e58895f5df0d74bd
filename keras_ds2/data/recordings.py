"""Recordings that training draws from, noise and room impulse responses, held in memory."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import tensorflow as tf

from keras_ds2.audio.io import AudioError, is_silent, read_audio
from keras_ds2.data.checking import Skipped
from keras_ds2.data.manifest import Utterance

HELD_SAMPLES = 2**27
"""What is held at the most: 512 MiB, 2.3 hours at 16 kHz."""


class RecordingsError(ValueError):
    """Not one usable recording: the message says what is wrong with them."""


class Recordings:
    """Waveforms of one rate, end to end in one tensor on the CPU, for graphs to draw from.

    Args:
        waveforms: float32 arrays `(samples,)`.
        cut_to: int, samples that the longest were cut to; None where all are whole.

    Attributes:
        samples: int, how many are held in all.
        cut_to: as given.

    Raises:
        RecordingsError: if there is none, or one is empty.
    """

    def __init__(self, waveforms: Sequence[np.ndarray], cut_to: int | None = None):
        sizes = [len(waveform) for waveform in waveforms]
        if not sizes or not all(sizes):
            raise RecordingsError(f"expected waveforms with samples, received the lengths {sizes}")
        self.samples = sum(sizes)
        self.cut_to = cut_to
        with tf.device("CPU:0"):
            self._flat = tf.constant(np.concatenate(waveforms), tf.float32)
            self._splits = tf.constant(np.cumsum([0, *sizes]), tf.int64)

    def __len__(self) -> int:
        return int(self._splits.shape[0]) - 1

    def draw(self, seed):
        """One recording, each as likely as any other: float32 `(samples,)`.

        Args:
            seed: int32 `(2,)`.
        """
        index = tf.random.stateless_uniform([], seed, 0, len(self), tf.int32)
        return self._flat[self._splits[index] : self._splits[index + 1]]


def read_recordings(
    utterances: Sequence[Utterance],
    sampling_rate: int,
    *,
    longest_seconds: float | None = None,
    held_samples: int = HELD_SAMPLES,
    progress: Callable[[], None] | None = None,
) -> tuple[Recordings, list[Skipped]]:
    """Reads, resamples and checks the recordings of a manifest.

    Left out are files that cannot be read, silent ones, and ones longer than `longest_seconds`.
    Where all of them are more than `held_samples`, the longest are cut at their ends, to one and
    the same length, so that every recording keeps a part.

    Args:
        utterances: the manifest's lines; their texts are not read.
        sampling_rate: int, Hz, the rate wanted.
        longest_seconds: None for no bound.
        held_samples: int, the most to hold.
        progress: called after every recording.

    Returns:
        The recordings, and what was left out.

    Raises:
        RecordingsError: if not one is left; the message names the first of them with the reasons.
    """

    def read(utterance):
        if utterance.audio_filepath is None:
            path = utterance.filepath
            return Skipped(utterance, f"{path}: expected audio_filepath, for it is to be heard")
        try:
            waveform = read_audio(utterance.audio_filepath, sampling_rate)
        except AudioError as error:
            return Skipped(utterance, str(error))
        path, seconds = utterance.audio_filepath, len(waveform) / sampling_rate
        if is_silent(waveform):
            return Skipped(utterance, f"{path}: silent, every sample is 0; leave it out")
        if longest_seconds is not None and seconds > longest_seconds:
            reason = f"{seconds:.1f} s; expected at most {longest_seconds:g} s; leave it out"
            return Skipped(utterance, f"{path}: {reason}")
        return waveform

    waveforms, skipped, held, cut_to = [], [], 0, None
    with ThreadPoolExecutor(max_workers=2) as pool:
        for result in pool.map(read, utterances):
            if isinstance(result, Skipped):
                skipped.append(result)
            else:
                waveforms.append(result)
                held += len(result)
                if held > 2 * held_samples:
                    waveforms, cut_to = _cut(waveforms, held_samples)
                    held = sum(map(len, waveforms))
            if progress:
                progress()
    if not waveforms:
        reasons = "".join(f"\n  {each}" for each in skipped[:20])
        raise RecordingsError(f"not one usable recording of {len(utterances)} is left{reasons}")
    waveforms, cut_last = _cut(waveforms, held_samples)
    return Recordings(waveforms, cut_last or cut_to), skipped


def _cut(waveforms, held_samples):
    """The waveforms, copies where cut, and the longest length with which all of them fit."""
    sizes = np.sort([len(waveform) for waveform in waveforms])
    if sizes.sum() <= held_samples:
        return waveforms, None
    shorter = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    longest = (held_samples - shorter) // np.arange(len(sizes), 0, -1)
    length = max(int(longest[np.argmax(longest < sizes)]), 1)
    return [
        waveform if len(waveform) <= length else waveform[:length].copy() for waveform in waveforms
    ], length
