"""One chunk of many streams: batches, rows without work, delay."""

import numpy as np
import pytest

from keras_ds2.ops import packed_kernel
from keras_ds2.streaming import END_UNKNOWN, StreamingSession, StreamingStep, gather, scatter
from tests.streaming.made_up_streams import (
    ALPHABET,
    KINDS,
    heard,
    logits_of,
    recognizer,
    recording_session,
)

WAVEFORM = "2d_gru_lookahead_running"


def step_of(kind, chunk_ms=None):
    return recognizer(kind).stream(chunk_ms=chunk_ms).step


def chunk_of(step, seed=0):
    return np.random.default_rng(seed).normal(0, 0.1, step.chunk_shape).astype(np.float32)


def states_after(step, chunks):
    """A state that has heard some chunks."""
    state = step.initial_state()
    for seed in range(chunks):
        (state,), _ = step.advance([state], [chunk_of(step, seed)], [END_UNKNOWN])
    return state


@pytest.mark.parametrize("kind", KINDS)
def test_a_row_does_not_depend_on_its_batch(kind):
    step = step_of(kind)
    states = [states_after(step, count) for count in (0, 1, 5)]
    chunks = [chunk_of(step, seed) for seed in (7, 8, 9)]
    lengths = [END_UNKNOWN, END_UNKNOWN, 5 * step.chunk_frames + 1]
    together, logits = step.advance(states, chunks, lengths)
    assert logits.shape == (3, step.steps, 6)
    for row in range(3):
        (alone,), expected = step.advance([states[row]], [chunks[row]], [lengths[row]])
        np.testing.assert_allclose(logits[row], expected[0], atol=1e-5)
        for name, array in alone.items():
            np.testing.assert_allclose(together[row][name], array, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("extra", [0, 1, 2, 3])
def test_what_only_reads_out_leaves_the_recurrences_as_they_are(kind, extra):
    step = step_of(kind)
    recurrences = [layer.name for layer in step.model.stack if hasattr(layer, "recurrent_kernels")]
    frames = 2 * step.chunk_frames + extra
    state, told = states_after(step, 2), []
    one_by_one, rest = [], ()
    for _ in range(8):
        told.append(step.only_reads_out(state, frames))
        if told[-1] and len(rest) == 0:
            start = step.first_step(state)
            rest = step.read_out([state, state], [frames, frames])[1]
            np.testing.assert_array_equal(*rest)
        (new,), (logits,) = step.advance([state], [chunk_of(step, 1)], [frames])
        if told[-1]:
            one_by_one.append(logits)
        kept = [np.array_equal(new[name], state[name]) for name in recurrences]
        assert told[-1] == kept[-1]  # the one that hears last
        assert all(kept) or not told[-1]
        state = new
    assert told[-1]
    left = max(step.steps_of(frames) - start, 0)
    assert left <= len(rest[0])
    np.testing.assert_allclose(rest[0][:left], np.concatenate(one_by_one)[:left], atol=1e-5)


def test_a_row_without_work_stays_as_it_is():
    step = step_of(WAVEFORM)
    state = gather([states_after(step, 3), states_after(step, 2)])
    chunk = np.stack([chunk_of(step, 5)] * 2)
    new, _ = step(state, chunk, [END_UNKNOWN] * 2, [True, False])
    for name, array in state.items():
        np.testing.assert_array_equal(new[name][1], array[1])
        assert not np.array_equal(new[name][0], array[0]), name


def test_gather_and_scatter_undo_each_other():
    step = step_of(WAVEFORM)
    states = [states_after(step, count) for count in (0, 2, 4)]
    for state, again in zip(states, scatter(gather(states)), strict=True):
        assert state.keys() == again.keys()
        for name in state:
            np.testing.assert_array_equal(state[name], again[name])


def test_a_batch_size_is_compiled_once():
    step = step_of("1d_relu_deltas_running", chunk_ms=60)
    state, chunk = step.initial_state(), chunk_of(step)
    for count in (1, 3, 4, 3, 2, 1):
        step.advance([state] * count, [chunk] * count, [END_UNKNOWN] * count)
    assert sorted(batch for batch, _ in step._programs) == [1, 2, 4]


@pytest.mark.parametrize("kind", KINDS)
def test_recurrent_weights_of_16_bits_change_next_to_nothing(kind, monkeypatch):
    monkeypatch.setattr(packed_kernel, "has_gpu", lambda: False)
    step = step_of(kind)
    packed = StreamingStep(step.model, step.front_end, step.chunk_ms, precision="int16")
    one = other = step.initial_state()
    for seed in range(6):
        chunk = chunk_of(step, seed)
        (one,), expected = step.advance([one], [chunk], [END_UNKNOWN])
        (other,), found = packed.advance([other], [chunk], [END_UNKNOWN])
        np.testing.assert_allclose(found, expected, atol=1e-3 * np.abs(expected).max())
    assert any(not np.array_equal(one[name], other[name]) for name in one), "both of 32 bits"
    whole, texts = heard(kind, 15 * step.chunk_shape[0]), []
    for each in (step, packed):
        session = StreamingSession(each, ALPHABET)
        session.accept(whole)
        texts.append(session.finish().text)
    assert texts[0] == texts[1] != ""


@pytest.mark.parametrize("kind", KINDS)
def test_a_state_is_flat_numbers_of_fixed_size(kind):
    step = step_of(kind)
    first, later = step.initial_state(), states_after(step, 6)
    step.check_state(later)
    assert first.keys() == later.keys()
    for name, array in first.items():
        assert np.asarray(later[name]).shape == array.shape
        assert array.dtype in (np.float32, np.int64)


@pytest.mark.parametrize("chunk_ms", [1, 130])
@pytest.mark.parametrize("kind", KINDS)
def test_the_latency_is_what_a_step_waits_for_at_the_most(kind, chunk_ms):
    session = recording_session(kind, chunk_ms)
    step, model = session.step, recognizer(kind).model
    rows = 8 if step.front_end.kind == "log_spectrogram" else 1
    whole = heard(kind, int(2 / session.seconds_per_row))
    latest = 0.0
    for heard_so_far in range(rows, len(whole) + 1, rows):
        before = len(logits_of(session))
        session.accept(whole[heard_so_far - rows : heard_so_far])
        for index in range(before, len(logits_of(session))):
            waited = heard_so_far * 1000 * session.seconds_per_row - index * model.step_ms
            latest = max(latest, waited)
    assert latest == pytest.approx(session.latency_ms)
    assert sum(session.latency.values()) == pytest.approx(session.latency_ms)
    assert all(part >= 0 for part in session.latency.values())
    assert session.latency["chunk"] <= step.chunk_ms + model.step_ms
    assert session.latency["convolutions"] + session.latency["lookahead"] == model.delay_ms


def test_a_chunk_is_whole_steps():
    assert step_of(WAVEFORM, 1).chunk_ms == 20
    assert step_of(WAVEFORM, 100).chunk_ms == 100
    assert step_of("1d_relu_deltas_running", 100).chunk_ms == 120
    assert step_of(WAVEFORM).steps_of(11) == 6
