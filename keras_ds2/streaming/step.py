"""One chunk of many streams at a time: a program compiled once for each batch size."""

import math
import threading
from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf

from keras_ds2.features.front_end import FeatureFrontEnd
from keras_ds2.models.deep_speech_2 import DeepSpeech2
from keras_ds2.models.precision import in_float32
from keras_ds2.sequence import steps_after_stride
from keras_ds2.streaming.stages import (
    Flow,
    Recurrence,
    Rows,
    front_end_stages,
    model_stages,
    stages_above_recurrences,
)

END_UNKNOWN = 2**62
"""Length of an utterance that goes on, in frames."""

PRECISIONS = ("float32", "int16")
"""Of a step's recurrent weights."""

State = Mapping[str, np.ndarray]


class StreamingError(ValueError):
    """A model or a front end that cannot stream: the message says why and what to take instead."""


class StreamingStep:
    """`(states, chunk) -> (states, logits)` for streams that each bring a chunk of one size.

    The logits are those of the whole pass, `delay_steps` later. A state is a flat dictionary of
    arrays whose first axis is the batch, of a size that does not grow; `initial_state` makes one
    of batch 1. Sessions are put into a batch and taken out of it at every step:

        >>> states, logits = step.advance([one.state, other.state], chunks, lengths)

    which is `gather`, a call, `scatter`. The program is compiled for batches of 1, 2, 4, 8, ...
    and the rest of a batch is filled with rows that have no work. It reads the model's weights
    where they lie and computes in float32; a model of mixed precision is copied for it.

    What takes a processor's time is to read the recurrent weights anew at every step. `precision`
    "int16" copies them once, rounded to 16 bits (see `ops.packed_kernel`), and reads the copy where
    that is faster, for small batches; logits then differ in the fourth digit or so, and by a
    little from batch to batch.

    Args:
        model: forward only.
        front_end: the one it was trained with; streams.
        chunk_ms: float > 0, of a chunk; rounded up to whole steps of the logits.
        precision: "float32" or "int16", of the recurrent weights.

    Attributes:
        chunk_frames: frames that a chunk brings.
        chunk_shape: shape of a chunk's row: `(samples,)`, or `(frames, num_bins)` if precomputed.
        steps: steps of the logits that a chunk brings.
        delay_steps: by so many the logits lag behind their frames.

    Raises:
        StreamingError: for a bidirectional model, or a front end that needs the whole utterance.
        ValueError: if `chunk_ms` is not positive, or the precision is unknown.
    """

    def __init__(
        self,
        model: DeepSpeech2,
        front_end: FeatureFrontEnd,
        chunk_ms: float = 100.0,
        *,
        precision: str = "float32",
    ):
        _check_streams(model, front_end)
        if not chunk_ms > 0:
            raise ValueError(f"chunk_ms: expected ms > 0, received {chunk_ms!r}")
        if precision not in PRECISIONS:
            known = ", ".join(PRECISIONS)
            raise ValueError(f"precision: expected one of {known}, received {precision!r}")
        self.model, self.front_end = model, front_end
        self._model = in_float32(model)
        self._frames_per_step = math.prod(model.time_strides)
        steps = max(1, -int(-chunk_ms // model.step_ms))
        self.chunk_frames = steps * self._frames_per_step
        if front_end.kind == "precomputed":
            self.chunk_shape = (self.chunk_frames, front_end.num_bins)
        else:
            self.chunk_shape = (self.chunk_frames * front_end.parts[0].hop,)
        if not front_end.built:
            # Statistics are weights; without a corpus's there are none.
            front_end.build((None, *([None] * len(self.chunk_shape))))
        features, rows, _ = front_end_stages(front_end, self.chunk_frames)
        network, rows = model_stages(self._model, rows, precision == "int16")
        self._features, self._network = features, network
        self.steps, self.delay_steps = rows.per_chunk, rows.delay
        heard = max(stage.rows.delay for stage in network if isinstance(stage, Recurrence))
        self._rest = Rows(rows.delay - heard, heard)
        self._above, self._width = stages_above_recurrences(self._model, self._rest)
        self._shapes = {
            name: shape for stage in (*features, *network) for name, shape in stage.shapes.items()
        }
        self._kept = {"frames", *(name for stage in self._above for name in stage.shapes)}
        self._programs: dict[tuple[int, bool], tf.types.experimental.ConcreteFunction] = {}
        self._compiling = threading.Lock()

    @property
    def chunk_ms(self) -> float:
        """Length of a chunk, in ms."""
        return self.chunk_frames * self.front_end.hop_ms

    @property
    def latency(self) -> dict[str, float]:
        """How long, at the most, a step's logits come after its own frame began, in ms, by cause.

        `window`, `deltas`, `convolutions` and `lookahead` are audio that the step has to see;
        `chunk` is what it waits for its chunk to be full. Computing comes on top.
        """
        causes = {"window": 0.0, "deltas": 0.0, "convolutions": 0.0, "lookahead": 0.0}
        spectrogram, deltas, _ = self.front_end.parts
        hop_ms = self.front_end.hop_ms
        # A precomputed frame is there when its hop has passed.
        causes["window"] = hop_ms if spectrogram is None else self.front_end.window_ms
        if deltas is not None:
            causes["deltas"] = deltas.window * deltas.order * hop_ms
        lookahead = self.model.get_config()["lookahead_context"] * self.model.step_ms
        causes["lookahead"] = lookahead
        causes["convolutions"] = self.model.delay_ms - lookahead
        whole = self.delay_steps * self.model.step_ms + self.chunk_ms
        causes["chunk"] = whole - sum(causes.values())
        return causes

    @property
    def latency_ms(self) -> float:
        """How long, at the most, a step's logits come after its own frame began, in ms."""
        return sum(self.latency.values())

    def steps_of(self, frames):
        """Steps of the logits of an utterance of this many frames; an int, an array or a tensor."""
        for stride in self.model.time_strides:
            frames = steps_after_stride(frames, stride)
        return frames

    def first_step(self, state: State) -> int:
        """The step of the first logits that the next chunk gives, of a state of batch 1."""
        return int(np.asarray(state["frames"])[0]) // self._frames_per_step - self.delay_steps

    def only_reads_out(self, state: State, frames: int) -> bool:
        """Whether the recurrences have heard all of an utterance: what is left is `read_out`.

        Args:
            state: of batch 1.
            frames: of the whole utterance.
        """
        taken = int(np.asarray(state["frames"])[0]) // self._frames_per_step
        return taken - self._rest.delay >= self.steps_of(frames)

    def initial_state(self) -> dict[str, np.ndarray]:
        """The state of a stream that has heard nothing, batch 1."""
        state = {
            name: np.zeros((1, *shape), np.float32) for name, shape in sorted(self._shapes.items())
        }
        if "normalization_variance" in state:
            state["normalization_variance"][:] = 1.0
        return {"frames": np.zeros(1, np.int64), **state}

    def check_state(self, state: State) -> None:
        """Makes sure that a state, read from somewhere, is one of this step.

        Raises:
            ValueError: if an array is missing, left over, or has another shape, type or no finite
                values, or its frames are no whole steps.
        """
        expected = self.initial_state()
        if set(state) != set(expected):
            differing = ", ".join(sorted(set(state) ^ set(expected)))
            raise ValueError(f"state: of another model; arrays that differ: {differing}")
        for name, array in expected.items():
            found = np.asarray(state[name])
            if (found.shape, found.dtype) != (array.shape, array.dtype):
                raise ValueError(
                    f"state: {name}: expected {array.dtype} {array.shape}, received "
                    f"{found.dtype} {found.shape}; it is another model's"
                )
            if not np.isfinite(found).all():
                raise ValueError(f"state: {name}: expected finite values")
        frames = int(np.asarray(state["frames"])[0])
        if frames < 0 or frames % self._frames_per_step:
            raise ValueError(
                f"state: frames: expected a multiple of {self._frames_per_step} >= 0, received "
                f"{frames}"
            )

    def __call__(self, state, chunk, length, active):
        """Advances a batch by a chunk.

        Args:
            state: arrays or tensors, batch first.
            chunk: float32 `(batch, *chunk_shape)`; behind an utterance's end, zeros.
            length: int64 `(batch,)`, frames of the whole utterance; `END_UNKNOWN` until it ends.
            active: bool `(batch,)`; other rows have no work, and their state stays as it is.

        Returns:
            `(state, logits)`: tensors; the second `(batch, steps, vocabulary_size)`, from
            `first_step` of the state handed in; those of steps below 0 and behind the end mean
            nothing.
        """
        program = self._program(int(chunk.shape[0]))
        return program(
            {name: tf.convert_to_tensor(array) for name, array in state.items()},
            tf.convert_to_tensor(chunk, tf.float32),
            tf.convert_to_tensor(length, tf.int64),
            tf.convert_to_tensor(active, tf.bool),
        )

    def compute(self, state, chunk, length, active):
        """What a call computes, for graphs of one's own.

        Args and Returns: as of a call; all tensors. The counts, `length` and the state's `frames`,
        may be int32 as well.
        """
        rows_per_frame = chunk.shape[1] // self.chunk_frames
        flow = Flow(chunk, state["frames"] * rows_per_frame, tf.where(active, length, 0))
        new = {"frames": state["frames"] + self.chunk_frames}
        for stage in (*self._features, *self._network):
            flow, part = stage(flow, state)
            new |= part

        def kept_or_new(name, array):
            rows = tf.reshape(active, (-1, *[1] * (len(array.shape) - 1)))
            return tf.where(rows, array, state[name])

        return {name: kept_or_new(name, array) for name, array in new.items()}, flow.values

    def advance(
        self, states: Sequence[State], chunks: Sequence, lengths: Sequence[int]
    ) -> tuple[list[State], np.ndarray]:
        """Advances some streams together: `gather`, one call, `scatter`.

        Args:
            states: of batch 1 each.
            chunks: float32 arrays of `chunk_shape`, one a stream.
            lengths: frames of each whole utterance, or `END_UNKNOWN`.

        Returns:
            The states, and float32 logits `(streams, steps, vocabulary_size)`.
        """
        count = len(states)
        size = 1 << (count - 1).bit_length()
        idle = size - count
        filled = [*states, *[states[-1]] * idle]
        chunk = np.stack([*chunks, *[chunks[-1]] * idle])
        length = np.array([*lengths, *[0] * idle], np.int64)
        state, logits = self(gather(filled), chunk, length, np.arange(size) < count)
        return scatter(state)[:count], logits.numpy()[:count]

    def read_out(
        self, states: Sequence[State], lengths: Sequence[int]
    ) -> tuple[list[State], np.ndarray]:
        """All logits that are left of streams of which the recurrences have heard all.

        In place of the `advance`s that are left, in one call that runs neither the front end nor
        the recurrences.

        Args:
            states: of batch 1 each; `only_reads_out` holds for each.
            lengths: frames of each whole utterance.

        Returns:
            The states, and float32 logits `(streams, steps, vocabulary_size)` from `first_step` of
            the state handed in; those behind the end mean nothing.
        """
        count = len(states)
        size = 1 << (count - 1).bit_length()
        filled = [*states, *[states[-1]] * (size - count)]
        kept = gather([{name: state[name] for name in self._kept} for state in filled])
        state = {name: tf.convert_to_tensor(array) for name, array in kept.items()}
        length = np.array([*lengths, *[0] * (size - count)], np.int64)
        logits = self._program(size, rest=True)(state, tf.convert_to_tensor(length))
        taken = self._rest.per_chunk * self._frames_per_step
        states = [{**state, "frames": np.asarray(state["frames"]) + taken} for state in states]
        return states, logits.numpy()[:count]

    def _compute_rest(self, state, length):
        first = state["frames"] // self._frames_per_step - self._rest.delay
        nothing = tf.zeros((length.shape[0], self._rest.per_chunk, self._width))
        flow = Flow(nothing, first, self.steps_of(length))
        for stage in self._above:
            flow, _ = stage(flow, state)
        return flow.values

    def _program(self, batch, rest=False):
        with self._compiling:
            if (batch, rest) not in self._programs:
                self._programs[batch, rest] = self._compile(batch, rest)
        return self._programs[batch, rest]

    def _compile(self, batch, rest):
        specs = {
            name: tf.TensorSpec((batch, *array.shape[1:]), array.dtype, name=name)
            for name, array in self.initial_state().items()
            if name in self._kept or not rest
        }
        length = tf.TensorSpec((batch,), tf.int64)
        if rest:
            function = tf.function(self._compute_rest, autograph=False)
            return function.get_concrete_function(specs, length)
        return tf.function(self.compute, autograph=False).get_concrete_function(
            specs,
            tf.TensorSpec((batch, *self.chunk_shape), tf.float32),
            length,
            tf.TensorSpec((batch,), tf.bool),
        )


def gather(states: Sequence[State]) -> dict[str, np.ndarray]:
    """One state of a batch from states of batch 1, in order."""
    if len(states) == 1:
        return dict(states[0])
    return {
        name: np.concatenate([np.asarray(state[name]) for state in states]) for name in states[0]
    }


def scatter(state: State) -> list[State]:
    """The states of batch 1 in a batch's, in order; what `gather` undoes."""
    batch = len(state["frames"])
    if batch == 1:
        return [dict(state)]
    arrays = {name: np.asarray(array) for name, array in state.items()}
    # Copies: a view would keep the whole batch's state alive.
    return [{name: array[i : i + 1].copy() for name, array in arrays.items()} for i in range(batch)]


def _check_streams(model, front_end):
    if model.delay_ms is None:
        raise StreamingError(
            "this model is bidirectional: it hears the end of an utterance before it writes its "
            'beginning, and cannot stream; train one with model.variant "production", or with '
            "bidirectional false, which hears forward only"
        )
    needs = front_end.whole_utterance_needs()
    if needs:
        lines = "".join(f"\n  {each}" for each in needs)
        raise StreamingError(
            "these features need the whole utterance before their first frame, and cannot stream; "
            f"train with others:{lines}"
        )
