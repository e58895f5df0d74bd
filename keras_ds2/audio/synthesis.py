"""Text to speech with eSpeak NG: many voices, far faster than real time (extra `demo`).

eSpeak NG (GPL, brought by `espeakng-loader`) keeps its state in process-wide variables, so every
`Synthesizer` runs it in a child process of its own, and a lock keeps two threads from speaking at
once.
"""

import contextlib
import importlib.util
import json
import os
import subprocess
import sys
import threading
import weakref
from functools import lru_cache
from pathlib import Path

import numpy as np

_CHILD = Path(__file__).with_name("espeak_process.py")
_WORDS_PER_MINUTE = (80, 450)  # eSpeak NG's own limits
_PERCENT = (0, 99)


class SynthesisError(RuntimeError):
    """eSpeak NG did not start, ended, or said nothing."""


def espeak_voices() -> tuple[str, ...]:
    """Names of eSpeak NG's languages: "en-us", "en-gb-scotland", "en" (British), "cmn" ..."""
    return tuple(name.lower() for name in _data_files("lang"))


def espeak_variants() -> tuple[str, ...]:
    """Names of the characters that any language can be spoken with: "m3", "f2", "linda" ..."""
    return _data_files("voices/!v")


class Synthesizer:
    """Speaks text with eSpeak NG; a context manager.

    The same requests in the same order give the same samples from every new `Synthesizer`. A single
    request's samples depend on those before it in the same `Synthesizer`, as most voices carry
    their jitter and breath on.

    Args:
        sampling_rate: int > 0, Hz of the waveforms returned. eSpeak NG itself speaks at 22 050 Hz,
            soxr takes it from there.

    Raises:
        ImportError: if `espeakng-loader` or `soxr` is missing: they are the extra `demo`.
        SynthesisError: if eSpeak NG does not start.
        ValueError: if `sampling_rate` is not an int > 0.
    """

    def __init__(self, sampling_rate: int = 16000):
        if (
            isinstance(sampling_rate, bool)
            or not isinstance(sampling_rate, int)
            or sampling_rate <= 0
        ):
            raise ValueError(
                f"sampling_rate: expected an int > 0 (Hz), received {sampling_rate!r}; "
                "use for example 16000"
            )
        self.sampling_rate = sampling_rate
        _find_package("soxr")
        package = _espeak_folder()
        library = next(package.glob("*espeak-ng.*"), None)
        if library is None:
            raise SynthesisError(
                f"{package}: no eSpeak NG library for this platform in espeakng-loader"
            )
        self._lock = threading.Lock()
        self._owner = os.getpid()
        # Started in the data's folder: eSpeak NG cuts data paths longer than about 160 characters.
        self._child = subprocess.Popen(
            [sys.executable, "-I", "-S", str(_CHILD), str(library)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=package,
        )
        self._finalizer = weakref.finalize(self, _end, self._child)
        try:
            self._native_rate = self._read_header()["sampling_rate"]
        except BaseException:
            self.close()
            raise

    def speak(
        self,
        text: str,
        *,
        voice: str = "en-us",
        words_per_minute: int = 170,
        pitch: int = 50,
        pitch_range: int = 50,
    ) -> np.ndarray:
        """Returns `text` as speech: float32 `(samples,)` in [-1, 1] at `sampling_rate`.

        Args:
            text: What to say, in the voice's language.
            voice: A name of `espeak_voices()`, alone or with one of `espeak_variants()`: "en-us",
                "en-gb-scotland+f2", "cmn+m3".
            words_per_minute: int, 80 to 450.
            pitch: int, 0 (low) to 99 (high), relative to the voice.
            pitch_range: int, 0 (monotone) to 99 (lively).

        Raises:
            ValueError: if an argument is out of range or the voice is unknown.
            SynthesisError: if eSpeak NG fails or says nothing.
        """
        _check_request(text, voice, words_per_minute, pitch, pitch_range)
        request = {
            "text": text,
            "voice": voice,
            "words_per_minute": int(words_per_minute),
            "pitch": int(pitch),
            "pitch_range": int(pitch_range),
        }
        with self._lock:
            if not self._finalizer.alive:
                raise SynthesisError("this Synthesizer is closed; make a new one")
            if os.getpid() != self._owner:
                raise SynthesisError(
                    "a Synthesizer belongs to the process that made it; make one in each process"
                )
            try:
                samples, pcm = self._ask(request)
            except BaseException:
                self.close()  # the next answer would be the one that was not read
                raise
        waveform = np.frombuffer(pcm, np.int16).astype(np.float32) / 32768.0
        if len(waveform) != samples or not waveform.any():
            raise SynthesisError(
                f"eSpeak NG said nothing for {text!r} with voice {voice!r}; check the text"
            )
        if self._native_rate != self.sampling_rate:
            import soxr

            waveform = soxr.resample(waveform, self._native_rate, self.sampling_rate)
        return np.clip(waveform, -1.0, 1.0)

    def close(self) -> None:
        """Ends the child process; more than once does no harm."""
        self._finalizer()

    def __enter__(self) -> "Synthesizer":
        return self

    def __exit__(self, *_exception) -> None:
        self.close()

    def _ask(self, request: dict) -> tuple[int, bytes]:
        with contextlib.suppress(OSError):  # the child has ended: reading its answer says so
            self._child.stdin.write(json.dumps(request).encode() + b"\n")
            self._child.stdin.flush()
        samples = self._read_header()["samples"]
        return samples, self._child.stdout.read(2 * samples)

    def _read_header(self) -> dict:
        line = self._child.stdout.readline()
        header = json.loads(line) if line else {"error": "the eSpeak NG process ended unexpectedly"}
        if "error" in header:
            raise SynthesisError(header["error"])
        return header


def _check_request(text, voice, words_per_minute, pitch, pitch_range) -> None:
    if not isinstance(text, str) or not text.strip() or "\0" in text:
        raise ValueError(f"text: expected a non-empty string without NUL, received {text!r}")
    language, plus, variant = voice.partition("+")
    if language.lower() not in espeak_voices():
        raise ValueError(
            "voice: expected a name of espeak_voices(), such as 'en-us' or 'en-us+f3', "
            f"received {voice!r}"
        )
    # eSpeak NG itself takes an unknown variant for none.
    if plus and variant not in espeak_variants():
        raise ValueError(
            f"voice: unknown variant {variant!r} in {voice!r}; expected one of {espeak_variants()}"
        )
    for name, value, (low, high) in (
        ("words_per_minute", words_per_minute, _WORDS_PER_MINUTE),
        ("pitch", pitch, _PERCENT),
        ("pitch_range", pitch_range, _PERCENT),
    ):
        if not low <= value <= high:
            raise ValueError(f"{name}: expected {low} to {high}, received {value}")


def _find_package(name: str) -> Path:
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        raise ImportError(
            f"speech synthesis needs the package {name.replace('_', '-')}, which is not installed; "
            "install it with: pip install 'keras-ds2[demo]'"
        )
    return Path(spec.origin).parent


def _espeak_folder() -> Path:
    """The folder of `espeakng_loader`, found without running it: library and data side by side."""
    return _find_package("espeakng_loader")


@lru_cache
def _data_files(below: str) -> tuple[str, ...]:
    folder = _espeak_folder() / "espeak-ng-data" / below
    return tuple(sorted(path.name for path in folder.rglob("*") if path.is_file()))


def _end(child: subprocess.Popen) -> None:
    with contextlib.suppress(OSError):
        child.stdin.close()
    try:
        child.wait(timeout=5)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
    child.stdout.close()
