"""What a strategy of two replicas computes, beside one replica with the whole batch.

Logical devices have to be set up before TensorFlow starts, so this file runs as a program of its
own, once a test session: `two_replicas_report()`.
"""

import functools
import json
import os
import subprocess
import sys
from pathlib import Path


@functools.cache
def two_replicas_report():
    """`{what: {"one": {name: values}, "two": {name: values}}}`, computed by this file's `main`."""
    root = Path(__file__).resolve().parents[1]
    done = subprocess.run(
        [sys.executable, "-m", "tests.two_replicas"],
        cwd=root,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "KERAS_BACKEND": "tensorflow"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads(done.stdout.splitlines()[-1])


def main():
    """Prints the report as JSON, on the last line."""
    import tensorflow as tf

    device = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(device, [tf.config.LogicalDeviceConfiguration()] * 2)
    strategies = {
        "one": tf.distribute.get_strategy(),
        "two": tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]),
    }
    report = {
        test.__name__: {name: test(strategy) for name, strategy in strategies.items()}
        for test in (sequence_batch_norm, deep_speech_2, averaging_optimizer, passed_over)
    }
    print(json.dumps(report))


def sequence_batch_norm(strategy):
    """A training step of the layer over four rows of unequal lengths, shared out."""
    import numpy as np
    import tensorflow as tf

    from keras_ds2.layers import SequenceBatchNorm
    from tests.test_case import Padded, randomize

    # Of two replicas, one has far fewer real steps.
    batch = Padded.draw([6, 5, 1, 2], features=(3,)).padded_with(np.nan)
    upstream = np.random.default_rng(1).normal(size=batch.values.shape).astype(np.float32)
    with strategy.scope():
        layer = SequenceBatchNorm(momentum=0.5)
        layer.build(batch.values.shape)
    randomize(layer)
    data = tf.data.Dataset.from_tensor_slices((batch.values, batch.mask, upstream)).batch(4)

    @tf.function
    def step(values, mask, upstream):
        def on_replica(values, mask, upstream):
            with tf.GradientTape() as tape:
                tape.watch(values)
                output = layer(values, mask=mask, training=True)
                loss = tf.reduce_sum(output * upstream)
            gradient, gamma, beta = tape.gradient(loss, [values, layer.gamma, layer.beta])
            return output, gradient, gamma, beta

        return strategy.run(on_replica, (values, mask, upstream))

    (shared,) = strategy.experimental_distribute_dataset(data)
    output, gradient, gamma, beta = step(*shared)
    everywhere = strategy.experimental_local_results
    return {
        "output": tf.concat(everywhere(output), axis=0).numpy().tolist(),
        "gradient": tf.concat(everywhere(gradient), axis=0).numpy().tolist(),
        "gamma gradient": tf.add_n(everywhere(gamma)).numpy().tolist(),
        "beta gradient": tf.add_n(everywhere(beta)).numpy().tolist(),
        "moving mean": layer.moving_mean.numpy().tolist(),
        "moving variance": layer.moving_variance.numpy().tolist(),
    }


def deep_speech_2(strategy):
    """Two epochs of `fit` on one batch; of three labels that do not fit, one replica holds all."""
    import keras
    import numpy as np

    from keras_ds2.models import build_model
    from tests.models.made_up_batch import TINY, made_up_batch

    keras.utils.set_random_seed(0)
    inputs, labels = made_up_batch(8)
    inputs["feature_length"][:3] = 1
    with strategy.scope():
        model = build_model("english", **TINY)
        model.compile(keras.optimizers.SGD(0.1, global_clipnorm=0.5))
    history = model.fit(inputs, labels, batch_size=8, epochs=2, shuffle=False, verbose=0).history
    return {
        **history,
        "weights": np.concatenate([weight.numpy().ravel() for weight in model.weights]).tolist(),
    }


def averaging_optimizer(strategy):
    """Five steps of `fit` with an optimiser that averages the weights."""
    import keras
    import numpy as np

    from keras_ds2.training.schedules import build_optimizer
    from keras_ds2.training.weight_average import averaged_weights

    keras.utils.set_random_seed(0)
    draws = np.random.default_rng(0).normal(size=(40, 4))
    with strategy.scope():
        model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, activation="tanh")])
        model.compile(build_optimizer("adam", 0.1, ema_momentum=0.9), "mse")
    model.fit(draws[:, :3], draws[:, 2:], batch_size=8, shuffle=False, verbose=0)

    def values():
        return np.concatenate([weight.ravel() for weight in model.get_weights()]).tolist()

    with averaged_weights(model):
        averages = values()
    return {"weights": values(), "averages": averages}


def passed_over(strategy):
    """Three batches, the second of which has a NaN in a row of one replica."""
    import keras
    import numpy as np

    from keras_ds2.models import build_model
    from tests.models.made_up_batch import TINY, made_up_batch

    keras.utils.set_random_seed(0)
    inputs, labels = made_up_batch(12)
    inputs["features"][6, 2, 1] = np.nan
    with strategy.scope():
        model = build_model("english", **TINY)
        model.compile(keras.optimizers.Adam(0.01))
    history = model.fit(inputs, labels, batch_size=4, epochs=2, shuffle=False, verbose=0).history
    return {
        **history,
        "iterations": [int(model.optimizer.iterations.numpy())],
        "weights": np.concatenate([weight.numpy().ravel() for weight in model.weights]).tolist(),
    }


if __name__ == "__main__":
    main()
