"""A trained run put to use."""

from keras_ds2.recognition.recognizer import Recognition, Recognizer

__all__ = ["Recognition", "Recognizer"]
