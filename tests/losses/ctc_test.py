"""The Keras face of the CTC loss."""

import keras
import numpy as np
import pytest

from keras_ds2.losses import CTC
from keras_ds2.ops import ctc_loss

LABELS = {
    "labels": np.array([[1, 2, 3], [2, 2, 0], [700, 0, 0], [1, 2, 3]], np.int32),
    "label_length": np.array([3, 2, 1, 3], np.int32),
}
LOGITS = {
    "logits": np.random.default_rng(0).normal(size=(4, 6, 701)).astype(np.float32),
    "logit_length": np.array([6, 4, 1, 2], np.int32),  # the last one's labels do not fit
}
EACH = ctc_loss(
    LABELS["labels"], LOGITS["logits"], LABELS["label_length"], LOGITS["logit_length"]
).numpy()


def test_it_is_the_mean_with_true_lengths():
    assert (EACH[:3] > 0).all()
    assert EACH[3] == 0
    np.testing.assert_allclose(CTC()(LABELS, LOGITS), EACH.mean(), rtol=1e-6)
    longer = {**LOGITS, "logits": np.pad(LOGITS["logits"], [(0, 0), (0, 5), (0, 0)])}
    np.testing.assert_allclose(CTC()(LABELS, longer), EACH.mean(), rtol=1e-6)


@pytest.mark.parametrize(("reduction", "expected"), [("sum", EACH.sum()), (None, EACH)])
def test_kerass_reductions(reduction, expected):
    np.testing.assert_allclose(CTC(reduction)(LABELS, LOGITS), expected, rtol=1e-6)


def test_sample_weights():
    weights = np.array([1, 0, 2, 1], np.float32)
    np.testing.assert_allclose(
        CTC()(LABELS, LOGITS, sample_weight=weights), (EACH * weights).sum() / 4, rtol=1e-6
    )


def test_saved_and_loaded():
    loss = CTC(reduction="sum", name="mine")
    copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(loss))
    assert isinstance(copy, CTC)
    assert copy.get_config() == loss.get_config()
    assert copy.name == "mine"
