"""The three variants: their sizes from first principles, and wrong arguments."""

import pytest
import tensorflow as tf

from keras_ds2.models import build_model
from keras_ds2.sequence import steps_after_stride

FILTERS = [32, 32, 96]
KERNELS = [(11, 41), (11, 21), (11, 21)]  # time x frequency
BIN_STRIDES = [2, 2, 2]


def counted(
    *,
    num_bins=161,
    vocabulary_size=29,
    conv_type="2d",
    num_conv_layers=2,
    num_rnn_layers,
    gates=1,
    units,
    directions,
    lookahead_context=0,
    dense_units=0,
    batch_norm=True,
):
    """Trainable and other weights, layer by layer."""
    offsets = 2 if batch_norm else 1  # gamma and beta, or a bias
    trainable = 0
    moving = 0
    channels, bins = (1, num_bins) if conv_type == "2d" else (num_bins, 1)
    for layer in range(num_conv_layers):
        filters = FILTERS[layer] if conv_type == "2d" else 1280
        kernel = KERNELS[layer][0] * KERNELS[layer][1] if conv_type == "2d" else 11
        trainable += kernel * channels * filters + offsets * filters
        moving += 2 * filters
        channels = filters
        if conv_type == "2d":
            bins = steps_after_stride(bins, BIN_STRIDES[layer])
    width = bins * channels
    for _ in range(num_rnn_layers):
        trainable += width * gates * units  # W
        trainable += directions * units * gates * units  # U, one each way
        trainable += offsets * gates * units
        moving += 2 * gates * units
        width = units
    if lookahead_context:
        trainable += (lookahead_context + 1) * width
    if dense_units:
        trainable += width * dense_units + offsets * dense_units
        moving += 2 * dense_units
        width = dense_units
    trainable += width * vocabulary_size + vocabulary_size
    return trainable, moving if batch_norm else 0


def weights_of(variant, **numbers):
    """The same, of the model; built in a graph, where weights take no memory."""
    with tf.Graph().as_default():
        model = build_model(variant, **numbers)
    sizes = [
        sum(weight.shape.num_elements() for weight in weights)
        for weights in (model.trainable_weights, model.non_trainable_weights)
    ]
    assert model.count_params() == sum(sizes)
    return tuple(sizes)


def test_english_is_the_papers_model_of_68_million():
    expected = counted(num_rnn_layers=7, units=1760, directions=2, dense_units=1760)
    assert weights_of("english") == expected
    assert sum(expected) == pytest.approx(68e6, rel=0.01)


def test_mandarin_is_the_papers_model_of_80_million():
    expected = counted(
        num_rnn_layers=7, units=1760, directions=2, dense_units=1760, vocabulary_size=6000
    )
    assert weights_of("mandarin") == expected
    assert sum(expected) == pytest.approx(80e6, rel=0.03)


def test_production_is_the_papers_three_gated_layers_of_2560():
    expected = counted(num_rnn_layers=3, gates=3, units=2560, directions=1, lookahead_context=80)
    assert weights_of("production") == expected


@pytest.mark.parametrize("batch_norm", [True, False])
@pytest.mark.parametrize("conv_type", ["2d", "1d"])
@pytest.mark.parametrize(
    ("num_conv_layers", "num_rnn_layers", "units", "rnn_type", "dense_units", "lookahead_context"),
    [
        (1, 1, 2400, "relu", 0, 0),
        (2, 3, 1880, "relu", 1880, 0),
        (3, 5, 1510, "relu", 1510, 0),
        (2, 7, 1280, "relu", 0, 0),
        (1, 3, 1070, "gru", 100, 0),
        (3, 3, 700, "gru", 0, 19),
        (3, 5, 2560, "relu", 2560, 19),
    ],
)
def test_every_size_counts_what_its_layers_hold(
    conv_type,
    batch_norm,
    num_conv_layers,
    num_rnn_layers,
    units,
    rnn_type,
    dense_units,
    lookahead_context,
):
    """Depths and widths of the paper's tables, both front ends, with and without normalisation."""
    numbers = {
        "conv_type": conv_type,
        "batch_norm": batch_norm,
        "num_conv_layers": num_conv_layers,
        "num_rnn_layers": num_rnn_layers,
        "units": units,
        "dense_units": dense_units,
        "lookahead_context": lookahead_context,
    }
    bidirectional = lookahead_context == 0
    seen = weights_of("english", **numbers, rnn_type=rnn_type, bidirectional=bidirectional)
    gates = 3 if rnn_type == "gru" else 1
    assert seen == counted(**numbers, gates=gates, directions=2 if bidirectional else 1)


def test_the_vocabulary_and_the_bins_are_the_callers():
    seen = weights_of("english", vocabulary_size=51, num_bins=81, num_rnn_layers=1, units=100)
    expected = counted(
        vocabulary_size=51, num_bins=81, num_rnn_layers=1, units=100, directions=2, dense_units=1760
    )
    assert seen == expected


def test_a_models_name_is_its_variants_unless_given():
    small = {"num_rnn_layers": 1, "units": 4, "dense_units": 0, "num_bins": 9}
    assert build_model("mandarin", **small).name == "deep_speech_2_mandarin"
    assert build_model("mandarin", **small, name="mine").name == "mine"


def test_an_unknown_variant_is_refused():
    with pytest.raises(
        ValueError,
        match="expected a variant of 'english', 'mandarin', 'production', received 'french'",
    ):
        build_model("french")


def test_an_unknown_argument_is_refused_with_the_nearest_one():
    with pytest.raises(ValueError, match="'num_rnn_layer', did you mean num_rnn_layers"):
        build_model("english", num_rnn_layer=3)
    with pytest.raises(ValueError, match="unknown argument 'xyz', expected one of num_bins, "):
        build_model("english", xyz=3)


def test_a_lookahead_in_a_bidirectional_variant_is_refused():
    with pytest.raises(ValueError, match="lookahead_context: expected 0 in a bidirectional model"):
        build_model("english", lookahead_context=20)
