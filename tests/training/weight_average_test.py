"""Averages of the weights: by formula, in training, and never in the way of it."""

import keras
import numpy as np
import pytest

from keras_ds2.training.callbacks import TrainingInterrupted
from keras_ds2.training.checkpoints import CheckpointStore
from keras_ds2.training.schedules import build_optimizer
from keras_ds2.training.weight_average import averaged_weights
from tests.test_case import assert_all_equal
from tests.training.made_up_training import (
    Validation,
    batches,
    run,
    send_signal_after,
    small_model,
)
from tests.two_replicas import two_replicas_report


def averaging_model(momentum=0.6, **options):
    """The small model with an optimiser that averages."""
    model = small_model()
    optimizer = build_optimizer("adam", 0.05, ema_momentum=momentum, **options)
    model.compile(optimizer, "mean_squared_error")
    return model


def weights_after_each_step(model, steps):
    after = []
    for step in range(steps):
        model.fit(batches(0, step, epochs=1, steps=step + 1), verbose=0)
        after.append(model.get_weights())
    return after


def average_of(weights, momentum):
    """The formula, in float64."""
    average = [np.zeros_like(each, np.float64) for each in weights[0]]
    for step, values in enumerate(weights):
        share = min(momentum, step / (step + 9))
        average = [
            share * one + (1 - share) * two for one, two in zip(average, values, strict=True)
        ]
    return average


@pytest.mark.parametrize("momentum", [0.2, 0.999])
def test_follow_the_formula_and_leave_the_weights_alone(momentum):
    model, plain = averaging_model(momentum), small_model()
    plain.compile(keras.optimizers.Adam(0.05), "mean_squared_error")
    weights = weights_after_each_step(model, 7)
    for one, two in zip(weights, weights_after_each_step(plain, 7), strict=True):
        assert_all_equal(one, two)
    with averaged_weights(model):
        averages = model.get_weights()
    for seen, expected in zip(averages, average_of(weights, momentum), strict=True):
        np.testing.assert_allclose(seen, expected, atol=1e-6)
    assert_all_equal(model.get_weights(), weights[-1])


def test_before_the_first_update_they_are_the_weights():
    model = averaging_model()
    before = model.get_weights()
    with averaged_weights(model):
        assert_all_equal(model.get_weights(), before)
    model.optimizer.build(model.trainable_variables)
    with averaged_weights(model):
        assert_all_equal(model.get_weights(), before)


def test_weights_come_back_from_an_error_too():
    model = averaging_model()
    (weights,) = weights_after_each_step(model, 2)[1:]
    with pytest.raises(MemoryError), averaged_weights(model):
        raise MemoryError
    assert_all_equal(model.get_weights(), weights)


def test_inside_a_loss_scale_optimizer():
    model = averaging_model()
    inner = model.optimizer
    model.compile(keras.optimizers.LossScaleOptimizer(inner, 256.0), "mean_squared_error")
    weights = weights_after_each_step(model, 3)
    with averaged_weights(model):
        averages = model.get_weights()
    for seen, expected in zip(averages, average_of(weights, 0.6), strict=True):
        np.testing.assert_allclose(seen, expected, atol=1e-6)
    assert_all_equal(model.get_weights(), weights[-1])


@pytest.mark.parametrize("name", ["adamw", "adam", "sgd"])
def test_an_optimizer_is_made_again_from_its_configuration(name):
    optimizer = build_optimizer(name, 0.1, ema_momentum=0.9)
    again = keras.optimizers.deserialize(keras.optimizers.serialize(optimizer))
    assert type(again) is type(optimizer)
    assert (again.use_ema, again.ema_momentum) == (True, 0.9)


def test_two_replicas_average_as_one():
    report = two_replicas_report()["averaging_optimizer"]
    np.testing.assert_allclose(report["two"]["weights"], report["one"]["weights"], atol=1e-6)
    np.testing.assert_allclose(report["two"]["averages"], report["one"]["averages"], atol=1e-6)
    assert np.abs(np.subtract(*report["one"].values())).max() > 1e-3


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run with averages: folder, model, the weights that were scored after each epoch."""
    folder = tmp_path_factory.mktemp("whole")
    scored = []
    model = averaging_model()

    class Watched(Validation):
        def __call__(self):
            scored.append(model.get_weights())
            return super().__call__()

    run(folder, model=model, validate=Watched([0.5, 0.2, 0.4]))
    return folder, model, scored


class TestInTraining:
    """What `train` does where the optimiser averages."""

    def test_the_averages_are_scored_and_the_best_of_them_kept(self, whole):
        folder, model, scored = whole
        with averaged_weights(model):
            assert_all_equal(scored[-1], model.get_weights())
        assert np.abs(scored[-1][0] - model.get_weights()[0]).max() > 1e-4
        best = keras.Sequential.from_config(model.get_config())
        best.load_weights(folder / "best.weights.h5")
        assert_all_equal(best.get_weights(), scored[1])

    def test_the_weights_go_their_way_as_without_averages(self, whole, tmp_path):
        plain = small_model()
        plain.compile(keras.optimizers.Adam(0.05), "mean_squared_error")
        run(tmp_path, model=plain)
        assert_all_equal(whole[1].get_weights(), plain.get_weights())

    @pytest.mark.parametrize("step", [1, 3, 6])
    def test_broken_off_it_ends_as_the_whole(self, whole, tmp_path, monkeypatch, step):
        with monkeypatch.context() as patch:
            send_signal_after(patch, step)
            with pytest.raises(TrainingInterrupted):
                run(tmp_path, model=averaging_model(), validate=Validation([0.5, 0.2, 0.4]))
        assert CheckpointStore(tmp_path / "checkpoints").saved()
        model = averaging_model()
        run(tmp_path, model=model, validate=Validation([0.5, 0.2, 0.4][step // 4 :]))
        assert_all_equal(model.get_weights(), whole[1].get_weights())
        states = [[each.numpy() for each in one.optimizer.variables] for one in (model, whole[1])]
        assert_all_equal(*states)
        best = keras.Sequential.from_config(model.get_config())
        best.load_weights(tmp_path / "best.weights.h5")
        assert_all_equal(best.get_weights(), whole[2][1])
