"""Which utterances make a batch, in which order: planned before anything is read."""

import dataclasses
import math

import numpy as np

NUM_BUCKETS = 8
"""Widths that batches are padded to, unless told otherwise."""

_SPREAD = 0.15


@dataclasses.dataclass(frozen=True)
class Batch:
    """One batch: `indices` of its utterances and the `width` in frames that they are padded to."""

    indices: np.ndarray
    width: int


def bucket_widths(frames: np.ndarray, num_buckets: int = NUM_BUCKETS) -> np.ndarray:
    """Few widths that fit all utterances: each serves about as many of them.

    Args:
        frames: int `(utterances,)`.
        num_buckets: int >= 1, how many widths at the most.

    Returns:
        int `(buckets,)`, ascending; the last is the longest utterance.
    """
    shares = np.arange(1, num_buckets + 1) / num_buckets
    return np.unique(np.quantile(frames, shares, method="higher")).astype(np.int64)


def count_shapes(frames: np.ndarray, batch_size: int, num_buckets: int = NUM_BUCKETS) -> int:
    """The most shapes that batches of `plan_epoch` come in: kernels are compiled once for each."""
    sizes = (len(frames) >= batch_size) + (len(frames) % batch_size > 0)
    return len(bucket_widths(frames, num_buckets)) * sizes


def count_batches(utterances: int, batch_size: int) -> int:
    """Batches of an epoch, the same in every one."""
    return math.ceil(utterances / batch_size)


def plan_epoch(
    frames: np.ndarray,
    batch_size: int,
    *,
    epoch: int,
    seed: int,
    sorta_grad: bool = True,
    num_buckets: int = NUM_BUCKETS,
) -> list[Batch]:
    """Plans an epoch: the same for the same arguments, on every machine.

    Batches hold utterances of like lengths: sorted by length with some noise, so that the company
    changes from epoch to epoch, cut into batches, and the batches shuffled. With `sorta_grad` the
    first epoch (0) goes from the shortest to the longest.

    Source: Amodei et al., 2015, arXiv:1512.02595, "SortaGrad".

    Args:
        frames: int `(utterances,)`, the length of each.
        batch_size: int >= 1; the remainder makes one smaller batch.
        epoch: int >= 0.
        seed: int.
        sorta_grad: bool.
        num_buckets: int, see `bucket_widths`.

    Returns:
        `count_batches` batches that hold every utterance once.
    """
    frames = np.asarray(frames)
    widths = bucket_widths(frames, num_buckets)
    draws = np.random.default_rng([seed, epoch])
    in_order = sorta_grad and epoch == 0
    spread = 0.0 if in_order else _SPREAD
    noise = np.exp(draws.uniform(-spread, spread, len(frames)))
    order = np.argsort(frames * noise, kind="stable")
    parts = [order[start : start + batch_size] for start in range(0, len(order), batch_size)]
    if not in_order:
        parts = [parts[index] for index in draws.permutation(len(parts))]
    return [Batch(part, int(widths[np.searchsorted(widths, frames[part].max())])) for part in parts]
