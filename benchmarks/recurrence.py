"""Recurrent layers: output, and gradients of the inputs and all weights.

The clipped-ReLU recurrence is bidirectional, its directions summed, the GRU forward only. Ours has
one input product for both directions, as the paper; the peers have two, so each contender's share
of the peak is of its own operations. The limit is ours without anything but its products: the same
loops, and the same products over all steps.
"""

import numpy as np

from benchmarks import _harness
from benchmarks._harness import Case, Contender
from benchmarks._layer_step import keras_step, torch_step

SIZES = (
    {"batch": 16, "steps": 300, "units": 512},
    {"batch": 32, "steps": 150, "units": 1024},
)
QUICK_SIZES = (
    {"batch": 4, "steps": 40, "units": 128},
    {"batch": 8, "steps": 20, "units": 256},
)


def cases(quick):
    sizes = QUICK_SIZES if quick else SIZES
    return [make(size) for make in (_relu, _gru) for size in sizes]


def _relu(size):
    return Case(
        name="relu_" + _named(size),
        shapes=size,
        contenders=(
            Contender("keras_ds2", our_relu, size, role="ours", flops=_flops(**size, products=3)),
            Contender(
                "keras SimpleRNN",
                keras_relu,
                size,
                options=_harness.JIT_OR_NOT,
                flops=_flops(**size, products=4),
            ),
            Contender(
                "torch RNN",
                torch_relu,
                size,
                library="torch",
                flops=_flops(**size, products=4),
            ),
            _products(size, gates=1, directions=2),
        ),
    )


def _gru(size):
    flops = _flops(**size, products=6)
    return Case(
        name="gru_" + _named(size),
        shapes=size,
        contenders=(
            Contender("keras_ds2", our_gru, size, role="ours", flops=flops),
            Contender("keras GRU", keras_gru, size, options=_harness.JIT_OR_NOT, flops=flops),
            Contender("torch GRU", torch_gru, size, library="torch", flops=flops),
            _products(size, gates=3, directions=1),
        ),
    )


def _products(size, gates, directions):
    return Contender(
        "products alone",
        products_alone,
        {**size, "gates": gates, "directions": directions},
        role="limit",
        flops=_flops(**size, products=gates * (1 + directions)),
    )


def _named(size):
    return "x".join(str(part) for part in size.values())


def _flops(batch, steps, units, products):
    """Three times the forward pass: `products` products with `(units, units)` a step and row."""
    return 3 * products * 2 * batch * steps * units**2


def our_relu(batch, steps, units):
    from keras_ds2.layers import ClippedReLURNN

    layer = ClippedReLURNN(units, bidirectional=True, batch_norm=False)
    return keras_step(layer, (batch, steps, units))


def keras_relu(batch, steps, units, jit_compile):
    import keras

    layer = keras.layers.Bidirectional(
        keras.layers.SimpleRNN(units, activation="relu", return_sequences=True), merge_mode="sum"
    )
    return keras_step(layer, (batch, steps, units), jit_compile=jit_compile)


def torch_relu(batch, steps, units):
    import torch

    layer = torch.nn.RNN(units, units, nonlinearity="relu", bidirectional=True, batch_first=True)
    return _torch_work(layer, batch, steps, units)


def our_gru(batch, steps, units):
    from keras_ds2.layers import SequenceNormGRU

    return keras_step(SequenceNormGRU(units, batch_norm=False), (batch, steps, units))


def keras_gru(batch, steps, units, jit_compile):
    import keras

    layer = keras.layers.GRU(units, return_sequences=True)
    return keras_step(layer, (batch, steps, units), jit_compile=jit_compile)


def torch_gru(batch, steps, units):
    import torch

    return _torch_work(torch.nn.GRU(units, units, batch_first=True), batch, steps, units)


def products_alone(batch, steps, units, gates, directions):
    import tensorflow as tf

    from keras_ds2.ops.compiled import compiled
    from keras_ds2.ops.recurrence import Layout, recurrent_product

    draws = np.random.default_rng(0)
    # Orthogonal, so that the state neither grows nor fades.
    square = np.linalg.qr(draws.normal(size=(units, units)))[0].astype(np.float32)
    kernel = tf.constant(np.tile(square, (1, gates)))
    inputs = tf.constant(draws.normal(size=(batch, steps, gates * units)).astype(np.float32))
    flat = tf.reshape(inputs, (-1, gates * units))
    states = flat[:, :units]

    @compiled
    def chain(state, kernel, gradient_kernel, steps, turned):
        axis = 0 if turned else 1

        def forward(k, state):
            return k + 1, tf.split(recurrent_product(state, kernel, turned), gates, axis)[0]

        def backward(k, state):
            wide = tf.concat([state] * gates, axis)
            product = recurrent_product(wide, gradient_kernel, turned)
            return k + 1, product / gates

        for turn in (forward, backward):
            _, state = tf.while_loop(lambda k, _: k < steps, turn, (0, state))
        return state

    layout = Layout(inputs, None, gates)
    kernels = layout.turn_kernel(kernel), layout.turn_kernel(tf.transpose(kernel))
    # As ours: each direction, or of a single one each half of the batch, is a loop of its own.
    rows = batch if directions == 2 else batch // 2
    starts = [layout.turn_state(states[:rows]), layout.turn_state(states[rows : 2 * rows])]

    @tf.function
    def step():
        return (
            [chain(start, *kernels, layout.steps, layout.turned) for start in starts],
            tf.matmul(states, kernel),
            tf.matmul(flat, kernel, transpose_b=True),
            tf.matmul(states, flat, transpose_a=True),
            [tf.matmul(states, flat, transpose_a=True) for _ in range(directions)],
        )

    def work():
        step()

    return work


def _torch_work(layer, batch, steps, units):
    import torch

    class Summed(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = layer

        def forward(self, inputs):
            outputs = self.layer(inputs)[0]
            if self.layer.bidirectional:
                outputs = outputs[..., :units] + outputs[..., units:]
            return outputs

    shape = (batch, steps, units)
    return torch_step(Summed(), shape, shape)


if __name__ == "__main__":
    arguments = _harness.parser(__doc__).parse_args()
    _harness.run("recurrence", cases(arguments.quick), arguments)
