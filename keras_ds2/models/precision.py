"""A model in another precision than it was trained in."""

from keras_ds2.models.deep_speech_2 import DeepSpeech2


def in_float32(model: DeepSpeech2) -> DeepSpeech2:
    """The model itself, or of one of mixed precision a copy that computes in float32."""
    if model.dtype_policy.compute_dtype == "float32":
        return model
    exact = type(model).from_config({**model.get_config(), "dtype": "float32"})
    exact.set_weights(model.get_weights())
    return exact
