"""One person speaking: samples in as they come, text out as it settles."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from keras_ds2.decoding import Hypothesis
from keras_ds2.streaming.greedy import GreedyStream
from keras_ds2.streaming.state_file import from_bytes, to_bytes
from keras_ds2.streaming.step import END_UNKNOWN, StreamingStep
from keras_ds2.streaming.words import Word, ends_word, words_of
from keras_ds2.text.alphabet import Alphabet

_CHUNKS_A_SLICE = 64


@dataclasses.dataclass(frozen=True)
class Partial:
    """What has been understood so far.

    Attributes:
        stable: text that stays as it is.
        tentative: what follows it and may still grow or change: the word being spoken.
        endpoint: whether the speaker has said something and then nothing for `endpoint_ms`.
    """

    stable: str
    tentative: str
    endpoint: bool

    @property
    def text(self) -> str:
        """All of it."""
        return self.stable + self.tentative


@dataclasses.dataclass(frozen=True)
class Final:
    """What has been understood of a whole utterance.

    Attributes:
        text: as `Recognizer.transcribe` would give it.
        words: each with its time and confidence.
        hypothesis: the decoder's reading, with the step of each symbol.
        seconds: length of what was heard.
    """

    text: str
    words: tuple[Word, ...]
    hypothesis: Hypothesis
    seconds: float


class StreamingSession:
    """Understands speech while it is spoken; `recognizer.stream()` makes one.

    However the samples are cut, the text is that of the whole recording at once. A session holds a
    state of fixed size, an unfinished chunk and the text. It is not made for use by two threads at
    the same time; sessions that share a step may each have a thread.

    Args:
        step: computes; may serve many sessions.
        alphabet: the one the model was trained with.
        endpoint_ms: float > 0, of silence after speech that make an `endpoint`.
        decoder: a fresh one for this session, with the face of `GreedyStream`; None for that.
        loudest: float > 0; samples further from 0 are refused, as integers that nobody divided by
            their full scale. `math.inf` for what a file states to be its samples.

    Example:
        >>> session = recognizer.stream()
        >>> for samples in microphone:
        ...     show(session.accept(samples).text)
        >>> session.finish().text
    """

    def __init__(
        self,
        step: StreamingStep,
        alphabet: Alphabet,
        endpoint_ms: float = 800.0,
        decoder=None,
        loudest: float = 2.0,
    ):
        if not endpoint_ms > 0:
            raise ValueError(f"endpoint_ms: expected ms > 0, received {endpoint_ms!r}")
        if not loudest > 0:
            raise ValueError(f"loudest: expected a number > 0, received {loudest!r}")
        self.step = step
        self.alphabet = alphabet
        self.endpoint_ms = float(endpoint_ms)
        self.loudest = float(loudest)
        self._decoder = GreedyStream(alphabet) if decoder is None else decoder
        self._stable, self._num_stable = "", 0
        self._state = step.initial_state()
        self._pending = np.zeros((0, *step.chunk_shape[1:]), np.float32)
        self._heard = 0
        self._finished = False

    @property
    def latency_ms(self) -> float:
        """How long, at the most, text lags behind its sound, but for computing; see `latency`."""
        return self.step.latency_ms

    @property
    def latency(self) -> dict[str, float]:
        """`latency_ms` by its causes: see `StreamingStep.latency`."""
        return self.step.latency

    @property
    def seconds(self) -> float:
        """Length of what was heard so far."""
        return self._heard * self.seconds_per_row

    @property
    def seconds_per_row(self) -> float:
        """Of one sample, or one precomputed frame."""
        front_end = self.step.front_end
        if front_end.kind == "precomputed":
            return front_end.hop_ms / 1000
        return 1 / front_end.sampling_rate

    @property
    def endpoint(self) -> bool:
        """Whether there was speech, and then silence for `endpoint_ms`."""
        spoken = self._last_spoken_step()
        if spoken is None:
            return False
        silent = self._decoder.steps - 1 - spoken
        return silent * self.step.model.step_ms >= self.endpoint_ms

    def accept(self, samples) -> Partial:
        """Hears on.

        Args:
            samples: one channel, `(samples,)`, as many as have come, at the model's rate: float in
                [-1, 1] or int16. For a model of precomputed features float `(frames, num_bins)`.

        Returns:
            The text so far.

        Raises:
            ValueError: if the samples have another shape or type, are not finite or out of range,
                or the session is finished. Nothing of them is taken then.
        """
        samples = self._checked(samples)
        slice_size = _CHUNKS_A_SLICE * self.step.chunk_shape[0]
        for start in range(0, len(samples), slice_size):
            self._add(samples[start : start + slice_size])
            while self.has_work:
                advance_sessions(self.step, [self])
        return self.partial()

    def finish(self) -> Final:
        """Reads what still waits for audio to come, as at the end of a recording.

        Returns:
            The whole text. The session takes no more samples.
        """
        self.end()
        while self.has_work:
            advance_sessions(self.step, [self])
        hypothesis = self._decoder.hypothesis()
        return Final(
            text=hypothesis.text,
            words=tuple(self.words()),
            hypothesis=hypothesis,
            seconds=self.seconds,
        )

    def partial(self) -> Partial:
        """The text so far."""
        symbols = self._decoder.symbols
        end = len(symbols)
        if not self._finished or self.has_work:
            end = self._decoder.num_stable
            while end > self._num_stable and not ends_word(self._symbol_text(end - 1)):
                end -= 1
        self._stable += self._text(symbols[self._num_stable : end])
        self._num_stable = end
        return Partial(self._stable, self._text(symbols[end:]), self.endpoint)

    def words(self) -> list[Word]:
        """The words so far; the last one may still grow."""
        return words_of(self._decoder.symbols, self.alphabet, self.step.model.step_ms)

    # What a server calls, to advance many sessions in one step.

    def put(self, samples) -> None:
        """Takes samples as `accept` does, and computes nothing yet."""
        self._add(self._checked(samples))

    def end(self) -> None:
        """Says that no more samples come: what is pending becomes work."""
        self._finished = True

    @property
    def has_work(self) -> bool:
        """Whether a chunk is full, or the session ended and steps are left to read."""
        if self._finished:
            return self._decoder.steps < self.step.steps_of(self._frames())
        return len(self._pending) >= self.step.chunk_shape[0]

    @property
    def only_reads_out(self) -> bool:
        """Whether it ended, and the recurrences have heard all of it."""
        return self._finished and self.step.only_reads_out(self._state, self._frames())

    def take(self) -> tuple[dict, np.ndarray, int]:
        """The state, the next chunk and the length, as `StreamingStep.advance` wants them."""
        size = self.step.chunk_shape[0]
        chunk, rest = self._pending[:size], self._pending[size:]
        self._pending = rest if len(rest) >= size else rest.copy()  # lets go of what was heard
        length = END_UNKNOWN
        if len(chunk) < size:
            length = self._frames()
            padding = [(0, size - len(chunk)), *[(0, 0)] * (chunk.ndim - 1)]
            chunk = np.pad(chunk, padding)
        return self._state, chunk, length

    def take_rest(self) -> tuple[dict, int]:
        """The state and the length, as `StreamingStep.read_out` wants them."""
        self._pending = self._pending[:0].copy()
        return self._state, self._frames()

    def give(self, state, logits) -> None:
        """Takes back what the step made of it."""
        first = self.step.first_step(self._state)
        self._state = state
        end = len(logits)
        if self._finished:
            end = min(end, self.step.steps_of(self._frames()) - first)
        self._decoder.accept(logits[max(-first, 0) : max(end, 0)])

    def to_bytes(self) -> bytes:
        """All that is needed to go on elsewhere: `recognizer.stream(state=...)`; no pickle."""
        return to_bytes(
            {
                **{f"step.{name}": array for name, array in self._state.items()},
                **{f"decoder.{name}": array for name, array in self._decoder.state().items()},
                "session.pending": self._pending,
                "session.heard": np.array(self._heard, np.int64),
                "session.finished": np.array(self._finished),
            }
        )

    def restore(self, content: bytes) -> None:
        """Goes on from what another session's `to_bytes` gave, of the same model.

        Raises:
            ValueError: if it is anything else; this session is then as it was.
        """
        parts = {"step": {}, "decoder": {}, "session": {}}
        for name, array in from_bytes(content).items():
            part, _, key = name.partition(".")
            parts.setdefault(part, {})[key] = array
        self.step.check_state(parts["step"])
        before = self._decoder.state()
        try:
            own = {name: parts["session"][name] for name in ("pending", "heard", "finished")}
            self._check_own(own)
            pending, heard, finished = own["pending"], int(own["heard"]), bool(own["finished"])
            self._check_heard(parts["step"], len(pending), heard, finished)
            self._decoder.restore(parts["decoder"])
            self._check_read(parts["step"], heard, finished)
        except (ValueError, KeyError, TypeError, IndexError, OverflowError) as error:
            self._decoder.restore(before)
            if isinstance(error, ValueError):
                raise
            raise ValueError(f"state: an array is missing or damaged: {error}") from error
        self._state, self._pending = parts["step"], pending
        self._heard, self._finished = heard, finished
        self._stable, self._num_stable = "", 0

    def _check_own(self, own):
        kinds = {"pending": (np.float32, self._pending.shape[1:]), "heard": (np.int64, ())}
        kinds["finished"] = (np.bool_, ())
        for name, (dtype, shape) in kinds.items():
            found = own[name]
            found_shape = found.shape[1:] if name == "pending" else found.shape
            if found.dtype != dtype or found_shape != shape:
                raise ValueError(
                    f"state: {name}: expected {np.dtype(dtype)} of shape {shape}, received "
                    f"{found.dtype} of {found.shape}"
                )
        if not np.isfinite(own["pending"]).all():
            raise ValueError("state: pending: expected finite samples")

    def _check_heard(self, state, num_pending, heard, finished):
        """What was heard is what the step has taken and what is pending."""
        step = self.step
        taken = int(state["frames"][0]) * (step.chunk_shape[0] // step.chunk_frames)
        least = most = taken + num_pending
        if finished and not num_pending:  # the last chunk was filled up, and zeros followed it
            least = 0
        if not least <= heard <= most:
            raise ValueError(
                f"state: heard: {heard} disagrees with {taken} samples or frames that were "
                f"computed and {num_pending} that are pending"
            )

    def _check_read(self, state, heard, finished):
        """The decoder has read the steps that the step has given, and no others."""
        given = max(self.step.first_step(state), 0)
        if finished:
            given = min(given, int(self.step.steps_of(self.step.front_end.frames(heard))))
        if self._decoder.steps != given:
            raise ValueError(
                f"state: decoder: it has read {self._decoder.steps} steps, expected {given}"
            )

    def _frames(self):
        return int(self.step.front_end.frames(self._heard))

    def _add(self, samples):
        if samples.dtype == np.int16:
            samples = samples.astype(np.float32) / 32768
        self._pending = np.concatenate([self._pending, samples.astype(np.float32)])
        self._heard += len(samples)

    def _text(self, symbols):
        return self.alphabet.decode(np.array([each.id for each in symbols], np.int64))

    def _symbol_text(self, index):
        return self.alphabet.symbols[self._decoder.symbols[index].id - 1]

    def _last_spoken_step(self):
        for index in range(len(self._decoder.symbols) - 1, -1, -1):
            if not self._symbol_text(index).isspace():
                return self._decoder.symbols[index].last_step
        return None

    def _checked(self, samples):
        if self._finished:
            raise ValueError("this session is finished; start another with recognizer.stream()")
        samples = np.asarray(samples)
        what, shape = "samples", "(samples,), one channel"
        if len(self.step.chunk_shape) > 1:
            what, shape = "features", f"(frames, {self.step.chunk_shape[1]})"
        if (
            samples.ndim != len(self.step.chunk_shape)
            or samples.shape[1:] != (self.step.chunk_shape[1:])
        ):
            raise ValueError(f"{what}: expected shape {shape}, received {samples.shape}")
        if samples.dtype == np.int16 and what == "samples":
            return samples
        if samples.dtype.kind != "f":
            known = "float in [-1, 1] or int16" if what == "samples" else "float"
            raise ValueError(f"{what}: expected {known}, received {samples.dtype}")
        if not np.isfinite(samples).all():
            raise ValueError(f"{what}: expected finite values, received NaN or infinity")
        if what == "samples" and samples.size and np.abs(samples).max() > self.loudest:
            raise ValueError(
                "samples: expected float in [-1, 1], received "
                f"{samples[np.abs(samples).argmax()]:g}; divide integers by their full scale"
            )
        return samples


def advance_sessions(step: StreamingStep, sessions: Sequence[StreamingSession]) -> None:
    """Advances sessions of one step by a chunk, all in one batch.

    Those that only wait for the lookahead are read to their end, in a batch of their own.

    Args:
        step: theirs.
        sessions: each with `has_work`.
    """
    heard = [session for session in sessions if session.only_reads_out]
    hearing = [session for session in sessions if not session.only_reads_out]
    if hearing:
        _give(hearing, step.advance(*_columns(session.take() for session in hearing)))
    if heard:
        _give(heard, step.read_out(*_columns(session.take_rest() for session in heard)))


def _columns(rows):
    return zip(*rows, strict=True)


def _give(sessions, answers):
    for session, state, rows in zip(sessions, *answers, strict=True):
        session.give(state, rows)
