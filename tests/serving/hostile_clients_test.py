"""Whatever a client does, it is let go for a reason, and the others are served."""

import asyncio
import concurrent.futures
import contextlib
import json
import logging
import socket as sockets
import struct
import threading
import time
import urllib.error

import numpy as np
import pytest
import tensorflow_io as tfio
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from keras_ds2.serving.connection_bounds import _PIECE
from keras_ds2.serving.limits import Limits
from keras_ds2.serving.live_connection import LiveConnection
from tests.audio.made_up_audio import wav
from tests.serving.made_up_server import (
    END,
    PATIENCE,
    START,
    ask,
    closed,
    expected,
    hear_kind,
    pcm,
    refused,
    say,
    service_of,
    serving,
    talking,
    transcript,
    wait_until,
)
from tests.streaming.made_up_streams import RATE

PROTOCOL_ERROR = 1002

SPEECH = pcm(6000)
TEXT = expected(SPEECH)


@pytest.fixture(scope="module")
def server():
    with serving(max_message_bytes=2**16, max_file_bytes=2**18, max_file_seconds=20) as made:
        yield made


@pytest.fixture(autouse=True)
def _others_are_served(request):
    """After every test on the shared server someone else is, and nobody is left inside."""
    yield
    if "server" in request.fixturenames:
        made = request.getfixturevalue("server")
        assert transcript(made, SPEECH)["text"] == TEXT
        wait_until(lambda: not service_of(made)._inside)


def raw(server):
    """A TCP connection."""
    host, port = server.url.removeprefix("http://").split(":")
    connection = sockets.create_connection((host, int(port)), timeout=60)
    return contextlib.closing(connection)


