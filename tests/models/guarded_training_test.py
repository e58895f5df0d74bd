"""Training steps that would do harm are passed over, and leave no trace."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_ds2.models import build_model
from tests.models.made_up_batch import TINY, made_up_batch
from tests.two_replicas import two_replicas_report


def small_model(optimizer=None):
    keras.utils.set_random_seed(3)
    model = build_model("english", **TINY, dropout=0.2)
    model.compile(optimizer or keras.optimizers.AdamW(0.01, weight_decay=0.1))
    model.train_on_batch(*made_up_batch(4))
    return model


def everything(model):
    """All that a step may change, but the counts."""
    optimizer = [variable.numpy() for variable in model.optimizer.variables]
    seeds = [variable.numpy() for variable in model.non_trainable_variables]
    logs = model.get_metrics_result()
    figures = [np.asarray(logs[name]) for name in ("loss", "unfit")]
    return [*model.get_weights(), *optimizer, *seeds, *figures]


def assert_same(one, other):
    for first, second in zip(one, other, strict=True):
        np.testing.assert_array_equal(first, second)


def step(model, inputs, labels):
    """A step of an epoch that goes on: the metrics are not reset before it."""
    return model.train_step((inputs, labels))


def spoilt(rows=(1,)):
    inputs, labels = made_up_batch(4, seed=1)
    inputs["features"][list(rows), 2, 3] = np.nan
    return inputs, labels


def unread(rows):
    """A batch some of whose utterances could not be read."""
    inputs, labels = made_up_batch(4, seed=1)
    inputs["features"][list(rows)] = 0.0
    inputs["feature_length"][list(rows)] = 0
    return inputs, labels


def half_precision():
    return keras.optimizers.LossScaleOptimizer(keras.optimizers.AdamW(0.01), 256.0)


@pytest.mark.parametrize(
    "optimizer",
    [
        None,
        lambda: keras.optimizers.SGD(0.1, momentum=0.9, global_clipnorm=1.0),
        lambda: keras.optimizers.Adam(0.1, gradient_accumulation_steps=2, use_ema=True),
        half_precision,
    ],
)
def test_a_batch_whose_loss_is_no_number_leaves_no_trace(optimizer):
    model = small_model(optimizer and optimizer())
    before = everything(model)
    logs = step(model, *spoilt())
    assert_same(everything(model), before)
    assert logs["not_finite"] == 1
    step(model, *made_up_batch(4, seed=2))
    assert not np.array_equal(model.get_weights()[0], before[0]) or optimizer is not None


def test_a_gradient_that_no_scale_mends_is_an_overflow_no_more():
    """A finite loss, and a gradient that is none: the scale must not fall for ever."""
    model = small_model(half_precision())
    scale = model.optimizer.dynamic_scale

    @tf.custom_gradient
    def without_gradient(loss):
        return loss, lambda upstream: upstream * float("nan")

    compute = model.compute_loss
    model.compute_loss = lambda *args, **kwargs: without_gradient(compute(*args, **kwargs))
    batch = made_up_batch(4)
    assert step(model, *batch)["not_finite"] == 0
    assert scale == 128.0
    before = [weight.numpy() for weight in model.trainable_weights]
    scale.assign(2.0**-14)
    assert step(model, *batch)["not_finite"] == 0
    assert scale == 2.0**-15
    assert step(model, *batch)["not_finite"] == 1
    assert scale == 2.0**-15
    assert_same(model.trainable_weights, before)


def test_what_follows_is_as_if_it_had_never_been_seen():
    models = small_model(), small_model()
    step(models[0], *spoilt())
    logs = [step(model, *made_up_batch(4, seed=2)) for model in models]
    assert_same(everything(models[0]), everything(models[1]))
    assert logs[0]["loss"] == logs[1]["loss"]
    assert (logs[0]["not_finite"], logs[1]["not_finite"]) == (1, 0)


def test_a_gradient_that_is_no_number_is_as_bad():
    model = small_model()
    before = everything(model)
    # Its square root has an infinite slope at 0, where its value is a number.
    model.logits.kernel.regularizer = lambda kernel: keras.ops.sqrt(keras.ops.sum(0.0 * kernel))
    logs = step(model, *made_up_batch(4, seed=1))
    assert logs["not_finite"] == 1
    assert_same(everything(model), before)


def test_gradients_that_overflow_in_half_precision_are_not_counted():
    keras.config.set_dtype_policy("mixed_float16")
    inner = keras.optimizers.Adam(0.01)
    model = small_model(keras.optimizers.LossScaleOptimizer(inner, 2.0**60))
    before = model.trainable_variables[0].numpy()
    logs = step(model, *made_up_batch(4, seed=1))
    assert logs["not_finite"] == 0
    assert float(model.optimizer.dynamic_scale) < 2.0**60
    np.testing.assert_array_equal(model.trainable_variables[0].numpy(), before)


class TestUnread:
    def test_utterances_are_as_if_they_were_not_in_the_batch(self):
        inputs, labels = unread([1, 3])
        present = [
            {name: value[[0, 2]] for name, value in part.items()} for part in (inputs, labels)
        ]
        keras.utils.set_random_seed(3)
        models = [build_model("english", **TINY) for _ in range(2)]
        models[1].set_weights(models[0].get_weights())
        for model in models:
            model.compile(keras.optimizers.SGD(0.1))
        logs = [
            step(model, *batch)
            for model, batch in zip(models, [(inputs, labels), present], strict=True)
        ]
        assert [float(each["unread"]) for each in logs] == [2, 0]
        assert [float(each["unfit"]) for each in logs] == [0, 0]
        assert float(logs[0]["loss"]) == pytest.approx(float(logs[1]["loss"]), rel=1e-5)
        for one, two in zip(models[0].get_weights(), models[1].get_weights(), strict=True):
            np.testing.assert_allclose(one, two, rtol=1e-4, atol=1e-6)

    def test_a_batch_without_any_that_is_read_leaves_no_trace(self):
        model = small_model()
        before = everything(model)
        logs = step(model, *unread(range(4)))
        assert (logs["unread"], logs["not_finite"]) == (4, 0)
        assert_same(everything(model), before)

    def test_where_all_are_needed_one_is_enough_to_pass_over_the_batch(self):
        model = small_model()
        model.needs_all_read = True
        before = everything(model)
        logs = step(model, *unread([2]))
        assert logs["unread"] == 1
        assert_same(everything(model), before)
        step(model, *made_up_batch(4, seed=1))
        assert not np.array_equal(model.get_weights()[0], before[0])


def test_in_fit_the_counts_are_those_of_the_epoch():
    model = small_model()
    inputs, labels = spoilt()
    inputs["feature_length"][2] = 0
    logs = model.fit(inputs, labels, batch_size=2, epochs=2, shuffle=False, verbose=0).history
    assert logs["not_finite"] == [1, 1]
    assert logs["unread"] == [1, 1]
    assert np.isfinite(logs["loss"]).all()


@pytest.mark.slow
def test_replicas_pass_over_the_same_batches():
    report = two_replicas_report()["passed_over"]
    for one in report.values():
        assert one["not_finite"] == [1, 1]
        assert one["iterations"] == [4]
    for name, values in report["one"].items():
        np.testing.assert_allclose(values, report["two"][name], rtol=1e-4, atol=1e-5, err_msg=name)
