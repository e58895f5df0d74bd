"""The recurrent layer of Deep Speech 2."""

import keras

from keras_ds2.layers.base_recurrence import BaseRecurrence
from keras_ds2.ops.clipped_relu import clipped_relu_few_steps, clipped_relu_recurrence


@keras.saving.register_keras_serializable(package="keras_ds2")
class ClippedReLURNN(BaseRecurrence):
    """A clipped-ReLU recurrence, normalised on its input half only.

    `h_t = min(max(B(W x_t) + U h_{t-1}, 0), max_value)`, with `B` a `SequenceBatchNorm`, or the
    addition of a bias where `batch_norm` is False. Bidirectional, a second recurrence with its own
    `U` runs from the last real step to the first over the same `B(W x_t)`, and the output is the
    sum of both.

    Source: Amodei et al., 2015, arXiv:1512.02595, Eq. 3 and 4; the input weights serve both
    directions, as there. Differs: nothing.

    Args:
        units: int > 0, width of the state.
        bidirectional: bool, whether to add a recurrence from the end to the start.
        batch_norm: bool, whether to normalise `W x_t`.
        max_value: float > 0, the upper clip.
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
        ValueError: if `units` or `max_value` is not positive.
    """

    def __init__(self, units, bidirectional=False, batch_norm=True, max_value=20.0, **kwargs):
        super().__init__(units, bidirectional, batch_norm, **kwargs)
        if not max_value > 0:
            raise ValueError(f"ClippedReLURNN: expected max_value > 0, received {max_value!r}.")
        self.max_value = float(max_value)

    def recur(self, inputs, recurrent_kernels, mask):
        return clipped_relu_recurrence(inputs, recurrent_kernels, mask, self.max_value)

    def recur_few(self, inputs, recurrent_kernel, mask, state):
        return clipped_relu_few_steps(inputs, recurrent_kernel, mask, state, self.max_value)

    def get_config(self):
        return {**super().get_config(), "max_value": self.max_value}
