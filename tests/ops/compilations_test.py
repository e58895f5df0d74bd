"""How often XLA compiles the kernels: once a shape, counted by what it dumps."""

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]

CODE = """
from keras_ds2.quiet import import_tensorflow
import_tensorflow()
import tensorflow as tf
from keras_ds2.ops import clipped_relu_recurrence, ctc_loss, gru_recurrence

for steps, length, symbols in ((100, 100, 5), (100, 84, 9), (99, 60, 2), (97, 3, 1)):
    logits = tf.random.normal((4, steps, 6))
    labels = tf.ones((4, symbols), tf.int32)
    ctc_loss(labels, logits, [symbols, 1, 1, 1], [length, length - 1, 3, 2])
    mask = tf.sequence_mask([length, 2, 1, 1], steps)
    clipped_relu_recurrence(logits, [tf.eye(6), tf.eye(6)], mask)
    gru_recurrence(logits, [tf.ones((2, 6))], mask)
"""


def test_lengths_and_near_widths_share_what_is_compiled(tmp_path):
    subprocess.run(
        [sys.executable, "-c", CODE],
        check=True,
        cwd=CHECKOUT,
        env={**os.environ, "XLA_FLAGS": f"--xla_dump_to={tmp_path} --xla_dump_hlo_as_text"},
    )
    compiled = Counter(
        kernel
        for path in tmp_path.glob("*.before_optimizations.txt")
        for kernel in ("compiled_lattice", "clipped_relu_forward", "gru_forward")
        if kernel in path.name
    )
    # Of the two directions each is a program of its own.
    assert compiled == {"compiled_lattice": 1, "clipped_relu_forward": 2, "gru_forward": 1}
