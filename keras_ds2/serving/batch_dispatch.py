"""Batch Dispatch: whatever streams have work when the device is free go as one batch.

Source: Amodei et al., 2015, arXiv:1512.02595, "Batch Dispatch". Differs: a stream's state is kept
between chunks, so that a batch is of chunks of streams, not of whole utterances.
"""

import collections
import logging
import threading
import time
from collections.abc import Callable

import numpy as np

from keras_ds2.streaming import Final, Partial, StreamingSession, StreamingStep, advance_sessions

_LOGGER = logging.getLogger(__name__)

Report = Callable[["Partial | Final | Exception"], None]
"""Told what came of a stream, on the device's thread: it must return at once."""


class DispatchedStream:
    """One session in the hands of a `BatchDispatch`, which makes it. For any thread.

    Attributes:
        seconds: of audio taken in so far.
        computed_seconds: of it that the text tells.
    """

    def __init__(self, dispatch: "BatchDispatch", session: StreamingSession, report: Report):
        self._dispatch = dispatch
        self._session = session
        self._report = report
        self._inbox: list[np.ndarray] = []
        self._ended = self._closed = self._queued = False
        self._ending = False  # `_ended`, as far as the device's thread knows
        self.seconds = self.computed_seconds = 0.0

    @property
    def waiting_seconds(self) -> float:
        """Length of what was put and is not computed yet, in seconds."""
        return self.seconds - self.computed_seconds

    def put(self, samples: np.ndarray) -> None:
        """Takes samples as `StreamingSession.put` does, and returns at once.

        What is wrong with them is reported, and ends this stream alone. Nothing bounds what may
        wait: whoever calls looks at `waiting_seconds`.

        Raises:
            ValueError: after `end`.
        """
        self._dispatch._put(self, samples)

    def end(self) -> None:
        """Says that no more samples come; a `Final` will be reported."""
        self._dispatch._end(self)

    def close(self) -> None:
        """Drops it: nothing is computed or reported any more, but for what is being computed."""
        self._dispatch._close(self)


class BatchDispatch:
    """A thread for the device, which serves many streams.

    Eager: it never waits for a batch to fill; while a batch is computed the next one gathers. So
    the batch grows with the load, and one stream alone waits for nobody. Fair: streams with work
    stand in a queue, and who was served goes to its end, so that one who sends an hour at once
    takes no more than one place in a batch; but a stream that ended and only waits for the
    lookahead is read to its end at once, which costs little. Bounded: at most `max_batch` streams a
    batch.

    Args:
        step: of all sessions.
        max_batch: int >= 1.
        observe: called after every batch with its size and the seconds that it took.

    Example:
        >>> with BatchDispatch(step) as dispatch:
        ...     stream = dispatch.open(session, report)
        ...     stream.put(samples)
        ...     stream.end()
    """

    def __init__(
        self,
        step: StreamingStep,
        max_batch: int,
        observe: Callable[[int, float], None] | None = None,
    ):
        if not max_batch >= 1 or int(max_batch) != max_batch:
            raise ValueError(f"max_batch: expected a whole number >= 1, received {max_batch!r}")
        self.step = step
        self.max_batch = int(max_batch)
        self._observe = observe or (lambda size, seconds: None)
        self._queue: collections.deque[DispatchedStream] = collections.deque()
        self._changed = threading.Condition()
        self._stopping = False
        self._thread: threading.Thread | None = None

    def __enter__(self) -> "BatchDispatch":
        self.start()
        return self

    def __exit__(self, *_) -> None:
        self.stop()

    def warm_up(self) -> None:
        """Compiles the step for every batch there can be, so that no client waits for it."""
        size = 1
        while True:
            state = self.step.initial_state()
            chunk = np.zeros(self.step.chunk_shape, np.float32)
            self.step.advance([state] * size, [chunk] * size, [1] * size)
            self.step.read_out([state] * size, [0] * size)
            if size >= self.max_batch:
                return
            size *= 2

    def start(self) -> None:
        """Starts the thread."""
        self._thread = threading.Thread(target=self._run, name="device", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread after the batch that it is at. Streams that are left get no report."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join()

    def open(self, session: StreamingSession, report: Report) -> DispatchedStream:
        """Takes a session.

        Args:
            session: a fresh one, of `step`; from here on none but the dispatch touches it.
            report: told each `Partial`, then the `Final` or what went wrong.
        """
        if session.step is not self.step:
            raise ValueError("session: expected one of the dispatch's own step")
        return DispatchedStream(self, session, report)

    def _put(self, stream, samples):
        with self._changed:
            if stream._ended:
                raise ValueError("this stream has ended; open another")
            if stream._closed:
                return
            stream._inbox.append(samples)
            stream.seconds += len(samples) * stream._session.seconds_per_row
            self._enqueue(stream)

    def _end(self, stream):
        with self._changed:
            if stream._ended or stream._closed:
                return
            stream._ended = True
            self._enqueue(stream)

    def _close(self, stream):
        with self._changed:
            stream._closed = True
            stream._inbox.clear()

    def _enqueue(self, stream):
        if not stream._queued:
            stream._queued = True
            self._queue.append(stream)
            self._changed.notify()

    def _run(self):
        while True:
            with self._changed:
                while not self._queue and not self._stopping:
                    self._changed.wait()
                if self._stopping:
                    return
            self._serve_once()

    def _serve_once(self):
        batch = []
        for _ in range(len(self._queue)):  # once each; those that queue meanwhile wait
            if len(batch) == self.max_batch:
                break
            with self._changed:
                stream = self._queue.popleft()
                stream._queued = False
                samples, stream._ending = stream._inbox, stream._ended
                stream._inbox = []
                if stream._closed:
                    continue
            try:
                for each in samples:
                    stream._session.put(each)
                if stream._ending:
                    stream._session.end()
                if stream._session.has_work:
                    batch.append(stream)
                elif stream._ending:
                    self._finish(stream)
            except Exception as error:  # whatever it is, the other streams go on
                self._fail(stream, error)
        while batch:
            self._advance(batch)
            batch = [stream for stream in batch if self._reads_out(stream)]

    def _reads_out(self, stream):
        return stream._ending and not stream._closed and stream._session.only_reads_out

    def _advance(self, batch):
        begin = time.monotonic()
        try:
            advance_sessions(self.step, [stream._session for stream in batch])
        except Exception as error:
            for stream in batch:
                self._fail(stream, error)
            return
        self._observe(len(batch), time.monotonic() - begin)
        for stream in batch:
            try:
                self._tell(stream)
            except Exception as error:
                self._fail(stream, error)

    def _tell(self, stream):
        session = stream._session
        computed = stream.computed_seconds + self.step.chunk_shape[0] * session.seconds_per_row
        stream.computed_seconds = min(computed, session.seconds)
        if not session.has_work and stream._ending:
            self._finish(stream)
            return
        partial = session.partial()
        with self._changed:
            if stream._closed:
                return
            if session.has_work and not self._reads_out(stream):
                self._enqueue(stream)
        stream._report(partial)

    def _finish(self, stream):
        final = stream._session.finish()
        with self._changed:
            if stream._closed:
                return
            stream._closed = True
        stream.computed_seconds = stream.seconds
        stream._report(final)

    def _fail(self, stream, error):
        with self._changed:
            if stream._closed:
                return
            stream._closed = True
            stream._inbox.clear()
        try:
            stream._report(error)
        except Exception:
            _LOGGER.exception("a listener failed")
