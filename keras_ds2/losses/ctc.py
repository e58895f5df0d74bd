"""The Keras face of the CTC loss."""

import keras
import tensorflow as tf

from keras_ds2.ops.ctc import ctc_loss


@keras.saving.register_keras_serializable(package="keras_ds2")
class CTC(keras.losses.Loss):
    """CTC loss with true lengths.

    Unlike `keras.losses.CTC`, which takes the padded width as the length of every row.

    Call arguments:
        y_true: `{"labels": int (batch, symbols), "label_length": int (batch,)}`.
        y_pred: `{"logits": float (batch, steps, vocabulary_size), "logit_length": int (batch,)}`.

    An utterance whose labels cannot fit its steps contributes 0; `DeepSpeech2` counts them and
    divides by the others.
    """

    def __init__(self, reduction="sum_over_batch_size", name="ctc", **kwargs):
        super().__init__(reduction=reduction, name=name, **kwargs)

    def call(self, y_true, y_pred):
        return ctc_loss(
            tf.cast(y_true["labels"], tf.int32),
            y_pred["logits"],
            tf.cast(y_true["label_length"], tf.int32),
            tf.cast(y_pred["logit_length"], tf.int32),
        )
