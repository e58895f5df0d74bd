"""The gated recurrent layer of Deep Speech 2."""

import keras
import tensorflow as tf

from keras_ds2.layers.base_recurrence import BaseRecurrence
from keras_ds2.ops.gru import gru_few_steps, gru_recurrence


@keras.saving.register_keras_serializable(package="keras_ds2")
class SequenceNormGRU(BaseRecurrence):
    """A gated recurrent unit, normalised on its input half only.

    With `B` a `SequenceBatchNorm`, or the addition of a bias where `batch_norm` is False:

        z_t = recurrent_activation(B(W_z x_t) + U_z h_{t-1})
        r_t = recurrent_activation(B(W_r x_t) + U_r h_{t-1})
        c_t = activation(B(W_c x_t) + r_t * (U_c h_{t-1}))
        h_t = z_t * h_{t-1} + (1 - z_t) * c_t

    Bidirectional, a second recurrence with its own `U` runs from the last real step to the first
    over the same `B(W x_t)`, and the output is the sum of both.

    Source: Cho et al., 2014, with the normalisation of Amodei et al., 2015, arXiv:1512.02595.
    Differs: the gates stand in Keras's order and sense (`z` keeps the old state).

    Args:
        units: int > 0, width of the state.
        bidirectional: bool, whether to add a recurrence from the end to the start.
        batch_norm: bool, whether to normalise the input products.
        activation: Keras activation of the candidate.
        recurrent_activation: Keras activation of the gates.
        use_bias: bool, whether to add a learnt bias (with `batch_norm`, its `beta`).
        kernel_initializer: initializer of `W`.
        recurrent_initializer: initializer of each direction's `U`.
        bias_initializer: initializer of the bias, where `batch_norm` is False.
        momentum: float, of the normalisation's moving averages.
        epsilon: float, of the normalisation.

    Call arguments:
        inputs: float `(batch, time, features)`.  mask: bool `(batch, time)`, True = real step,
        optional.  training: bool, for the normalisation.

    Masking: masked steps are not read and hand the state on; mask passed on; output zeroed there.
    Output shape: `(batch, time, units)`.

    Raises:
        ValueError: if `units` is not positive.
    """

    num_gates = 3

    def __init__(
        self,
        units,
        bidirectional=False,
        batch_norm=True,
        *,
        activation="tanh",
        recurrent_activation="sigmoid",
        **kwargs,
    ):
        super().__init__(units, bidirectional, batch_norm, **kwargs)
        self.activation = keras.activations.get(activation)
        self.recurrent_activation = keras.activations.get(recurrent_activation)

    def recur(self, inputs, recurrent_kernels, mask):
        return gru_recurrence(
            inputs,
            recurrent_kernels,
            mask,
            _tensorflows(self.activation),
            _tensorflows(self.recurrent_activation),
        )

    def recur_few(self, inputs, recurrent_kernel, mask, state):
        return gru_few_steps(
            inputs, recurrent_kernel, mask, state, self.activation, self.recurrent_activation
        )

    def get_config(self):
        return {
            **super().get_config(),
            "activation": keras.activations.serialize(self.activation),
            "recurrent_activation": keras.activations.serialize(self.recurrent_activation),
        }


def _tensorflows(activation):
    """TensorFlow's function where it is one of the two that `gru_recurrence` compiles."""
    known = {keras.activations.tanh: tf.tanh, keras.activations.sigmoid: tf.sigmoid}
    return known.get(activation, activation)
