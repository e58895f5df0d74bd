"""Deep Speech 2 in Keras 3: layers, models, training and recognition of speech."""

from keras_ds2 import layers, losses, ops
from keras_ds2.models import DeepSpeech2, build_model
from keras_ds2.recognition import Recognizer
from keras_ds2.version import __version__

__all__ = [
    "DeepSpeech2",
    "Recognizer",
    "__version__",
    "build_model",
    "layers",
    "losses",
    "ops",
]
