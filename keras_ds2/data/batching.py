"""Which utterances make a batch, in which order: planned before anything is read."""

import dataclasses
import math

import numpy as np

NUM_BUCKETS = 8
"""Widths that batches are padded to, unless told otherwise."""

NOBODY = -1
"""Stands in a share for no utterance."""

_SPREAD = 0.15
_WIDTHS_TRIED = 200


@dataclasses.dataclass(frozen=True)
class Batch:
    """One batch: `indices` of its utterances and the `width` in frames that they are padded to."""

    indices: np.ndarray
    width: int


def bucket_widths(frames: np.ndarray, num_buckets: int = NUM_BUCKETS) -> np.ndarray:
    """Few widths that fit all utterances: those that leave the least to padding.

    Args:
        frames: int `(utterances,)`.
        num_buckets: int >= 1, how many widths at the most.

    Returns:
        int `(buckets,)`, ascending; the last is the longest utterance.
    """
    shares = np.linspace(0, 1, _WIDTHS_TRIED)
    tried = np.unique(np.quantile(frames, shares, method="higher")).astype(np.int64)
    if len(tried) <= num_buckets:
        return tried
    # padded[i, j]: frames that utterances longer than width i - 1 take when padded to width j.
    shorter = np.searchsorted(np.sort(frames), tried, side="right")
    padded = (shorter - np.concatenate([[0], shorter])[:-1, np.newaxis]) * tried.astype(float)
    padded[np.tril_indices(len(tried), -1)] = np.inf
    # least[j]: the fewest frames in all up to width j, which is one of those chosen.
    least, before = padded[0], []
    for _ in range(num_buckets - 1):
        totals = least[:-1, np.newaxis] + padded[1:]
        before.append(np.argmin(totals, axis=0))
        least = totals.min(axis=0)
    chosen = [len(tried) - 1]
    for choices in reversed(before):
        chosen.append(int(choices[chosen[-1]]))
    return tried[chosen[::-1]]


def count_shapes(
    frames: np.ndarray,
    batch_size: int | None = None,
    *,
    batch_frames: int | None = None,
    num_buckets: int = NUM_BUCKETS,
) -> int:
    """The most shapes that batches of `plan_epoch` come in: kernels are compiled once for each."""
    widths = bucket_widths(frames, num_buckets)
    if batch_frames is None:
        return len(widths) * _sizes(len(frames), batch_size)
    return sum(map(_sizes, _served(frames, widths), batch_rows(widths, batch_frames)))


def count_batches(
    frames: np.ndarray,
    batch_size: int | None = None,
    *,
    batch_frames: int | None = None,
    num_buckets: int = NUM_BUCKETS,
) -> int:
    """Batches of an epoch, the same in every one; arguments as `plan_epoch`'s."""
    if batch_frames is None:
        return math.ceil(len(frames) / batch_size)
    widths = bucket_widths(frames, num_buckets)
    rows = batch_rows(widths, batch_frames)
    return int(np.sum(np.ceil(_served(frames, widths) / rows)))


def batch_rows(widths: np.ndarray, batch_frames: int) -> np.ndarray:
    """How many utterances make a batch of each width.

    Args:
        widths: int `(buckets,)`, ascending.
        batch_frames: int, frames of a batch at the most, padding counted.

    Returns:
        int `(buckets,)`, each >= 1.

    Raises:
        ValueError: if one utterance of the largest width is already too much.
    """
    if widths[-1] > batch_frames:
        raise ValueError(
            f"batch_frames: expected at least the longest utterance, {widths[-1]} frames, received "
            f"{batch_frames}; raise training.batch_frames, or leave long utterances out by "
            "data.max_seconds"
        )
    return batch_frames // np.asarray(widths)


