"""A plan of batches held in tensors, so that a graph on any machine makes any of them."""

from collections.abc import Iterable

import numpy as np
import tensorflow as tf


class Plan:
    """What is in each batch of a training, by the batch's number.

    Args:
        batches: `(indices, width, seed)` of each, see `Loader.batch`.
    """

    def __init__(self, batches: Iterable[tuple[np.ndarray, int, tuple[int, int]]]):
        parts, widths, seeds = [np.zeros(0, np.int32)], [], []
        for indices, width, seed in batches:
            parts.append(np.asarray(indices, np.int32))
            widths.append(width)
            seeds.append(seed)
        with tf.device("CPU:0"):  # where datasets compute
            self._indices = tf.constant(np.concatenate(parts))
            self._splits = tf.constant(np.cumsum([len(part) for part in parts]), tf.int64)
            self._widths = tf.constant(widths, tf.int32)
            self._seeds = tf.constant(np.reshape(seeds, (-1, 2)), tf.int32)

    def __len__(self) -> int:
        return int(self._widths.shape[0])

    def batch(self, number):
        """In graph, `(indices, width, seed)`: int32 `(utterances,)`, `()` and `(2,)`.

        Args:
            number: scalar int64; past the last batch it begins with the first one again.
        """
        number %= len(self)
        indices = self._indices[self._splits[number] : self._splits[number + 1]]
        return indices, self._widths[number], self._seeds[number]
