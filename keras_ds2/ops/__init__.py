"""Kernels with plain function faces: the CTC loss and whole-sequence recurrences."""

from keras_ds2.ops.ctc import ctc_loss, labels_fit
from keras_ds2.ops.recurrence import clipped_relu_recurrence, gru_recurrence

__all__ = ["clipped_relu_recurrence", "ctc_loss", "gru_recurrence", "labels_fit"]
