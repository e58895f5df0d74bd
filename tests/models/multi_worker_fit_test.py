"""Does Keras still need `models/multi_worker_fit.py`? Two workers find out."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PLACES = {
    "build": "`_maybe_symbolic_build`",
    "steps": "`train_step` and `test_step`",
}


def main():
    """Tries `fit` with validation of a small stock model, with one override, the other, and both.

    The chief prints `{which: what went wrong, or the losses}`.
    """
    import keras
    import numpy as np
    import tensorflow as tf

    from keras_ds2.models.multi_worker_fit import MultiWorkerFit

    class BuildAlone(MultiWorkerFit):
        def _with_an_axis(self, metrics):
            return metrics

    class StepsAlone(MultiWorkerFit):
        def _maybe_symbolic_build(self, **batches):
            super(MultiWorkerFit, self)._maybe_symbolic_build(**batches)

    strategy = tf.distribute.MultiWorkerMirroredStrategy()
    draws = np.random.default_rng(0)
    # Six rows in batches of four: the last batch is smaller.
    data = draws.normal(size=(6, 3)), draws.normal(size=(6, 1))
    mixins = {
        "neither": (),
        "build": (BuildAlone,),
        "steps": (StepsAlone,),
        "both": (MultiWorkerFit,),
    }
    found = {}
    for name, bases in mixins.items():
        keras.utils.set_random_seed(0)
        with strategy.scope():
            model = type("Model", (*bases, keras.Sequential), {})([keras.layers.Dense(1)])
            model.compile("sgd", "mean_squared_error")
        dataset = tf.data.Dataset.from_tensor_slices(data).batch(4)
        options = tf.data.Options()
        options.experimental_distribute.auto_shard_policy = (
            tf.data.experimental.AutoShardPolicy.DATA
        )
        dataset = dataset.with_options(options)
        try:
            history = model.fit(dataset, validation_data=dataset, epochs=2, verbose=0).history
            found[name] = sorted(history)
        except Exception as error:
            found[name] = f"{type(error).__name__}: {error}"
    print(json.dumps(found))


@pytest.mark.slow
def test_keras_fails_at_both_places_and_with_both_overrides_does_not():
    command = [sys.executable, "-m", "tests.models.multi_worker_fit_test"]
    code = f"from keras_ds2.training.launcher import launch; raise SystemExit(launch({command}, 2))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "KERAS_BACKEND": "tensorflow"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["both"] == ["loss", "val_loss"]
    for alone, other in (("steps", "build"), ("build", "steps")):
        assert isinstance(found[alone], str), (
            f"Keras fits under MultiWorkerMirroredStrategy without overriding {PLACES[other]}: "
            "delete that from keras_ds2/models/multi_worker_fit.py (and the file, if nothing is "
            "left of it, with the base class MultiWorkerFit of DeepSpeech2 and this test)."
        )
    assert isinstance(found["neither"], str)


if __name__ == "__main__":
    main()
