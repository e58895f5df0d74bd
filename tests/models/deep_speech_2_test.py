"""The wiring: what goes in, what comes out, what it may depend on."""

import io
import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_ds2 import layers
from keras_ds2.models import DeepSpeech2, build_model
from keras_ds2.sequence import steps_after_stride
from tests.models.made_up_batch import TINY, made_up_batch
from tests.test_case import assert_all_equal, assert_near, randomize

SMALL_CONVS = {
    1: {"conv_filters": [4], "conv_kernel_size": [[5, 3]], "conv_strides": [[2, 2]]},
    2: {
        "conv_filters": [4, 3],
        "conv_kernel_size": [[5, 3], [3, 3]],
        "conv_strides": [[2, 2], [1, 2]],
    },
    3: {
        "conv_filters": [4, 3, 5],
        "conv_kernel_size": [[5, 3], [4, 3], [3, 3]],
        "conv_strides": [[2, 2], [2, 2], [1, 1]],
    },
}

SHAPES = {
    "one convolution": TINY,
    "two convolutions": {**TINY, "num_conv_layers": 2, **SMALL_CONVS[2]},
    "three convolutions": {**TINY, "num_conv_layers": 3, **SMALL_CONVS[3]},
    "over time alone": {
        **TINY,
        "conv_type": "1d",
        "num_conv_layers": 3,
        "conv_filters": [4, 3, 5],
        "conv_kernel_size": [5, 4, 3],
        "conv_strides": [1, 3, 1],
    },
    "seven recurrences": {**TINY, "num_rnn_layers": 7, "dense_units": 7},
    "no normalisation": {**TINY, "batch_norm": False, "dense_units": 7},
    "gated, both ways": {**TINY, "rnn_type": "gru", "num_rnn_layers": 2},
    "forward with lookahead": {
        **TINY,
        "bidirectional": False,
        "lookahead_context": 2,
        "dense_units": 7,
    },
    "gated forward": {
        **TINY,
        "rnn_type": "gru",
        "bidirectional": False,
        "lookahead_context": 3,
        "dropout": 0.2,
    },
}


@pytest.fixture(params=SHAPES, scope="module")
def model(request):
    """A model of each shape, its weights and moving averages random."""
    return randomize(DeepSpeech2(**SHAPES[request.param]))


@pytest.fixture(scope="module")
def inputs():
    return made_up_batch(4)[0]


def test_logits_for_every_step(model, inputs):
    output = model(inputs)
    stride = int(np.prod(model.time_strides))
    expected = inputs["feature_length"]
    for each in model.time_strides:
        expected = steps_after_stride(expected, each)
    assert set(output) == {"logits", "logit_length"}
    assert output["logits"].shape == (4, steps_after_stride(14, stride), 5)
    assert output["logits"].dtype == tf.float32
    np.testing.assert_array_equal(output["logit_length"], expected)
    assert np.isfinite(output["logits"]).all()
    assert model.step_ms == 10.0 * stride


def test_an_utterances_logits_do_not_depend_on_its_batch(model, inputs):
    output = model(inputs)
    wider = np.pad(inputs["features"], [(0, 0), (0, 3), (0, 0)], constant_values=np.nan)
    in_wider = model({**inputs, "features": wider})
    for row, frames in enumerate(inputs["feature_length"]):
        alone = model(
            {
                "features": inputs["features"][row : row + 1, :frames],
                "feature_length": inputs["feature_length"][row : row + 1],
            }
        )
        steps = int(alone["logit_length"][0])
        assert alone["logits"].shape[1] == steps
        for batch in (output, in_wider):
            np.testing.assert_allclose(batch["logits"][row, :steps], alone["logits"][0], atol=1e-4)


def test_padding_reaches_neither_loss_nor_gradient_nor_moving_average(model, inputs):
    labels = made_up_batch(4)[1]
    weights = model.get_weights()
    masked = np.arange(14) >= inputs["feature_length"][:, np.newaxis]
    seen = []
    for padding in (0, np.nan):
        features = inputs["features"].copy()
        features[masked] = padding
        for layer in model.stack:
            if isinstance(layer, keras.layers.Dropout):
                layer.seed_generator.state.assign([0, 0])
        with tf.GradientTape() as tape:
            output = model({**inputs, "features": features}, training=True)
            loss = model.compute_loss(y=labels, y_pred=output)
        gradients = tape.gradient(loss, model.trainable_weights)
        moving = [weight.numpy() for weight in model.non_trainable_weights]
        seen.append([loss, *gradients, *moving])
        model.set_weights(weights)
    assert np.isfinite(seen[0][0])
    assert seen[0][0] > 0
    assert_all_equal(seen[1], seen[0])


