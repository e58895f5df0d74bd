"""The largest batch tried before the first step: leaves no trace, and says what was too much."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_ds2.models import build_model
from keras_ds2.training.callbacks import TrainingError, TrainingInterrupted
from keras_ds2.training.largest_batch import try_largest_batch, try_largest_validation
from keras_ds2.training.schedules import build_optimizer
from tests.models.made_up_batch import TINY, made_up_batch
from tests.test_case import assert_all_equal
from tests.training.made_up_training import Validation, run, send_signal_after, small_model


def large(rows=64):
    """A dataset of one batch for the small model."""
    draws = np.random.default_rng(9).normal(size=(1, rows, 4)).astype(np.float32)
    return tf.data.Dataset.from_tensor_slices(draws).map(lambda row: (row[:, :3], row[:, 3:]))


def averaging_model():
    model = small_model()
    model.compile(build_optimizer("adam", 0.05, ema_momentum=0.9), "mean_squared_error")
    return model


def speech():
    """A dataset of one batch for a model of speech."""
    inputs, labels = made_up_batch(6)
    return tf.data.Dataset.from_tensors((inputs, labels))


def speech_model():
    """With all that a step may change: moving statistics, dropout, loss scale, accumulators."""
    keras.utils.set_random_seed(3)
    model = build_model("english", **TINY, dropout=0.3)
    optimizer = build_optimizer("adamw", 0.1, ema_momentum=0.9, accumulate_steps=2)
    model.compile(keras.optimizers.LossScaleOptimizer(optimizer, 16.0))
    return model


def state(model):
    variables = [*model.variables, *model.optimizer.variables, *model.metrics_variables]
    return [keras.ops.convert_to_numpy(variable) for variable in variables]


@pytest.mark.parametrize("trained", [False, True])
def test_changes_nothing(trained):
    model, untouched = speech_model(), speech_model()
    for each in (model, untouched):
        each.optimizer.build(each.trainable_variables)
        if trained:
            each.fit(speech(), epochs=3, steps_per_epoch=1, shuffle=False, verbose=0)
    assert_all_equal(state(model), state(untouched))
    try_largest_batch(model, speech())
    assert_all_equal(state(model), state(untouched))
    for each in (model, untouched):
        each.fit(speech(), epochs=2, steps_per_epoch=1, shuffle=False, verbose=0)
    assert_all_equal(state(model), state(untouched))


def test_training_goes_on_as_if_it_had_not_been(tmp_path, monkeypatch):
    whole, history, _ = run(tmp_path / "whole", model=averaging_model())
    with monkeypatch.context() as patch:
        # The trial has no callbacks: the sixth step is training's.
        send_signal_after(patch, 6)
        with pytest.raises(TrainingInterrupted):
            run(tmp_path / "tried", model=averaging_model(), largest_batch=large())
    tried, same, _ = run(tmp_path / "tried", model=averaging_model(), largest_batch=large())
    assert_all_equal(state(tried), state(whole))
    assert same.rows[-1] == history.rows[-1]


def test_a_finished_run_tries_nothing(tmp_path, monkeypatch):
    run(tmp_path)
    run(tmp_path / "stale", epochs=2, early_stop_patience=1)

    def no_fit(*arguments, **options):
        raise AssertionError("nothing is left to train")

    monkeypatch.setattr("keras.Model.fit", no_fit)
    run(tmp_path, largest_batch=large())
    run(tmp_path / "stale", early_stop_patience=1, largest_batch=large())


class TestOutOfMemory:
    def test_is_told_with_the_batch_and_what_to_change(self):
        def fail(logits):
            raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor")

        def loss(labels, outputs):
            return tf.py_function(fail, [outputs["logits"]], tf.float32)

        model = speech_model()
        model.compile("adam", loss)
        with pytest.raises(TrainingError, match="memory does not suffice") as caught:
            try_largest_batch(model, speech())
        for part in (
            "6 utterances x 14 frames with 3 labels",
            "training.batch_size",
            "training.batch_frames",
            "data.max_seconds",
            "training.mixed_precision",
            "OOM when allocating tensor",
        ):
            assert part in str(caught.value)

    def test_validations_too(self, tmp_path):
        def breaks():
            raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor")

        def try_it():
            try_largest_validation(breaks, 5, 900)

        validate = Validation()
        with pytest.raises(TrainingError, match="batch of validation, 5 utterances x 900 frames,"):
            run(tmp_path, try_validation=try_it, validate=validate)
        assert validate.calls == 0

    @pytest.mark.parametrize(
        ("error", "raised"),
        [
            (tf.errors.ResourceExhaustedError(None, None, "Graph error:\n full"), TrainingError),
            (tf.errors.InternalError(None, None, "XLA: Out of memory"), TrainingError),
            (MemoryError(), TrainingError),
            (tf.errors.InternalError(None, None, "no kernel"), tf.errors.InternalError),
            (ValueError("out of memory"), ValueError),
        ],
    )
    def test_other_words_for_it_and_other_errors(self, error, raised):
        def breaks(*arguments, **options):
            raise error

        model = speech_model()
        model.fit = breaks
        with pytest.raises(raised) as caught:
            try_largest_batch(model, speech())
        assert (caught.value is error) == (raised is not TrainingError)

    def test_before_anything_is_trained(self, tmp_path):
        def breaks(*arguments, **options):
            raise tf.errors.ResourceExhaustedError(None, None, "OOM")

        model = speech_model()
        model.fit = breaks
        validate = Validation()
        with pytest.raises(TrainingError, match="memory does not suffice"):
            run(tmp_path, model=model, largest_batch=speech(), validate=validate)
        assert validate.calls == 0
        assert not (tmp_path / "checkpoints").exists()
