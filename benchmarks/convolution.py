"""The model's two convolutions: output and gradients of the weights.

The second convolution's input gradient is computed too; the first one's is not: its inputs are
features.
"""

import math

from benchmarks import _harness
from benchmarks._harness import Case, Contender
from benchmarks._layer_step import keras_step, torch_step

FILTERS = 32
LAYERS = (
    {"kernel_size": (11, 41), "strides": (2, 2), "channels": 1, "input_gradient": False},
    {"kernel_size": (11, 21), "strides": (1, 2), "channels": FILTERS, "input_gradient": True},
)


def cases(quick):
    batch, steps, bins = (1, 100, 161) if quick else (16, 600, 161)
    made = []
    for index, layer in enumerate(LAYERS, start=1):
        case = {"batch": batch, "steps": steps, "bins": bins, **layer}
        made.append(_case(f"conv_{index}", case))
        steps, bins = _output_shape(case)[1:3]
    return made


def _case(name, size):
    counted = {"flops": flops(**size)}
    layouts = ({"channels_last": False}, {"channels_last": True})
    return Case(
        name=name,
        shapes={**size, "filters": FILTERS},
        contenders=(
            Contender("keras_ds2", ours, size, role="ours", **counted),
            Contender(
                "keras Conv2D",
                keras_peer,
                size,
                options=_harness.JIT_OR_NOT,
                **counted,
            ),
            Contender(
                "torch Conv2d", torch_peer, size, library="torch", options=layouts, **counted
            ),
        ),
    )


def _output_shape(size):
    steps, bins = (
        math.ceil(size[key] / stride)
        for key, stride in zip(("steps", "bins"), size["strides"], strict=True)
    )
    return size["batch"], steps, bins, FILTERS


def flops(batch, steps, bins, channels, kernel_size, strides, input_gradient):
    """Of output and gradients, each as many as the other; products with padding do not count."""
    taps = 1
    for length, kernel, stride in zip((steps, bins), kernel_size, strides, strict=True):
        taps *= real_taps(length, kernel, stride)
    passes = 3 if input_gradient else 2
    return passes * 2 * batch * taps * channels * FILTERS


def real_taps(length, kernel, stride):
    """Pairs of an output and an input that it sees, along one axis."""
    first = -((kernel - 1) // 2)
    starts = range(first, length + first, stride)
    return sum(min(start + kernel, length) - max(start, 0) for start in starts)


def ours(**size):
    from keras_ds2.layers import MaskedConv2D

    layer = MaskedConv2D(FILTERS, size["kernel_size"], size["strides"], use_bias=False)
    return keras_step(layer, _input_shape(size), input_gradient=size["input_gradient"])


def keras_peer(jit_compile, **size):
    import keras

    layer = keras.layers.Conv2D(
        FILTERS, size["kernel_size"], size["strides"], padding="same", use_bias=False
    )
    return keras_step(
        layer,
        _input_shape(size),
        input_gradient=size["input_gradient"],
        jit_compile=jit_compile,
    )


def torch_peer(channels_last, **size):
    import torch

    module = torch.nn.Conv2d(
        size["channels"],
        FILTERS,
        size["kernel_size"],
        size["strides"],
        padding=tuple(k // 2 for k in size["kernel_size"]),
        bias=False,
    )
    batch, steps, bins, filters = _output_shape(size)
    return torch_step(
        module,
        (batch, size["channels"], size["steps"], size["bins"]),
        (batch, filters, steps, bins),
        input_gradient=size["input_gradient"],
        channels_last=channels_last,
    )


def _input_shape(size):
    return tuple(size[key] for key in ("batch", "steps", "bins", "channels"))


if __name__ == "__main__":
    arguments = _harness.parser(__doc__).parse_args()
    _harness.run("convolution", cases(arguments.quick), arguments)
