"""Over the network comes what the recognizer says, for many at once."""

import concurrent.futures
import json
import logging
import signal
import socket as sockets
import ssl
import subprocess

import numpy as np
import openapi_spec_validator
import pytest
from prometheus_client.parser import text_string_to_metric_families

from keras_ds2.serving import run
from keras_ds2.serving.app import make_app
from keras_ds2.serving.limits import Limits
from keras_ds2.serving.service import Service
from tests.audio.made_up_audio import tone_mp3, vorbis, wav
from tests.made_up_corpus import flac_bytes
from tests.serving.made_up_server import (
    END,
    KIND,
    START,
    ask,
    bidirectional,
    closed,
    expected,
    hear,
    hear_kind,
    pcm,
    refused,
    say,
    served_process,
    service_of,
    serving,
    talking,
    transcript,
    wait_until,
)
from tests.streaming.made_up_streams import RATE, recognizer, write_run


@pytest.fixture(scope="module")
def server():
    with serving() as made:
        yield made


@pytest.fixture(scope="module")
def deaf_server():
    """Of a bidirectional model."""
    with serving(bidirectional()) as made:
        yield made


class TestStream:
    def test_partial_texts_settle_into_the_final_one(self, server):
        samples, stable = pcm(24000, seed=2), ""
        with talking(server) as socket:
            ready = hear(socket)
            step = recognizer(KIND).stream().step
            assert ready.pop("max_seconds") == Limits().max_session_seconds
            assert ready == {
                "type": "ready",
                "sampling_rate": RATE,
                "latency_ms": pytest.approx(step.latency_ms),
            }
            socket.send(samples[:16000].tobytes())
            while not stable:
                partial = hear(socket)
                assert partial.keys() == {"type", "seconds", "stable", "tentative", "endpoint"}
                assert 0 < partial["seconds"] <= 2.0
                assert partial["stable"].startswith(stable)
                stable = partial["stable"]
            socket.send(samples[16000:].tobytes())
            say(socket, END)
            final = hear_kind(socket, "final")
            assert closed(socket) == 1000
        assert final["text"] == expected(samples) != ""
        assert final["text"].startswith(stable)
        assert final["complete"] is True
        assert final["seconds"] == 3.0
        assert [word["text"] for word in final["words"]] == final["text"].split()
        assert final["words"][0].keys() == {"text", "start_ms", "end_ms", "confidence"}

    def test_float32_is_the_same_speech(self, server):
        samples = pcm(6000)
        with talking(server, {**START, "encoding": "float32"}) as socket:
            socket.send((samples / 32768).astype("<f4").tobytes())
            say(socket, END)
            assert hear_kind(socket, "final")["text"] == expected(samples)

    def test_an_endpoint_comes_when_it_was_asked_for(self, server):
        for endpoint_ms, shown in ((20, True), (60_000, False)):
            with talking(server, {**START, "endpoint_ms": endpoint_ms}) as socket:
                found = False
                hear_kind(socket, "ready")
                for start in range(0, 12000, 800):
                    socket.send(pcm(12000, seed=2)[start : start + 800].tobytes())
                    found |= hear_kind(socket, "partial")["endpoint"]
                assert found is shown

    def test_many_at_once_are_what_each_is_alone(self, server):
        speech = [pcm(4000 + 900 * index, seed=index) for index in range(12)]
        with concurrent.futures.ThreadPoolExecutor(12) as pool:
            finals = list(pool.map(lambda samples: transcript(server, samples), speech))
        assert [final["text"] for final in finals] == [expected(each) for each in speech]

    def test_nothing_said_is_no_text(self, server):
        final = transcript(server, pcm(0))
        assert (final["text"], final["words"], final["seconds"]) == ("", [], 0.0)

    def test_a_bidirectional_model_says_so(self, deaf_server):
        with talking(deaf_server) as socket:
            code, message = refused(socket)
        assert code == 1003
        assert "cannot stream" in message
        assert message.endswith("POST files to /v1/transcribe")


