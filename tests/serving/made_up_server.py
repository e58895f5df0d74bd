"""A server in a thread of this process, and clients that say what they like."""

import asyncio
import contextlib
import functools
import json
import os
import re
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
from websockets.sync.client import connect

from keras_ds2.features.front_end import FeatureFrontEnd
from keras_ds2.models import build_model
from keras_ds2.recognition import Recognizer
from keras_ds2.serving.limits import Limits
from keras_ds2.serving.run import SpeechServer
from keras_ds2.serving.service import Service
from tests.streaming.made_up_streams import ALPHABET, RATE, heard, recognizer

KIND = "2d_gru_lookahead_running"
CHECKOUT = Path(__file__).resolve().parents[2]
PATIENCE = 60  # seconds, of a test that would otherwise hang
START = {"type": "start", "sampling_rate": RATE, "encoding": "pcm16"}
END = {"type": "end"}


@functools.cache
def bidirectional():
    """A recognizer that cannot stream."""
    front_end = FeatureFrontEnd(sampling_rate=RATE)
    model = build_model(
        "english",
        vocabulary_size=len(ALPHABET),
        num_bins=front_end.num_output_bins,
        num_rnn_layers=1,
        units=4,
        conv_filters=[2, 2],
    )
    return Recognizer(model, front_end, ALPHABET)


def pcm(length, seed=0):
    """Speech in int16."""
    return np.round(32767 * heard(KIND, length, seed)).astype(np.int16)


def expected(samples):
    """The text of all of it at once."""
    session = recognizer(KIND).stream()
    session.accept(samples)
    return session.finish().text


@contextlib.contextmanager
def serving(served=None, **options):
    """A server of `recognizer(KIND)`, or another, while it lasts.

    Args:
        served: recognizer.
        **options: of `Limits`, or of `Service` where it has one of this name.
    """
    of_service = {
        name: options.pop(name) for name in ("token", "chunk_ms", "log_text") if name in options
    }
    limits = Limits(**{"max_batch": 4, **options})
    service = Service(served or recognizer(KIND), limits, **of_service)
    server = SpeechServer(service, port=0)
    thread = threading.Thread(target=lambda: asyncio.run(server.serve()))
    thread.start()
    try:
        wait_until(lambda: server.started or not thread.is_alive())
        assert server.started
        yield server
    finally:
        server.should_exit = True
        thread.join(PATIENCE)
        assert not thread.is_alive()


class Served:
    """A server in a process of its own.

    Attributes:
        process: the `subprocess.Popen`.
        url: where it listens.
    """

    def __init__(self, process, log):
        self.process, self._log, self.url = process, log, None

    def has_logged(self, words):
        return words in self._log.read_text()

    def has_started(self):
        assert self.process.poll() is None, self._log.read_text()
        found = re.search(r"running on (https?://\S+)", self._log.read_text())
        self.url = found and found.group(1)
        return found


@contextlib.contextmanager
def served_process(run, *options):
    """`keras-ds2 serve`, while it lasts."""
    command = [sys.executable, "-m", "keras_ds2.cli", "serve", run, "--port", 0, *options]
    log = run / "serve.log"
    environment = {**os.environ, "KERAS_DS2_TOKEN": "", "TF_CPP_MIN_LOG_LEVEL": "2"}
    with open(log, "w") as file:
        process = subprocess.Popen(
            list(map(str, command)), cwd=CHECKOUT, env=environment, stdout=file, stderr=file
        )
    try:
        served = Served(process, log)
        wait_until(served.has_started)
        yield served
    finally:
        process.kill()
        process.wait()


def wait_until(condition):
    """Returns once it holds."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.01)


def service_of(server):
    return server._service


@contextlib.contextmanager
def talking(server, start=START, **options):
    """A WebSocket after its first message."""
    address = server.url.replace("http", "ws", 1) + "/v1/stream"
    with connect(address, compression=None, **options) as socket:
        if start is not None:
            say(socket, start)
        yield socket


def say(socket, message):
    socket.send(json.dumps(message) if isinstance(message, dict) else message)


def hear(socket):
    return json.loads(socket.recv(timeout=PATIENCE))


def hear_kind(socket, kind):
    """The next message of this type; partial texts before it are passed over."""
    while (message := hear(socket))["type"] != kind:
        assert message["type"] in ("ready", "partial"), message
    return message


def transcript(server, samples, piece=700):
    """What a well-behaved client is told in the end."""
    with talking(server) as socket:
        for start in range(0, len(samples), piece):
            socket.send(samples[start : start + piece].tobytes())
        say(socket, END)
        return hear_kind(socket, "final")


def refused(socket):
    """The error and the close code that a client is let go with."""
    error = hear_kind(socket, "error")
    assert error["code"] == closed(socket)
    return error["code"], error["message"]


def closed(socket):
    """The close code, once the server has closed."""
    from websockets.exceptions import ConnectionClosed

    try:
        while True:
            socket.recv(timeout=PATIENCE)
    except ConnectionClosed as error:
        return error.rcvd.code if error.rcvd else None


def ask(server, path, content=None, **headers):
    """Status, headers and body of one HTTP request."""
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    request = urllib.request.Request(server.url + path, content, headers)
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers, error.read()
