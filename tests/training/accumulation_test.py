"""Gradients summed up over batches: as one large batch, and broken off without harm."""

import keras
import numpy as np
import pytest

from keras_ds2.models import build_model
from keras_ds2.training.callbacks import TrainingInterrupted
from keras_ds2.training.schedules import build_optimizer, build_schedule
from keras_ds2.training.weight_average import averaged_weights
from tests.models.made_up_batch import TINY, made_up_batch
from tests.test_case import assert_all_equal
from tests.training.made_up_training import (
    EPOCHS,
    STEPS,
    batches,
    run,
    send_signal_after,
    small_model,
)

ROWS = 12


def optimizer_of(name, **options):
    schedule = build_schedule("constant", 0.05, steps_per_epoch=1, epochs=10)
    return build_optimizer(name, schedule, **options)


def fitted(batch_size, accumulate_steps, **options):
    """Two epochs over twelve utterances, without normalisation."""
    keras.utils.set_random_seed(0)
    model = build_model("english", **{**TINY, "batch_norm": False})
    model.compile(optimizer_of(accumulate_steps=accumulate_steps, **options))
    inputs, labels = made_up_batch(ROWS)
    before = model.get_weights()
    model.fit(inputs, labels, batch_size=batch_size, epochs=2, shuffle=False, verbose=0)
    assert any(
        np.abs(one - two).max() > 1e-3 for one, two in zip(before, model.get_weights(), strict=True)
    )
    return model


@pytest.mark.parametrize(
    "options",
    [
        pytest.param(
            {"name": "sgd", "momentum": 0.9, "nesterov": True, "clip_norm": 0.5},
            marks=pytest.mark.slow,
        ),
        {"name": "adamw", "weight_decay": 0.1, "clip_norm": 0.5, "ema_momentum": 0.9},
    ],
    ids=lambda options: options["name"],
)
def test_small_batches_make_the_update_of_a_large_one(options):
    # The norms of small batches' gradients differ: clipped one by one, they would add up otherwise.
    large, small = fitted(ROWS, 1, **options), fitted(ROWS // 3, 3, **options)
    for one, two in zip(large.get_weights(), small.get_weights(), strict=True):
        np.testing.assert_allclose(one, two, atol=1e-5)
    with averaged_weights(large), averaged_weights(small):
        for one, two in zip(large.get_weights(), small.get_weights(), strict=True):
            np.testing.assert_allclose(one, two, atol=1e-5)


def accumulating_model():
    model = small_model()
    schedule = build_schedule("cosine", 0.05, steps_per_epoch=STEPS, epochs=EPOCHS, warmup_steps=3)
    # Three batches an update, four an epoch: groups reach over the ends of epochs.
    optimizer = build_optimizer("adam", schedule, accumulate_steps=3, ema_momentum=0.9)
    model.compile(optimizer, "mean_squared_error")
    return model


def test_the_schedule_counts_batches_and_the_updates_are_groups(tmp_path):
    model, history, _ = run(tmp_path, model=accumulating_model())
    shares = [(step - 3) / (EPOCHS * STEPS - 3) for step in (4, 8, 12)]
    expected = [0.05 * 0.5 * (1 + np.cos(np.pi * share)) for share in shares]
    rates = [row["learning_rate"] for row in history.rows]
    assert rates == pytest.approx(expected, abs=1e-8)
    assert int(model.optimizer.iterations) == EPOCHS * STEPS // 3


def test_weights_and_averages_wait_for_the_group_to_be_whole():
    model = accumulating_model()
    seen, averages = [model.get_weights()], []
    for step in range(6):
        model.fit(batches(0, step, epochs=1, steps=step + 1), verbose=0)
        seen.append(model.get_weights())
        with averaged_weights(model):
            averages.append(model.get_weights())
    for first, last in ((0, 2), (3, 5)):
        for between in range(first + 1, last + 1):
            assert_all_equal(seen[first], seen[between])
    assert np.abs(seen[2][0] - seen[3][0]).max() > 1e-4
    assert np.abs(seen[5][0] - seen[6][0]).max() > 1e-4
    assert_all_equal(averages[2], seen[3])  # the first average is the weights
    assert_all_equal(averages[4], seen[3])
    for average, one, two in zip(averages[5], seen[3], seen[6], strict=True):
        np.testing.assert_allclose(average, 0.1 * one + 0.9 * two, atol=1e-6)


@pytest.mark.parametrize("step", [2, 4, 7])
def test_broken_off_inside_a_group_it_ends_as_the_whole(tmp_path, monkeypatch, step):
    whole, *_ = run(tmp_path / "whole", model=accumulating_model())
    with monkeypatch.context() as patch:
        send_signal_after(patch, step)
        with pytest.raises(TrainingInterrupted):
            run(tmp_path / "parts", model=accumulating_model())
    parts, *_ = run(tmp_path / "parts", model=accumulating_model())
    assert_all_equal(parts.get_weights(), whole.get_weights())
    assert_all_equal(
        *([each.numpy() for each in one.optimizer.variables] for one in (parts, whole))
    )