class TestTranscribe:
    @pytest.mark.parametrize(
        "content",
        [
            wav(pcm(20000) / 32768, RATE),
            flac_bytes("cab", 16000),
            tone_mp3(),
            vorbis(pcm(20000) / 32768, 16000),
        ],
        ids=["wav", "flac", "mp3", "vorbis"],
    )
    def test_a_file_of_any_format_and_rate(self, server, content):
        status, _, body = ask(server, "/v1/transcribe", content)
        found = recognizer(KIND).recognize(content)
        answer = json.loads(body)
        assert status == 200
        assert answer.pop("log_prob") == pytest.approx(found.hypothesis.log_prob, abs=1e-2)
        assert [word["text"] for word in answer.pop("words")] == found.text.split()
        assert answer == {"text": found.text, "seconds": pytest.approx(found.seconds, abs=1e-3)}

    @pytest.mark.parametrize("gain", [5.0, 2.0**31])
    def test_a_file_louder_than_full_scale(self, server, gain):
        content = wav(gain * pcm(20000) / 32768, RATE, bits=32, is_float=True)
        status, _, body = ask(server, "/v1/transcribe", content)
        assert status == 200
        assert json.loads(body)["text"] == recognizer(KIND).transcribe(content) != ""

    def test_a_long_file_does_not_wait_as_a_whole(self):
        with serving(max_waiting_seconds=0.3) as server:
            content = wav(pcm(80000) / 32768, RATE)
            _, _, body = ask(server, "/v1/transcribe", content)
        assert json.loads(body)["text"] == recognizer(KIND).transcribe(content)

    def test_a_bidirectional_model_transcribes(self, deaf_server):
        content = wav(pcm(9000) / 32768, RATE)
        status, _, body = ask(deaf_server, "/v1/transcribe", content)
        found = service_of(deaf_server).recognizer.recognize(content)
        assert (status, json.loads(body)["text"]) == (200, found.text)
        assert [word["text"] for word in json.loads(body)["words"]] == found.text.split()


class TestOtherAddresses:
    def test_health_and_model(self, server, deaf_server):
        assert ask(server, "/healthz")[::2] == (200, b'{"status":"ok"}')
        facts = json.loads(ask(server, "/v1/model")[2])
        assert (facts["streams"], facts["sampling_rate"]) == (True, RATE)
        facts = json.loads(ask(deaf_server, "/v1/model")[2])
        assert facts["streams"] is False
        assert facts["why_not"]

    def test_metrics_count_what_happened(self):
        with serving() as server:
            transcript(server, pcm(8000))
            ask(server, "/v1/transcribe", b"nonsense")
            with talking(server, {**START, "encoding": "mp3"}) as socket:
                closed(socket)
            wait_until(lambda: b'code="1003"' in ask(server, "/metrics")[2])
            status, headers, body = ask(server, "/metrics")
        assert status == 200
        assert headers["content-type"].startswith("text/plain")
        values = {
            (sample.name, *sample.labels.values()): sample.value
            for family in text_string_to_metric_families(body.decode())
            for sample in family.samples
        }
        assert values["keras_ds2_sessions",] == 0
        assert values["keras_ds2_sessions_ended_total", "1000"] == 1
        assert values["keras_ds2_sessions_ended_total", "1003"] == 1
        assert values["keras_ds2_files_total", "422"] == 1
        assert values["keras_ds2_audio_seconds_total",] == pytest.approx(1.0)
        assert values["keras_ds2_final_delay_seconds_count",] == 1
        assert values["keras_ds2_batch_size_sum",] >= 10

    def test_the_description_names_every_address_and_what_is_sent(self, server):
        description = json.loads(ask(server, "/openapi.json")[2])
        openapi_spec_validator.validate(description)
        routes = {route.path for route in make_app(service_of(server)).routes}
        assets = {"/page.css", "/page.js", "/microphone.js"}
        assert set(description["paths"]) == routes - assets
        schemas = description["components"]["schemas"]
        with talking(server) as socket:
            for kind in ("Ready", "Partial", "Final"):
                if kind == "Partial":
                    socket.send(pcm(4000).tobytes())
                if kind == "Final":
                    say(socket, END)
                message = hear_kind(socket, kind.lower())
                assert message.keys() == schemas[kind]["properties"].keys()
        model = json.loads(ask(server, "/v1/model")[2])
        assert model.keys() == schemas["Model"]["properties"].keys()
        answer = json.loads(ask(server, "/v1/transcribe", wav(pcm(9000) / 32768, RATE))[2])
        assert answer.keys() == schemas["Transcript"]["properties"].keys()
        text = json.dumps(description)
        for name in schemas:
            assert text.count(f"#/components/schemas/{name}") or f"`{name}`" in text

    @pytest.mark.parametrize("path", ["/", "/page.js", "/page.css", "/microphone.js"])
    def test_the_page_comes_with_a_strict_policy(self, server, path):
        status, headers, _ = ask(server, path)
        assert status == 200
        policy = headers["content-security-policy"]
        assert policy.startswith("default-src 'none';")
        assert "unsafe" not in policy
        assert "http" not in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert "server" not in headers


