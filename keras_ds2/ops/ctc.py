"""Connectionist temporal classification: the loss of each utterance."""

import tensorflow as tf

from keras_ds2.sequence import lengths_to_mask, zero_masked


def ctc_loss(labels, logits, label_length, logit_length):
    """Negative log probability of each utterance's labels, summed over all alignments.

    An utterance whose labels cannot fit its steps (see `labels_fit`) has no alignment: its loss
    and its gradient are 0, never an infinity, and the caller leaves it out of a mean.

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
    label_length = tf.cast(label_length, tf.int32)
    logit_length = tf.cast(logit_length, tf.int32)
    logits = tf.cast(logits, tf.float32)
    step_mask = lengths_to_mask(logit_length, tf.shape(logits)[1])
    logits = zero_masked(logits, step_mask)
    fits = labels_fit(labels, label_length, logit_length)

    # The kernel takes neither an empty label nor one that does not fit. Such rows go through it
    # with the one symbol 1 over one step at least, and what it says of them is dropped.
    fit_for_kernel = fits & (label_length > 0)
    kernel_losses = _kernel(
        tf.where(fit_for_kernel[:, tf.newaxis], labels, 1),
        logits,
        tf.where(fit_for_kernel, label_length, 1),
        tf.where(fit_for_kernel, logit_length, tf.maximum(logit_length, 1)),
    )
    # An empty label has one alignment: blank at every step.
    blanks = tf.nn.log_softmax(logits)[..., 0]
    blank_losses = -tf.reduce_sum(zero_masked(blanks, step_mask), axis=1)
    losses = tf.where(fit_for_kernel, kernel_losses, blank_losses)
    return tf.where(fits, losses, tf.zeros_like(losses))


def _kernel(labels, logits, label_length, logit_length):
    """TensorFlow's sparse-label kernel; every row has a label and a step.

    In float64: the kernel multiplies probabilities, and those of float32 reach 0, a loss of
    infinity, where one logit lies 104 above another. (`tf.nn.ctc_loss` takes float32 alone.)
    """
    labels = tf.pad(
        labels, [[0, 0], [0, tf.maximum(1 - tf.shape(labels)[1], 0)]], constant_values=1
    )
    logits = tf.pad(logits, [[0, 0], [0, tf.maximum(1 - tf.shape(logits)[1], 0)], [0, 0]])
    # This kernel's blank is the last id.
    logits = tf.concat([logits[..., 1:], logits[..., :1]], axis=-1)
    indices = tf.where(lengths_to_mask(label_length, tf.shape(labels)[1]))
    sparse_labels = tf.SparseTensor(
        indices, tf.gather_nd(labels, indices) - 1, tf.shape(labels, out_type=tf.int64)
    )
    losses = tf.compat.v1.nn.ctc_loss(
        sparse_labels, tf.cast(logits, tf.float64), logit_length, time_major=False
    )
    return tf.cast(losses, tf.float32)


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