def largest_batch(
    frames: np.ndarray,
    symbols: np.ndarray,
    batch_size: int | None = None,
    *,
    batch_frames: int | None = None,
    num_buckets: int = NUM_BUCKETS,
) -> tuple[int, int, int]:
    """The most that a batch of `plan_epoch` may hold: frames times CTC's states decide.

    Args:
        frames: int `(utterances,)`, the length of each.
        symbols: int `(utterances,)`, how many labels each has.
        batch_size: as `plan_epoch`'s.
        batch_frames: as `plan_epoch`'s.
        num_buckets: as `plan_epoch`'s.

    Returns:
        Rows, width in frames, labels of a row.
    """
    frames, symbols = np.asarray(frames), np.asarray(symbols)
    widths = bucket_widths(frames, num_buckets)
    if batch_frames is None:
        return min(batch_size, len(frames)), int(widths[-1]), int(symbols.max())
    bucket = np.searchsorted(widths, frames)
    most = np.array([symbols[bucket == index].max() for index in range(len(widths))])
    rows = np.minimum(batch_rows(widths, batch_frames), _served(frames, widths))
    largest = np.argmax(rows * widths * (2 * most + 1))
    return int(rows[largest]), int(widths[largest]), int(most[largest])


def share_of(indices: np.ndarray, replica: int, replicas: int) -> np.ndarray:
    """The part of a batch that one of several replicas computes.

    Rows are dealt out in turn, so that every share has short and long utterances.

    Args:
        indices: int `(utterances,)`, of the whole batch.
        replica: int, 0 to `replicas - 1`.
        replicas: int >= 1.

    Returns:
        int `(rows,)`, as many rows for every replica; `NOBODY` where there is no utterance left.
    """
    indices = np.asarray(indices)
    rows = -(-len(indices) // replicas)
    own = indices[replica::replicas]
    return np.concatenate([own, np.full(rows - len(own), NOBODY, indices.dtype)])


def plan_epoch(
    frames: np.ndarray,
    batch_size: int | None = None,
    *,
    batch_frames: int | None = None,
    epoch: int,
    seed: int,
    sorta_grad: bool = True,
    num_buckets: int = NUM_BUCKETS,
) -> list[Batch]:
    """Plans an epoch: the same for the same arguments, on every machine.

    Batches hold utterances of like lengths. With `batch_size` they are sorted by length with some
    noise, so that the company changes from epoch to epoch, and cut into batches. With
    `batch_frames` each goes to the narrowest width that fits it, and each width has its own size
    of batch: many short utterances, or few long ones. The batches are shuffled. With `sorta_grad`
    the first epoch (0) goes from the shortest to the longest.

    Source: Amodei et al., 2015, arXiv:1512.02595, "SortaGrad".

    Args:
        frames: int `(utterances,)`, the length of each.
        batch_size: int >= 1, utterances of a batch; the remainder makes one smaller batch.
        batch_frames: int, in its place: frames of a batch at the most, padding counted; the
            remainder of each width makes one smaller batch.
        epoch: int >= 0.
        seed: int.
        sorta_grad: bool.
        num_buckets: int, see `bucket_widths`.

    Returns:
        `count_batches` batches that hold every utterance once.

    Raises:
        ValueError: see `batch_rows`.
    """
    frames = np.asarray(frames)
    widths = bucket_widths(frames, num_buckets)
    draws = np.random.default_rng([seed, epoch])
    in_order = sorta_grad and epoch == 0
    spread = 0.0 if in_order else _SPREAD
    noise = np.exp(draws.uniform(-spread, spread, len(frames)))
    order = np.argsort(frames * noise, kind="stable")
    if batch_frames is None:
        parts = _cut(order, batch_size)
    else:
        bucket = np.searchsorted(widths, frames)[order]
        parts = []
        for index, rows in enumerate(batch_rows(widths, batch_frames)):
            members = order[bucket == index]
            parts += _cut(members if in_order else draws.permutation(members), rows)
    if not in_order:
        parts = [parts[index] for index in draws.permutation(len(parts))]
    return [Batch(part, int(widths[np.searchsorted(widths, frames[part].max())])) for part in parts]


def _cut(order, size):
    return [order[start : start + size] for start in range(0, len(order), size)]


def _served(frames, widths):
    """How many utterances each width serves."""
    return np.bincount(np.searchsorted(widths, frames), minlength=len(widths))


def _sizes(utterances, batch_size):
    """Whole batches are of one size, the remainder of another."""
    return int(utterances >= batch_size) + int(utterances % batch_size > 0)
