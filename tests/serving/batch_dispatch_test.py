"""Many sessions on one device: whoever has work goes, in turn, and no one harms another."""

import itertools
import queue
import threading

import numpy as np
import pytest

from keras_ds2.serving.batch_dispatch import BatchDispatch
from keras_ds2.streaming import Final, Partial
from tests.streaming.made_up_streams import heard, recognizer

KIND = "2d_gru_lookahead_running"
PATIENCE = 60  # seconds, of a test that would otherwise hang


class Listener:
    """Keeps what is reported."""

    def __init__(self):
        self.told = queue.Queue()
        self.partials = []

    def __call__(self, event):
        self.told.put(event)

    def last(self):
        while isinstance(event := self.told.get(timeout=PATIENCE), Partial):
            self.partials.append(event)
        return event


class Gate:
    """A step that computes when it is let, and remembers its batches."""

    def __init__(self, kind=KIND, is_open=True):
        self._step = recognizer(kind).stream().step
        self.permits = threading.Semaphore(0)
        self.is_open = is_open
        self.waits = threading.Semaphore(0)
        self.batches = []
        self.error = None

    def __getattr__(self, name):
        return getattr(self._step, name)

    def advance(self, states, chunks, lengths):
        self.batches.append([float(chunk[0]) for chunk in chunks])
        self.waits.release()
        if not self.is_open:
            assert self.permits.acquire(timeout=PATIENCE)
        if self.error is not None:
            raise self.error
        return self._step.advance(states, chunks, lengths)


def opened(dispatch, kind=KIND):
    session = recognizer(kind).stream()
    session.step = dispatch.step
    listener = Listener()
    return dispatch.open(session, listener), listener


def expected(waveform, kind=KIND):
    session = recognizer(kind).stream()
    session.accept(waveform)
    return session.finish()


@pytest.mark.parametrize("max_batch", [1, 3, 8])
def test_many_streams_at_once_are_what_each_is_alone(max_batch):
    waveforms = [heard(KIND, length, seed) for seed, length in enumerate((0, 7, 900, 5000, 9001))]
    batches = []
    step = recognizer(KIND).stream().step
    with BatchDispatch(step, max_batch, lambda size, _: batches.append(size)) as dispatch:
        streams = [opened(dispatch) for _ in waveforms]
        for start in range(0, 9001, 700):
            for (stream, _), waveform in zip(streams, waveforms, strict=True):
                stream.put(waveform[start : start + 700])
        for stream, _ in streams:
            stream.end()
        finals = [listener.last() for _, listener in streams]
    assert [final.text for final in finals] == [expected(each).text for each in waveforms]
    assert [final.words for final in finals][3] != ()
    assert [stream.waiting_seconds for stream, _ in streams] == [0.0] * 5
    assert 1 <= max(batches) <= max_batch


def test_partials_tell_text_that_stays():
    waveform = heard(KIND, 24000, seed=2)
    with BatchDispatch(recognizer(KIND).stream().step, 4) as dispatch:
        stream, listener = opened(dispatch)
        stream.put(waveform)
        stream.end()
        final = listener.last()
    assert len(listener.partials) >= 29
    for before, after in itertools.pairwise(listener.partials):
        assert after.stable.startswith(before.stable)
    assert final.text.startswith(listener.partials[-1].stable)


def test_what_gathers_while_the_device_computes_goes_as_one_batch():
    gate = Gate(is_open=False)
    chunk = gate.chunk_shape[0]
    with BatchDispatch(gate, 8) as dispatch:
        streams = [opened(dispatch)[0] for _ in range(6)]
        streams[0].put(np.full(chunk, 0.1, np.float32))
        assert gate.waits.acquire(timeout=PATIENCE)  # eager: it did not wait for others
        for index, stream in enumerate(streams[1:], start=2):
            stream.put(np.full(chunk, index / 10, np.float32))
        gate.permits.release(2)
        assert gate.waits.acquire(timeout=PATIENCE)
    assert np.round(gate.batches[0], 3).tolist() == [0.1]
    assert np.round(gate.batches[1], 3).tolist() == [0.2, 0.3, 0.4, 0.5, 0.6]


def test_who_sends_an_hour_at_once_takes_one_place_and_each_has_a_turn():
    gate = Gate(is_open=False)
    chunk = gate.chunk_shape[0]
    with BatchDispatch(gate, 2) as dispatch:
        greedy, _ = opened(dispatch)
        greedy.put(np.full(50 * chunk, 0.5, np.float32))
        assert gate.waits.acquire(timeout=PATIENCE)
        for index in range(4):
            opened(dispatch)[0].put(np.full(chunk, index / 10, np.float32))
        gate.permits.release(4)
        for _ in range(3):
            assert gate.waits.acquire(timeout=PATIENCE)
        gate.permits.release(100)
    # Those who came meanwhile stand before the greedy one's second chunk.
    assert np.round(gate.batches[0], 1).tolist() == [0.5]
    assert np.round(gate.batches[1], 1).tolist() == [0.0, 0.1]
    assert np.round(gate.batches[2], 1).tolist() == [0.2, 0.3]
    assert np.round(gate.batches[3], 1).tolist() == [0.5]


