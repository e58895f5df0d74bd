"""The client, and the two commands as processes of their own."""

import contextlib
import http.server
import io
import json
import re
import signal
import sys
import threading
import time

import numpy as np
import pytest
import websockets.sync.server
from rich.console import Console

from keras_ds2 import cli
from keras_ds2.cli.parser import build_parser
from keras_ds2.serving.client import (
    ServerError,
    model_facts,
    show_server_stream,
    stream_to_server,
)
from tests.audio.made_up_audio import wav
from tests.serving.made_up_server import (
    CHECKOUT,
    END,
    KIND,
    PATIENCE,
    bidirectional,
    expected,
    hear_kind,
    pcm,
    say,
    served_process,
    serving,
    talking,
    wait_until,
)
from tests.streaming.made_up_streams import RATE, heard, recognizer, write_run

SPEECH = pcm(24000, seed=2)


@pytest.fixture(scope="module")
def server():
    with serving() as made:
        yield made


@pytest.fixture(scope="module")
def wav_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("client") / "speech.wav"
    path.write_bytes(wav(SPEECH / 32768, RATE))
    return str(path)


def test_samples_become_text(server):
    reports = []
    chunks = np.array_split(SPEECH, 13)
    final = stream_to_server(
        server.url, chunks, RATE, report=lambda seconds, partial: reports.append(partial)
    )
    assert final.text == expected(SPEECH) != ""
    assert final.seconds == 3.0
    assert 0 < final.delay < PATIENCE
    assert [word.text for word in final.words] == final.text.split()
    assert all(final.text.startswith(partial.stable) for partial in reports)


def test_in_real_time_text_comes_amid_speech(server, wav_file, capsys):
    console = Console(file=io.StringIO())
    begin = time.monotonic()
    final = show_server_stream(server.url, wav_file, console, realtime=True)
    assert time.monotonic() - begin >= 2.9
    *lines, last = capsys.readouterr().out.splitlines()
    assert last == final.text == recognizer(KIND).transcribe(wav_file)
    assert len(lines) > 3
    assert all(re.fullmatch(r"\d\.\d\d\t[^|]*\|[^|]*", line) for line in lines)


def test_a_file_louder_than_full_scale_is_not_clipped(server, tmp_path, capsys):
    loud = 3.0 * heard(KIND, 24000, seed=2)
    path = tmp_path / "loud.wav"
    path.write_bytes(wav(loud, RATE, bits=32, is_float=True))
    final = show_server_stream(server.url, str(path), Console(file=io.StringIO()))
    assert final.text == expected(loud) != expected(np.clip(loud, -1.0, 1.0))


def test_a_file_of_integers_that_nobody_divided_is_refused(server, tmp_path):
    path = tmp_path / "undivided.wav"
    path.write_bytes(wav(SPEECH.astype(np.float64), RATE, bits=32, is_float=True))
    with pytest.raises(ServerError, match=r"samples: expected float in .*divide integers"):
        show_server_stream(server.url, str(path), Console(file=io.StringIO()))


@pytest.mark.parametrize(
    ("encoding", "samples", "words"),
    [
        ("pcm16", SPEECH / 32768, "expected int16 for encoding 'pcm16', received float64"),
        ("pcm16", SPEECH.astype(np.int32), r"expected int16 .* received int32"),
        ("float32", SPEECH, "expected floats for encoding 'float32', received int16"),
    ],
)
def test_chunks_of_another_type_are_refused(server, encoding, samples, words):
    with pytest.raises(ValueError, match=words):
        stream_to_server(server.url, [samples], RATE, encoding=encoding)


