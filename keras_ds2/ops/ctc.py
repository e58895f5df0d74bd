"""Connectionist temporal classification: loss and gradient in one pass.

The vocabulary stays outside the recursion. The columns of each utterance's own symbols are taken
from the logits once; the recursion over steps runs on these, compiled by XLA; and what it hands
back, each symbol's share of each step, is taken from the softmax to make the gradient. So the work
on the full vocabulary is one softmax, and memory beyond logits and gradient grows with steps x
labels.
"""

import tensorflow as tf

from keras_ds2.ops.compiled import has_gpu, in_xla, rounded_up, with_gradient
from keras_ds2.ops.lattice import lattice
from keras_ds2.sequence import lengths_to_mask, zero_masked

# Up to this vocabulary a product with one-hot labels takes and returns columns faster than a gather
# and a scatter.
_ONE_HOT_VOCABULARY = 256
# A logit of minus infinity stands for a symbol ruled out; arithmetic needs a number.
_LOWEST = -1e30


def ctc_loss(labels, logits, label_length, logit_length):
    """Negative log probability of each utterance's labels, summed over all alignments.

    An utterance whose labels cannot fit its steps (see `labels_fit`) has no alignment: its loss
    and its gradient are 0, never an infinity, and the caller leaves it out of a mean. A label
    beyond the vocabulary makes its utterance's loss NaN.

    Source: Graves et al., 2006, "Connectionist Temporal Classification".

    Args:
        labels: int `(batch, symbols)`, 0-padded; blank is id 0 and stands in no label.
        logits: float `(batch, steps, vocabulary_size)`, before softmax. Half precision is computed
            in float32.
        label_length: int `(batch,)`, symbols of each row.
        logit_length: int `(batch,)`, real steps of each row; what stands behind them is not read.

    Returns:
        float32 `(batch,)`.
    """
    labels = tf.cast(labels, tf.int32)
    logits = tf.cast(logits, tf.float32)
    label_length = tf.cast(label_length, tf.int32)
    logit_length = tf.cast(logit_length, tf.int32)
    labels = zero_masked(labels, lengths_to_mask(label_length, tf.shape(labels)[1]))
    fits = labels_fit(labels, label_length, logit_length)

    @with_gradient
    def loss(logits):
        real = lengths_to_mask(logit_length, tf.shape(logits)[1])
        columns = _Columns(labels, logits)
        scores = columns.take(logits)
        blank = tf.maximum(logits[..., 0], _LOWEST)
        # Relative to the best of them in each step, so that sums stay small.
        best_score = tf.reduce_max(scores, axis=-1)
        best = tf.maximum(blank, best_score)
        best_id = tf.where(blank >= best_score, 0, columns.ids_of_best(scores))
        log_probability, share = lattice(
            tf.where(real[..., tf.newaxis], scores - best[..., tf.newaxis], _LOWEST),
            tf.where(real, blank - best, 0),
            columns.labels,
            label_length,
            tf.reduce_max(logit_length),
        )
        softmax = tf.nn.softmax(logits)
        normaliser = _log_sum_exp(logits, softmax, best, best_id, real)
        losses = tf.reduce_sum(tf.where(real, normaliser - best, 0), axis=-1) - log_probability

        def gradient(upstream):
            # 0 beats NaN in `multiply_no_nan`: what stands behind the real steps may be NaN.
            weight = tf.where(real & fits[:, tf.newaxis], upstream[:, tf.newaxis], 0)
            expected = tf.math.multiply_no_nan(softmax, weight[..., tf.newaxis])
            weight = weight[..., tf.newaxis]
            return columns.subtract(expected, tf.math.multiply_no_nan(share, weight), weight)

        return tf.where(fits, losses, 0), gradient

    return tf.ensure_shape(loss(logits), logits.shape[:1])


