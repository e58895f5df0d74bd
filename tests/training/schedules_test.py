"""Learning rates by formula, and what the optimisers are made with."""

import math

import keras
import numpy as np
import pytest

from keras_ds2.training.schedules import Warmup, build_optimizer, build_schedule

RATE, STEPS, EPOCHS = 0.004, 10, 6


def rates(kind, steps=STEPS * EPOCHS, **options):
    schedule = build_schedule(kind, RATE, steps_per_epoch=STEPS, epochs=EPOCHS, **options)
    return [float(schedule(step)) for step in range(steps)]


def test_constant():
    assert rates("constant", steps=2 * STEPS * EPOCHS) == pytest.approx([RATE] * 120)


def test_cosine_goes_to_zero_at_the_end():
    total = STEPS * EPOCHS
    expected = [RATE * 0.5 * (1 + math.cos(math.pi * step / total)) for step in range(total + 1)]
    assert rates("cosine", steps=total + 1) == pytest.approx(expected, abs=1e-9)
    assert expected[-1] == 0


def test_annealed_is_divided_after_each_epoch():
    expected = [RATE / 1.2 ** (step // STEPS) for step in range(STEPS * EPOCHS)]
    assert rates("annealed") == pytest.approx(expected)
    expected = [RATE / 2 ** (step // STEPS) for step in range(STEPS * EPOCHS)]
    assert rates("annealed", anneal_factor=2.0) == pytest.approx(expected)


class TestWarmup:
    def test_rises_in_a_straight_line_from_above_zero_to_the_rate(self):
        got = rates("constant", warmup_steps=8)
        assert got[:8] == pytest.approx([RATE * (step + 1) / 8 for step in range(8)])
        assert got[8:] == pytest.approx([RATE] * (STEPS * EPOCHS - 8))

    def test_cosine_still_ends_with_the_last_step(self):
        warmup, total = 8, STEPS * EPOCHS
        got = rates("cosine", steps=total + 1, warmup_steps=warmup)
        share = [step / (total - warmup) for step in range(total - warmup + 1)]
        expected = [RATE * 0.5 * (1 + math.cos(math.pi * each)) for each in share]
        assert got[warmup:] == pytest.approx(expected, abs=1e-9)
        assert max(got) == pytest.approx(RATE)

    def test_of_one_step_is_no_rise(self):
        assert rates("annealed", warmup_steps=1)[0] == pytest.approx(RATE)

    def test_annealed_is_still_divided_after_each_epoch(self):
        got = rates("annealed", warmup_steps=13)
        annealed = [RATE / 1.2 ** (step // STEPS) for step in range(STEPS * EPOCHS)]
        rise = [min((step + 1) / 13, 1) for step in range(STEPS * EPOCHS)]
        assert got == pytest.approx([one * two for one, two in zip(rise, annealed, strict=True)])

    def test_longer_than_the_training_never_leaves_the_line(self):
        got = rates("cosine", warmup_steps=600)
        assert got == pytest.approx([RATE * (step + 1) / 600 for step in range(60)])

    @pytest.mark.parametrize("kind", ["cosine", "annealed"])
    def test_is_made_again_from_its_configuration(self, kind):
        schedule = build_schedule(kind, RATE, steps_per_epoch=10, epochs=6, warmup_steps=8)
        again = keras.optimizers.schedules.deserialize(
            keras.optimizers.schedules.serialize(schedule)
        )
        assert isinstance(again, Warmup)
        for step in (0, 5, 8, 30, 59):
            assert float(again(step)) == float(schedule(step))


def test_unknown_names_are_errors_that_list_the_known_ones():
    with pytest.raises(ValueError, match="expected constant, cosine or annealed, received 'step'"):
        build_schedule("step", RATE, steps_per_epoch=1, epochs=1)
    with pytest.raises(ValueError, match="expected adamw, adam, sgd, received 'lamb'"):
        build_optimizer("lamb", 0.1)


class TestOptimizer:
    def test_is_the_one_named_with_what_was_given(self):
        schedule = build_schedule("constant", RATE, steps_per_epoch=1, epochs=1)
        sgd = build_optimizer("sgd", schedule, momentum=0.99, nesterov=True, clip_norm=400.0)
        assert isinstance(sgd, keras.optimizers.SGD)
        assert (sgd.momentum, sgd.nesterov, sgd.global_clipnorm) == (0.99, True, 400.0)
        adamw = build_optimizer("adamw", schedule, weight_decay=0.02)
        assert type(adamw) is keras.optimizers.AdamW
        assert adamw.weight_decay == 0.02
        assert type(build_optimizer("adam", schedule)) is keras.optimizers.Adam

    def test_clips_all_gradients_together(self):
        schedule = build_schedule("constant", 1.0, steps_per_epoch=1, epochs=1)
        optimizer = build_optimizer("sgd", schedule, clip_norm=5.0)
        one, two = keras.Variable(np.zeros(1)), keras.Variable(np.zeros(1))
        optimizer.apply([np.float32([30.0]), np.float32([40.0])], [one, two])
        assert [float(one[0]), float(two[0])] == pytest.approx([-3.0, -4.0])

    @pytest.mark.parametrize("name", ["adamw", "adam", "sgd"])
    def test_decays_kernels_and_neither_biases_nor_normalisation(self, name):
        schedule = build_schedule("constant", 0.1, steps_per_epoch=1, epochs=1)
        optimizer = build_optimizer(name, schedule, weight_decay=0.5)
        names = ("kernel", "recurrent_kernel", "bias", "gamma", "beta")
        variables = [keras.Variable(np.ones(2), name=name) for name in names]
        optimizer.apply([np.zeros(2, np.float32)] * 5, variables)
        after = [float(variable[0]) for variable in variables]
        assert after == pytest.approx([0.95, 0.95, 1.0, 1.0, 1.0])
