"""Keras losses."""

from keras_ds2.losses.ctc import CTC

__all__ = ["CTC"]
