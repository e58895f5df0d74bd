"""CTC's lattice: the sum over all alignments, and each symbol's share of each step.

Two loops over the steps, forward and back, each a handful of fused passes over `(batch, symbols)`.
States are logarithms, split into symbols and the blanks before them: one state of each kind takes
two sums of two terms, where a row of both kinds side by side takes two of three.

Every few steps each row is shifted by a whole number so that its best state lies near 0: the sum of
the shifts is exact, and with it the score. The shares lose precision where the alignments that
count lie far below the best state on the way, as with random logits of +-100 over thousands of
steps; each block of steps is made to sum to 1 by itself, so that errors do not pile up.
"""

import tensorflow as tf

from keras_ds2.ops.compiled import (
    compiled,
    has_gpu,
    loops_side_by_side,
    read,
    rounded_up,
    write,
)

_NEVER = -1e30  # log 0 that survives additions
_BLOCK = 16  # steps between two shifts; divides what `rounded_up` returns


def lattice(symbol_scores, blank_scores, labels, label_length, steps):
    """Sums over all alignments of labels to steps.

    Args:
        symbol_scores: float32 `(batch, time, width)`, the logarithm of each label's score in each
            step, `<= 0`; -1e30 behind a row's real steps. `width` exceeds every label length.
        blank_scores: float32 `(batch, time)`, that of blank; 0 behind a row's real steps.
        labels: int32 `(batch, width)`.
        label_length: int32 `(batch,)`.
        steps: int32 scalar, no more than `time`: no row has real steps behind it.

    Returns:
        `(log_score, share)`: float32 `(batch,)`, the logarithm of the sum over alignments of the
        product of their scores; float32 `(batch, time, width)`, the share of that sum that goes
        through each label at each step, to be summed to 1 with blank's.
    """
    batch, time = tf.unstack(tf.shape(blank_scores))
    shards = loops_side_by_side()  # of equally many rows
    rows = tf.maximum((batch + shards - 1) // shards, 1)
    blocks = (steps + _BLOCK - 1) // _BLOCK
    parts = []
    for shard in range(shards):
        part = slice(shard * rows, (shard + 1) * rows)
        missing = [[0, rows - tf.shape(labels[part])[0]]]
        padding = [*missing, [0, rounded_up(time) - time]]
        parts.append(
            _compiled_lattice(
                tf.pad(symbol_scores[part], [*padding, [0, 0]], constant_values=_NEVER),
                tf.pad(blank_scores[part], padding),
                tf.pad(labels[part], [*missing, [0, 0]]),
                tf.pad(label_length[part], missing),
                blocks,
            )
        )
    log_score = tf.concat([score for score, _ in parts], axis=0)
    share = tf.concat([share[:, :time] for _, share in parts], axis=0)
    return log_score[:batch], share[:batch]


@compiled
def _compiled_lattice(symbol_scores, blank_scores, labels, label_length, blocks):
    batch, _, width = tf.unstack(tf.shape(symbol_scores))
    none = tf.fill((batch, width), _NEVER)
    # Straight from one label to the next, without a blank between, where they differ.
    skips = tf.pad(labels[:, 1:] != labels[:, :-1], [[0, 0], [1, 0]], constant_values=True)
    is_end = tf.range(width) == label_length[:, tf.newaxis]
    is_last = tf.range(width) == label_length[:, tf.newaxis] - 1

    before, ends, shift, symbols, blanks = _forward(
        symbol_scores, blank_scores, skips, tf.where(tf.range(width) == 0, 0.0, none), blocks
    )
    # After the last step: on the last label, or on the blank behind it.
    end = _add_logs(
        tf.reduce_max(tf.where(is_last, symbols, _NEVER), axis=1),
        tf.reduce_max(tf.where(is_end, blanks, _NEVER), axis=1),
    )
    share = _backward(
        symbol_scores,
        blank_scores,
        skips,
        tf.where(is_end, 0.0, none),
        blocks,
        before,
        ends,
    )
    return end + shift, share


def _forward(symbol_scores, blank_scores, skips, blanks, blocks):
    """What reaches each symbol, its own score in that step left out; each block's last states.

    Then the sum of all shifts, and the states after the last step.
    """
    batch, time, width = tf.unstack(tf.shape(symbol_scores))

    def block(i, symbols, blanks, before, ends, shift):
        def step(k, symbols, blanks, before):
            t = i * _BLOCK + k
            to_blank = _add_logs(blanks, _moved_right(symbols))
            to_symbol = _add_logs(symbols, tf.where(skips, to_blank, blanks))
            return (
                to_symbol + read(symbol_scores, t, axis=1),
                to_blank + blank_scores[:, t, tf.newaxis],
                write(before, t, to_symbol, axis=1),
            )

        symbols, blanks, before = _through_block(step, symbols, blanks, before)
        ends = _written(ends, i, tf.stack([symbols, blanks]))
        symbols, blanks, more = _shifted(symbols, blanks)
        return i + 1, symbols, blanks, before, ends, shift + more

    _, symbols, blanks, before, ends, shift = tf.while_loop(
        lambda i, *_: i < blocks,
        block,
        (
            0,
            tf.fill((batch, width), _NEVER),
            blanks,
            tf.zeros((batch, time, width)),
            tf.zeros((time // _BLOCK, 2, batch, width)),
            tf.zeros((batch,)),
        ),
    )
    return before, ends, shift, symbols, blanks


def _backward(symbol_scores, blank_scores, skips, blanks, blocks, before, ends):
    """The same from the end, joined with `before`: the share of each symbol in each step."""
    batch, time, width = tf.unstack(tf.shape(symbol_scores))

    def onward(symbols, blanks):
        from_blank = _add_logs(blanks, symbols)
        return _add_logs(symbols, _moved_left(tf.where(skips, from_blank, blanks))), from_blank

    def block(i, symbols, blanks, share):
        # Through whichever state: at every step the same sum but for rounding.
        through = ends[i] + tf.stack(onward(symbols, blanks))
        total = tf.reduce_logsumexp(through, axis=(0, 2))

        def step(k, symbols, blanks, share):
            t = (i + 1) * _BLOCK - 1 - k
            from_symbol, from_blank = onward(symbols, blanks)
            symbols = from_symbol + read(symbol_scores, t, axis=1)
            blanks = from_blank + blank_scores[:, t, tf.newaxis]
            now = tf.exp(symbols + read(before, t, axis=1) - total[:, tf.newaxis])
            return symbols, blanks, write(share, t, now, axis=1)

        symbols, blanks, share = _through_block(step, symbols, blanks, share)
        symbols, blanks, _ = _shifted(symbols, blanks)
        return i - 1, symbols, blanks, share

    _, _, _, share = tf.while_loop(
        lambda i, *_: i >= 0,
        block,
        (
            blocks - 1,
            tf.fill((batch, width), _NEVER),
            blanks,
            tf.zeros((batch, time, width)),
        ),
    )
    return share


def _through_block(step, *state):
    """`state = step(k, *state)` for all `k` of a block."""
    if has_gpu():
        # Written out: a GPU would wait for the processor at every turn of a loop.
        for k in range(_BLOCK):
            state = step(k, *state)
        return state
    return tf.while_loop(
        lambda k, *_: k < _BLOCK, lambda k, *state: (k + 1, *step(k, *state)), (0, *state)
    )[1:]


def _add_logs(a, b):
    return tf.maximum(a, b) + tf.math.log(1 + tf.exp(-tf.abs(a - b)))


def _moved_right(values):
    return tf.pad(values[:, :-1], [[0, 0], [1, 0]], constant_values=_NEVER)


def _moved_left(values):
    return tf.pad(values[:, 1:], [[0, 0], [0, 1]], constant_values=_NEVER)


def _shifted(symbols, blanks):
    shift = tf.floor(tf.reduce_max(tf.maximum(symbols, blanks), axis=1))
    return symbols - shift[:, tf.newaxis], blanks - shift[:, tf.newaxis], shift


def _written(rows, index, row):
    return tf.tensor_scatter_nd_update(rows, [[index]], row[tf.newaxis])
