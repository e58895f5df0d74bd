"""A model of two dense layers and made-up batches: what `train` does, without speech."""

import io
import os
import signal

import keras
import numpy as np
import tensorflow as tf
from rich.console import Console

from keras_ds2.training.callbacks import ValidationScores
from keras_ds2.training.trainer import train

EPOCHS, STEPS, BATCH = 3, 4, 5


def small_model(learning_rate=0.01):
    """Compiled, with dropout, so that the state of random generators matters."""
    keras.utils.set_random_seed(7)
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((3,)),
            layers.Dense(4, activation="tanh"),
            layers.Dropout(0.5, name="dropout"),
            layers.Dense(1),
        ]
    )
    model.compile(keras.optimizers.Adam(learning_rate), "mean_squared_error")
    return model


def batches(epoch, step, epochs=EPOCHS, steps=STEPS):
    """The dataset that starts at a step of an epoch; every batch is its own."""
    rows = []
    for number in range(epoch * steps + step, epochs * steps):
        draws = np.random.default_rng(number)
        rows.append(draws.normal(size=(BATCH, 4)).astype(np.float32))
    dataset = tf.data.Dataset.from_tensor_slices(np.stack(rows))
    return dataset.map(lambda row: (row[:, :3], row[:, 3:]))


class Validation:
    """Gives planned scores, one a call, and counts the calls."""

    def __init__(self, wers=(0.5,)):
        self.wers = list(wers)
        self.calls = 0

    def __call__(self):
        wer = self.wers[min(self.calls, len(self.wers) - 1)]
        self.calls += 1
        scores = {"val_loss": 1.0 + wer, "val_wer": wer, "val_cer": wer / 2}
        return scores, [("what was said", f"what was read {self.calls}")]


def run(folder, *, model=None, make_dataset=batches, validate=None, epochs=EPOCHS, **options):
    """Calls `train`; returns model, history and what was written on the console."""
    model = model or small_model()
    screen = io.StringIO()
    folder.mkdir(exist_ok=True)
    history = train(
        model,
        make_dataset,
        validate or Validation(),
        folder=folder,
        epochs=epochs,
        steps_per_epoch=STEPS,
        batch_size=BATCH,
        console=Console(file=screen, width=200),
        **options,
    )
    return model, history, screen.getvalue()


def send_signal_after(monkeypatch, steps, number=signal.SIGINT):
    """Sends this process a signal when so many steps of the next training are done."""
    done = []

    def count(self, batch, logs=None):
        done.append(batch)
        if len(done) == steps:
            os.kill(os.getpid(), number)

    # The first callback in line: those behind it see the signal after the same step.
    monkeypatch.setattr(ValidationScores, "on_train_batch_end", count)