class _Columns:
    """The columns of each row's labels, in logits `(batch, steps, vocabulary_size)`."""

    def __init__(self, labels, logits):
        width = rounded_up(tf.shape(labels)[1] + 1)
        labels = tf.pad(labels, [[0, 0], [0, width - tf.shape(labels)[1]]])
        vocabulary_size = tf.shape(logits)[-1]
        self._invalid = labels >= vocabulary_size
        # `(batch, symbols + 1 or more)`: the lattice wants an empty column at the end.
        self.labels = tf.minimum(labels, vocabulary_size - 1)
        # Not on a GPU, whose products round to ten bits.
        self._one_hot = None
        static_size = logits.shape[-1]
        if static_size is not None and static_size <= _ONE_HOT_VOCABULARY and not has_gpu():
            self._one_hot = tf.one_hot(self.labels, static_size)

    def take(self, logits):
        """The columns, `(batch, steps, symbols)`; NaN where a label is beyond the vocabulary."""
        if self._one_hot is None:
            columns = tf.gather(logits, self.labels, axis=2, batch_dims=1)
        else:
            finite = tf.maximum(logits, _LOWEST)  # else 0 times infinity
            columns = tf.matmul(finite, self._one_hot, transpose_b=True)
        invalid = tf.where(self._invalid, float("nan"), 0.0)
        return tf.maximum(columns, _LOWEST) + invalid[:, tf.newaxis]

    def ids_of_best(self, scores):
        """The id of each step's best column, `(batch, steps)`."""
        places = tf.argmax(scores, axis=-1, output_type=tf.int32)
        return tf.gather(self.labels, places, batch_dims=1)

    def subtract(self, values, share, weight):
        """`values` less each label's share; blank's is what they leave of `weight`."""
        blank = weight[..., 0] - tf.reduce_sum(share, axis=-1)
        if self._one_hot is not None:
            is_blank = tf.one_hot(0, self._one_hot.shape[-1])
            return values - tf.matmul(share, self._one_hot) - blank[..., tf.newaxis] * is_blank
        shape = tf.shape(values, out_type=tf.int64)
        rows = tf.reshape(tf.range(shape[0] * shape[1]) * shape[2], (shape[0], shape[1], 1))
        labels = tf.pad(tf.cast(self.labels, tf.int64), [[0, 0], [1, 0]])  # blank's column first
        share = tf.concat([blank[..., tf.newaxis], share], axis=-1)
        values = _subtract_at(
            tf.reshape(values, [-1]),
            tf.reshape(rows + labels[:, tf.newaxis], [-1]),
            tf.reshape(share, [-1]),
        )
        return tf.reshape(values, shape)


def _subtract_at(values, indices, amounts):
    """`values[indices[i]] -= amounts[i]`, for all `i`; indices may repeat."""
    indices = indices[:, tf.newaxis]
    if in_xla() or has_gpu():
        return tf.tensor_scatter_nd_sub(values, indices, amounts)
    # The same on processors, and faster, though it copies `values`.
    return tf.raw_ops.SparseTensorDenseAdd(
        a_indices=indices,
        a_values=-amounts,
        a_shape=tf.shape(values, out_type=tf.int64),
        b=values,
    )


def _log_sum_exp(logits, softmax, best, best_id, real):
    """The logarithm of softmax's denominator, `(batch, steps)`.

    Softmax has computed it already and does not tell; it shows in the best column's probability,
    where that is not so small that nothing is left of it.
    """
    probability = tf.gather(softmax, best_id, axis=2, batch_dims=2)
    # NaN, of a broken model, goes either way.
    return tf.cond(
        tf.reduce_any(real & (probability < 1e-30)),
        lambda: tf.reduce_logsumexp(logits, axis=-1),
        lambda: best - tf.math.log(probability),
    )


def labels_fit(labels, label_length, logit_length):
    """Tells which utterances have an alignment at all.

    CTC needs a step for each symbol and one more, a blank, between two equal neighbours.

    Args:
        labels: int `(batch, symbols)`, 0-padded.
        label_length: int `(batch,)`.
        logit_length: int `(batch,)`.

    Returns:
        bool `(batch,)`, True where the labels fit the steps.
    """
    label_length, logit_length = tf.cast(label_length, tf.int32), tf.cast(logit_length, tf.int32)
    symbols = tf.shape(labels)[1]
    pairs = lengths_to_mask(label_length - 1, tf.maximum(symbols - 1, 0))
    repeats = tf.logical_and(tf.equal(labels[:, 1:], labels[:, :-1]), pairs)
    needed = label_length + tf.reduce_sum(tf.cast(repeats, tf.int32), axis=1)
    return needed <= logit_length
