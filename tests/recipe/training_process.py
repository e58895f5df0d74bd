"""Training runs in processes of their own, to be killed or to be let run out of space.

Importing TensorFlow takes most of a short run's time, so one process imports it, and forks for each
run before TensorFlow has started a thread: `python -m tests.recipe.training_process`.
"""

import json
import os
import subprocess
import sys
import traceback
from pathlib import Path


class Trainings:
    """Starts training runs of a recipe's file; a context manager."""

    def __init__(self, recipe: Path):
        self.recipe = recipe
        root = Path(__file__).resolve().parents[2]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.recipe.training_process"],
            cwd=root,
            env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "KERAS_BACKEND": "tensorflow"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()

    def start(self, output: Path, **options) -> int:
        """Starts a run that says what it says in `output.log`; returns its process's id."""
        order = {"recipe": str(self.recipe), "output": str(output), **options}
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())

    def wait(self) -> int:
        """Waits for the run's end; returns its exit status, or minus the signal that ended it."""
        return os.waitstatus_to_exitcode(int(self.process.stdout.readline()))

    def train(self, output: Path, **options) -> int:
        """A whole run."""
        self.start(output, **options)
        return self.wait()


def said(output: Path) -> str:
    """What the last run into a folder has said."""
    return output.with_suffix(".log").read_text()


def main():
    import keras_ds2.recipe.train  # noqa: F401  all that a run imports

    for line in sys.stdin:
        order = json.loads(line)
        process = os.fork()
        if not process:
            _train(**order)
        print(process, flush=True)
        print(os.waitpid(process, 0)[1], flush=True)


def _train(recipe, output, file_size=None, reserve=True):
    """Trains and ends the process."""
    log = os.open(f"{output}.log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
    os.dup2(log, 1)
    os.dup2(log, 2)
    try:
        if file_size is not None:
            import resource

            resource.setrlimit(resource.RLIMIT_FSIZE, (file_size, file_size))
        if not reserve:
            from keras_ds2 import atomic_write
            from keras_ds2.training import checkpoints

            atomic_write.reserve = checkpoints.reserve = lambda path, size: None
        from keras_ds2.cli import main

        status = main(["train", recipe, "--output", output])
    except BaseException:
        traceback.print_exc()
        status = 99
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


if __name__ == "__main__":
    main()
