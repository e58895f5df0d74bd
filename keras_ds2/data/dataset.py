"""From examples to batches: one chain that reads from top to bottom."""

import dataclasses
import math
from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from keras_ds2.data.augmentation import Augmentation
from keras_ds2.data.batching import (
    NUM_BUCKETS,
    Batch,
    bucket_widths,
    count_batches,
    count_shapes,
    largest_batch,
    plan_epoch,
    share_of,
)
from keras_ds2.data.checking import Example, Skipped
from keras_ds2.data.loader import Loader, epoch_seed, in_batches
from keras_ds2.data.plan import Plan
from keras_ds2.data.service import DataService
from keras_ds2.features.front_end import FeatureFrontEnd


def training_dataset(
    examples: Sequence[Example],
    front_end: FeatureFrontEnd,
    *,
    batch_size: int | None = None,
    batch_frames: int | None = None,
    epochs: int,
    first_epoch: int = 0,
    first_step: int = 0,
    seed: int = 0,
    sorta_grad: bool = True,
    num_buckets: int = NUM_BUCKETS,
    augmentation: Augmentation | None = None,
    replicas: int | None = None,
    own: Sequence[int] = (0,),
    unread: Callable[[Skipped], None] | None = None,
    service: DataService | None = None,
) -> tf.data.Dataset:
    """All batches of all epochs, one after the other, as `keras.Model.fit` takes them.

    What an epoch's batch holds, augmentation included, depends on `seed`, the epoch and the
    utterance alone, so a run that starts at `first_epoch` and `first_step` sees just what a run
    from the beginning would have seen there.

    Args:
        examples: what to train on.
        front_end: makes the features.
        batch_size: int, utterances a batch.
        batch_frames: int, in its place: frames a batch at the most, see `plan_epoch`.
        epochs: int, the epoch to stop before.
        first_epoch: int, the epoch to start with.
        first_step: int, the batch of that epoch to start with.
        seed: int, of order and augmentation.
        sorta_grad: bool, see `plan_epoch`.
        num_buckets: int, see `bucket_widths`.
        augmentation: None for none.
        replicas: int, among which each batch is shared out row by row, all shares of one size and
            width; or None for whole batches.
        own: which of the replicas' shares this dataset holds, one after the other.
        unread: is told of an utterance that cannot be read, from any thread; it stays in its
            batch, of `feature_length` 0. None if that is an error.
        service: makes the batches on other machines, to the bit the same, of waveforms alone; None
            for here.

    Returns:
        Dataset of `({"features", "feature_length"}, {"labels", "label_length"})`. With `replicas`
        each element is one replica's share, followed by `sample_weight`, 0 for the rows without an
        utterance that fill a share up; and the dataset has no end, which spares the replicas to
        ask each other at every step whether it has come.

    Raises:
        ValueError: if the service is to read precomputed features.
        DataServiceError: if the service cannot be reached, or refuses the batches.
    """
    augmentation = augmentation or Augmentation()
    frames = _longest_frames(examples, front_end, augmentation)

    def batches():
        for epoch in range(first_epoch, epochs):
            plan = plan_epoch(
                frames,
                batch_size,
                batch_frames=batch_frames,
                epoch=epoch,
                seed=seed,
                sorta_grad=sorta_grad,
                num_buckets=num_buckets,
            )
            for batch in plan[first_step if epoch == first_epoch else 0 :]:
                if replicas is None:
                    yield batch.indices, batch.width, epoch_seed(seed, epoch)
                else:
                    for replica in own:
                        share = share_of(batch.indices, replica, replicas)
                        yield share, batch.width, epoch_seed(seed, epoch)

    load = Loader(
        examples,
        front_end,
        augmentation,
        unread,
        weighted=replicas is not None,
        widths=bucket_widths(frames, num_buckets).astype(np.int32) if batch_size else None,
        service=service,
    )
    dataset = in_batches(Plan(batches()), load, endless=replicas is not None)
    if replicas is None:
        return dataset
    return dataset.apply(tf.data.experimental.assert_cardinality(tf.data.INFINITE_CARDINALITY))


@dataclasses.dataclass(frozen=True)
class TrainingBatches:
    """What the batches of `training_dataset` come to.

    Attributes:
        steps_per_epoch: int, the same in every epoch.
        shapes: int, the most shapes they come in.
        largest: rows, frames and labels of a row: the most that one batch may hold.
    """

    steps_per_epoch: int
    shapes: int
    largest: tuple[int, int, int]


def count_training_batches(
    examples: Sequence[Example],
    front_end: FeatureFrontEnd,
    *,
    augmentation: Augmentation | None = None,
    **batching,
) -> TrainingBatches:
    """Counts the batches of `training_dataset`, without reading anything.

    Args:
        examples: as there.
        front_end: as there.
        augmentation: as there.
        **batching: `batch_size` or `batch_frames`, and `num_buckets`, as there.

    Raises:
        ValueError: if an utterance is longer than `batch_frames`.
    """
    frames = _longest_frames(examples, front_end, augmentation or Augmentation())
    symbols = np.array([len(example.labels) for example in examples])
    return TrainingBatches(
        steps_per_epoch=count_batches(frames, **batching),
        shapes=count_shapes(frames, **batching),
        largest=largest_batch(frames, symbols, **batching),
    )


