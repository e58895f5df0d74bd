"""Keras layers of Deep Speech 2, each of use on its own: mask in, mask out."""

from keras_ds2.layers.clipped_relu import ClippedReLU
from keras_ds2.layers.clipped_relu_rnn import ClippedReLURNN
from keras_ds2.layers.clipped_relu_rnn_cell import ClippedReLURNNCell
from keras_ds2.layers.flatten_bins import FlattenBins, SplitBins
from keras_ds2.layers.length_mask import LengthMask
from keras_ds2.layers.lookahead_conv1d import LookaheadConv1D
from keras_ds2.layers.masked_conv1d import MaskedConv1D
from keras_ds2.layers.masked_conv2d import MaskedConv2D
from keras_ds2.layers.sequence_batch_norm import SequenceBatchNorm
from keras_ds2.layers.sequence_norm_gru import SequenceNormGRU

__all__ = [
    "ClippedReLU",
    "ClippedReLURNN",
    "ClippedReLURNNCell",
    "FlattenBins",
    "LengthMask",
    "LookaheadConv1D",
    "MaskedConv1D",
    "MaskedConv2D",
    "SequenceBatchNorm",
    "SequenceNormGRU",
    "SplitBins",
]
