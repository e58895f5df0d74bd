"""Model builders."""

from keras_ds2.models.deep_speech_2 import DeepSpeech2
from keras_ds2.models.presets import build_model

__all__ = ["DeepSpeech2", "build_model"]
