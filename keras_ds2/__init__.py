"""Deep Speech 2 in Keras 3: layers, models, training and recognition of speech."""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
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

# Imported at first use, so that the command line answers before TensorFlow has loaded.
_PLACES = {
    "DeepSpeech2": "keras_ds2.models",
    "Recognizer": "keras_ds2.recognition",
    "__version__": "keras_ds2.version",
    "build_model": "keras_ds2.models",
}


def __getattr__(name):
    if name in _PLACES:
        return getattr(importlib.import_module(_PLACES[name]), name)
    if name in __all__:
        return importlib.import_module(f"keras_ds2.{name}")
    raise AttributeError(f"module 'keras_ds2' has no attribute {name!r}")


def __dir__():
    return sorted(__all__)
