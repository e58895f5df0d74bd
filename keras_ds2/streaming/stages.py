"""Front end and layers, a chunk at a time: each with the state that it carries and its delay.

A chunk brings every stage equally many rows (samples, frames, steps). What a row has to wait for
makes a stage's output lag by a fixed number of rows; rows from before the start and behind the end
come along, are told apart by their index, and read as the whole pass reads its padding. So every
shape is fixed, whatever the users of a batch have said so far.
"""

import dataclasses
from typing import NamedTuple

import keras
import tensorflow as tf

from keras_ds2 import layers
from keras_ds2.ops.packed_kernel import is_packed_faster, pack_kernel
from keras_ds2.portable import is_portable
from keras_ds2.sequence import steps_after_stride, zero_masked

_RECURRENT = layers.ClippedReLURNN | layers.SequenceNormGRU


@dataclasses.dataclass(frozen=True)
class Rows:
    """How a stream runs at one place: rows a chunk, and by how many rows it lags."""

    per_chunk: int
    delay: int = 0


class Flow(NamedTuple):
    """A chunk on its way through the stages.

    Attributes:
        values: float32 `(batch, rows, ...)`.
        first: int64 or int32 `(batch,)`, index of the first row in the utterance; negative before
            its start.
        length: of the same type, `(batch,)`, rows of the utterance, or more while its end is not
            known.
    """

    values: tf.Tensor
    first: tf.Tensor
    length: tf.Tensor

    def index(self):
        """Of each row, `(batch, rows)`."""
        rows = tf.range(self.values.shape[1], dtype=self.first.dtype)
        return self.first[:, tf.newaxis] + rows

    def real(self):
        """Bool `(batch, rows)`, True = a row of the utterance."""
        index = self.index()
        return (index >= 0) & (index < self.length[:, tf.newaxis])


class Pointwise:
    """A layer that sees one row at a time."""

    def __init__(self, layer, rows):
        self.layer = layer
        self.rows = rows
        self.shapes = {}

    def __call__(self, flow, state):
        """From a `Flow` and the state to the next `Flow` and the new state, by name."""
        return flow._replace(values=self.layer(flow.values)), {}


