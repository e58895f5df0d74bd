"""A recipe trained under a strategy, and what every replica had at the end.

Logical devices and workers have to be set up before TensorFlow starts, and of mirrored strategies a
process bears one, so this file runs as a program of its own.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np

ROOT = Path(__file__).resolve().parents[1]
QUIET = {"TF_CPP_MIN_LOG_LEVEL": "3", "KERAS_BACKEND": "tensorflow"}
_OPTIONS = "KERAS_DS2_TEST_OPTIONS"
TWO_REPLICAS = ("training.strategy=mirrored", "training.replicas=2")


def mirrored(recipe_file, output, *changes):
    """Trains on two logical devices; returns the replicas' variables, `[{path: values}] * 2`."""
    command = _command(recipe_file, output, *TWO_REPLICAS, *changes)
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, **QUIET}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return _replicas(output)


def two_workers(recipe_file, output, *changes, **options):
    """The same in two processes; what they say is left in `output.said`."""
    launcher = start_two_workers(recipe_file, output, *changes, **options)
    said, errors = launcher.communicate()
    assert launcher.returncode == 0, errors[-4000:]
    Path(f"{output}.said").write_text(said + errors)
    return _replicas(output)


def start_two_workers(recipe_file, output, *changes, **options):
    """The process that starts them; `options` are those of `main`."""
    command = _command(recipe_file, output, "training.strategy=multi_worker", *changes)
    code = f"from keras_ds2.training.launcher import launch; raise SystemExit(launch({command}, 2))"
    return subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**os.environ, **QUIET, _OPTIONS: json.dumps(options)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def other_output(output):
    """The run folder that the second of two workers is given."""
    return Path(f"{output}.worker_1")


def saved_values(run):
    """All that the newest checkpoint of a run holds: `{path: values}`."""
    newest = sorted((Path(run) / "checkpoints").glob("iteration-*"))[-1]
    values = {}

    def visit(path, item):
        if isinstance(item, h5py.Dataset):
            values[path] = item[()]

    with h5py.File(newest / "model.weights.h5") as file:
        file.visititems(visit)
    return values


def assert_same_values(found, expected, atol=1e-5):
    """Two dictionaries of values, entry by entry."""
    assert found.keys() == expected.keys()
    for path, values in expected.items():
        np.testing.assert_allclose(found[path], values, rtol=0, atol=atol, err_msg=path)


def _command(recipe_file, output, *changes):
    command = [sys.executable, "-m", "tests.distributed_run", str(recipe_file), str(output)]
    return [*command, *changes]


def _replicas(output):
    found = sorted(_folder(output).iterdir())
    assert len(found) == 2, found
    return [dict(np.load(path)) for path in found]


def _folder(output):
    return Path(f"{output}.replicas")


def main(recipe_file, output, *changes):
    """Trains; every process leaves a file for each of its replicas beside `output`.

    Options, in the environment: `others_changes`, of the second worker's recipe;
    `others_removals`, files that go when it has read all once; `validation_seconds`.
    """
    import time

    import tensorflow as tf
    from rich.console import Console

    from keras_ds2.recipe import load_recipe
    from keras_ds2.recipe import train as module
    from keras_ds2.training.callbacks import TrainingInterrupted
    from keras_ds2.training.cluster import VARIABLE, read_cluster

    trained = []
    train = module.train

    worker = read_cluster().index if VARIABLE in os.environ else 0
    options = json.loads(os.environ.get(_OPTIONS, "{}"))

    def watched(model, make_dataset, validate, **arguments):
        trained.append(model)
        if worker:
            for path in options.get("others_removals", ()):
                os.remove(path)

        def slowly():
            time.sleep(options.get("validation_seconds", 0))
            return validate()

        return train(model, make_dataset, slowly, **arguments)

    module.train = watched
    own = other_output(output) if worker else output
    changes = [*changes, *(options.get("others_changes", ()) if worker else ())]
    try:
        module.train_recipe(load_recipe(recipe_file, changes), own, Console(file=sys.stdout))
    except TrainingInterrupted:
        raise SystemExit(130) from None
    (model,) = trained
    strategy = model.distribute_strategy
    variables = [*model.variables, *model.optimizer.variables]
    _folder(output).mkdir(exist_ok=True)
    copies = {
        variable.path: strategy.experimental_local_results(variable.value) for variable in variables
    }
    for replica in range(len(strategy.extended.worker_devices)):
        values = {path: tf.identity(each[replica]).numpy() for path, each in copies.items()}
        np.savez(_folder(output) / f"{worker}_{replica}.npz", **values)


if __name__ == "__main__":
    main(*sys.argv[1:])
