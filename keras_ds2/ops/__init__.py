"""Kernels with plain function faces: CTC, convolution, recurrences, sums over replicas."""

from keras_ds2.ops.clipped_relu import clipped_relu_recurrence
from keras_ds2.ops.convolution import conv2d
from keras_ds2.ops.ctc import ctc_loss, labels_fit
from keras_ds2.ops.gru import gru_recurrence
from keras_ds2.ops.replicas import sum_over_replicas

__all__ = [
    "clipped_relu_recurrence",
    "conv2d",
    "ctc_loss",
    "gru_recurrence",
    "labels_fit",
    "sum_over_replicas",
]
