"""TensorFlow without its start-up chatter, and without hiding a single real error."""

import contextlib
import functools
import logging
import os
import re
import sys
import tempfile

# What TensorFlow 2.17 writes as errors at every start on a machine with one plugin of a kind or
# without CUDA, lines about logging itself, and what XLA says of itself when it first compiles.
_CHATTER = re.compile(
    r"Unable to register cu(FFT|DNN|BLAS) factory"
    r"|All log messages before absl::InitializeLog\(\)"
    r"|computation placer already registered"
    r"|^I\d{4} .*(XLA service|StreamExecutor device|Compiled cluster using XLA)"
    r"|^I\d{4} .*Number of eligible GPUs"
    r"|^W\d{4} .*Ignored (output_format|drop_control_dependency)"
    r"|disabling MLIR crash reproducer"
    r"|server_chttp2\.cc.*No address added"  # an error that is raised and told of besides
    r"|^I\d{4} .*(Started server with target|Coordination agent has successfully connected)"
)


def import_tensorflow() -> None:
    """Imports TensorFlow and passes on what it says, but for known lines that mean nothing."""
    # 2 leaves errors; what the level cannot tell from errors is sorted out by its words below.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    os.environ["KERAS_BACKEND"] = "tensorflow"
    logging.getLogger("absl").setLevel(logging.ERROR)
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    with without_chatter():
        import tensorflow  # noqa: F401


@functools.cache
def start_xla() -> None:
    """Has XLA compile something small, and so say now what it says at its first compilation."""
    import tensorflow as tf

    with without_chatter(), tf.init_scope():
        tf.function(tf.abs, jit_compile=True, autograph=False)(1.0)


@contextlib.contextmanager
def without_chatter():
    """Holds back what is written to standard error, and then passes on what is no known chatter."""
    # The lines come from C++, past Python's sys.stderr: only the file descriptor sees them.
    sys.stderr.flush()
    descriptor = os.dup(2)
    with tempfile.TemporaryFile() as said:
        os.dup2(said.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(descriptor, 2)
            os.close(descriptor)
            said.seek(0)
            lines = said.read().decode(errors="replace").splitlines(keepends=True)
            sys.stderr.write("".join(line for line in lines if not _CHATTER.search(line)))