def test_who_ended_and_waits_for_the_lookahead_alone_does_not_stand_in_the_queue():
    gate = Gate(is_open=False)
    chunk = gate.chunk_shape[0]
    with BatchDispatch(gate, 8) as dispatch:
        talking, _ = opened(dispatch)
        talking.put(np.full(40 * chunk, 0.5, np.float32))
        assert gate.waits.acquire(timeout=PATIENCE)
        ending, listener = opened(dispatch)
        ending.put(np.full(chunk, 0.1, np.float32))
        ending.end()
        gate.permits.release(100)
        assert listener.last().text == expected(np.full(chunk, 0.1, np.float32)).text
    heard = [len(batch) for batch in gate.batches if len(batch) == 2]
    assert len(heard) * gate.steps < gate.steps_of(gate.chunk_frames) + gate.delay_steps


@pytest.mark.parametrize(
    "samples", [np.full(9, np.nan, np.float32), np.zeros((3, 2), np.float32), np.full(9, 70.0)]
)
def test_samples_that_are_wrong_end_their_stream_alone(samples):
    waveform = heard(KIND, 5000)
    with BatchDispatch(recognizer(KIND).stream().step, 4) as dispatch:
        (bad, told_bad), (good, told_good) = opened(dispatch), opened(dispatch)
        good.put(waveform[:2000])
        bad.put(samples)
        assert isinstance(told_bad.last(), ValueError)
        good.put(waveform[2000:])
        good.end()
        bad.put(waveform)  # goes nowhere
        bad.end()
        assert told_good.last().text == expected(waveform).text
        assert told_bad.told.empty()


def test_a_batch_that_fails_ends_its_streams_and_the_next_ones_go():
    gate = Gate()
    gate.error = MemoryError("no memory")
    waveform = heard(KIND, 5000)
    with BatchDispatch(gate, 4) as dispatch:
        stream, listener = opened(dispatch)
        stream.put(waveform)
        assert listener.last() is gate.error
        gate.error = None
        stream, listener = opened(dispatch)
        stream.put(waveform)
        stream.end()
        assert listener.last().text == expected(waveform).text


def test_a_listener_that_fails_ends_its_stream_alone():
    waveform = heard(KIND, 5000)
    with BatchDispatch(recognizer(KIND).stream().step, 4) as dispatch:

        def broken(event):
            raise RuntimeError("listener")

        bad = dispatch.open(recognizer(KIND).stream(), broken)
        good, listener = opened(dispatch)
        bad.put(waveform)
        good.put(waveform)
        good.end()
        assert isinstance(listener.last(), Final)


def test_a_stream_that_was_closed_is_told_nothing_more():
    gate = Gate(is_open=False)
    with BatchDispatch(gate, 4) as dispatch:
        stream, listener = opened(dispatch)
        stream.put(heard(KIND, 5000))
        assert gate.waits.acquire(timeout=PATIENCE)
        stream.close()
        gate.permits.release(50)
    assert listener.told.empty()
    assert len(gate.batches) == 1


def test_after_its_end_a_stream_takes_nothing():
    with BatchDispatch(recognizer(KIND).stream().step, 4) as dispatch:
        stream, listener = opened(dispatch)
        stream.end()
        stream.end()
        assert listener.last().text == ""
        with pytest.raises(ValueError, match="this stream has ended"):
            stream.put(np.zeros(3, np.float32))


def test_a_session_of_another_step_is_refused():
    dispatch = BatchDispatch(recognizer(KIND).stream().step, 4)
    with pytest.raises(ValueError, match="expected one of the dispatch's own step"):
        dispatch.open(recognizer(KIND).stream(chunk_ms=500), print)


def test_warming_up_compiles_every_batch_there_can_be():
    gate = Gate()
    BatchDispatch(gate, 5).warm_up()
    assert [len(batch) for batch in gate.batches] == [1, 2, 4, 8]


@pytest.mark.parametrize("max_batch", [0, 1.5, -2])
def test_a_batch_that_is_none_is_refused(max_batch):
    with pytest.raises(ValueError, match="max_batch: expected a whole number >= 1"):
        BatchDispatch(recognizer(KIND).stream().step, max_batch)
