"""The CTC loss and its gradient for the logits.

Limit: softmax cross-entropy, one symbol a step, over the same logits and with its gradient.
"""

import functools
import os
import unittest.mock
from pathlib import Path

import numpy as np

from benchmarks import _harness
from benchmarks._harness import Case, Contender
from benchmarks._workers import Workers

SIZES = (
    {"batch": 16, "steps": 300, "vocabulary_size": 29, "symbols": 80},
    {"batch": 32, "steps": 200, "vocabulary_size": 6000, "symbols": 30},
    {"batch": 8, "steps": 1500, "vocabulary_size": 29, "symbols": 300},
)
QUICK_SIZES = (
    {"batch": 4, "steps": 100, "vocabulary_size": 29, "symbols": 25},
    {"batch": 4, "steps": 60, "vocabulary_size": 600, "symbols": 10},
    {"batch": 2, "steps": 300, "vocabulary_size": 29, "symbols": 60},
)

KNOWN_MIB = 64


def cases(quick):
    sizes = QUICK_SIZES if quick else SIZES
    return [_case(size, measures_memory=size is sizes[-1]) for size in sizes]


def _case(size, measures_memory):
    return Case(
        name=f"{size['batch']}x{size['steps']}x{size['vocabulary_size']}",
        shapes=size,
        contenders=(
            Contender("keras_ds2", ours, size, role="ours"),
            Contender("keras.ops.ctc_loss", keras_peer, size, options=_harness.JIT_OR_NOT),
            Contender("tf.compat.v1.nn.ctc_loss", tensorflow_peer, size),
            Contender("torch ctc_loss", torch_peer, size, library="torch"),
            Contender("softmax cross-entropy", limit, size, role="limit"),
        ),
        extra=functools.partial(_memory, size) if measures_memory else None,
    )


def utterances(batch, steps, vocabulary_size, symbols):
    """Made-up labels and logits of unequal lengths, all of which fit.

    Returns:
        labels int32 `(batch, symbols)`, 0-padded; logits float32; their lengths, int32.
    """
    draws = np.random.default_rng(0)
    logits = draws.normal(size=(batch, steps, vocabulary_size)).astype(np.float32)
    logit_length = draws.integers(steps * 4 // 5, steps + 1, batch).astype(np.int32)
    label_length = draws.integers(symbols * 4 // 5, symbols + 1, batch).astype(np.int32)
    logit_length[0], label_length[0] = steps, symbols
    labels = draws.integers(1, vocabulary_size, (batch, symbols)).astype(np.int32)
    labels *= np.arange(symbols) < label_length[:, np.newaxis]
    needed = label_length + np.sum((labels[:, 1:] == labels[:, :-1]) & (labels[:, 1:] > 0), axis=1)
    assert (needed <= logit_length).all()
    return labels, logits, label_length, logit_length


def ours(**size):
    import tensorflow as tf

    from keras_ds2.ops import ctc_loss

    labels, logits, label_length, logit_length = map(tf.constant, utterances(**size))
    return _work(lambda logits: ctc_loss(labels, logits, label_length, logit_length), logits)


def keras_peer(jit_compile, **size):
    import keras
    import tensorflow as tf

    labels, logits, label_length, logit_length = map(tf.constant, utterances(**size))

    def loss(logits):
        return keras.ops.ctc_loss(labels, logits, label_length, logit_length)

    return _work(loss, logits, jit_compile)


def tensorflow_peer(**size):
    """In the layout that the kernel likes best: time first, blank last."""
    import tensorflow as tf

    labels, logits, _, logit_length = utterances(**size)
    indices = np.argwhere(labels > 0)
    sparse = tf.SparseTensor(indices, labels[labels > 0] - 1, labels.shape)
    logits = tf.constant(np.roll(logits, -1, axis=2).transpose(1, 0, 2).copy())

    def loss(logits):
        return tf.compat.v1.nn.ctc_loss(sparse, logits, logit_length)

    return _work(loss, logits)


def torch_peer(**size):
    """In the layout that the kernel likes best: time first."""
    import torch
    from torch.nn import functional

    labels, logits, label_length, logit_length = map(torch.from_numpy, utterances(**size))
    logits = logits.transpose(0, 1).contiguous().requires_grad_()

    def work():
        loss = functional.ctc_loss(
            functional.log_softmax(logits, dim=-1),
            labels,
            logit_length,
            label_length,
            reduction="sum",
        )
        torch.autograd.grad(loss, logits)
        return loss.item()

    return work


def limit(**size):
    import tensorflow as tf

    logits = tf.constant(utterances(**size)[1])
    draws = np.random.default_rng(1)
    targets = tf.constant(draws.integers(0, size["vocabulary_size"], logits.shape[:2]), tf.int32)

    def loss(logits):
        return tf.nn.sparse_softmax_cross_entropy_with_logits(targets, logits)

    work = _work(loss, logits)

    def without_value():
        work()

    return without_value


def _work(loss, logits, jit_compile=False):
    step = _step(loss, jit_compile)
    return lambda: float(step(logits)[0])


def _step(loss, jit_compile=False):
    import tensorflow as tf

    @tf.function(jit_compile=jit_compile)
    def step(logits):
        with tf.GradientTape() as tape:
            tape.watch(logits)
            losses = loss(logits)
        return tf.reduce_sum(losses), tape.gradient(losses, logits)

    return step


def _memory(size, _, threads):
    # With oneDNN TensorFlow keeps what it has had in a pool, and no peak would show.
    without_pool = unittest.mock.patch.dict(os.environ, TF_ENABLE_ONEDNN_OPTS="0")
    with without_pool, Workers() as workers:
        extra = workers.call("tensorflow", threads, peak_extra_mib, **size)
        known = workers.call("tensorflow", threads, peak_of_known_mib)
    if None not in (extra, known) and not 0.9 * KNOWN_MIB < known < 1.1 * KNOWN_MIB + 8:
        raise SystemExit(f"memory cannot be measured: {KNOWN_MIB} MiB show as {known}")
    return {"keras_ds2_peak_extra_mib": extra}


def peak_extra_mib(**size):
    """What loss and gradient need at their peak beyond logits and gradient, without oneDNN.

    Returns:
        MiB, or None where the system does not tell (it takes Linux).
    """
    import tensorflow as tf

    from keras_ds2.ops import ctc_loss

    labels, logits, label_length, logit_length = map(tf.constant, utterances(**size))
    step = _step(lambda logits: ctc_loss(labels, logits, label_length, logit_length))
    peak = _peak_mib(lambda: step(logits))
    return None if peak is None else round(peak - logits.shape.num_elements() * 4 / 2**20, 1)


def peak_of_known_mib():
    """The same of something that needs `KNOWN_MIB` for a while, to see whether it shows."""
    import tensorflow as tf

    values = tf.ones((2**18,))
    largest = tf.function(lambda: tf.reduce_max(tf.tile(values, [KNOWN_MIB])))
    return _peak_mib(largest)


def _peak_mib(work, times=5):
    """By how much the process grows for a while at the most, MiB; None if not known."""
    work()  # graph, compiled code and threads are there before and do not count
    peaks = []
    for _ in range(times):
        try:
            Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
            before = _status_kib("VmRSS")
            work()
            peaks.append((_status_kib("VmHWM") - before) / 1024)
        except OSError:
            return None
    return max(peaks)


def _status_kib(name):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name))


if __name__ == "__main__":
    arguments = _harness.parser(__doc__).parse_args()
    _harness.run("ctc", cases(arguments.quick), arguments)
