"""What the recurrent layers share: input product, normalisation, directions, mask."""

import keras
import tensorflow as tf

from keras_ds2.layers.sequence_batch_norm import SequenceBatchNorm
from keras_ds2.portable import of_shape
from keras_ds2.sequence import zero_masked


class BaseRecurrence(keras.layers.Layer):
    """A recurrent layer whose input product is normalised and shared by its directions.

    Not for use by itself: a subclass sets `num_gates` and writes `recur(inputs, recurrent_kernels,
    mask)`, from `(batch, time, num_gates * units)` to a list of each direction's states, and
    `recur_few(inputs, recurrent_kernel, mask, state)` for `advance`.
    """

    num_gates = 1

    def __init__(
        self,
        units,
        bidirectional=False,
        batch_norm=True,
        *,
        use_bias=True,
        kernel_initializer="glorot_uniform",
        recurrent_initializer="orthogonal",
        bias_initializer="zeros",
        momentum=0.99,
        epsilon=1e-3,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if not (isinstance(units, int) and units > 0):
            raise ValueError(f"{type(self).__name__}: expected units > 0, received {units!r}.")
        self.units = units
        self.bidirectional = bidirectional
        self.batch_norm = batch_norm
        self.use_bias = use_bias
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.recurrent_initializer = keras.initializers.get(recurrent_initializer)
        self.bias_initializer = keras.initializers.get(bias_initializer)
        self.momentum = momentum
        self.epsilon = epsilon
        self.supports_masking = True
        self.normalization = (
            SequenceBatchNorm(momentum, epsilon, center=use_bias, dtype=self.dtype_policy)
            if batch_norm
            else None
        )

    def build(self, input_shape):
        width = self.num_gates * self.units
        self.kernel = self.add_weight(
            name="kernel", shape=(input_shape[-1], width), initializer=self.kernel_initializer
        )
        self.recurrent_kernels = [
            self.add_weight(name=name, shape=(self.units, width), initializer=initializer)
            for name, initializer in (
                ("recurrent_kernel", self.recurrent_initializer),
                ("backward_recurrent_kernel", _unshared(self.recurrent_initializer)),
            )[: self.num_directions]
        ]
        self.bias = None
        if self.batch_norm:
            self.normalization.build((*input_shape[:-1], width))
        elif self.use_bias:
            self.bias = self.add_weight(
                name="bias", shape=(width,), initializer=self.bias_initializer
            )

    @property
    def num_directions(self):
        """2 if bidirectional, else 1."""
        return 2 if self.bidirectional else 1

    def call(self, inputs, mask=None, training=False):
        projected = self._project(zero_masked(inputs, mask), mask, training)
        kernels = [tf.convert_to_tensor(kernel) for kernel in self.recurrent_kernels]
        output = tf.add_n(self.recur(projected, kernels, mask))
        return zero_masked(output, mask)

    def advance(self, inputs, mask, state, recurrent_kernel=None):
        """A few steps of a stream, forward only: weights read where they lie, steps unrolled.

        Args:
            inputs: float32 `(batch, time, features)`, time known and small; finite.
            mask: bool `(batch, time)`, True = real step.
            state: float32 `(batch, units)`, zeros before the first step.
            recurrent_kernel: in place of the layer's own, such as a `PackedKernel` of it.

        Returns:
            `(outputs, state)`: `(batch, time, units)`, at masked steps the state handed on.
        """
        projected = self._project(inputs, None, training=False)
        if recurrent_kernel is None:
            recurrent_kernel = tf.convert_to_tensor(self.recurrent_kernels[0])
        return self.recur_few(projected, recurrent_kernel, mask, state)

    def _project(self, inputs, mask, training):
        # Over all steps at once: `matmul` of rank 3 would run a batch of small products.
        flat = tf.reshape(inputs, (-1, inputs.shape[-1]))
        projected = tf.matmul(flat, tf.convert_to_tensor(self.kernel))
        shape = tf.concat([tf.shape(inputs)[:-1], [projected.shape[-1]]], axis=0)
        projected = of_shape(
            tf.reshape(projected, shape), (*inputs.shape[:-1], projected.shape[-1])
        )
        if self.batch_norm:
            return self.normalization(projected, mask=mask, training=training)
        if self.use_bias:
            return zero_masked(projected + tf.convert_to_tensor(self.bias), mask)
        return projected

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.units)

    def get_config(self):
        return {
            **super().get_config(),
            "units": self.units,
            "bidirectional": self.bidirectional,
            "batch_norm": self.batch_norm,
            "use_bias": self.use_bias,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "recurrent_initializer": keras.initializers.serialize(self.recurrent_initializer),
            "bias_initializer": keras.initializers.serialize(self.bias_initializer),
            "momentum": self.momentum,
            "epsilon": self.epsilon,
        }


def _unshared(initializer):
    """A copy that draws its own values: a random initializer gives the same ones at every call."""
    # Those that draw nothing have no seed and need none; Keras's `Identity` loses its gain in one.
    return initializer.clone() if hasattr(initializer, "seed") else initializer
