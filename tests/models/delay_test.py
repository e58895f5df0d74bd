"""How long a forward-only model waits: by hand, and by what its logits depend on."""

import numpy as np
import pytest
import tensorflow as tf

from keras_ds2.models import DeepSpeech2, build_model
from tests.models.made_up_batch import TINY
from tests.test_case import randomize

CASES = {
    "one convolution": (TINY, 0, 2),
    "lookahead": (TINY, 3, 2 + 2 * 3),
    "two strides": (
        {
            **TINY,
            "num_conv_layers": 3,
            "conv_filters": [8, 8, 8],
            "conv_kernel_size": [[5, 3], [4, 3], [3, 3]],
            "conv_strides": [[2, 2], [3, 2], [1, 1]],
        },
        1,
        2 + 2 * 2 + 6 * 1 + 6 * 1,
    ),
    "over time alone": (
        {
            **TINY,
            "conv_type": "1d",
            "num_conv_layers": 2,
            "conv_filters": [8, 8],
            "conv_kernel_size": [3, 7],
            "conv_strides": [1, 2],
        },
        2,
        1 + 3 + 2 * 2,
    ),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("rnn_type", ["relu", "gru"])
def test_a_step_sees_its_frame_and_the_stated_delay_but_nothing_later(name, rnn_type):
    numbers, lookahead_context, delay_frames = CASES[name]
    model = DeepSpeech2(
        **{
            **numbers,
            "rnn_type": rnn_type,
            "bidirectional": False,
            "lookahead_context": lookahead_context,
            "hop_ms": 8.0,
        }
    )
    randomize(model)
    assert model.delay_ms == delay_frames * 8.0
    stride = int(np.prod(model.time_strides))
    frames = 60
    features = tf.constant(np.random.default_rng(0).normal(size=(8, frames, 9)), tf.float32)
    for step in (0, 3, 5):
        with tf.GradientTape() as tape:
            tape.watch(features)
            output = model({"features": features, "feature_length": np.full(8, frames, np.int32)})
            chosen = tf.reduce_sum(output["logits"][:, step] ** 2)
        seen = np.abs(tape.gradient(chosen, features)).max(axis=(0, 2)) > 0
        # Every frame from the beginning to the delay: the recurrence carries the past.
        assert list(np.flatnonzero(seen))[-1] == step * stride + delay_frames


def test_changing_late_frames_leaves_earlier_logits_as_they_are():
    """The production model, its convolutions as published, narrow elsewhere."""
    model = randomize(build_model("production", units=8, lookahead_context=4, num_bins=20))
    delay_frames = round(model.delay_ms / 10)
    assert delay_frames == 5 + 2 * 5 + 2 * 4
    features = np.random.default_rng(0).normal(size=(1, 80, 20)).astype(np.float32)
    changed_frame = 60
    later = features.copy()
    later[:, changed_frame:] += 1
    length = np.array([80])
    before = model({"features": features, "feature_length": length})["logits"].numpy()
    after = model({"features": later, "feature_length": length})["logits"].numpy()
    same = np.abs(before - after)[0].max(axis=-1) < 1e-6
    first_changed = -(-(changed_frame - delay_frames) // 2)
    np.testing.assert_array_equal(np.flatnonzero(~same), np.arange(first_changed, 40))


def test_the_published_production_model_waits_1750_ms():
    with tf.Graph().as_default():  # where weights take no memory
        model = build_model("production")
    assert model.step_ms == 20
    assert model.delay_ms == 10 * (5 + 2 * 5 + 2 * 80)


def test_a_bidirectional_model_has_no_delay_to_state():
    assert DeepSpeech2(**TINY).delay_ms is None