class TestCutShort:
    """A server may end a stream before its client does."""

    @pytest.mark.parametrize("pause", [0, 0.02])
    def test_what_was_heard_comes_with_the_reason(self, pause):
        def chunks():
            for chunk in np.array_split(SPEECH, 60):
                time.sleep(pause)
                yield chunk

        says_why = pytest.raises(ServerError, match=r"may last 0\.75 s")
        with serving(max_session_seconds=0.75) as brief, says_why as caught:
            stream_to_server(brief.url, chunks(), RATE)
        final = caught.value.final
        assert not final.complete
        assert 0 < final.seconds <= 0.75
        heard_of_it = SPEECH[: round(final.seconds * RATE)]
        assert final.text == expected(heard_of_it) != expected(SPEECH)

    @pytest.mark.parametrize("as_json", [True, False])
    def test_it_is_printed(self, as_json, wav_file, capsys):
        console = Console(file=io.StringIO())
        with serving(max_session_seconds=0.75) as brief, pytest.raises(ServerError) as caught:
            show_server_stream(brief.url, wav_file, console, as_json=as_json)
        text = caught.value.final.text
        last = capsys.readouterr().out.splitlines()[-1]
        if as_json:
            last = json.loads(last)
            assert last["complete"] is False
            last = last["text"]
        assert last == text != ""


def test_in_json(server, wav_file, capsys):
    final = show_server_stream(server.url, wav_file, Console(file=io.StringIO()), as_json=True)
    *rows, last = map(json.loads, capsys.readouterr().out.splitlines())
    assert all(row.keys() == {"seconds", "stable", "tentative", "endpoint"} for row in rows)
    assert last["text"] == final.text
    assert last["words"][0].keys() == {"text", "start_ms", "end_ms", "confidence"}


def test_what_a_server_refuses_is_told(server):
    with pytest.raises(
        ServerError, match=r"http://.*: sampling_rate: expected the model's 8000 Hz"
    ):
        stream_to_server(server.url, [SPEECH], 16000)
    with serving(token="sesame") as locked:
        with pytest.raises(ServerError, match="token: expected"):
            stream_to_server(locked.url, [SPEECH], RATE)
        assert stream_to_server(locked.url, [SPEECH], RATE, token="sesame").text
    with serving(bidirectional()) as deaf, pytest.raises(ServerError, match="cannot stream"):
        stream_to_server(deaf.url, [SPEECH], RATE)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://127.0.0.1:1", "cannot be reached"),
        ("ftp://example", "expected a server's URL, such as http://127.0.0.1:8000"),
        ("http://", "expected a server's URL"),
    ],
)
def test_a_server_that_is_not_there(url, words):
    for ask in (model_facts, lambda url: stream_to_server(url, [SPEECH], RATE)):
        with pytest.raises(ServerError, match=words):
            ask(url)


@contextlib.contextmanager
def answering(status, body):
    """The URL of a server that says the same to everyone."""

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Answer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (200, b"<html>", "is no keras-ds2 serve"),
        (200, b"[" * 60_000, "is no keras-ds2 serve"),
        (200, b"[1]", "found another kind of server: /v1/model states no sampling_rate"),
        (200, b'{"model": "x"}', "found another kind of server"),
        (200, b'{"sampling_rate": "8000"}', "found another kind of server"),
        (200, b'{"sampling_rate": 1e9}', "found another kind of server"),
        (200, b'{"sampling_rate": 1}', "found another kind of server"),
        (404, b"nowhere", "found another kind of server: HTTP Error 404"),
        (404, b'["nowhere"]', "found another kind of server: HTTP Error 404"),
        (403, b'{"error": "set KERAS_DS2_TOKEN"}', r"127\.0\.0\.1:\d+: set KERAS_DS2_TOKEN$"),
    ],
)
def test_facts_of_another_kind_of_server(status, body, words):
    with answering(status, body) as url, pytest.raises(ServerError, match=words):
        model_facts(url)


