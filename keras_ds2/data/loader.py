"""Utterances read, heard and padded to batches, in graph; what cannot be read is told."""

from collections.abc import Callable, Iterable

import numpy as np
import tensorflow as tf

from keras_ds2.audio.io import AudioError, load_audio
from keras_ds2.data.augmentation import Augmentation
from keras_ds2.data.batching import NOBODY
from keras_ds2.data.checking import Skipped, count_frames
from keras_ds2.data.features_file import FeaturesError, read_features
from keras_ds2.data.remaking import with_remade
from keras_ds2.features.front_end import FeatureFrontEnd

_ON_THE_WAY = 4096  # batches, more than are ever made at the same time


def hear(inputs, index, seed, front_end: FeatureFrontEnd, augmentation: Augmentation):
    """One training utterance as it is heard once; what `training_dataset` puts into its batches.

    Args:
        inputs: what the front end reads, `(samples,)` trimmed, or `(frames, num_bins)`.
        index: the utterance's place among the examples.
        seed: int32 `(2,)`, see `epoch_seed`.
        front_end: makes the features.
        augmentation: changes the waveform, then the features.

    Returns:
        `(inputs, features)`: the augmented waveform, or the features that were read, augmented, and
        float32 `(frames, bins)`.
    """
    seed = tf.random.experimental.stateless_fold_in(seed, index)
    seeds = tf.unstack(tf.random.experimental.stateless_split(seed, 2))
    if front_end.kind == "log_spectrogram":
        inputs = augmentation.augment_waveform(inputs, seeds[0], front_end.sampling_rate)
    else:
        inputs = augmentation.augment_cepstra(inputs, seeds[0])
    return inputs, augmentation.augment_features(_features(front_end, inputs), seeds[1])


def epoch_seed(seed: int, epoch: int) -> tuple[int, int]:
    """What an epoch's augmentation is drawn by."""
    return seed % 2**31, epoch


def _features(front_end, inputs):
    return tf.cast(front_end(inputs[tf.newaxis])[0], tf.float32)


