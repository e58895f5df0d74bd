"""The `keras-ds2` command: parses arguments, calls, prints."""

import sys
from collections.abc import Sequence

from keras_ds2.cli.parser import build_parser
from keras_ds2.quiet import import_tensorflow

INTERRUPTED = 130
"""Exit status after Ctrl-C, as a shell's."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command.

    Args:
        arguments: what stands behind `keras-ds2`; None for the process's own.

    Returns:
        The exit status: 0, 1 after an error, 2 for wrong usage, 75 when another worker of the same
        training has died, 130 after Ctrl-C.
    """
    chosen = build_parser().parse_args(arguments)
    if not chosen.needs_tensorflow(chosen):
        return _run_light(chosen)
    import_tensorflow()
    from rich.console import Console

    from keras_ds2.training.agreement import WorkerLost
    from keras_ds2.training.callbacks import TrainingError, TrainingInterrupted
    from keras_ds2.training.launcher import LOST

    console = Console()
    try:
        return chosen.run(chosen, console)
    except TrainingInterrupted:
        console.print("stopped, nothing is lost: the same command goes on from here")
    except KeyboardInterrupt:
        console.print("stopped")
    except WorkerLost as error:
        print(f"keras-ds2: {error}", file=sys.stderr)
        return LOST
    except (ValueError, TrainingError, ImportError, OSError) as error:
        print(f"keras-ds2: {error}", file=sys.stderr)
        return 1
    return INTERRUPTED


def _run_light(chosen):
    """Runs a command that computes nothing itself, without waiting for TensorFlow."""
    try:
        return chosen.run(chosen, None)
    except KeyboardInterrupt:
        return INTERRUPTED
    except (ValueError, RuntimeError, OSError) as error:
        print(f"keras-ds2: {error}", file=sys.stderr)
        return 1
