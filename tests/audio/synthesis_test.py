"""eSpeak NG through `Synthesizer`: voices, what the arguments do, failures."""

import ast
import importlib.util
import sys
import threading

import numpy as np
import pytest

from keras_ds2.audio import synthesis
from keras_ds2.audio.synthesis import (
    SynthesisError,
    Synthesizer,
    espeak_variants,
    espeak_voices,
)

needs_demo_extra = pytest.mark.skipif(
    importlib.util.find_spec("espeakng_loader") is None or importlib.util.find_spec("soxr") is None,
    reason="the extra demo (espeakng-loader, soxr) is not installed",
)
TEXT = "turn on the kitchen lamp"


@pytest.fixture(scope="module")
def synthesizer():
    with Synthesizer(16000) as one:
        yield one


@pytest.fixture
def without_package(monkeypatch):
    """Makes one package look as if it were not installed."""

    def hide(name):
        find_spec = importlib.util.find_spec
        monkeypatch.setattr(
            importlib.util,
            "find_spec",
            lambda asked, *rest: None if asked == name else find_spec(asked, *rest),
        )

    synthesis._data_files.cache_clear()
    yield hide
    synthesis._data_files.cache_clear()


def fundamental_hz(waveform, sampling_rate):
    """Median pitch of the voiced pieces, from the autocorrelation's peak between 60 and 400 Hz."""
    found = []
    size = sampling_rate // 20
    for start in range(0, len(waveform) - size, size // 2):
        piece = waveform[start : start + size]
        if piece.std() > 0.3 * waveform.std():
            correlation = np.correlate(piece, piece, "full")[size - 1 :]
            correlation /= np.arange(size, 0, -1)
            lowest, highest = sampling_rate // 400, sampling_rate // 60
            lag = lowest + correlation[lowest:highest].argmax()
            if correlation[lag] > 0.6 * correlation[0]:
                found.append(sampling_rate / lag)
    return float(np.median(found))


@needs_demo_extra
class TestSpeech:
    def test_is_a_float32_waveform_of_plausible_length_and_level(self, synthesizer):
        waveform = synthesizer.speak(TEXT, words_per_minute=150)
        assert waveform.dtype == np.float32
        assert waveform.ndim == 1
        assert 1.0 < len(waveform) / 16000 < 2.5  # five words at 150 a minute: two seconds
        assert 0.1 < np.abs(waveform).max() < 1.0

    @pytest.mark.parametrize("sampling_rate", [8000, 22050, 48000])
    def test_has_the_rate_asked_for(self, sampling_rate):
        with Synthesizer(16000) as one:
            usual = one.speak(TEXT)
        with Synthesizer(sampling_rate) as other:
            waveform = other.speak(TEXT)
        assert len(waveform) / sampling_rate == pytest.approx(len(usual) / 16000, abs=1e-3)
        assert fundamental_hz(waveform, sampling_rate) == pytest.approx(
            fundamental_hz(usual, 16000), rel=0.05
        )

    def test_is_the_same_from_every_new_synthesizer(self):
        voices = ["en-us+f2", "en-us+m1", "en-gb-scotland+grandma"]  # with breath and jitter
        runs = []
        for _ in range(2):
            with Synthesizer() as one:
                runs.append([one.speak(TEXT, voice=voice) for voice in voices * 2])
        for first, second in zip(*runs, strict=True):
            np.testing.assert_array_equal(first, second)

    def test_is_longer_when_slower(self, synthesizer):
        slow, fast = (len(synthesizer.speak(TEXT, words_per_minute=rate)) for rate in (100, 200))
        assert 1.5 < slow / fast < 2.5

    def test_is_higher_with_pitch(self, synthesizer):
        low, high = (
            fundamental_hz(synthesizer.speak(TEXT, pitch=pitch), 16000) for pitch in (20, 80)
        )
        assert high > 1.2 * low

    def test_is_livelier_with_pitch_range(self, synthesizer):
        flat, lively = (synthesizer.speak(TEXT, pitch_range=width) for width in (0, 99))
        assert not np.array_equal(flat, lively)

    def test_sounds_different_in_different_voices(self, synthesizer):
        man, woman = (
            fundamental_hz(synthesizer.speak(TEXT, voice=voice), 16000)
            for voice in ("en-us+m3", "en-us+f3")
        )
        assert man < 130 < 170 < woman

    def test_speaks_mandarin(self, synthesizer):
        assert len(synthesizer.speak("打开厨房的灯", voice="cmn+f2")) > 8000

    def test_is_not_mixed_up_by_threads(self, synthesizer):
        texts = ["one", "one two three four five six seven"] * 8
        lengths = dict.fromkeys(range(len(texts)))

        def speak(index):
            lengths[index] = len(synthesizer.speak(texts[index]))

        threads = [threading.Thread(target=speak, args=(index,)) for index in lengths]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for index, text in enumerate(texts):
            assert (lengths[index] > 16000) == (len(text) > 3)


@needs_demo_extra
class TestVoices:
    def test_lists_voices_and_variants(self):
        assert {"en-us", "en", "en-gb-scotland", "en-gb-x-rp", "cmn"} <= set(espeak_voices())
        assert {"m1", "m7", "f1", "f5", "linda"} <= set(espeak_variants())

    @pytest.mark.parametrize("voice", ["en-xx", "", "en-us+nobody", "en-us+", "+m3"])
    def test_refuses_an_unknown_voice(self, synthesizer, voice):
        with pytest.raises(ValueError, match="voice"):
            synthesizer.speak(TEXT, voice=voice)


@needs_demo_extra
class TestFaults:
    @pytest.mark.parametrize("text", ["", "  ", "one\0two", None])
    def test_refuses_a_text_that_is_none(self, synthesizer, text):
        with pytest.raises(ValueError, match="text"):
            synthesizer.speak(text)

    @pytest.mark.parametrize(
        "argument", [{"words_per_minute": 20}, {"pitch": 100}, {"pitch": -1}, {"pitch_range": 100}]
    )
    def test_refuses_numbers_out_of_range(self, synthesizer, argument):
        with pytest.raises(ValueError, match=next(iter(argument))):
            synthesizer.speak(TEXT, **argument)

    @pytest.mark.parametrize("sampling_rate", [0, -8000, 16000.0, "16000", True])
    def test_refuses_a_rate_that_is_none(self, sampling_rate):
        with pytest.raises(ValueError, match="sampling_rate"):
            Synthesizer(sampling_rate)

    def test_says_when_nothing_was_said_and_goes_no_further(self):
        with Synthesizer() as one:
            with pytest.raises(SynthesisError, match="said nothing"):
                one.speak("...")
            assert len(one.speak(TEXT)) > 8000

    def test_says_when_it_is_closed(self):
        one = Synthesizer()
        one.close()
        one.close()
        with pytest.raises(SynthesisError, match="closed"):
            one.speak(TEXT)

    def test_says_when_the_engine_has_died(self):
        with Synthesizer() as one:
            one._child.kill()
            one._child.wait()
            with pytest.raises(SynthesisError, match="ended"):
                one.speak(TEXT)
            with pytest.raises(SynthesisError, match="closed"):
                one.speak(TEXT)

    def test_leaves_no_process_behind(self):
        one = Synthesizer()
        child = one._child
        del one
        assert child.poll() is not None


@needs_demo_extra
class TestWithoutTheExtra:
    @pytest.mark.parametrize("package", ["espeakng_loader", "soxr"])
    def test_says_what_to_install(self, without_package, package):
        without_package(package)
        with pytest.raises(ImportError, match=r"pip install 'keras-ds2\[demo\]'"):
            Synthesizer()

    def test_cannot_list_voices(self, without_package):
        without_package("espeakng_loader")
        with pytest.raises(ImportError, match="espeakng-loader"):
            espeak_voices()


def test_the_engine_process_needs_the_standard_library_alone():
    tree = ast.parse(synthesis._CHILD.read_text(encoding="utf-8"))
    imported = {
        alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.Import)
        for alias in node.names
    }
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    assert imported <= sys.stdlib_module_names