class Window:
    """A function of a window that moves over the rows: spectrogram, convolution, lookahead.

    Output row `j` sees the input rows from `j * stride - past` to `j * stride + future`.

    Args:
        name: of its state: the rows that later windows still need.
        function: from rows to one output row for each whole window among them.
        rows: `Rows` that come in; `per_chunk` is a multiple of `stride`.
        past: int, input rows before.
        future: int, input rows after.
        stride: int, input rows an output row.
        row_shape: tuple, of an input row.
        masked: bool, whether rows that are not real read as zeros.
    """

    def __init__(self, name, function, rows, past, future, stride, row_shape, masked=True):
        self.name, self.function, self.stride, self.masked = name, function, stride, masked
        self.rows_in = rows
        # The least delay with which every chunk completes as many windows as any other.
        self.rows = Rows(rows.per_chunk // stride, (future + rows.delay) // stride)
        kept = self.rows.delay * stride + past - rows.delay
        self.kept, self.skipped = max(kept, 0), max(-kept, 0)
        self.needed = (self.rows.per_chunk - 1) * stride + past + 1 + future
        self.shapes = {name: (self.kept, *row_shape)} if self.kept else {}

    def __call__(self, flow, state):
        """From a `Flow` and the state to the next `Flow` and the new state, by name."""
        values = zero_masked(flow.values, flow.real()) if self.masked else flow.values
        new = {}
        if self.kept:
            values = tf.concat([state[self.name], values], axis=1)
            new[self.name] = values[:, self.rows_in.per_chunk :]
        start = self.skipped
        values = self.function(values[:, start : start + self.needed])
        first = (flow.first + self.rows_in.delay) // self.stride - self.rows.delay
        return Flow(values, first, steps_after_stride(flow.length, self.stride)), new


class Difference:
    """One order of `Deltas`, of the last `bins` features of a row; the row lags with it."""

    def __init__(self, name, window, rows, width, bins):
        self.name, self.window, self.bins = name, window, bins
        self.rows = Rows(rows.per_chunk, rows.delay + window)
        self.shapes = {name: (2 * window, width)}

    def __call__(self, flow, state):
        """From a `Flow` and the state to the next `Flow` and the new state, by name."""
        window, rows = self.window, self.rows.per_chunk
        values = tf.concat([state[self.name], flow.values], axis=1)
        first = flow.first - window
        index = first[:, tf.newaxis] + tf.range(rows, dtype=first.dtype)
        last = tf.maximum(flow.length - 1, 0)[:, tf.newaxis]
        own = values[:, window : window + rows]
        newest = values[..., -self.bins :]

        def shifted(by):
            # Past its ends an utterance reads as its first or last frame.
            place = tf.clip_by_value(index + by, 0, last) - (first - window)[:, tf.newaxis]
            return tf.gather(
                newest, tf.clip_by_value(place, 0, 2 * window + rows - 1), batch_dims=1
            )

        steps = range(1, window + 1)
        rise = tf.add_n([float(step) * (shifted(step) - shifted(-step)) for step in steps])
        difference = rise / (2.0 * sum(step * step for step in steps))
        flow = Flow(tf.concat([own, difference], axis=-1), first, flow.length)
        return flow, {self.name: values[:, rows:]}


class RunningNormalization:
    """`FeatureNormalization` of scope "running"."""

    def __init__(self, layer, rows, bins):
        self.layer, self.rows = layer, rows
        self.shapes = {
            "normalization_mean": (bins,),
            "normalization_variance": (bins,),
            "normalization_count": (),
        }

    def __call__(self, flow, state):
        """From a `Flow` and the state to the next `Flow` and the new state, by name."""
        moments = tuple(state[name] for name in self.shapes)
        values, moments = self.layer.normalize_block(flow.values, flow.real(), moments)
        return flow._replace(values=values), dict(zip(self.shapes, moments, strict=True))


class Recurrence:
    """A recurrent layer, forward only; where no row has work, it is not run (portable: is)."""

    def __init__(self, layer, rows, pack):
        self.layer, self.rows = layer, rows
        self.shapes = {layer.name: (layer.units,)}
        self.packed = pack_kernel(layer.recurrent_kernels[0]) if pack else None

    def __call__(self, flow, state):
        """From a `Flow` and the state to the next `Flow` and the new state, by name."""
        real, name = flow.real(), self.layer.name
        if is_portable():
            values, new = self.layer.advance(flow.values, real, state[name])
            return flow._replace(values=values), {name: new}
        idle = tf.zeros((*flow.values.shape[:2], self.layer.units))
        shape = self.layer.recurrent_kernels[0].shape
        kernel = self.packed if is_packed_faster(flow.values.shape[0], shape) else None
        values, new = tf.cond(
            tf.reduce_any(real),
            lambda: self.layer.advance(flow.values, real, state[name], kernel),
            lambda: (idle, state[name]),
        )
        return flow._replace(values=values), {name: new}


def front_end_stages(front_end, chunk_frames):
    """The stages from samples, or precomputed frames, to a model's features.

    Args:
        front_end: one that streams.
        chunk_frames: int, frames a chunk.

    Returns:
        `(stages, rows, bins)`: the list, and `Rows` and bins of what comes out.
    """
    spectrogram, deltas, normalization = front_end.parts
    stages, rows = [], Rows(chunk_frames)
    bins = front_end.num_bins
    if spectrogram is not None:
        bins = spectrogram.bins
        hop = spectrogram.hop
        samples = Rows(chunk_frames * hop)
        stages.append(Samples(spectrogram, samples))
        rows = stages[-1].rows
    width = bins
    if deltas is not None:
        for order in range(1, deltas.order + 1):
            stages.append(Difference(f"deltas_{order}", deltas.window, rows, width, bins))
            rows = stages[-1].rows
            width += bins
    if normalization is not None:
        if normalization.scope == "running":
            stages.append(RunningNormalization(normalization, rows, width))
        else:
            stages.append(Pointwise(normalization, rows))
    return stages, rows, width


class Samples(Window):
    """`LogSpectrogram`: frames of samples; the length that comes in is of frames already."""

    def __init__(self, spectrogram, rows):
        super().__init__(
            "waveform",
            spectrogram,
            rows,
            past=0,
            future=spectrogram.window - 1,
            stride=spectrogram.hop,
            row_shape=(),
            masked=False,
        )

    def __call__(self, flow, state):
        """From a `Flow` and the state to the next `Flow` and the new state, by name."""
        frames, new = super().__call__(flow, state)
        return frames._replace(length=flow.length), new


def model_stages(model, rows, pack):
    """The stages from features to logits.

    Args:
        model: `DeepSpeech2`, forward only, in float32.
        rows: `Rows` of the features.
        pack: bool, whether recurrent weights are packed where that is faster.

    Returns:
        `(stages, rows)`.
    """
    shape = (1, rows.per_chunk, model.num_bins)
    return _stages([*model.stack, model.logits], rows, shape, pack)


def stages_above_recurrences(model, rows):
    """The stages from the last recurrent layer's outputs to logits.

    Args:
        model: as of `model_stages`.
        rows: `Rows` of that layer's outputs; how many a chunk has may differ from `model_stages`,
            the states are the same.

    Returns:
        `(stages, width)`: the list, and how wide a row comes in.
    """
    last = max(i for i, layer in enumerate(model.stack) if isinstance(layer, _RECURRENT))
    width = model.stack[last].units
    above = [*model.stack[last + 1 :], model.logits]
    return _stages(above, rows, (1, rows.per_chunk, width), False)[0], width


def _stages(layers_in_order, rows, shape, pack):
    stages = []
    for layer in layers_in_order:
        stage = _stage(layer, rows, shape, pack)
        if stage is not None:
            stages.append(stage)
            rows = stage.rows
        shape = layer.compute_output_shape(shape)
    return stages, rows


def _stage(layer, rows, shape, pack):
    if isinstance(layer, keras.layers.Dropout):
        return None
    if isinstance(layer, layers.MaskedConv2D):
        past, future = layer.time_padding

        def convolve(values):
            return layer.convolve(values, (0, 0))

        stride = layer.strides[0]
        return Window(layer.name, convolve, rows, past, future, stride, shape[2:])
    if isinstance(layer, layers.LookaheadConv1D):
        return Window(layer.name, layer.look, rows, 0, layer.context, 1, shape[2:])
    if isinstance(layer, _RECURRENT):
        return Recurrence(layer, rows, pack)
    return Pointwise(layer, rows)