class TestTls:
    def test_a_certificate_makes_it_https(self, tmp_path):
        make = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -keyout"
        command = [*make.split(), tmp_path / "key.pem", "-out", tmp_path / "certificate.pem"]
        try:
            subprocess.run(
                [*command, "-addext", "subjectAltName=IP:127.0.0.1"],
                check=True,
                capture_output=True,
            )
        except (FileNotFoundError, subprocess.CalledProcessError) as error:
            pytest.skip(f"no openssl makes a certificate here: {error}")
        files = ("--tls-certificate", tmp_path / "certificate.pem")
        files += ("--tls-key", tmp_path / "key.pem")
        served_run = write_run(tmp_path / "run", KIND)
        trust = ssl.create_default_context(cafile=tmp_path / "certificate.pem")
        with served_process(served_run, *files, "--max-batch", 1, "--idle-seconds", 5) as server:
            assert server.url.startswith("https://127.0.0.1:")
            port = int(server.url.rpartition(":")[2])
            with sockets.create_connection(("127.0.0.1", port), timeout=30) as silent:
                assert silent.recv(1) == b""  # let go before it has said what TLS it wants
            with talking(server, ssl=trust) as socket:
                socket.send(pcm(3000).tobytes())
                say(socket, END)
                assert hear_kind(socket, "final")["text"] == expected(pcm(3000))


class TestService:
    def test_a_model_of_features_is_refused(self):
        with pytest.raises(ValueError, match="precomputed features, and a server hears audio"):
            Service(recognizer("precomputed_running"))

    def test_an_empty_token_is_refused(self):
        with pytest.raises(ValueError, match="token: expected some characters"):
            Service(recognizer(KIND), token=" \n")

    @pytest.mark.parametrize(
        "values",
        [
            {"max_batch": 0},
            {"idle_seconds": -1},
            {"max_files": 1.5},
            {"max_session_seconds": float("inf")},
            {"max_session_seconds": float("nan")},
            {"max_connections": float("inf")},
        ],
    )
    def test_limits_that_are_none_are_refused(self, values):
        with pytest.raises(ValueError, match=f"{next(iter(values))}: expected a"):
            Limits(**values)


@pytest.mark.parametrize("log_text", [False, True])
def test_logs_hold_text_where_they_are_asked_to_alone(caplog, monkeypatch, log_text):
    samples = pcm(24000, seed=2)
    with serving(log_text=log_text) as server:
        monkeypatch.setattr(logging.getLogger("keras_ds2.serving"), "propagate", True)
        caplog.set_level(logging.DEBUG)
        text = transcript(server, samples)["text"]
        ask(server, "/v1/transcribe", wav(samples / 32768, RATE))
    assert len(text) > 10
    assert caplog.text.count(repr(text)) == (2 if log_text else 0)
    assert "3.0 s of audio, closed 1000" in caplog.text


def test_a_stop_lets_sessions_end():
    samples = pcm(9000)
    with serving() as server, talking(server) as socket:
        hear_kind(socket, "ready")
        socket.send(samples[:4000].tobytes())
        hear_kind(socket, "partial")
        server.should_exit = True
        wait_until(lambda: service_of(server).draining)
        with pytest.raises(OSError):
            ask(server, "/healthz")
        socket.send(samples[4000:].tobytes())
        say(socket, END)
        final = hear_kind(socket, "final")
        assert (final["text"], final["complete"]) == (expected(samples), True)
        assert closed(socket) == 1000


def test_after_the_grace_a_stop_gives_the_text_so_far():
    samples = pcm(9000)
    with serving(grace_seconds=0.3) as server, talking(server) as socket:
        socket.send(samples.tobytes())
        hear_kind(socket, "partial")
        server.should_exit = True
        final = hear_kind(socket, "final")
        assert (final["text"], final["complete"]) == (expected(samples), False)
        assert refused(socket)[0] == 1012


def test_a_second_ctrl_c_waits_for_nobody():
    with serving(grace_seconds=3600) as server, talking(server) as socket:
        hear_kind(socket, "ready")
        server.handle_exit(signal.SIGINT, None)
        wait_until(lambda: service_of(server).draining)
        server.handle_exit(signal.SIGINT, None)
        assert closed(socket) in (1012, None)
    assert not service_of(server).dispatch._thread.is_alive()


def test_as_many_files_may_be_open_as_the_system_takes(monkeypatch):
    resource = pytest.importorskip("resource")
    infinity, taken = resource.RLIM_INFINITY, []

    def as_macos_does(kind, limits):
        if limits[0] in (-1, infinity):
            raise ValueError("current limit exceeds maximum limit")
        taken.append(limits)

    monkeypatch.setattr(resource, "setrlimit", as_macos_does)
    monkeypatch.setattr(resource, "getrlimit", lambda kind: (256, infinity))
    run._open_many_files()
    monkeypatch.setattr(resource, "getrlimit", lambda kind: (20_000, infinity))
    run._open_many_files()
    monkeypatch.setattr(resource, "getrlimit", lambda kind: (1024, 4096))
    run._open_many_files()
    assert taken == [(10_240, infinity), (20_000, infinity), (4096, 4096)]


def test_numbers_of_a_wrong_kind_never_reach_the_model(server):
    with talking(server, {**START, "encoding": "float32"}) as socket:
        socket.send(np.full(900, np.nan, "<f4").tobytes())
        assert refused(socket) == (
            1007,
            "samples: expected finite values, received NaN or infinity",
        )