def test_messages_of_another_kind_of_server():
    others = [
        "hello",
        "[1]",
        b"\xff",
        "{}",
        '{"type": "error"}',
        '{"type": "partial", "seconds": 1}',
        '{"type": "final", "text": "a", "seconds": 1, "words": [{"text": "a"}]}',
        '{"type": "final", "text": "a", "seconds": "long", "words": []}',
    ]
    says = iter(others)
    with websockets.sync.server.serve(
        lambda socket: [socket.recv(), socket.send(next(says))], "127.0.0.1", 0
    ) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.socket.getsockname()[1]}"
        for _ in others:
            with pytest.raises(ServerError, match="another kind of server: its messages are"):
                stream_to_server(url, [SPEECH], RATE)
        server.shutdown()


def test_what_the_readme_shows(server, capsys):
    text = (CHECKOUT / "README.md").read_text(encoding="utf-8")
    (shown,) = (
        block for block in re.findall(r"```python\n(.*?)```", text, re.S) if "url =" in block
    )
    assert len(shown.splitlines()) <= 20
    names = {"microphone": np.array_split(SPEECH, 9)}
    exec(shown.replace("http://127.0.0.1:8000", server.url), names)
    assert names["final"].text == expected(SPEECH)
    assert expected(SPEECH) in capsys.readouterr().out.splitlines()[-1]


class TestCommands:
    def test_a_url_in_place_of_a_run(self, server, wav_file, capsys):
        assert cli.main(["stream", server.url, wav_file]) == 0
        out = capsys.readouterr().out
        assert out.splitlines()[-1] == recognizer(KIND).transcribe(wav_file)

    def test_what_is_piped_in_goes_to_a_server(self, server, capsys, monkeypatch):
        piped = io.TextIOWrapper(io.BytesIO(SPEECH.tobytes()))
        monkeypatch.setattr(sys, "stdin", piped)
        assert cli.main(["stream", server.url, "-"]) == 0
        assert capsys.readouterr().out.splitlines()[-1] == expected(SPEECH)

    def test_nobody_else_reaches_a_server_unless_it_is_asked_to_listen(self):
        assert build_parser().parse_args(["serve", "run"]).host == "127.0.0.1"

    def test_a_chunk_is_the_servers_own(self, server, wav_file, capsys):
        assert cli.main(["stream", server.url, wav_file, "--chunk-ms", "50"]) == 1
        assert "give it to keras-ds2 serve" in capsys.readouterr().err

    def test_the_token_comes_from_the_environment(self, wav_file, capsys, monkeypatch):
        monkeypatch.setenv("KERAS_DS2_TOKEN", "sesame")
        with serving(token="sesame") as server:
            assert cli.main(["stream", server.url, wav_file]) == 0

    def test_a_library_that_is_missing_is_named_with_the_remedy(
        self, monkeypatch, capsys, tmp_path
    ):
        monkeypatch.setitem(sys.modules, "uvicorn", None)
        monkeypatch.delitem(sys.modules, "keras_ds2.serving.run")
        assert cli.main(["serve", str(tmp_path)]) == 1
        assert "pip install 'keras-ds2[serve]'" in capsys.readouterr().err

    def test_bounds_are_options(self, capsys):
        with pytest.raises(SystemExit):
            cli.main(["serve", "--help"])
        out = " ".join(capsys.readouterr().out.split())
        assert "--max-sessions N streams open at a time, those of files among them (64)" in out
        assert "KERAS_DS2_TOKEN" in out

    def test_a_served_run_ends_its_sessions_at_sigterm(self, tmp_path):
        run = write_run(tmp_path / "run", KIND)
        with served_process(run, "--max-batch", 2) as served:
            with talking(served) as socket:
                socket.send(SPEECH[:9000].tobytes())
                hear_kind(socket, "partial")
                served.process.send_signal(signal.SIGTERM)
                wait_until(lambda: served.has_logged("1 sessions may still end"))
                socket.send(SPEECH[9000:].tobytes())
                say(socket, END)
                assert hear_kind(socket, "final")["text"] == expected(SPEECH)
            assert served.process.wait(PATIENCE) in (0, -signal.SIGTERM)
            assert not served.has_logged("Traceback")
