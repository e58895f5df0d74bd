"""However speech is cut, a session writes what the whole recording gives."""

import copy
import dataclasses
import itertools
import tracemalloc

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_ds2.decoding import GreedyDecoder
from keras_ds2.features.front_end import FeatureFrontEnd
from keras_ds2.models import build_model
from keras_ds2.recognition import Recognizer
from keras_ds2.streaming import StreamingError, StreamingSession, advance_sessions
from keras_ds2.streaming.greedy import GreedyStream, Symbol
from keras_ds2.streaming.state_file import from_bytes, to_bytes
from tests.streaming.made_up_streams import (
    ALPHABET,
    KINDS,
    RATE,
    heard,
    logits_of,
    recognizer,
    recording_session,
    whole_logits,
)

WAVEFORM = "2d_gru_lookahead_running"


def longest(kind):
    return 60 if KINDS[kind][0].get("kind") == "precomputed" else 6000


def streamed(session, inputs, cuts):
    """Feeds `inputs`, cut at the places given."""
    cuts = [0, *sorted(cuts), len(inputs)]
    for start, end in itertools.pairwise(cuts):
        session.accept(inputs[start:end])
    return session.finish()


class TestWholePass:
    @pytest.mark.parametrize("chunk_ms", [None, 1])
    @pytest.mark.parametrize("kind", KINDS)
    def test_any_cutting_gives_its_logits_and_its_text(self, kind, chunk_ms):
        @settings(max_examples=12, database=None, derandomize=True)
        @given(st.data())
        def check(data):
            length = data.draw(st.integers(0, longest(kind)), "length")
            inputs = heard(kind, length, seed=data.draw(st.integers(0, 3), "seed"))
            cuts = data.draw(st.lists(st.integers(0, length), max_size=8), "cuts")
            session = recording_session(kind, chunk_ms)
            final = streamed(session, inputs, cuts)
            if not recognizer(kind).front_end.frames(length):
                assert (final.text, logits_of(session).shape) == ("", (0, 6))
                return
            expected = whole_logits(kind, inputs)
            np.testing.assert_allclose(logits_of(session), expected, atol=1e-4)
            decoded = recognizer(kind).decoder.decode(expected[np.newaxis], [len(expected)])[0]
            assert final.text == decoded.text
            assert final.hypothesis.steps == decoded.steps
            assert final.hypothesis.log_prob == pytest.approx(decoded.log_prob, abs=1e-2)

        check()

    @pytest.mark.parametrize("kind", KINDS)
    def test_sample_by_sample(self, kind):
        inputs = heard(kind, longest(kind) // 6)
        session = recording_session(kind)
        streamed(session, inputs, range(1, len(inputs)))
        np.testing.assert_allclose(logits_of(session), whole_logits(kind, inputs), atol=1e-4)

    def test_text_is_written_at_all_and_is_the_recognizers(self):
        waveform = heard(WAVEFORM, 12000)
        final = streamed(recognizer(WAVEFORM).stream(), waveform, [5000])
        found = recognizer(WAVEFORM).recognize(waveform, RATE)
        assert len(final.text) > 5
        assert final.text == found.text
        assert final.seconds == found.seconds == 1.5

    def test_int16_is_the_same_speech(self):
        waveform = heard(WAVEFORM, 4000)
        integers = np.round(waveform * 32767).astype(np.int16)
        sessions = [recording_session(WAVEFORM) for _ in range(2)]
        streamed(sessions[0], integers, [77])
        streamed(sessions[1], integers.astype(np.float64) / 32768, [3000])
        np.testing.assert_allclose(*map(logits_of, sessions), atol=1e-5)

    def test_a_model_of_mixed_precision_streams_in_float32(self):
        exact = recognizer(WAVEFORM)
        config = {**exact.model.get_config(), "dtype": "mixed_bfloat16"}
        model = type(exact.model).from_config(config)
        model.set_weights(exact.model.get_weights())
        other = Recognizer(model, exact.front_end, ALPHABET)
        waveform = heard(WAVEFORM, 4000)
        texts = [streamed(each.stream(), waveform, [900]).text for each in (exact, other)]
        assert texts[0] == texts[1] != ""


class TestPartial:
    def test_what_is_stable_stays_and_grows(self):
        waveform = heard(WAVEFORM, 24000, seed=2)
        session = recognizer(WAVEFORM).stream()
        before, seen = "", set()
        for start in range(0, len(waveform), 800):
            partial = session.accept(waveform[start : start + 800])
            assert partial.stable.startswith(before)
            assert " " not in partial.tentative
            assert partial.text == partial.stable + partial.tentative
            before = partial.stable
            seen.add(partial)
        final = session.finish()
        assert final.text.startswith(before)
        assert before
        assert any(partial.tentative for partial in seen)
        assert session.partial().stable == final.text

    def test_words_have_times_in_order_and_confidence(self):
        waveform = heard(WAVEFORM, 24000, seed=2)
        final = streamed(recognizer(WAVEFORM).stream(), waveform, [])
        assert [word.text for word in final.words] == final.text.split()
        assert len(final.words) > 1
        end = 0.0
        for word in final.words:
            assert end <= word.start_ms < word.end_ms <= 1000 * final.seconds + 20
            assert 0 < word.confidence <= 1
            end = word.end_ms

    def test_an_endpoint_is_silence_after_speech(self):
        class Scripted:
            num_stable = 0

            def __init__(self):
                self.symbols, self.steps = [], 0

        decoder = Scripted()
        step = recognizer(WAVEFORM).stream().step
        session = StreamingSession(step, ALPHABET, endpoint_ms=100, decoder=decoder)
        decoder.steps = 50
        assert not session.endpoint  # nothing was said
        decoder.symbols = [Symbol(2, 40, 44, 0.0), Symbol(1, 46, 49, 0.0)]  # "a", and a space
        assert session.endpoint  # steps of 20 ms, 45 to 49 without a letter
        decoder.symbols[0].last_step = 45
        assert not session.endpoint
        assert session.partial().endpoint is False


class TestState:
    @pytest.mark.parametrize("kind", KINDS)
    def test_goes_on_elsewhere_from_bytes(self, kind):
        inputs = heard(kind, longest(kind))
        middle = len(inputs) // 2 + 1
        one = recognizer(kind).stream()
        one.accept(inputs[:middle])
        content = one.to_bytes()
        two = recognizer(kind).stream(state=content)
        assert two.partial() == one.partial()
        finals = [(each.accept(inputs[middle:]), each.finish()) for each in (one, two)]
        assert finals[0] == finals[1]

    def test_does_not_grow(self):
        session = recognizer(WAVEFORM).stream()
        sizes = set()
        for seed in range(4):
            session.accept(heard(WAVEFORM, 8000, seed=seed))
            sizes.add(sum(np.asarray(array).nbytes for array in session._state.values()))
            assert len(session._pending) < session.step.chunk_shape[0]
            assert session._pending.base is None
        assert len(sizes) == 1

    @pytest.mark.parametrize(
        ("damage", "message"),
        [
            (lambda content: b"", "expected the bytes that a session's to_bytes gave"),
            (lambda content: content[:500], "expected the bytes that a session's to_bytes gave"),
            (lambda content: b"not npz" * 99, "expected the bytes that a session's to_bytes gave"),
        ],
    )
    def test_damaged_bytes_are_refused(self, damage, message):
        content = recognizer(WAVEFORM).stream().to_bytes()
        with pytest.raises(ValueError, match=message):
            recognizer(WAVEFORM).stream(state=damage(content))

    def test_goes_on_in_other_chunks(self):
        waveform = heard(WAVEFORM, 6000)
        session = recognizer(WAVEFORM).stream(chunk_ms=100)
        session.accept(waveform[:3333])
        other = recognizer(WAVEFORM).stream(chunk_ms=1, state=session.to_bytes())
        other.accept(waveform[3333:])
        session.accept(waveform[3333:])
        one, two = session.finish(), other.finish()
        assert one.text == two.text != ""
        assert one.hypothesis.steps == two.hypothesis.steps

    def test_another_models_is_refused(self):
        content = recognizer(WAVEFORM).stream().to_bytes()
        with pytest.raises(ValueError, match="state: of another model; arrays that differ"):
            recognizer("1d_relu_deltas_running").stream(state=content)

    @pytest.mark.parametrize("kind", KINDS)
    def test_goes_on_amid_its_end(self, kind):
        inputs = heard(kind, longest(kind))
        one = recognizer(kind).stream()
        one.accept(inputs)
        one.end()
        while one.has_work:
            two = recognizer(kind).stream(state=one.to_bytes())
            advance_sessions(one.step, [one])
        final = one.finish()
        assert two.finish() == final
        assert recognizer(kind).stream(state=one.to_bytes()).finish() == final

    @pytest.mark.parametrize(
        ("name", "array", "message"),
        [
            ("session.heard", np.array(np.inf), "heard: expected int64"),
            ("session.heard", np.array(2**62), "heard: 46.* disagrees with 2400 .* and 500 that"),
            ("session.heard", np.array(10), "heard: 10 disagrees with"),
            ("session.heard", np.array(-1), "heard: -1 disagrees with"),
            ("session.heard", np.array([2900, 1]), "heard: expected int64"),
            ("session.finished", np.array([True]), "finished: expected bool"),
            ("session.pending", np.zeros(7), "pending: expected float32"),
            ("session.pending", np.zeros(7, np.float32), "heard: .* and 7 that are pending"),
            ("session.pending", np.full(100, np.inf, np.float32), "pending: expected finite"),
            ("step.frames", np.array([2**40]), "heard: "),
            ("step.frames", np.array([-2]), "frames: expected a multiple of 2 >= 0"),
            ("step.frames", np.array([3]), "frames: expected a multiple of 2 >= 0"),
            ("decoder.steps", np.array(-(2**40)), "steps in order"),
            ("decoder.steps", np.array(2**40), "has read 1099511627776 steps, expected"),
            ("decoder.steps", np.array(np.inf), "steps: expected int64"),
            ("decoder.last", np.array(99), "another alphabet"),
            ("decoder.symbols", np.array([[1, 5, 4]]), "steps in order"),
            ("decoder.symbols", np.array([[1, 0, 2**40]]), "steps in order"),
            ("decoder.symbols", np.zeros((1, 3)), "symbols: expected int64"),
            ("decoder.symbol_log_probs", np.zeros(99), "longer"),
        ],
    )
    def test_that_disagrees_with_itself_is_refused_and_nothing_changed(self, name, array, message):
        session = recognizer(WAVEFORM).stream()
        session.accept(heard(WAVEFORM, 2900))
        arrays = from_bytes(session.to_bytes())
        before = session.to_bytes()
        with pytest.raises(ValueError, match=message):
            session.restore(to_bytes(arrays | {name: array}))
        assert session.to_bytes() == before

    def test_is_refused_where_it_is_not_finite(self):
        session = recognizer(WAVEFORM).stream()
        session._state["rnn_1"] = np.full((1, 12), np.nan, np.float32)
        with pytest.raises(ValueError, match="state: rnn_1: expected finite"):
            recognizer(WAVEFORM).stream(state=session.to_bytes())


class TestManySessions:
    def test_in_one_batch_each_hears_its_own(self):
        waveforms = [heard(WAVEFORM, length) for length in (6000, 900, 3100)]
        sessions = [recording_session(WAVEFORM) for _ in waveforms]
        for session, waveform in zip(sessions, waveforms, strict=True):
            session.put(waveform)
        sessions[1].end()
        rounds = 0
        while busy := [session for session in sessions if session.has_work]:
            advance_sessions(sessions[0].step, busy)
            rounds += 1
            if rounds == 3:
                sessions[2].end()
        sessions[0].end()
        for session, waveform in zip(sessions, waveforms, strict=True):
            session.finish()
            expected = whole_logits(WAVEFORM, waveform)
            np.testing.assert_allclose(logits_of(session), expected, atol=1e-4)


class TestBadInput:
    @pytest.mark.parametrize(
        ("samples", "message"),
        [
            (np.zeros((5, 2), np.int16), r"expected shape \(samples,\), one channel, received \(5"),
            (np.int16(3), r"received \(\)"),
            (np.zeros(5, np.int32), r"float in \[-1, 1\] or int16, received int32"),
            (np.array([0.0, np.nan]), "finite values, received NaN or infinity"),
            (np.array([0.0, -12000.0]), r"in \[-1, 1\], received -12000; divide integers"),
        ],
    )
    def test_samples(self, samples, message):
        session = recognizer(WAVEFORM).stream()
        session.accept(np.zeros(100, np.int16))
        with pytest.raises(ValueError, match=message):
            session.accept(samples)
        assert session.seconds == 100 / RATE

    def test_what_files_hold_may_be_louder(self):
        loud = 7 * heard(WAVEFORM, 4000)
        session = recognizer(WAVEFORM).stream(loudest=np.inf)
        session.accept(loud)
        assert session.finish().text == recognizer(WAVEFORM).transcribe(loud, RATE)
        with pytest.raises(ValueError, match="loudest: expected a number > 0"):
            recognizer(WAVEFORM).stream(loudest=0)

    def test_features(self):
        session = recognizer("precomputed_running").stream()
        with pytest.raises(ValueError, match=r"features: expected shape \(frames, 4\), received"):
            session.accept(np.zeros(5))
        with pytest.raises(ValueError, match="features: expected float, received int16"):
            session.accept(np.zeros((5, 4), np.int16))
        assert session.accept(np.full((5, 4), 12.0)).text == ""

    def test_after_the_end(self):
        session = recognizer(WAVEFORM).stream()
        session.finish()
        with pytest.raises(ValueError, match="this session is finished; start another"):
            session.accept(np.zeros(5, np.int16))

    def test_no_samples_are_no_fault(self):
        session = recognizer(WAVEFORM).stream()
        assert session.accept(np.zeros(0, np.float32)).text == ""
        assert session.finish().text == ""

    def test_rates_and_numbers(self):
        stream = recognizer(WAVEFORM).stream
        assert stream(RATE).seconds == 0
        with pytest.raises(ValueError, match="expected the model's 8000 Hz, received 16000; rec"):
            stream(16000)
        with pytest.raises(ValueError, match="reads precomputed features"):
            recognizer("precomputed_running").stream(16000)
        with pytest.raises(ValueError, match="chunk_ms: expected ms > 0"):
            stream(chunk_ms=0)
        with pytest.raises(ValueError, match="endpoint_ms: expected ms > 0"):
            stream(endpoint_ms=-1)

    def test_models_that_cannot_stream(self):
        numbers = {"num_bins": 4, "vocabulary_size": 6, "units": 4, "num_rnn_layers": 1}
        small = {**numbers, "conv_type": "1d", "conv_filters": [4, 4], "conv_kernel_size": [3, 3]}
        small["conv_strides"] = [1, 1]
        front_end = FeatureFrontEnd("precomputed", num_bins=4, normalization="none")
        both_ways = Recognizer(build_model("english", **small), front_end, ALPHABET)
        with pytest.raises(StreamingError, match=r'bidirectional.*model\.variant "production"'):
            both_ways.stream()
        whole = FeatureFrontEnd("precomputed", num_bins=4)
        forward = build_model("production", **small, lookahead_context=0)
        with pytest.raises(StreamingError, match="normalization 'utterance': take 'running'"):
            Recognizer(forward, whole, ALPHABET).stream()

    def test_a_decoder_streams_as_it_is_or_not_at_all(self):
        class Shouting(GreedyDecoder):
            def decode(self, logits, logit_length):
                return [shout(each) for each in super().decode(logits, logit_length)]

        class ShoutingStream(GreedyStream):
            def hypothesis(self):
                return shout(super().hypothesis())

        class StreamingShouting(Shouting):
            def stream(self):
                return ShoutingStream(self.alphabet)

        def shout(hypothesis):
            return dataclasses.replace(hypothesis, text=hypothesis.text.upper())

        waveform = heard(WAVEFORM, 6000)
        text = recognizer(WAVEFORM).transcribe(waveform, RATE)
        shouting = copy.copy(recognizer(WAVEFORM))
        shouting.decoder = Shouting(ALPHABET)
        with pytest.raises(StreamingError, match="Shouting reads whole recordings and cannot"):
            shouting.stream()
        shouting.decoder = StreamingShouting(ALPHABET)
        session = shouting.stream()
        session.accept(waveform)
        assert session.finish().text == shouting.transcribe(waveform, RATE) == text.upper() != ""

    @pytest.mark.parametrize("trim_db", [None, 30.0])
    def test_trimming_cannot_stream(self, trim_db):
        found = recognizer("2d_relu_none_short_window")
        config = {**found.front_end.get_config(), "trim_db": trim_db}
        other = Recognizer(found.model, FeatureFrontEnd.from_config(config), ALPHABET)
        if trim_db is None:
            other.stream()
            return
        with pytest.raises(StreamingError, match="trim_db 30"):
            other.stream()


def test_an_hour_in_constant_memory():
    session = recognizer("2d_relu_none_short_window").stream(chunk_ms=3000)
    draws = np.random.default_rng(0)
    chunk = draws.normal(0, 0.1, 60 * RATE).astype(np.float32)
    for _ in range(60):
        session.accept(chunk)
        if session.seconds == 600:  # everything is compiled
            tracemalloc.start()
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    state = session.to_bytes()
    text = 8 * 4 * len(session._decoder.symbols)
    assert session.seconds == 3600
    assert len(state) - text < 400_000
    audio = 4 * 3000 * RATE
    assert kept < 250 * len(session._decoder.symbols) + 400_000 < audio // 8  # symbols, a state
    assert tf.reduce_all(tf.math.is_finite(session._state["rnn_2"]))