UPGRADE = (
    b"GET /v1/stream HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


def at_the_server(server):
    """The protocol of the one connection there is, when it is there."""
    wait_until(lambda: server.server_state.connections)
    (protocol,) = server.server_state.connections
    return protocol


def upgrade(connection, *frames):
    """Makes a WebSocket of it, and sends frames."""
    connection.sendall(UPGRADE)
    answer = b""
    while not answer.endswith(b"\r\n\r\n"):
        answer += connection.recv(1)
    assert answer.startswith(b"HTTP/1.1 101")
    connection.sendall(b"".join(frames))


def frame(opcode, content=b"", fin=True, length=None):
    """A masked frame, whose length may be a lie."""
    length = len(content) if length is None else length
    head = bytes([opcode | (0x80 if fin else 0), 0x80 | 127]) + struct.pack(">Q", length)
    return head + bytes(4) + content


class TestFirstMessage:
    @pytest.mark.parametrize(
        ("change", "code", "words"),
        [
            ({"sampling_rate": 44100}, 1003, "expected the model's 8000 Hz, received 44100"),
            ({"sampling_rate": "8000"}, 1003, "sampling_rate: expected the model's 8000 Hz"),
            ({"sampling_rate": None}, 1003, "received null"),
            ({"sampling_rate": True}, 1003, "received true"),
            ({"encoding": "opus"}, 1003, "encoding: expected pcm16 or float32, received 'opus'"),
            ({"encoding": ["pcm16"]}, 1003, "encoding: expected pcm16 or float32"),
            ({"endpoint_ms": -1}, 1007, "endpoint_ms: expected ms > 0, received -1"),
            ({"endpoint_ms": float("nan")}, 1007, "endpoint_ms: expected ms > 0"),
            ({"token": 5}, 1007, "token: expected a string"),
            ({"type": "begin"}, 1007, 'type: expected "start"'),
            ({"path": "/etc/passwd"}, 1007, "'path': unknown key"),
        ],
    )
    def test_one_that_asks_for_something_else(self, server, change, code, words):
        with talking(server, {**START, **change}) as socket:
            found, message = refused(socket)
        assert found == code
        assert words in message

    @pytest.mark.parametrize(
        "first", ["", "hello", "[1]", "[" * 9000, "é" * 500, b"\x00\x01", b"", "null", "1" * 9000]
    )
    def test_one_that_is_garbage(self, server, first):
        with talking(server, None) as socket:
            say(socket, first)
            code, message = refused(socket)
        assert code == 1007
        assert message.startswith('expected {"type": "start"')
        assert len(message) < 200


class TestAudio:
    def test_half_a_sample(self, server):
        with talking(server) as socket:
            socket.send(b"123")
            assert refused(socket) == (
                1007,
                "audio: expected whole pcm16 samples of 2 bytes, received 3 bytes",
            )

    @pytest.mark.parametrize("message", ["stop", '{"type": "end", "more": 1}', '{"type": "start"}'])
    def test_text_that_is_no_end(self, server, message):
        with talking(server) as socket:
            say(socket, message)
            assert refused(socket)[0] == 1007

    def test_anything_behind_the_end(self, server):
        with talking(server) as socket:
            socket.send(pcm(40000).tobytes()[: 2**16])
            say(socket, END)
            socket.send(b"1234")
            assert closed(socket) in (1000, 1007)

    def test_a_message_that_is_too_long(self, server):
        with talking(server) as socket:
            hear_kind(socket, "ready")
            with contextlib.suppress(Exception):
                socket.send(bytes(10 * 2**20))
            # None: the kernel's reset, for what was sent and never read, overtook the reason.
            assert closed(socket) in (1009, None)

    def test_a_message_in_pieces_that_is_too_long(self, server):
        with raw(server) as connection:
            upgrade(connection, frame(1, json.dumps(START).encode()))
            connection.sendall(frame(2, bytes(2**15), fin=False))
            connection.sendall(frame(0, bytes(2**15), fin=False))
            connection.sendall(frame(0, b"", fin=False, length=1))
            received = b""
            with contextlib.suppress(OSError):
                while piece := connection.recv(2**16):
                    received += piece
        assert struct.pack(">H", 1009) in received

    def test_ten_times_real_time_is_read_no_faster_than_computed(self):
        speech = pcm(80000)
        with serving(max_waiting_seconds=0.5, max_message_bytes=8000) as server:
            waiting = []
            with streams_of(server) as opened, talking(server) as socket:
                wait_until(lambda: opened)
                stream, put = opened[0], opened[0].put

                def put_and_look(samples):
                    put(samples)
                    waiting.append(stream.waiting_seconds)

                stream.put = put_and_look
                for start in range(0, len(speech), 4000):
                    socket.send(speech[start : start + 4000].tobytes())
                say(socket, END)
                assert hear_kind(socket, "final")["text"] == expected(speech)
        assert len(waiting) == 20
        assert 0.5 < max(waiting) <= 0.5 + 0.5

    @pytest.mark.parametrize(
        ("content", "code"),
        [
            (b"\xff" * 500, PROTOCOL_ERROR),
            (frame(3, b"?"), PROTOCOL_ERROR),  # an opcode that is none
            (frame(1, b"\xff\xfe"), 1007),  # text that is no UTF-8
            (frame(2, b"1", length=2**62), 1009),
            (frame(0, b"a piece of nothing"), PROTOCOL_ERROR),
            (frame(9, bytes(200)), PROTOCOL_ERROR),  # a ping of more than 125 bytes
        ],
    )
    def test_garbage_frames(self, server, content, code):
        with raw(server) as connection:
            upgrade(connection, content)
            connection.settimeout(20)
            told = b""
            while piece := connection.recv(2**16):
                told += piece
        assert told[0] == 0x88, "something but a close"
        assert int.from_bytes(told[2:4], "big") == code


@contextlib.contextmanager
def streams_of(server):
    """The streams that are opened from here on."""
    dispatch, opened = service_of(server).dispatch, []
    original = dispatch.open

    def remember(*arguments):
        opened.append(original(*arguments))
        return opened[-1]

    dispatch.open = remember
    yield opened
    dispatch.open = original


class TestTime:
    def test_who_says_nothing_first_is_let_go(self):
        with serving(idle_seconds=0.3) as server, talking(server, None) as socket:
            assert refused(socket) == (1008, "nothing came for 0.3 s")

    def test_who_falls_silent_gets_the_text_so_far(self):
        with serving(idle_seconds=1) as server, talking(server) as socket:
            socket.send(SPEECH.tobytes())
            final = hear_kind(socket, "final")
            assert (final["text"], final["complete"]) == (TEXT, False)
            assert refused(socket) == (1008, "nothing came for 1 s")

    def test_who_sends_too_much_gets_the_text_of_what_is_allowed(self):
        with serving(max_session_seconds=0.75) as server, talking(server) as socket:
            with contextlib.suppress(Exception):
                socket.send(pcm(20000).tobytes())
            final = hear_kind(socket, "final")
            assert final["seconds"] == 0.75
            assert (final["text"], final["complete"]) == (expected(pcm(20000)[:6000]), False)
            assert refused(socket) == (1008, "a stream may last 0.75 s; open another")

    def test_who_trickles_is_bounded_by_the_clock(self):
        with serving(max_session_seconds=1.0) as server, talking(server) as socket:
            begin = time.monotonic()
            with contextlib.suppress(Exception):
                while time.monotonic() < begin + 30:
                    socket.send(bytes(2))
                    time.sleep(0.05)
            assert time.monotonic() < begin + 30
            assert hear_kind(socket, "final")["complete"] is False
            assert refused(socket)[0] == 1008

    def test_a_half_open_connection_is_let_go(self):
        with serving(idle_seconds=0.5, send_seconds=0.5) as server, raw(server) as connection:
            upgrade(connection, frame(1, json.dumps(START).encode()))
            wait_until(lambda: service_of(server)._inside)
            # No word any more, no answer to the close: as one whose cable was pulled.
            wait_until(lambda: not service_of(server)._inside)
            wait_until(lambda: not server.server_state.connections)

    @pytest.mark.parametrize("content", [b"", b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: "])
    def test_a_connection_that_never_asks_is_let_go(self, content):
        with serving(idle_seconds=0.3) as server, raw(server) as connection:
            connection.sendall(content)
            wait_until(lambda: server.server_state.connections)
            wait_until(lambda: not server.server_state.connections)
            with contextlib.suppress(ConnectionError):
                assert connection.recv(10) == b""

    @pytest.mark.parametrize("length", [0, 10**9])
    def test_one_that_asks_once_and_then_trickles_is_let_go(self, length):
        with serving(idle_seconds=0.5) as server, raw(server) as connection:
            head = f"GET /healthz HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n"
            connection.sendall(head.encode())
            assert connection.recv(9999).startswith(b"HTTP/1.1 200")
            begin = time.monotonic()
            with contextlib.suppress(ConnectionError):
                while time.monotonic() < begin + 30:
                    connection.sendall(b"G")
                    time.sleep(0.05)
            assert time.monotonic() < begin + 30

    def test_a_body_that_comes_too_slowly(self):
        with serving(upload_seconds=0.3) as server, raw(server) as connection:
            connection.sendall(
                b"POST /v1/transcribe HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99\r\n\r\n"
            )
            assert connection.recv(100).startswith(b"HTTP/1.1 408")


def test_a_client_that_never_reads_holds_up_nobody_and_is_let_go():
    with (
        serving(send_seconds=0.5) as server,
        streams_of(server) as opened,
        raw(server) as connection,
    ):
        upgrade(connection, frame(1, json.dumps(START).encode()))
        wait_until(lambda: opened)
        # As when more was written to it than the system keeps for who does not read.
        protocol = at_the_server(server)
        protocol.loop.call_soon_threadsafe(protocol.pause_writing)
        connection.sendall(frame(2, SPEECH.tobytes()))
        assert transcript(server, SPEECH)["text"] == TEXT
        wait_until(lambda: not service_of(server)._inside)
        wait_until(lambda: not server.server_state.connections)
        assert opened[0]._closed


def test_pings_pile_up_no_answers_for_who_reads_nothing(server):
    with raw(server) as connection:
        upgrade(connection)
        protocol = at_the_server(server)
        protocol.loop.call_soon_threadsafe(protocol.pause_writing)
        pings = frame(9, b"?") * 1000
        connection.sendall(pings + frame(1, json.dumps(START).encode()))
        wait_until(lambda: service_of(server)._inside)  # so the pings were read
        assert protocol.transport.get_write_buffer_size() == 0
        connection.setblocking(False)
        with pytest.raises(BlockingIOError):
            connection.recv(1)
        protocol.loop.call_soon_threadsafe(protocol.resume_writing)
        connection.settimeout(60)
        assert b"ready" in connection.recv(2**16)


def test_who_asks_for_files_and_reads_none_is_let_go():
    with serving(send_seconds=0.3) as server, raw(server) as connection:
        protocol = at_the_server(server)
        protocol.loop.call_soon_threadsafe(protocol.pause_writing)
        connection.sendall(b"GET /page.js HTTP/1.1\r\nHost: localhost\r\n\r\n" * 100)
        wait_until(lambda: not server.server_state.connections)
        wait_until(lambda: not server.server_state.tasks)


def test_an_upgrade_that_is_none_is_answered_and_closed(server):
    for header, status in (
        (b"X: " + b"a" * 9000, b"431"),
        (b"\r\n".join(b"X%d: 1" % number for number in range(130)), b"431"),
        (b"Content-Length: 5", b""),
        (b"Transfer-Encoding: chunked", b""),
        (b"Sec-WebSocket-Key: again", b"400"),
    ):
        with raw(server) as connection:
            connection.settimeout(20)  # less than `idle_seconds`
            connection.sendall(UPGRADE.removesuffix(b"\r\n") + header + b"\r\n\r\n")
            answer = b""
            while piece := connection.recv(2**16):
                answer += piece
        assert answer[9:12] == status
    wait_until(lambda: not server.server_state.connections)


def test_an_upgrade_that_nobody_accepts_is_let_go(monkeypatch):
    async def never(self):
        await asyncio.sleep(PATIENCE)

    monkeypatch.setattr(LiveConnection, "run", never)
    with serving(idle_seconds=0.3) as server, raw(server) as connection:
        connection.sendall(UPGRADE)
        at_the_server(server)
        wait_until(lambda: not server.server_state.connections)
        for task in list(server.server_state.tasks):
            at = task.get_loop()
            at.call_soon_threadsafe(task.cancel)


class TestCrowds:
    def test_one_session_too_many_is_told_to_come_again(self):
        with serving(max_sessions=2) as server, contextlib.ExitStack() as inside:
            for _ in range(2):
                hear_kind(inside.enter_context(talking(server)), "ready")
            with talking(server) as socket:
                assert refused(socket) == (1013, "the server is full; try again in a moment")
            status, headers, _ = ask(server, "/v1/transcribe", wav(SPEECH / 32768, RATE))
            assert (status, headers["retry-after"]) == (503, "5")
            inside.close()
            wait_until(lambda: not service_of(server)._inside)
            assert transcript(server, SPEECH)["text"] == TEXT

    def test_a_thousand_connections(self):
        with serving(max_connections=200, idle_seconds=20) as server:
            with contextlib.ExitStack() as crowd:
                speaker = crowd.enter_context(talking(server))
                hear_kind(speaker, "ready")
                for _ in range(1000):
                    with contextlib.suppress(ConnectionError):
                        crowd.enter_context(raw(server))
                wait_until(lambda: len(server.server_state.connections) <= 200)
                # Who asks for something finds room among those that do not.
                assert ask(server, "/healthz")[0] == 200
                assert transcript(server, SPEECH)["text"] == TEXT
                speaker.send(SPEECH.tobytes())
                say(speaker, END)
                assert hear_kind(speaker, "final")["text"] == TEXT
            wait_until(lambda: not server.server_state.connections)
            assert transcript(server, SPEECH)["text"] == TEXT

    def test_sessions_that_come_and_go_leave_nothing_behind(self, server):
        def one(index):
            if index % 3 == 0:
                return transcript(server, SPEECH)["text"] == TEXT
            with talking(server) as socket:
                socket.send(SPEECH.tobytes())
                if index % 3 == 1:
                    socket.socket.close()  # gone without a word
                return True

        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            assert all(pool.map(one, range(30)))
        wait_until(lambda: not service_of(server)._inside)
        wait_until(lambda: not service_of(server).dispatch._queue)


class TestFloods:
    """Messages without end, most of them of no use."""

    RATE = 200

    @pytest.mark.parametrize(
        ("message", "greets"),
        [
            (frame(0x2), True),
            (frame(0x2, SPEECH[:1].tobytes()), True),
            (frame(0x0, fin=False), True),
            (frame(0x9), True),
            (frame(0x9), False),
        ],
        ids=["empty", "one sample", "fragment", "ping", "ping first"],
    )
    def test_no_more_are_read_than_a_connection_may_send(self, message, greets, monkeypatch):
        parsed = []
        handle_events = WebSocketsSansIOProtocol.handle_events

        def counted(protocol):
            parsed.append((protocol, len(protocol.conn.events)))
            handle_events(protocol)

        monkeypatch.setattr(WebSocketsSansIOProtocol, "handle_events", counted)
        with (
            serving(max_messages_per_second=self.RATE, grace_seconds=1) as server,
            raw(server) as connection,
        ):
            begin = time.monotonic()
            first = [frame(0x1, json.dumps(START).encode())] if greets else []
            fragmented = message == frame(0x0, fin=False)
            upgrade(connection, *first, *[frame(0x2, fin=False)] * fragmented)
            flooder = at_the_server(server)
            connection.setblocking(False)
            sent = 0
            while time.monotonic() < begin + 1.0:
                with contextlib.suppress(BlockingIOError, ConnectionError):
                    sent += connection.send(message * 10_000)
                time.sleep(0.01)
            counts = [count for protocol, count in parsed if protocol is flooder]
            seconds = time.monotonic() - begin
            assert sent > 10 * _PIECE
            assert sum(counts) <= self.RATE * (1 + seconds) + _PIECE / len(message) + 5
            assert transcript(server, SPEECH)["text"] == TEXT

    def test_what_comes_too_fast_is_heard_in_its_time(self):
        with serving(max_messages_per_second=1000) as server:
            begin = time.monotonic()
            assert transcript(server, SPEECH, piece=3)["text"] == TEXT
            assert time.monotonic() - begin > len(SPEECH) / 3 / 1000 - 1


class TestFiles:
    def test_a_bomb_is_refused_before_it_is_unpacked(self, server):
        silence = np.zeros((RATE * 1000, 1), np.int16)
        bomb = tfio.audio.encode_flac(silence, RATE).numpy()
        assert len(bomb) < 2**18
        status, _, body = ask(server, "/v1/transcribe", bomb)
        assert status == 413
        assert b"expected at most 20 s of audio, received 1000 s" in body

    def test_many_channels_count(self, server):
        samples = np.zeros((48000 * 19, 8), np.int16)
        bomb = tfio.audio.encode_flac(samples, 48000).numpy()
        assert ask(server, "/v1/transcribe", bomb)[0] == 413

    def test_a_rate_of_one_that_would_be_blown_up(self, server):
        status, _, _ = ask(server, "/v1/transcribe", wav(np.zeros(1000), 1))
        assert status == 413

    @pytest.mark.parametrize("stated", [True, False])
    def test_too_many_bytes(self, server, stated):
        content = bytes(2**18 + 1)
        with contextlib.suppress(ConnectionError):
            body = content if stated else iter([content[:1000]] * 300)
            headers = {} if stated else {"Transfer_Encoding": "chunked"}
            # It may stop reading before all was written.
            with contextlib.suppress(urllib.error.URLError):
                assert ask(server, "/v1/transcribe", body, **headers)[0] == 413

    @pytest.mark.parametrize(
        "content", [b"", b"nonsense", b"RIFF" + bytes(99), wav(np.zeros(4000), RATE)]
    )
    def test_what_is_no_speech_says_why(self, server, content):
        status, _, body = ask(server, "/v1/transcribe", content)
        assert status == 422
        assert json.loads(body)["error"].startswith("audio bytes")

    def test_a_client_that_leaves_takes_its_file_along(self, server, monkeypatch):
        content = wav(pcm(10 * RATE, seed=3) / 32768, RATE)
        head = f"POST /v1/transcribe HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(content)}"
        dispatch = service_of(server).dispatch
        reached, goes_on = threading.Event(), threading.Event()
        advance = dispatch._advance

        def held(batch):
            reached.set()
            assert goes_on.wait(PATIENCE)
            advance(batch)

        monkeypatch.setattr(dispatch, "_advance", held)
        with raw(server) as connection:
            connection.sendall(head.encode() + b"\r\n\r\n" + content)
            assert reached.wait(PATIENCE)
            assert service_of(server)._inside
        wait_until(lambda: not service_of(server)._inside)
        goes_on.set()

    def test_a_body_that_breaks_off(self, server):
        with raw(server) as connection:
            connection.sendall(
                b"POST /v1/transcribe HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9999\r\n\r\n"
                b"few"
            )
        wait_until(lambda: not service_of(server)._inside)


@pytest.fixture(scope="module")
def locked():
    with serving(token="open sesame\n") as made:
        yield made


class TestWhoMayAsk:
    def test_a_stream_needs_the_token(self, locked):
        for wrong in ({}, {"token": ""}, {"token": "open sesam"}, {"token": "é"}):
            with talking(locked, {**START, **wrong}) as socket:
                assert refused(socket)[0] == 1008
        with talking(locked, {**START, "token": "open sesame"}) as socket:
            hear_kind(socket, "ready")
        headers = {"Authorization": "Bearer open sesame"}
        with talking(locked, additional_headers=headers) as socket:
            hear_kind(socket, "ready")

    @pytest.mark.parametrize(("path", "content"), [("/v1/transcribe", b"x"), ("/metrics", None)])
    def test_so_do_files_and_metrics(self, locked, path, content):
        for wrong in ({}, {"Authorization": "Bearer x"}, {"Authorization": "open sesame"}):
            status, headers, _ = ask(locked, path, content, **wrong)
            assert (status, headers["www-authenticate"]) == (401, "Bearer")
        assert ask(locked, path, content, Authorization="bearer open sesame")[0] in (200, 422)

    def test_health_and_the_page_do_not(self, locked):
        assert [ask(locked, path)[0] for path in ("/", "/healthz", "/v1/model")] == [200] * 3
        assert json.loads(ask(locked, "/v1/model")[2])["needs_token"] is True

    def test_a_page_of_another_origin_may_not(self, server):
        with pytest.raises(Exception, match="403"), talking(server, origin="http://evil.example"):
            pass
        status, _, _ = ask(server, "/v1/transcribe", b"x", Origin="http://evil.example")
        assert status == 403
        with talking(server, origin=server.url) as socket:
            hear_kind(socket, "ready")

    def test_nor_one_of_no_origin_that_can_be_read(self, server):
        post = b"POST /v1/transcribe HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\n"
        for origin in (b"http://[", b"null", b"", b"x", b"http://[::1", b"//", b"http://"):
            for head, body in ((post, b"x"), (UPGRADE, b"")):
                with raw(server) as connection:
                    head = head.removesuffix(b"\r\n") + b"Origin: " + origin + b"\r\n\r\n"
                    connection.sendall(head + body)
                    assert connection.recv(9999).startswith(b"HTTP/1.1 403")

    def test_nor_one_whose_name_was_made_to_mean_this_machine(self, server):
        for host, refuses in (("evil.example:8000", True), ("127.0.0.1:1", False)):
            page = {"Host": host, "Origin": f"http://{host}"}
            for path, content in (("/v1/transcribe", b"x"), ("/v1/model", None), ("/", None)):
                status, _, body = ask(server, path, content, **page)
                assert (status == 403) is refuses
                assert (b"expected localhost or a loopback address" in body) is refuses
            with raw(server) as connection:
                connection.sendall(UPGRADE.replace(b"localhost", host.encode()))
                answer = connection.recv(9999)
                assert answer.startswith(b"HTTP/1.1 403" if refuses else b"HTTP/1.1 101")

    def test_behind_a_proxy_it_may_with_a_token(self, locked):
        headers = {"Host": "speech.example", "Origin": "https://speech.example"}
        bearer = {"Authorization": "Bearer open sesame"}
        assert ask(locked, "/v1/transcribe", b"x", **headers, **bearer)[0] == 422
        assert ask(locked, "/v1/transcribe", b"x", **headers)[0] == 401

    @pytest.mark.parametrize(
        "path",
        ["/../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "/page/index.html", "/app.py", "//etc/"],
    )
    def test_no_file_can_be_reached(self, server, path):
        with raw(server) as connection:
            connection.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            answer = connection.recv(9999)
        assert answer.startswith(b"HTTP/1.1 404")
        assert b"root:" not in answer


def test_the_log_tells_why_and_nothing_that_a_client_said(server, caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("keras_ds2.serving"), "propagate", True)
    caplog.set_level(logging.INFO)
    secret = "my cat's name"
    changes = [{"sampling_rate": secret}, {"encoding": secret}, {"endpoint_ms": secret}]
    for first in [secret, *({**START, **change} for change in [*changes, {secret: 1}])]:
        with talking(server, first) as socket:
            assert secret in refused(socket)[1]
    with talking(server) as socket:
        say(socket, secret)
        assert secret in refused(socket)[1]
    assert secret not in caplog.text
    for words in ("the model's 8000 Hz; resample", "encoding: expected", "> 0", "unknown key"):
        assert f"{words}" in caplog.text


def test_bounds_have_defaults_that_a_person_can_talk_within():
    limits = Limits()
    assert limits.max_session_seconds >= 600
    assert limits.max_message_bytes >= 16000 * 2
