"""A source fed chunk by chunk, and what is shown of it."""

import io
import json
import time

import numpy as np
import pytest
from rich.console import Console

from keras_ds2.recognition import Recognizer
from keras_ds2.recognition.live import show_stream, stream_source
from tests.audio.made_up_audio import wav
from tests.streaming.made_up_streams import RATE, heard, recognizer, write_run

KIND = "2d_gru_lookahead_running"
PCM = np.round(32767 * heard(KIND, 12000, seed=2)).astype("<i2")


@pytest.fixture
def wav_file(tmp_path):
    path = tmp_path / "speech.wav"
    path.write_bytes(wav(PCM / 32768, RATE))
    return str(path)


def text_of(source, pipe=b"", kind=KIND, **options):
    reports = []
    final = stream_source(
        recognizer(kind),
        source,
        pipe=io.BytesIO(pipe),
        report=lambda session, partial: reports.append((session.seconds, partial)),
        **options,
    )
    return final, reports


def test_a_file_and_a_pipe_give_the_recordings_text(wav_file):
    expected = recognizer(KIND).transcribe(wav_file)
    final, reports = text_of(wav_file)
    piped, _ = text_of("-", PCM.tobytes())
    assert final.text == piped.text == expected != ""
    assert [seconds for seconds, _ in reports] == pytest.approx(np.arange(0.1, 1.55, 0.1))
    assert expected.startswith(reports[-1][1].stable)


def test_a_file_may_be_louder_than_full_scale(tmp_path):
    path = tmp_path / "loud.wav"
    path.write_bytes(wav(9 * PCM / 32768, RATE, bits=32, is_float=True))
    final, _ = text_of(str(path))
    assert final.text == recognizer(KIND).transcribe(path) != ""


def test_features_come_from_a_file_alone(tmp_path):
    features = heard("precomputed_running", 60)
    np.save(tmp_path / "f.npy", features)
    final, _ = text_of(str(tmp_path / "f.npy"), kind="precomputed_running")
    assert final.text == recognizer("precomputed_running").transcribe(features)
    with pytest.raises(ValueError, match=r"-: expected the path of a \.npy file"):
        text_of("-", b"1234", kind="precomputed_running")


def test_a_pipe_that_ends_amid_a_sample_is_refused():
    with pytest.raises(ValueError, match=r"-: expected raw int16 samples.*amid a sample"):
        text_of("-", PCM.tobytes()[:-1])


def test_in_real_time_nothing_is_heard_before_it_was_spoken(monkeypatch, wav_file):
    clock = [50.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(time, "sleep", lambda seconds: clock.append(clock.pop() + seconds))
    times = []
    stream_source(
        recognizer(KIND),
        wav_file,
        pipe=io.BytesIO(),
        realtime=True,
        report=lambda session, partial: times.append((clock[0] - 50.0, session.seconds)),
    )
    assert len(times) == 15
    for passed, spoken in times:
        assert passed == pytest.approx(spoken)


def test_what_is_shown_in_lines(wav_file, capsys):
    final = show_stream(recognizer(KIND), wav_file, Console(file=io.StringIO()))
    *lines, last = capsys.readouterr().out.splitlines()
    assert last == final.text
    assert len(lines) > 1
    for line in lines:
        seconds, _, text = line.partition("\t")
        assert 0 < float(seconds) <= 1.5
        assert text.count("|") == 1
        assert final.text.startswith(text.split("|")[0])


@pytest.mark.parametrize(("endpoint_ms", "shown"), [(20, True), (60_000, False)])
def test_an_end_of_speech_is_shown(wav_file, capsys, endpoint_ms, shown):
    console = Console(file=io.StringIO())
    show_stream(recognizer(KIND), wav_file, console, endpoint_ms=endpoint_ms)
    *lines, _ = capsys.readouterr().out.splitlines()
    assert any(line.endswith("\tendpoint") for line in lines) is shown


def test_what_is_shown_as_json(wav_file, capsys):
    final = show_stream(recognizer(KIND), wav_file, Console(file=io.StringIO()), as_json=True)
    *rows, last = map(json.loads, capsys.readouterr().out.splitlines())
    assert len(rows) == 15
    assert all(row.keys() == {"seconds", "stable", "tentative", "endpoint"} for row in rows)
    assert last["text"] == final.text
    assert [word["text"] for word in last["words"]] == final.text.split()
    assert last["words"][0].keys() == {"text", "start_ms", "end_ms", "confidence"}


def test_what_is_shown_on_a_terminal(wav_file, capsys, monkeypatch):
    monkeypatch.setenv("TERM", "xterm")  # a dumb one is not written over
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=200)
    final = show_stream(recognizer(KIND), wav_file, console)
    assert capsys.readouterr().out == f"{final.text}\n"
    assert "\x1b[" in screen.getvalue()


def test_a_run_streams_as_what_it_was_written_from(tmp_path, wav_file):
    loaded = Recognizer.load(write_run(tmp_path / "run", KIND))
    session = loaded.stream()
    session.accept(PCM.astype(np.int16))
    assert session.finish().text == recognizer(KIND).transcribe(wav_file)
