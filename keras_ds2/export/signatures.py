"""The two functions that an exported file holds: a whole utterance, and one chunk of streams."""

import contextlib
import math

import numpy as np
import tensorflow as tf

from keras_ds2.models.precision import in_float32
from keras_ds2.portable import portable_ops
from keras_ds2.recognition import Recognizer
from keras_ds2.sequence import lengths_to_mask
from keras_ds2.streaming import StreamingError, StreamingStep

STATE, NEXT_STATE = "state_", "next_state_"
"""What names of states begin with, as inputs and as outputs."""

_HEARD = "heard"

# Counts are int32, since not every runtime divides int64: a stream of 16 kHz may last 37 hours.
_COUNT = "int32"
_END_UNKNOWN = 2**30  # frames


class Signatures:
    """`serve` and, where the run streams, `step`, as functions of plain operations.

    `serve(waveform, waveform_length)`, float32 `(batch, samples)` and int32 `(batch,)`, gives
    `logits`, float32 `(batch, steps, vocabulary_size)`, and `logit_length`, int32 `(batch,)`. For
    runs of precomputed features the inputs are `features`, `(batch, frames, num_bins)`, and
    `feature_length`.

    `step(chunk, chunk_length, start, end, active, state_...)` reads one chunk of each of N streams:

    - `chunk`: float32 `(N, *chunk_shape)`; what lies behind `chunk_length` is not read;
    - `chunk_length`: int32 `(N,)`, real samples (or frames) of it: all, or fewer, even none, at and
      after the end of the utterance;
    - `start`: bool `(N,)`, the stream's first chunk, whatever its state holds;
    - `end`: bool `(N,)`, its last chunk; one that is not full is always that;
    - `active`: bool `(N,)`; other rows are not read, `start` and `end` neither, and keep their
      state.

    It gives `logits`, float32 `(N, steps, vocabulary_size)`; `logit_mask`, bool `(N, steps)`, of
    which of them to read; `done`, bool `(N,)`, whether an utterance that has ended has given all
    its steps, and until then wants further chunks, empty ones; and the states `next_state_...`.

    Args:
        recognizer: gives weights, which are shared, and numbers.
        chunk_ms: see `StreamingStep`; None for its own.
        fourier_transform: see `portable_ops`.

    Attributes:
        streaming: the `StreamingStep`, or None for a run that cannot stream.
        variables: list of `tf.Variable`, all that the functions read.
    """

    def __init__(
        self,
        recognizer: Recognizer,
        chunk_ms: float | None = None,
        *,
        fourier_transform: bool = True,
    ):
        self._fourier_transform = fourier_transform
        self._model, self._front_end = in_float32(recognizer.model), recognizer.front_end
        self.streaming = None
        with contextlib.suppress(StreamingError):
            given = {} if chunk_ms is None else {"chunk_ms": chunk_ms}
            self.streaming = StreamingStep(self._model, self._front_end, **given)
        self._of_features = self._front_end.kind == "precomputed"
        if not self._front_end.built:
            self._front_end.build((None, None, *[None] * self._of_features))
        self.variables = [each.value for each in (*self._model.weights, *self._front_end.weights)]

    def functions(self, *, batch: int | None = None, streams: int | None = None) -> dict:
        """Those that there are, by name, traced for so many utterances and streams."""
        found = {"serve": self.function("serve", self.serve_shapes(batch))}
        if self.streaming is not None:
            found["step"] = self.function("step", self.step_shapes(streams))
        return found

    def function(self, name: str, shapes: dict[str, tf.TensorSpec]):
        """A function of tensors, by name, that is traced for the shapes given.

        Args:
            name: `"serve"`, `"step"`, or `"step_of_rows"`, which is `step` with all that is
                `(N,)` as `(N, 1)`, as servers have it that batch rows of at least one axis.
            shapes: see `serve_shapes`, `step_shapes`, `in_rows`.
        """
        bodies = {"serve": self._serve, "step": self._step, "step_of_rows": self._step_of_rows}
        body = bodies[name]

        def traced(**inputs):
            with portable_ops(fourier_transform=self._fourier_transform):
                return body(**inputs)

        return tf.function(traced, autograph=False).get_concrete_function(**shapes)

    def serve_shapes(self, batch: int | None = None) -> dict[str, tf.TensorSpec]:
        """Inputs of `serve`; a batch of None is any."""
        if self._of_features:
            bins = self._front_end.num_bins
            return _specs(batch, features=((None, bins), "float32"), feature_length=((), "int32"))
        return _specs(batch, waveform=((None,), "float32"), waveform_length=((), "int32"))

    def step_shapes(self, streams: int | None = None) -> dict[str, tf.TensorSpec]:
        """Inputs of `step`; streams of None are any."""
        return _specs(
            streams,
            chunk=(self.streaming.chunk_shape, "float32"),
            chunk_length=((), "int32"),
            start=((), "bool"),
            end=((), "bool"),
            active=((), "bool"),
            **{
                STATE + name: (array.shape[1:], array.dtype.name)
                for name, array in self.initial_state().items()
            },
        )

    def initial_state(self) -> dict[str, np.ndarray]:
        """The state of a stream that has heard nothing, batch 1; `start` makes it of any."""
        state = self.streaming.initial_state()
        counts = {"frames": state["frames"].astype(_COUNT), _HEARD: np.zeros(1, _COUNT)}
        return {**state, **counts}

    @property
    def flush_chunks(self) -> int:
        """Empty chunks that an utterance wants at the most after its last one that is full."""
        streaming = self.streaming
        return math.ceil((streaming.delay_steps + 1) / streaming.steps)

    def _serve(self, **inputs):
        given, length = (inputs[name] for name in self.serve_shapes())
        if not self._of_features:
            given, length = self._front_end.trim_rows(given, length)
        mask = lengths_to_mask(length, tf.shape(given)[1])
        features = tf.identity(self._front_end(given, mask=mask))  # without Keras's mask
        frames = self._front_end.frames(length)
        return self._model({"features": features, "feature_length": frames}, training=False)

    def _step_of_rows(self, **inputs):
        flat = self.step_shapes()
        outputs = self._step(
            **{
                name: tf.reshape(each, [-1]) if flat[name].shape.rank == 1 else each
                for name, each in inputs.items()
            }
        )
        return {
            name: tf.expand_dims(each, 1) if each.shape.rank == 1 else each
            for name, each in outputs.items()
        }

    def _step(self, chunk, chunk_length, start, end, active, **states):
        streaming = self.streaming
        kept = {name: states[STATE + name] for name in self.initial_state()}
        # Rows without work are computed as rows of silence, whatever they hold.
        state = {
            name: tf.where(_over(active & ~start, array), kept[name], tf.constant(array))
            for name, array in self.initial_state().items()
        }
        chunk = tf.where(
            tf.reshape(
                lengths_to_mask(tf.where(active, chunk_length, 0), streaming.chunk_shape[0]),
                (-1, *streaming.chunk_shape[:1], *[1] * (len(streaming.chunk_shape) - 1)),
            ),
            chunk,
            0.0,
        )
        heard = state.pop(_HEARD) + chunk_length
        ended = end | (chunk_length < streaming.chunk_shape[0])
        length = tf.where(ended, self._front_end.frames(heard), _END_UNKNOWN)
        frames_per_step = streaming.chunk_frames // streaming.steps
        first = state["frames"] // frames_per_step - streaming.delay_steps
        new, logits = streaming.compute(state, chunk, length, active)
        new[_HEARD] = heard

        limit = streaming.steps_of(length)
        index = first[:, tf.newaxis] + tf.range(streaming.steps)
        real = (index >= 0) & (index < limit[:, tf.newaxis]) & active[:, tf.newaxis]
        return {
            "logits": logits,
            "logit_mask": real,
            "done": ended & active & (first + streaming.steps >= limit),
            **{
                NEXT_STATE + name: tf.where(_over(active, array), array, kept[name])
                for name, array in new.items()
            },
        }


def in_rows(shapes: dict[str, tf.TensorSpec]) -> dict[str, tf.TensorSpec]:
    """`step_shapes` with `(N, 1)` for `(N,)`."""
    return {
        name: tf.TensorSpec((*spec.shape, 1), spec.dtype, name) if spec.shape.rank == 1 else spec
        for name, spec in shapes.items()
    }


def _over(rows, array):
    return tf.reshape(rows, (-1, *[1] * (len(array.shape) - 1)))


def _specs(batch, **inputs):
    return {
        name: tf.TensorSpec((batch, *shape), dtype, name=name)
        for name, (shape, dtype) in inputs.items()
    }
