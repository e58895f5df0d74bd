"""A training step of the English model: loss, gradients, update of the weights.

Two convolutions, three bidirectional recurrences, 29 symbols; the peers are the nearest that stock
layers make. Each contender's share of the peak is of its own operations: ours has one input product
for both directions, the peers have two. Scaling: four times the frames, or the utterances, of ours.
"""

import collections
import math
import sys
import tempfile
from pathlib import Path

import numpy as np

from benchmarks import _harness, convolution
from benchmarks._harness import Case, Contender
from benchmarks._workers import Workers

RECURRENCES = 3
BINS = 161
VOCABULARY_SIZE = 29
CONVOLUTIONS = [(each["kernel_size"], each["strides"]) for each in convolution.LAYERS]
FILTERS = convolution.FILTERS
MAX_VALUE = 20.0
MOMENTUM = 0.99
LEARNING_RATE = 1e-6  # the weights stay where they are
CLIP_NORM = 400.0

SIZE = {"batch": 16, "frames": 600, "symbols": 60, "units": 512}
QUICK_SIZE = {"batch": 2, "frames": 80, "symbols": 8, "units": 128}


def cases(quick):
    size = QUICK_SIZE if quick else SIZE
    batch, frames = size["batch"], size["frames"]
    return [
        Case(
            name=f"step_{batch}x{frames}",
            shapes={**size, "recurrences": RECURRENCES},
            contenders=(
                Contender("keras_ds2", ours, size, role="ours", flops=_flops(size, 3)),
                Contender(
                    "keras",
                    keras_peer,
                    size,
                    options=_harness.JIT_OR_NOT,
                    flops=_flops(size, 4),
                ),
                Contender("torch", torch_peer, size, library="torch", flops=_flops(size, 4)),
            ),
        ),
        _scaling("frames", size, frames // 2, frames * 2),
        _scaling("batch", size, batch // 2, batch * 2),
    ]


def _scaling(what, size, small, large):
    contenders = [
        Contender(f"{what} {value}", ours, size | {what: value}, role="other")
        for value in (small, large)
    ]

    def growth(medians, _):
        first, last = (medians[each.name] for each in contenders)
        measured, linear = last / first, large / small
        return {
            "growth": round(measured, 3),
            "linear": linear,
            "to_linear": round(measured / linear, 3),
        }

    return Case(
        name=f"scaling_{what}",
        shapes=size | {what: [small, large]},
        contenders=tuple(contenders),
        extra=growth,
    )


def _flops(size, products):
    """Forward, and twice that for the gradients, but of the features none.

    Args:
        size: as `SIZE`.
        products: int, a recurrence's products with a matrix a step.
    """
    batch, steps, bins, channels = size["batch"], size["frames"], BINS, 1
    total = 0
    for kernel_size, strides in CONVOLUTIONS:
        total += convolution.flops(
            batch, steps, bins, channels, kernel_size, strides, input_gradient=channels > 1
        )
        steps, bins = math.ceil(steps / strides[0]), math.ceil(bins / strides[1])
        channels = FILTERS
    width, units = bins * channels, size["units"]
    for _ in range(RECURRENCES):
        total += 3 * 2 * batch * steps * units * ((products - 2) * width + 2 * units)
        width = units
    return total + 3 * 2 * batch * steps * units * VOCABULARY_SIZE


def _batch(batch, frames, symbols):
    """Features and labels, all of full length."""
    draws = np.random.default_rng(0)
    features = draws.normal(size=(batch, frames, BINS)).astype(np.float32)
    labels = draws.integers(1, VOCABULARY_SIZE, (batch, symbols)).astype(np.int32)
    return features, labels


def ours(batch, frames, symbols, units):
    import keras
    import tensorflow as tf

    import keras_ds2

    keras.utils.set_random_seed(0)
    model = keras_ds2.build_model(
        "english",
        num_bins=BINS,
        vocabulary_size=VOCABULARY_SIZE,
        num_rnn_layers=RECURRENCES,
        units=units,
        dense_units=0,
    )
    model.compile(_keras_optimizer())
    features, labels = map(tf.constant, _batch(batch, frames, symbols))
    inputs = {"features": features, "feature_length": tf.fill([batch], frames)}
    targets = {"labels": labels, "label_length": tf.fill([batch], symbols)}
    return _keras_work(model, inputs, targets)


def keras_peer(batch, frames, symbols, units, jit_compile):
    import keras
    import tensorflow as tf

    keras.utils.set_random_seed(0)
    layers = keras.layers
    stack = [keras.Input((frames, BINS, 1))]
    for kernel_size, strides in CONVOLUTIONS:
        stack += [
            layers.Conv2D(FILTERS, kernel_size, strides, padding="same", use_bias=False),
            layers.BatchNormalization(),
            layers.ReLU(MAX_VALUE),
        ]
    stack.append(layers.TimeDistributed(layers.Flatten()))
    for index in range(RECURRENCES):
        recurrence = layers.SimpleRNN(units, activation="relu", return_sequences=True)
        stack += [layers.BatchNormalization()] if index else []
        stack.append(layers.Bidirectional(recurrence, merge_mode="sum"))
    stack.append(layers.Dense(VOCABULARY_SIZE))
    model = keras.Sequential(stack)
    model.compile(_keras_optimizer(), loss=keras.losses.CTC(), jit_compile=jit_compile)
    features, labels = map(tf.constant, _batch(batch, frames, symbols))
    return _keras_work(model, features[..., tf.newaxis], labels)


def _keras_optimizer():
    import keras

    return keras.optimizers.SGD(
        LEARNING_RATE, momentum=MOMENTUM, nesterov=True, global_clipnorm=CLIP_NORM
    )


def _keras_work(model, inputs, targets):
    def work():
        loss = model.train_on_batch(inputs, targets)
        if not np.all(np.isfinite(loss)):
            raise ValueError(f"the loss is {loss}")

    return work


def torch_peer(batch, frames, symbols, units):
    import torch
    from torch import nn

    torch.manual_seed(0)

    class Recurrence(nn.Module):
        def __init__(self, width, normalizes):
            super().__init__()
            self.normalization = nn.BatchNorm1d(width) if normalizes else None
            self.layer = nn.RNN(
                width, units, nonlinearity="relu", bidirectional=True, batch_first=True
            )

        def forward(self, inputs):
            if self.normalization is not None:
                inputs = self.normalization(inputs.flatten(0, 1)).view_as(inputs)
            outputs = self.layer(inputs)[0]
            return outputs[..., :units] + outputs[..., units:]

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            stack, channels, width = [], 1, BINS
            for kernel_size, strides in CONVOLUTIONS:
                padding = tuple(k // 2 for k in kernel_size)
                stack += [
                    nn.Conv2d(channels, FILTERS, kernel_size, strides, padding, bias=False),
                    nn.BatchNorm2d(FILTERS),
                    nn.Hardtanh(0.0, MAX_VALUE),
                ]
                channels, width = FILTERS, math.ceil(width / strides[1])
            self.convolutions = nn.Sequential(*stack)
            widths = [width * FILTERS, *[units] * (RECURRENCES - 1)]
            self.recurrences = nn.Sequential(
                *(Recurrence(width, normalizes=index > 0) for index, width in enumerate(widths))
            )
            self.logits = nn.Linear(units, VOCABULARY_SIZE)

        def forward(self, features):
            x = self.convolutions(features[:, None])
            x = x.permute(0, 2, 3, 1).flatten(2)
            return self.logits(self.recurrences(x))

    model = Model()
    optimizer = torch.optim.SGD(model.parameters(), LEARNING_RATE, momentum=MOMENTUM, nesterov=True)
    features, labels = map(torch.from_numpy, _batch(batch, frames, symbols))
    steps = math.ceil(frames / math.prod(strides[0] for _, strides in CONVOLUTIONS))
    logit_length, label_length = torch.full((batch,), steps), torch.full((batch,), symbols)

    def work():
        optimizer.zero_grad()
        probabilities = model(features).log_softmax(-1).transpose(0, 1)
        losses = nn.functional.ctc_loss(
            probabilities, labels, logit_length, label_length, reduction="none"
        )
        loss = losses.mean()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), CLIP_NORM)
        optimizer.step()
        if not math.isfinite(loss.item()):
            raise ValueError(f"the loss is {loss.item()}")

    return work


def profile(steps=3, **size):
    """Ours: `(ms a step, calls a step, operation)`, the slowest first.

    What runs at the same time is counted in full for each.
    """
    import tensorflow as tf
    from tensorflow.tsl.profiler.protobuf import xplane_pb2

    work = ours(**size)
    work()
    work()
    spent, calls = collections.Counter(), collections.Counter()
    with tempfile.TemporaryDirectory() as folder:
        with tf.profiler.experimental.Profile(folder):
            for _ in range(steps):
                work()
        (path,) = Path(folder).rglob("*.xplane.pb")
        space = xplane_pb2.XSpace.FromString(path.read_bytes())
    for plane in space.planes:
        for line in plane.lines:
            for event in line.events:
                # Operations are "name:Type"; what else a thread did is "Class::Function" or so.
                name, _, kind = plane.event_metadata[event.metadata_id].name.rpartition(":")
                if name and not name.endswith(":") and kind.isidentifier():
                    spent[kind] += event.duration_ps / 1e9 / steps
                    calls[kind] += 1 / steps
    return [(ms, calls[kind], kind) for kind, ms in spent.most_common()]


def _print_profile(size, threads):
    with Workers() as workers:
        rows = workers.call("tensorflow", threads, profile, **size)
    print(f"{'ms a step':>10}{'calls':>10}  operation", file=sys.stderr)
    for ms, calls, kind in rows[:30]:
        print(f"{ms:>10.2f}{calls:>10.0f}  {kind}", file=sys.stderr)


if __name__ == "__main__":
    parser = _harness.parser(__doc__)
    parser.add_argument("--profile", action="store_true", help="list ours by operation, no more")
    arguments = parser.parse_args()
    if arguments.profile:
        _print_profile(QUICK_SIZE if arguments.quick else SIZE, arguments.threads)
    else:
        _harness.run("train_step", cases(arguments.quick), arguments)
