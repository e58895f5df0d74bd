"""Mean and variance of the frames so far: many frames at a time, a few products instead of a loop.

With `w[t] = 1 / min(prior + t, memory)` for the `t`-th real frame:

    mean[t] = mean[t - 1] + w[t] (x[t] - mean[t - 1])
    variance[t] = (1 - w[t]) (variance[t - 1] + w[t] (x[t] - mean[t - 1])^2)

Nothing is added up over the whole past and nothing cancels, so an hour is as exact as a second.
"""

import tensorflow as tf

BLOCK_FRAMES = 64
"""Frames that `moments_so_far` takes at a time over a whole utterance: a product's width."""


def first_state(batch, bins):
    """The state before the first frame, of values whose prior has mean 0 and variance 1.

    Args:
        batch: int or int scalar tensor.
        bins: int.

    Returns:
        `(mean, variance, count)`: float32 `(batch, bins)`, `(batch, bins)` and `(batch,)`, the last
        the frames so far, which stop counting at `memory_frames`.
    """
    return tf.zeros((batch, bins)), tf.ones((batch, bins)), tf.zeros((batch,))


def moments_of_block(values, real, state, prior_frames, memory_frames):
    """Moments after each frame of a few.

    Args:
        values: float32 `(batch, frames, bins)`, finite; frames in the tens, the work grows with
            their square.
        real: bool `(batch, frames)`; what is not real leaves the moments as they are.
        state: of `first_state`, or of the block before.
        prior_frames: int >= 1, frames that the state before the first frame counts for.
        memory_frames: int >= prior_frames; from then on the past fades, `1 - 1 / memory` a frame.

    Returns:
        `(means, variances, state)`, the first two `(batch, frames, bins)`.
    """
    mean, variance, count = state
    mean, variance = tf.expand_dims(mean, 1), tf.expand_dims(variance, 1)
    counted = tf.cast(real, tf.float32)
    counts = tf.expand_dims(count, 1) + tf.cumsum(counted, axis=1)
    weights = counted / tf.minimum(prior_frames + counts, float(memory_frames))
    # What is left of frame j at frame i: the product of (1 - weight) over the frames between.
    logarithms = tf.cumsum(tf.math.log1p(-weights), axis=1)
    left = tf.expand_dims(logarithms, 2) - tf.expand_dims(logarithms, 1)
    left = tf.linalg.band_part(tf.exp(tf.minimum(left, 0.0)), -1, 0)
    carried = tf.expand_dims(tf.exp(logarithms), 2)
    weights = tf.expand_dims(weights, 2)

    means = tf.matmul(left, weights * values) + carried * mean
    before = tf.concat([mean, means[:, :-1]], axis=1)
    spread = weights * (1.0 - weights) * tf.square(values - before)
    variances = tf.matmul(left, spread) + carried * variance
    counts = tf.minimum(counts[:, -1], float(memory_frames))
    return means, variances, (means[:, -1], variances[:, -1], counts)


def moments_so_far(values, real, prior_frames, memory_frames):
    """Moments after each frame of whole utterances: `(means, variances)`, as `moments_of_block`."""
    batch, frames, bins = tf.unstack(tf.shape(values))
    blocks = tf.maximum((frames + BLOCK_FRAMES - 1) // BLOCK_FRAMES, 1)
    padding = blocks * BLOCK_FRAMES - frames
    values = tf.pad(values, [[0, 0], [0, padding], [0, 0]])
    # By hand, since not every runtime pads bools.
    real = tf.concat([real, tf.zeros((batch, padding), tf.bool)], axis=1)
    shape = (values.shape[0], BLOCK_FRAMES, values.shape[-1])
    results = [tf.TensorArray(tf.float32, blocks, element_shape=shape) for _ in range(2)]

    def turn(block, state, results):
        part = slice(block * BLOCK_FRAMES, (block + 1) * BLOCK_FRAMES)
        *moments, state = moments_of_block(
            values[:, part], real[:, part], state, prior_frames, memory_frames
        )
        pairs = zip(results, moments, strict=True)
        return block + 1, state, [result.write(block, moment) for result, moment in pairs]

    _, _, results = tf.while_loop(
        lambda block, *_: block < blocks,
        turn,
        (0, first_state(batch, values.shape[-1] or bins), results),
        shape_invariants=(
            tf.TensorShape([]),
            (
                tf.TensorShape([None, values.shape[-1]]),
                tf.TensorShape([None, values.shape[-1]]),
                tf.TensorShape([None]),
            ),
            [tf.TensorShape(None)] * 2,
        ),
    )

    def whole(result):
        stacked = tf.transpose(result.stack(), (1, 0, 2, 3))
        return tf.reshape(stacked, (batch, blocks * BLOCK_FRAMES, bins))[:, :frames]

    return [whole(result) for result in results]
