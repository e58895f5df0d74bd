"""Training with `compile` and `fit`, as any Keras model."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_ds2.models import build_model
from keras_ds2.ops import ctc_loss
from tests.models.made_up_batch import TINY, made_up_batch
from tests.two_replicas import two_replicas_report


def each_loss(model, inputs, labels):
    output = model(inputs)
    return ctc_loss(
        labels["labels"], output["logits"], labels["label_length"], output["logit_length"]
    ).numpy()


def test_ten_lines_of_keras_learn_a_batch_by_heart(tmp_path):
    """Its own loss by default, any callback, validation, a dataset of unequal batches."""
    examples = made_up_batch(12)
    dataset = tf.data.Dataset.from_tensor_slices(examples).batch(8)
    model = build_model("english", **TINY)
    model.compile(keras.optimizers.Adam(0.03))
    history = model.fit(
        dataset,
        epochs=12,
        validation_data=dataset,
        validation_freq=12,
        callbacks=[
            keras.callbacks.CSVLogger(tmp_path / "log.csv"),
            keras.callbacks.TerminateOnNaN(),
        ],
        verbose=0,
    ).history
    counts = {"unfit", "unread", "not_finite"}
    assert set(history) == {"loss", "val_loss", "val_unfit"} | counts
    assert history["loss"][-1] < 0.5 * history["loss"][0]
    assert history["unfit"] == [0] * 12
    assert (tmp_path / "log.csv").read_text().count("\n") == 13

    logs = model.evaluate(*examples, batch_size=12, verbose=0, return_dict=True)
    assert logs["loss"] == pytest.approx(each_loss(model, *examples).mean(), rel=1e-5)
    predicted = model.predict(examples[0], batch_size=12, verbose=0)
    np.testing.assert_allclose(predicted["logits"], model(examples[0])["logits"], atol=1e-5)


def test_labels_that_do_not_fit_are_counted_and_left_out_of_the_mean():
    inputs, labels = made_up_batch(6)
    inputs["feature_length"][[1, 4]] = 2  # one step
    model = build_model("english", **TINY)
    model.compile()
    losses = each_loss(model, inputs, labels)
    assert (losses == 0).tolist() == [False, True, False, False, True, False]
    logs = model.test_on_batch(inputs, labels, return_dict=True)
    assert logs["unfit"] == 2
    assert logs["loss"] == pytest.approx(losses[losses > 0].mean(), rel=1e-5)

    inputs["feature_length"][:] = 2
    with tf.GradientTape() as tape:
        loss = model.compute_loss(y=labels, y_pred=model(inputs, training=True))
    assert loss == 0
    for gradient in tape.gradient(loss, model.trainable_weights):
        assert not np.any(gradient)


def test_sample_weights_weigh_the_mean():
    inputs, labels = made_up_batch(4)
    inputs["feature_length"][3] = 1
    model = build_model("english", **TINY)
    weights = np.array([1, 0, 3, 5], np.float32)
    losses = each_loss(model, inputs, labels)
    loss = model.compute_loss(y=labels, y_pred=model(inputs), sample_weight=weights)
    assert float(loss) == pytest.approx((losses[0] + 3 * losses[2]) / 4, rel=1e-5)


def test_a_loss_of_ones_own():
    def length_loss(y_true, y_pred):
        return tf.cast(y_true["label_length"] + y_pred["logit_length"], tf.float32)

    inputs, labels = made_up_batch(4)
    model = build_model("english", **TINY)
    model.compile(loss=length_loss)
    output = model(inputs)
    expected = (labels["label_length"] + output["logit_length"].numpy()).mean()
    assert float(model.compute_loss(y=labels, y_pred=output)) == pytest.approx(expected)


def test_a_loss_that_is_no_function_is_refused():
    with pytest.raises(ValueError, match="loss: expected None for CTC, or a function"):
        build_model("english", **TINY).compile(loss="ctc")


def test_the_layers_own_losses_are_added():
    inputs, labels = made_up_batch(4)
    model = build_model("english", **TINY)
    output = model(inputs)
    before = model.compute_loss(y=labels, y_pred=output).numpy()
    model.logits.kernel.regularizer = keras.regularizers.L2(0.5)
    expected = before + 0.5 * (model.logits.kernel.numpy() ** 2).sum()
    assert float(model.compute_loss(y=labels, y_pred=output)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    "policy", ["float32", pytest.param("mixed_float16", marks=pytest.mark.slow)]
)
def test_saved_and_loaded_it_goes_on_as_if_nothing_had_been(policy, tmp_path):
    """Weights, moving averages, optimizer and loss: the next step is the same."""
    keras.config.set_dtype_policy(policy)
    examples = made_up_batch(6)
    model = build_model("production", **TINY, lookahead_context=1, hop_ms=8.0)
    model.compile(keras.optimizers.Adam(keras.optimizers.schedules.ExponentialDecay(0.05, 1, 0.5)))
    for _ in range(2):
        model.train_on_batch(*examples)
    model.save(tmp_path / "model.keras")
    keras.config.set_dtype_policy("float32")

    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert type(loaded) is type(model)
    assert loaded.delay_ms == model.delay_ms
    assert loaded.dtype_policy.name == policy
    assert type(loaded.optimizer) is type(model.optimizer)
    np.testing.assert_array_equal(
        loaded(examples[0])["logits"].numpy(), model(examples[0])["logits"].numpy()
    )
    for one in (model, loaded):
        one.train_on_batch(*examples)
    assert loaded.optimizer.iterations == model.optimizer.iterations
    for seen, expected in zip(loaded.weights, model.weights, strict=True):
        np.testing.assert_allclose(seen, expected, atol=1e-6)


def test_weights_alone_are_saved_and_loaded(tmp_path):
    inputs, _ = made_up_batch(2)
    model, other = build_model("english", **TINY), build_model("english", **TINY)
    model.save_weights(tmp_path / "model.weights.h5")
    other.load_weights(tmp_path / "model.weights.h5")
    np.testing.assert_array_equal(other(inputs)["logits"], model(inputs)["logits"])


def test_two_replicas_train_as_one_does():
    """One of them holds every label that does not fit: the mean is still over the whole batch."""
    report = two_replicas_report()["deep_speech_2"]
    one, two = report["one"], report["two"]
    assert one["unfit"] == two["unfit"] == [3, 3]
    assert one["loss"][1] < one["loss"][0]
    np.testing.assert_allclose(two["loss"], one["loss"], rtol=1e-5)
    np.testing.assert_allclose(two["weights"], one["weights"], atol=1e-5)
