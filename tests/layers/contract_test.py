"""What every sequence layer keeps, whatever it computes."""

import pytest

from keras_ds2 import layers
from tests import test_case
from tests.test_case import Padded

CASES = {
    "clipped_relu": (lambda **kw: layers.ClippedReLU(1.0, **kw), 3),
    "split_bins": (layers.SplitBins, 3),
    "flatten_bins": (layers.FlattenBins, 4),
    "sequence_batch_norm": (layers.SequenceBatchNorm, 3),
    "sequence_batch_norm_4d": (lambda **kw: layers.SequenceBatchNorm(0.9, 0.1, **kw), 4),
    "masked_conv2d": (lambda **kw: layers.MaskedConv2D(3, (5, 3), (2, 2), **kw), 4),
    "masked_conv2d_causal": (
        lambda **kw: layers.MaskedConv2D(3, (4, 2), (3, 1), padding="causal", **kw),
        4,
    ),
    "masked_conv1d": (lambda **kw: layers.MaskedConv1D(4, 3, 2, **kw), 3),
    "clipped_relu_rnn": (lambda **kw: layers.ClippedReLURNN(4, max_value=1.0, **kw), 3),
    "clipped_relu_rnn_bidirectional": (lambda **kw: layers.ClippedReLURNN(4, True, **kw), 3),
    "clipped_relu_rnn_plain": (lambda **kw: layers.ClippedReLURNN(4, True, False, **kw), 3),
    "sequence_norm_gru": (lambda **kw: layers.SequenceNormGRU(4, batch_norm=False, **kw), 3),
    "sequence_norm_gru_bidirectional": (
        lambda **kw: layers.SequenceNormGRU(
            4, True, recurrent_activation="hard_sigmoid", momentum=0.5, **kw
        ),
        3,
    ),
    "lookahead_conv1d": (lambda **kw: layers.LookaheadConv1D(2, **kw), 3),
}


@pytest.fixture(params=CASES)
def case(request):
    """A layer's maker and a batch for it."""
    make, rank = CASES[request.param]
    features = (6,) if rank == 3 else (6, 1)
    return make, Padded.draw([7, 4, 1], width=8, features=features)


def test_padding_is_not_read(case):
    test_case.assert_padding_is_not_read(*case)


def test_a_row_does_not_depend_on_its_batch(case):
    test_case.assert_rows_are_independent(*case)


def test_saved_and_loaded_it_gives_the_same_numbers(case, tmp_path):
    test_case.assert_saved_alike(*case, tmp_path / "model.keras")


def test_batch_and_time_may_be_unknown(case):
    test_case.assert_unknown_shapes(*case)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision(case, policy):
    test_case.assert_mixed_precision(*case, policy)
