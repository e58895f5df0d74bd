"""Frames: from waveforms to the features that a model reads."""

from keras_ds2.features.deltas import Deltas
from keras_ds2.features.front_end import FeatureFrontEnd
from keras_ds2.features.log_spectrogram import LogSpectrogram
from keras_ds2.features.normalization import FeatureNormalization

__all__ = ["Deltas", "FeatureFrontEnd", "FeatureNormalization", "LogSpectrogram"]
