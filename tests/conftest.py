"""Set-up shared by all tests: a quiet TensorFlow, fixed seeds, the folder of real speech."""

# ruff: noqa: E402 - TensorFlow is imported first, without its chatter.

import os
from pathlib import Path

from keras_ds2.quiet import import_tensorflow

import_tensorflow()

import hypothesis
import keras
import pytest
import tensorflow as tf

# No test is timed: on a busy machine an example takes as long as it takes.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")

# On a GPU products round to ten bits unless told; tests compare to 1e-5.
tf.config.experimental.enable_tensor_float_32_execution(False)

SPEECH_DATA_VARIABLE = "KERAS_DS2_SPEECH_DATA"
CHECKOUT = Path(__file__).resolve().parents[1]


@pytest.fixture(autouse=True, scope="module")
def _module_seeds():
    """What a module's fixtures make does not depend on the modules that ran before."""
    keras.utils.set_random_seed(20151208)


@pytest.fixture(autouse=True)
def _seeds():
    """Every test starts from the same random state: Python's, NumPy's, TensorFlow's, Keras's."""
    keras.utils.set_random_seed(20151208)


@pytest.fixture(autouse=True)
def _float32():
    """A test that sets a mixed-precision policy leaves none behind."""
    yield
    keras.config.set_dtype_policy("float32")


@pytest.fixture(scope="session")
def speech_data() -> Path:
    """Folder of real speech, one folder a corpus; the test is skipped where there is none."""
    given = os.environ.get(SPEECH_DATA_VARIABLE)
    folder = Path(given) if given else CHECKOUT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"no real speech: {folder} is not a folder, set {SPEECH_DATA_VARIABLE} to one")
    return folder