def test_training_drops_out_and_moves_every_average_inference_does_neither(inputs):
    model = DeepSpeech2(**{**TINY, "num_rnn_layers": 2, "dense_units": 7}, dropout=0.5)

    def averages():
        return [weight.numpy() for weight in model.weights if "moving" in weight.name]

    before = averages()
    one, other = (model(inputs)["logits"].numpy() for _ in range(2))
    np.testing.assert_array_equal(one, other)
    assert_all_equal(averages(), before)

    one, other = (model(inputs, training=True)["logits"].numpy() for _ in range(2))
    assert np.abs(one - other).max() > 1e-3
    after = averages()
    assert len(after) == 2 * (1 + 2 + 1)
    for old, new in zip(before, after, strict=True):
        assert not np.allclose(old, new)


def test_its_configuration_is_json_and_builds_it_again(model, inputs):
    config = json.loads(json.dumps(model.get_config()))
    copy = DeepSpeech2.from_config(config)
    assert copy.get_config() == model.get_config()
    copy.set_weights(model.get_weights())
    np.testing.assert_array_equal(copy(inputs)["logits"], model(inputs)["logits"])


def test_layers_stand_in_the_papers_order():
    model = DeepSpeech2(**{**SHAPES["gated forward"], "dense_units": 7, "num_rnn_layers": 2})
    assert [layer.name for layer in model.layers] == [
        "length_mask",
        "split_bins",
        "conv_1",
        "conv_1_norm",
        "conv_1_relu",
        "flatten_bins",
        "rnn_1_dropout",
        "rnn_1",
        "rnn_2_dropout",
        "rnn_2",
        "lookahead",
        "dense_dropout",
        "dense",
        "dense_norm",
        "dense_relu",
        "logits_dropout",
        "logits",
    ]


def test_numbers_reach_their_layers():
    model = DeepSpeech2(
        **{**TINY, "dense_units": 7},
        max_value=3.0,
        batch_norm_momentum=0.7,
        dropout=0.25,
        recurrent_initializer="identity",
        recurrent_gain=0.5,
    )
    kinds = {kind: [] for kind in ("SequenceBatchNorm", "ClippedReLU", "ClippedReLURNN", "Dropout")}
    for layer in model.stack:
        kinds.get(type(layer).__name__, []).append(layer)
    (rnn,) = kinds["ClippedReLURNN"]
    for kernel in rnn.recurrent_kernels:
        np.testing.assert_array_equal(kernel, 0.5 * np.eye(6))
    assert {layer.max_value for layer in [*kinds["ClippedReLU"], rnn]} == {3.0}
    norms = [*kinds["SequenceBatchNorm"], rnn.normalization]
    assert len(norms) == 3
    assert {norm.momentum for norm in norms} == {0.7}
    assert [layer.rate for layer in kinds["Dropout"]] == [0.25] * 3


def test_recurrences_start_from_different_weights():
    model = DeepSpeech2(**{**TINY, "num_rnn_layers": 3})
    kernels = [
        weight.numpy()
        for layer in model.stack
        if isinstance(layer, layers.ClippedReLURNN)
        for weight in layer.recurrent_kernels
    ]
    assert len({kernel.tobytes() for kernel in kernels}) == 6


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision_keeps_weights_and_logits_in_float32(policy, inputs):
    numbers = {**SHAPES["forward with lookahead"], "dense_units": 7}
    model = randomize(DeepSpeech2(**numbers))
    half = DeepSpeech2(**numbers, dtype=policy)
    half.set_weights(model.get_weights())
    assert {weight.dtype for weight in half.weights} == {"float32"}
    assert half.get_config()["dtype"] == policy
    assert half.stack[1].compute_dtype == policy.removeprefix("mixed_")
    logits = half(inputs)["logits"]
    assert logits.dtype == tf.float32
    tolerance = {"mixed_float16": 0.02, "mixed_bfloat16": 0.1}[policy]
    assert_near(logits, model(inputs)["logits"].numpy(), tolerance)


