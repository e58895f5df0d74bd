"""Utterances read, heard and padded to batches, in graph; what cannot be read is told."""

import functools

import keras
import numpy as np
import tensorflow as tf

from keras_ds2.audio.io import AudioError, load_audio
from keras_ds2.data.augmentation import Augmentation
from keras_ds2.data.batching import NOBODY
from keras_ds2.data.checking import Skipped, count_frames
from keras_ds2.data.features_file import FeaturesError, read_features
from keras_ds2.data.plan import Plan
from keras_ds2.data.remaking import with_remade
from keras_ds2.data.service import DataService
from keras_ds2.features.front_end import FeatureFrontEnd


def hear(inputs, index, seed, front_end: FeatureFrontEnd, augmentation: Augmentation):
    """One training utterance as it is heard once; what `training_dataset` puts into its batches.

    Args:
        inputs: what the front end reads, `(samples,)` trimmed, or `(frames, num_bins)`.
        index: the utterance's place among the examples.
        seed: int32 `(2,)`, see `epoch_seed`.
        front_end: makes the features.
        augmentation: changes the waveform, then its log-spectrogram, then the features.

    Returns:
        `(inputs, features)`: the augmented waveform, or the features that were read, augmented, and
        float32 `(frames, bins)`.
    """
    seed = tf.random.experimental.stateless_fold_in(seed, index)
    seeds = tf.unstack(tf.random.experimental.stateless_split(seed, 3))
    change = None
    if front_end.kind == "log_spectrogram":
        inputs = augmentation.augment_waveform(inputs, seeds[0], front_end.sampling_rate)
        change = functools.partial(augmentation.augment_spectrogram, seed=seeds[2])
    else:
        inputs = augmentation.augment_cepstra(inputs, seeds[0])
    features = _features(front_end, inputs, change)
    return inputs, augmentation.augment_features(features, seeds[1])


def epoch_seed(seed: int, epoch: int) -> tuple[int, int]:
    """What an epoch's augmentation is drawn by."""
    return seed % 2**31, epoch


def _features(front_end, inputs, change=None):
    return tf.cast(front_end(inputs[tf.newaxis], change=change)[0], tf.float32)


class Loader:
    """Reads examples by index, in graph.

    Args:
        examples: what to read.
        front_end: makes the features, by its statistics as they are now.
        augmentation: None for none.
        unread: is told of an utterance that cannot be read, from any thread.
        weighted: whether batches come with the weights of their rows.
        widths: ascending; a batch is cut to the narrowest of them that fits what it holds then.
        service: makes the batches on other machines; None for here.

    Raises:
        ValueError: if the service is to read precomputed features.
    """

    def __init__(
        self,
        examples,
        front_end,
        augmentation,
        unread=None,
        weighted=False,
        widths=None,
        service: DataService | None = None,
    ):
        if service is not None and front_end.kind != "log_spectrogram":
            raise ValueError(
                f"service: expected None with features of kind {front_end.kind}, whose files "
                f"Python reads, which the service's machines do not run for others, received "
                f"{service.address}"
            )
        self.examples = examples
        self.front_end = front_end
        self.unread = unread
        self.weighted = weighted
        self.widths = widths
        self.service = service
        self.augmentation = augmentation
        front_end.ensure_built()
        with tf.device("CPU:0"):  # where datasets compute
            self.paths = tf.constant([example.utterance.filepath for example in examples])
            self.labels = tf.ragged.constant(
                [*(example.labels.tolist() for example in examples), []], tf.int32, ragged_rank=1
            )  # the last stands for no utterance
            # A graph that runs in other processes can hold constants, but no variables.
            self.statistics = [
                (each, tf.constant(keras.ops.convert_to_numpy(each))) for each in front_end.weights
            ]

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
        if self.widths is not None:
            # Augmentation left room for more.
            longest = tf.searchsorted(self.widths, tf.reduce_max(lengths, keepdims=True))
            features = features[:, : tf.gather(self.widths, longest)[0]]
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

    def batch_of_readable(self, indices, width, seed):
        """The same without what cannot be read; tells what that is."""

        def are_readable(indices):
            readable = [self.is_readable(index) for index in indices]
            if self.service is not None and all(readable):
                self.service.tell_made_here()
            return np.array(readable, bool)

        readable = tf.numpy_function(are_readable, [indices], tf.bool)
        return self.batch(indices, width, seed, tf.ensure_shape(readable, (None,)))

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
        with keras.StatelessScope(state_mapping=self.statistics):
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


def in_batches(plan: Plan, load: Loader, *, endless: bool = False) -> tf.data.Dataset:
    """The batches that a plan names, read.

    Args:
        plan: of all batches.
        load: reads them.
        endless: whether after the last batch the first one comes again.

    Raises:
        DataServiceError: if the service cannot be reached.
    """
    count = tf.int64.max if endless else len(plan)

    def numbered_batch(number):
        indices, width, seed = plan.batch(number)
        made = load.batch(indices, width, seed)
        numbers = tf.reduce_all(tf.math.is_finite(made[0]["features"]))
        lengths = (made[0]["feature_length"] > 0) | (indices == NOBODY)
        sound = numbers & tf.reduce_all(lengths)
        with tf.control_dependencies([tf.debugging.Assert(sound, ["not what was checked"])]):
            return tf.identity(number), made

    def remade(number):
        return (load.batch if load.unread is None else load.batch_of_readable)(*plan.batch(number))

    dataset = tf.data.Dataset.range(count).map(
        numbered_batch, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True
    )
    if load.unread is not None:
        dataset = dataset.ignore_errors()
    if load.service is not None:
        dataset = load.service.make(dataset, count)
    if load.unread is None and load.service is None:
        return dataset.map(lambda number, batch: batch).prefetch(4)
    if not endless:
        last = tf.data.Dataset.from_tensors((tf.constant(count, tf.int64), load.no_batch()))
        dataset = dataset.concatenate(last)
    is_batch = lambda inputs, *others: tf.size(inputs["feature_length"]) > 0  # noqa: E731
    return with_remade(dataset, remade).filter(is_batch).prefetch(4)