def made_up_batch(
    front_end: FeatureFrontEnd,
    vocabulary_size: int,
    rows: int,
    frames: int,
    symbols: int,
    replicas: int | None = None,
) -> tf.data.Dataset:
    """One batch of silence of a given size, in a dataset like `training_dataset`'s.

    With `replicas` it is one replica's share, again and again.
    """
    rows = rows if replicas is None else math.ceil(rows / replicas)
    batch = (
        {
            "features": np.zeros((rows, frames, front_end.num_output_bins), np.float32),
            "feature_length": np.full(rows, frames, np.int32),
        },
        {
            # No symbol twice in a row, so that as few steps as possible are enough.
            "labels": np.tile(
                1 + np.arange(symbols, dtype=np.int32) % (vocabulary_size - 1), (rows, 1)
            ),
            "label_length": np.full(rows, symbols, np.int32),
        },
    )
    signature = (
        {
            "features": tf.TensorSpec((None, None, front_end.num_output_bins), tf.float32),
            "feature_length": tf.TensorSpec((None,), tf.int32),
        },
        {
            "labels": tf.TensorSpec((None, None), tf.int32),
            "label_length": tf.TensorSpec((None,), tf.int32),
        },
    )
    if replicas is None:
        return tf.data.Dataset.from_generator(lambda: iter([batch]), output_signature=signature)
    weighted = *batch, np.ones(rows, np.float32)
    return tf.data.Dataset.from_generator(
        lambda: iter([weighted]), output_signature=(*signature, tf.TensorSpec((None,), tf.float32))
    ).repeat()


def plan_training_epoch(
    examples: Sequence[Example],
    front_end: FeatureFrontEnd,
    *,
    augmentation: Augmentation | None = None,
    **plan,
) -> list[Batch]:
    """The batches of one epoch of `training_dataset`, unread.

    Args:
        examples: as there.
        front_end: as there.
        augmentation: as there.
        **plan: as `plan_epoch`'s.
    """
    frames = _longest_frames(examples, front_end, augmentation or Augmentation())
    return plan_epoch(frames, **plan)


def _longest_frames(examples, front_end, augmentation):
    window_frames = front_end.window_ms / front_end.hop_ms
    return np.array([augmentation.longest(each.frames, window_frames) for each in examples])


def evaluation_dataset(
    examples: Sequence[Example],
    front_end: FeatureFrontEnd,
    *,
    batch_size: int | None = None,
    batch_frames: int | None = None,
    unread: Callable[[Skipped], None] | None = None,
) -> tf.data.Dataset:
    """All examples once, in their order, without augmentation; batches as `training_dataset`'s.

    Args:
        examples: what to evaluate.
        front_end: makes the features.
        batch_size: int, utterances a batch.
        batch_frames: int, in its place: frames a batch at the most, padding counted; one utterance
            alone may have more.
        unread: as `training_dataset`'s.
    """
    batches = _in_order(examples, batch_size, batch_frames)
    plan = Plan((indices, frames, (0, 0)) for indices, frames in batches)
    return in_batches(plan, Loader(examples, front_end, None, unread))


def largest_evaluation_batch(
    examples: Sequence[Example], *, batch_size: int | None = None, batch_frames: int | None = None
) -> tuple[int, int]:
    """Of `evaluation_dataset`'s batches the one with the most frames, padding counted.

    Returns:
        Its utterances, and the frames of the longest.
    """
    batches = _in_order(examples, batch_size, batch_frames)
    return max(((len(indices), frames) for indices, frames in batches), key=math.prod)


def _in_order(examples, batch_size, batch_frames):
    """Indices of each batch, and the frames of its longest utterance."""
    frames = np.array([example.frames for example in examples])

    def fits(indices):
        if batch_frames is None:
            return len(indices) <= batch_size
        return len(indices) == 1 or len(indices) * frames[indices].max() <= batch_frames

    start = 0
    while start < len(examples):
        end = start + 1
        while end < len(examples) and fits(np.arange(start, end + 1)):
            end += 1
        indices = np.arange(start, end)
        yield indices, int(frames[indices].max())
        start = end


def feature_dataset(examples: Sequence[Example], front_end: FeatureFrontEnd) -> tf.data.Dataset:
    """What the front end reads of each example, `(input, length)`, for `front_end.adapt`."""
    load = Loader(examples, front_end, None)

    def read(index):
        inputs = load.read(index)
        return inputs, tf.shape(inputs)[0]

    return tf.data.Dataset.range(len(examples)).map(
        lambda index: read(tf.cast(index, tf.int32)), num_parallel_calls=tf.data.AUTOTUNE
    )