def test_the_global_policy_is_followed():
    keras.config.set_dtype_policy("mixed_bfloat16")
    assert DeepSpeech2(**TINY).compute_dtype == "bfloat16"


def test_the_summary_shows_every_layer_with_its_shape():
    model = build_model("english", **{**TINY, "dense_units": 7})
    stream = io.StringIO()
    model.summary(print_fn=lambda line: stream.write(line + "\n"), line_length=80)
    text = stream.getvalue()
    assert "deep_speech_2_english" in text
    assert "?" not in text
    for layer in [model.length_mask, *model.stack, model.logits]:
        (row,) = [line for line in text.splitlines() if f" {layer.name} (" in line]
        assert "(None, None, " in row
        assert f"{layer.count_params():,}" in row
    assert "conv_1 (MaskedConv2D)" in text
    assert "(None, None, 5, 4)" in text  # bins and channels
    assert "rnn_1 (ClippedReLURNN)" in text


def test_exported_it_serves_every_shape(tmp_path, inputs):
    model = randomize(DeepSpeech2(**SHAPES["forward with lookahead"]))
    model(inputs)  # Keras asks for one call first
    model.export(tmp_path / "served", verbose=False)
    served = tf.saved_model.load(tmp_path / "served")
    part = {key: value[:1] for key, value in inputs.items()}
    for batch in (inputs, part):
        output, expected = served.serve(batch), model(batch)
        np.testing.assert_allclose(output["logits"], expected["logits"], atol=1e-5)
        np.testing.assert_array_equal(output["logit_length"], expected["logit_length"])


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"vocabulary_size": 1}, "vocabulary_size: expected an int >= 2"),
        ({"num_bins": 0}, "num_bins: expected an int >= 1, received 0"),
        ({"num_conv_layers": 0}, "num_conv_layers: expected an int >= 1, received 0"),
        ({"num_rnn_layers": 0}, "num_rnn_layers: expected an int >= 1, received 0"),
        ({"units": 2.5}, "units: expected an int >= 1, received 2.5"),
        ({"dense_units": -1}, "dense_units: expected an int >= 0, received -1"),
        ({"lookahead_context": -1}, "lookahead_context: expected an int >= 0, received -1"),
        ({"lookahead_context": 2}, "lookahead_context: expected 0 in a bidirectional model"),
        ({"dropout": 1.0}, r"dropout: expected a share in \[0, 1\), received 1.0"),
        ({"hop_ms": 0}, "hop_ms: expected ms > 0, received 0"),
        ({"max_value": 0}, "expected max_value > 0, received 0"),
        ({"batch_norm_momentum": 1}, r"expected momentum in \[0, 1\), received 1"),
        ({"conv_type": "3d"}, "conv_type: expected '2d' or '1d', received '3d'"),
        ({"rnn_type": "lstm"}, "rnn_type: expected 'relu' or 'gru', received 'lstm'"),
        ({"recurrent_initializer": "zeros"}, "recurrent_initializer: expected 'orthogonal' or"),
        (
            {"recurrent_initializer": "identity", "rnn_type": "gru"},
            "recurrent_initializer: expected 'orthogonal' for rnn_type 'gru'",
        ),
        ({"recurrent_gain": 0}, "recurrent_gain: expected a factor > 0, received 0"),
        ({"conv_filters": [4, 4]}, "conv_filters: expected 1 entries, one a convolution"),
        ({"conv_filters": 4}, "conv_filters: expected 1 entries, one a convolution"),
        ({"conv_kernel_size": []}, "conv_kernel_size: expected 1 entries, one a convolution"),
        ({"conv_strides": [[1, 1]] * 2}, "conv_strides: expected 1 entries, one a convolution"),
        ({"conv_strides": [[0, 1]]}, "expected strides as one or two ints > 0, received"),
        ({"num_conv_layers": 4, "conv_filters": None}, "conv_filters: expected 4 entries"),
    ],
)
def test_numbers_out_of_range_are_refused(changed, message):
    with pytest.raises(ValueError, match=message):
        DeepSpeech2(**{**TINY, **changed})
