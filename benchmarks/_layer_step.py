"""One layer's training step in Keras and in PyTorch: output and gradients, nothing else."""

import numpy as np


def keras_step(layer, shape, *, input_gradient=True, jit_compile=False):
    """The work of `layer(inputs)` and the gradients of its weights and of its inputs.

    Args:
        layer: a Keras layer, not built yet.
        shape: tuple, of the inputs.
        input_gradient: bool, whether the inputs' gradient is wanted too.
        jit_compile: bool, whether XLA compiles it.

    Returns:
        A function without arguments.
    """
    import tensorflow as tf

    layer.build(shape)
    inputs, upstream = (
        tf.constant(values) for values in _draw(shape, layer.compute_output_shape(shape))
    )

    @tf.function(jit_compile=jit_compile)
    def step(inputs):
        sources = [*layer.trainable_weights, *([inputs] if input_gradient else [])]
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            outputs = layer(inputs)
        # What is not returned is not computed.
        return outputs, tape.gradient(outputs, sources, output_gradients=upstream)

    def work():
        step(inputs)

    return work


def torch_step(module, shape, output_shape, *, input_gradient=True, channels_last=False):
    """The same for a PyTorch module.

    Args:
        module: a `torch.nn.Module` from one tensor to one.
        shape: tuple, of the inputs.
        output_shape: tuple.
        input_gradient: bool.
        channels_last: bool, for convolutions: whether channels lie side by side in memory.

    Returns:
        A function without arguments.
    """
    import torch

    inputs, upstream = (torch.from_numpy(values) for values in _draw(shape, output_shape))
    if channels_last:
        module = module.to(memory_format=torch.channels_last)
        inputs, upstream = (
            each.contiguous(memory_format=torch.channels_last) for each in (inputs, upstream)
        )
    inputs.requires_grad_(input_gradient)
    sources = [*module.parameters(), *([inputs] if input_gradient else [])]

    def work():
        torch.autograd.grad(module(inputs), sources, upstream)

    return work


def _draw(*shapes):
    draws = np.random.default_rng(0)
    return (draws.normal(size=shape).astype(np.float32) for shape in shapes)