class Loader:
    """Reads examples by index, in graph."""

    def __init__(self, examples, front_end, augmentation, unread=None, weighted=False):
        self.examples = examples
        self.front_end = front_end
        self.unread = unread
        self.weighted = weighted
        self.planned = {}
        self.augmentation = augmentation
        self.paths = tf.constant([example.utterance.filepath for example in examples])
        self.labels = tf.ragged.constant(
            [*(example.labels.tolist() for example in examples), []], dtype=tf.int32, ragged_rank=1
        )  # the last stands for no utterance
        front_end.build(
            (None, None)
            if front_end.kind == "log_spectrogram"
            else (None, None, front_end.num_bins)
        )

    def batch(self, indices, width, seed, readable=None):
        """Indices of a batch to its padded tensors; of `NOBODY` a row of no frame and no label.

        Where the loader is `weighted`, the weights of the rows stand behind: 0 for `NOBODY`.

        Args:
            indices: int32 `(batch,)`.
            width: scalar int32, frames that features are padded to.
            seed: int32 `(2,)`.
            readable: bool `(batch,)`, the utterances to read; the others get no frame. None: all.
        """
        bins = self.front_end.num_output_bins

        def padded(index):
            features = tf.cond(
                index == NOBODY, lambda: tf.zeros((0, bins)), lambda: self.features(index, seed)
            )
            length = tf.shape(features)[0]
            features = tf.pad(features, [[0, width - length], [0, 0]])
            return tf.ensure_shape(features, (None, bins)), length

        def padded_or_empty(arguments):
            index, is_readable = arguments
            empty = tf.zeros((width, bins)), tf.constant(0)
            return tf.cond(is_readable, lambda: padded(index), lambda: empty)

        features, lengths = tf.map_fn(
            padded if readable is None else padded_or_empty,
            indices if readable is None else (indices, readable),
            fn_output_signature=(tf.TensorSpec((None, bins), tf.float32), tf.int32),
        )
        labels = tf.gather(self.labels, tf.where(indices == NOBODY, tf.size(self.paths), indices))
        batch = (
            {"features": features, "feature_length": lengths},
            {
                "labels": labels.to_tensor(0),
                "label_length": tf.cast(labels.row_lengths(), tf.int32),
            },
        )
        return (*batch, tf.cast(indices != NOBODY, tf.float32)) if self.weighted else batch

    def no_batch(self):
        """A batch of no utterance."""
        features = tf.zeros((0, 0, self.front_end.num_output_bins))
        nothing = tf.zeros((0,), tf.int32)
        batch = (
            {"features": features, "feature_length": nothing},
            {"labels": tf.zeros((0, 0), tf.int32), "label_length": nothing},
        )
        return (*batch, tf.zeros((0,))) if self.weighted else batch

    def remember(self, number, batch):
        """Keeps a batch's plan for as long as it may be on its way."""
        self.planned[number] = batch
        self.planned.pop(number - _ON_THE_WAY, None)

    def batch_of_readable(self, number):
        """The batch of a number, without what cannot be read; tells what that is."""

        def plan(number):
            indices, width, seed = self.planned[int(number)]
            readable = [self.is_readable(index) for index in indices]
            return (
                np.asarray(indices, np.int32),
                np.int32(width),
                np.asarray(seed, np.int32),
                np.array(readable, bool),
            )

        types = (tf.int32, tf.int32, tf.int32, tf.bool)
        indices, width, seed, readable = tf.numpy_function(plan, [number], types)
        return self.batch(
            tf.ensure_shape(indices, (None,)),
            tf.ensure_shape(width, ()),
            tf.ensure_shape(seed, (2,)),
            tf.ensure_shape(readable, (None,)),
        )

    def is_readable(self, index):
        """Whether an utterance is still what it was when it was checked; tells if not."""
        if index == NOBODY:
            return True
        example = self.examples[index]
        path = example.utterance.filepath
        try:
            frames = count_frames(example.utterance, self.front_end)
            if frames == example.frames:
                return True
            reason = f"{path}: had {example.frames} frames when it was checked, now {frames}"
        except (AudioError, FeaturesError) as error:
            reason = str(error)
        self.unread(Skipped(example.utterance, reason))
        return False

    def features(self, index, seed):
        """One utterance's features `(frames, bins)`, augmented where asked for."""
        inputs = self.read(index)
        if self.augmentation is None:
            return _features(self.front_end, inputs)
        return hear(inputs, index, seed, self.front_end, self.augmentation)[1]

    def read(self, index):
        """What the front end reads: a waveform `(samples,)`, or features `(frames, num_bins)`."""
        path = tf.gather(self.paths, index)
        if self.front_end.kind == "log_spectrogram":
            return self.front_end.trim(load_audio(path, self.front_end.sampling_rate))
        num_bins = self.front_end.num_bins
        features = tf.numpy_function(
            lambda path: read_features(path.decode(), num_bins), [path], tf.float32, stateful=False
        )
        return tf.ensure_shape(features, (None, num_bins))


def in_batches(batches: Callable[[], Iterable], load: Loader) -> tf.data.Dataset:
    """The batches that a plan names, read.

    Args:
        batches: gives `(indices, width, seed)` of each batch, from the first one on.
        load: reads them.
    """
    signature = (
        tf.TensorSpec((None,), tf.int32),
        tf.TensorSpec((), tf.int32),
        tf.TensorSpec((2,), tf.int32),
    )
    if load.unread is None:
        dataset = tf.data.Dataset.from_generator(batches, output_signature=signature).map(
            load.batch, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True
        )
        return dataset.prefetch(4)

    def numbered():
        for number, batch in enumerate(batches()):
            load.remember(number, batch)
            yield number, *batch
        yield number + 1, [], 0, (0, 0)  # after the last, for `with_remade`

    def numbered_batch(number, *batch):
        is_last = tf.size(batch[0]) == 0
        made = tf.cond(is_last, load.no_batch, lambda: load.batch(*batch))
        numbers = tf.reduce_all(tf.math.is_finite(made[0]["features"]))
        lengths = (made[0]["feature_length"] > 0) | (batch[0] == NOBODY)
        sound = numbers & tf.reduce_all(lengths)
        with tf.control_dependencies([tf.debugging.Assert(sound, ["not what was checked"])]):
            return tf.identity(number), made

    signature = (tf.TensorSpec((), tf.int64), *signature)
    dataset = tf.data.Dataset.from_generator(numbered, output_signature=signature).map(
        numbered_batch, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True
    )
    dataset = with_remade(dataset, load.batch_of_readable)
    is_batch = lambda inputs, *others: tf.size(inputs["feature_length"]) > 0  # noqa: E731
    return dataset.filter(is_batch).prefetch(4)
