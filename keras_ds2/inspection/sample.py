"""Some utterances as training hears them, before and after augmentation."""

import dataclasses
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from keras_ds2.audio.io import read_audio
from keras_ds2.data.augmentation import Augmentation
from keras_ds2.data.checking import Example
from keras_ds2.data.features_file import read_features
from keras_ds2.data.loader import epoch_seed, hear
from keras_ds2.features.front_end import FeatureFrontEnd


@dataclasses.dataclass(frozen=True)
class Hearing:
    """An utterance heard once.

    Attributes:
        features: float32 `(frames, bins)`, as the model reads them.
        waveform: float32 `(samples,)`, or None where features are read.
    """

    features: np.ndarray
    waveform: np.ndarray | None


@dataclasses.dataclass(frozen=True)
class Sample:
    """A training utterance as it is, and as an epoch changes it."""

    example: Example
    plain: Hearing
    augmented: Hearing


def choose(examples: Sequence[Example], count: int) -> list[int]:
    """Places of up to `count` examples, evenly from the shortest to the longest."""
    order = np.argsort([example.frames for example in examples], kind="stable")
    places = np.linspace(0, len(order) - 1, min(count, len(order)))
    return [int(order[place]) for place in np.round(places).astype(int)]


def take_sample(
    examples: Sequence[Example],
    index: int,
    front_end: FeatureFrontEnd,
    augmentation: Augmentation,
    *,
    seed: int,
    epoch: int = 0,
) -> Sample:
    """Hears one example: augmented, it is what that epoch's batches hold of it.

    Args:
        examples: of training.
        index: the place of the one wanted.
        front_end: makes the features.
        augmentation: changes them.
        seed: the run's.
        epoch: from 0.
    """
    example = examples[index]
    path = example.utterance.filepath
    if front_end.kind == "precomputed":
        inputs = tf.constant(read_features(path, front_end.num_bins))
    else:
        inputs = front_end.trim(tf.constant(read_audio(path, front_end.sampling_rate)))

    def heard(augmentation):
        waveform, features = hear(inputs, index, epoch_seed(seed, epoch), front_end, augmentation)
        if front_end.kind == "precomputed":
            return Hearing(features.numpy(), None)
        return Hearing(features.numpy(), np.asarray(waveform))

    return Sample(example, heard(Augmentation()), heard(augmentation))
