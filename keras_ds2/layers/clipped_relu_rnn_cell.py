"""One step of the clipped-ReLU recurrence."""

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="keras_ds2")
class ClippedReLURNNCell(keras.layers.Layer):
    """`h_t = min(max(W x_t + U h_{t-1} + b, 0), max_value)`, for `keras.layers.RNN`.

    `ClippedReLURNN` computes the same over whole sequences, faster and with normalisation.

    Source: Amodei et al., 2015, arXiv:1512.02595, Eq. 3 without normalisation. Differs: nothing.

    Args:
        units: int > 0, width of the state.
        max_value: float > 0, the upper clip.
        use_bias: bool, whether to add `b`.
        kernel_initializer: initializer of `W`.
        recurrent_initializer: initializer of `U`.
        bias_initializer: initializer of `b`.

    Call arguments:
        inputs: float `(batch, features)`.  states: list of one float `(batch, units)`.

    Returns: the new state `(batch, units)` and the list that holds it.

    Raises:
        ValueError: if `units` or `max_value` is not positive.
    """

    def __init__(
        self,
        units,
        max_value=20.0,
        *,
        use_bias=True,
        kernel_initializer="glorot_uniform",
        recurrent_initializer="orthogonal",
        bias_initializer="zeros",
        **kwargs,
    ):
        super().__init__(**kwargs)
        if not (isinstance(units, int) and units > 0):
            raise ValueError(f"ClippedReLURNNCell: expected units > 0, received {units!r}.")
        if not max_value > 0:
            raise ValueError(f"ClippedReLURNNCell: expected max_value > 0, received {max_value!r}.")
        self.units = units
        self.max_value = float(max_value)
        self.use_bias = use_bias
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.recurrent_initializer = keras.initializers.get(recurrent_initializer)
        self.bias_initializer = keras.initializers.get(bias_initializer)
        self.state_size = units
        self.output_size = units

    def build(self, input_shape):
        self.kernel = self.add_weight(
            name="kernel",
            shape=(input_shape[-1], self.units),
            initializer=self.kernel_initializer,
        )
        self.recurrent_kernel = self.add_weight(
            name="recurrent_kernel",
            shape=(self.units, self.units),
            initializer=self.recurrent_initializer,
        )
        self.bias = (
            self.add_weight(name="bias", shape=(self.units,), initializer=self.bias_initializer)
            if self.use_bias
            else None
        )

    def call(self, inputs, states, training=False):
        projected = ops.matmul(inputs, self.kernel) + ops.matmul(states[0], self.recurrent_kernel)
        if self.use_bias:
            projected += self.bias
        output = ops.clip(projected, 0, self.max_value)
        return output, [output]

    def get_initial_state(self, batch_size=None):
        return [ops.zeros((batch_size, self.units), dtype=self.compute_dtype)]

    def get_config(self):
        return {
            **super().get_config(),
            "units": self.units,
            "max_value": self.max_value,
            "use_bias": self.use_bias,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "recurrent_initializer": keras.initializers.serialize(self.recurrent_initializer),
            "bias_initializer": keras.initializers.serialize(self.bias_initializer),
        }
