"""A server that is used and abused for long answers as on its first day, and does not grow.

KERAS_DS2_SOAK_SECONDS says for how long; 3600 is the real thing.
"""

import contextlib
import functools
import json
import os
import random
import sys
import threading
import time
from pathlib import Path

import pytest

from tests.audio.made_up_audio import wav
from tests.serving.made_up_server import (
    END,
    KIND,
    START,
    ask,
    expected,
    hear_kind,
    pcm,
    say,
    served_process,
    talking,
    transcript,
    wait_until,
)
from tests.streaming.made_up_streams import RATE, write_run

SECONDS = float(os.environ.get("KERAS_DS2_SOAK_SECONDS", "20"))
USERS = 6


@functools.cache
def said(user):
    """A user's own words, and their text."""
    samples = pcm(9000, seed=user)
    return samples, expected(samples)


def speaks(server, draws, user):
    samples, text = said(user)
    assert transcript(server, samples, piece=draws.randint(300, 3000))["text"] == text


def sends_a_file(server, draws, user):
    samples, text = said(user)
    status, _, body = ask(server, "/v1/transcribe", wav(samples / 32768, RATE))
    assert status == 200
    assert json.loads(body)["text"] == text


def vanishes(server, draws, user):
    with contextlib.suppress(Exception), talking(server) as socket:
        socket.send(said(user)[0][: draws.randint(1, 9000)].tobytes())
        socket.socket.close()


def talks_nonsense(server, draws, _):
    with contextlib.suppress(Exception), talking(server, draws.choice(["?", START])) as socket:
        socket.send(draws.randbytes(draws.randint(1, 2000)))
        say(socket, draws.choice(["stop", END]))
        hear_kind(socket, "final")


def floods(server, draws, _):
    with contextlib.suppress(Exception), talking(server) as socket:
        for _ in range(draws.randint(1, 2000)):
            socket.send(b"")
        say(socket, END)
        hear_kind(socket, "final")


def sends_nonsense(server, draws, _):
    assert ask(server, "/v1/transcribe", draws.randbytes(2000))[0] == 422


def size(served):
    """Resident MiB, threads and open files of the server."""
    process = Path("/proc", str(served.process.pid))
    status = dict(
        line.split(":", 1) for line in (process / "status").read_text().splitlines() if ":" in line
    )
    mebibytes = int(status["VmRSS"].split()[0]) / 1024
    return mebibytes, int(status["Threads"]), len(list((process / "fd").iterdir()))


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_a_long_day(tmp_path):
    faults = []
    assert len({said(user)[1] for user in range(USERS)}) == USERS

    def client(served, user, until):
        draws = random.Random(user)
        deeds = [speaks, speaks, speaks, sends_a_file, vanishes]
        deeds += [talks_nonsense, sends_nonsense, floods]
        while time.monotonic() < until and not faults:
            try:
                draws.choice(deeds)(served, draws, user)
            except Exception as error:
                faults.append(error)

    def crowd(served, seconds):
        until = time.monotonic() + seconds
        clients = [threading.Thread(target=client, args=(served, i, until)) for i in range(USERS)]
        for each in clients:
            each.start()
        for each in clients:
            each.join()
        assert not faults
        wait_until(lambda: b"\nkeras_ds2_sessions 0.0\n" in ask(served, "/metrics")[2])

    with served_process(write_run(tmp_path / "run", KIND), "--max-batch", 8) as served:
        crowd(served, SECONDS / 4)
        before = size(served)
        crowd(served, 3 * SECONDS / 4)
        after = size(served)
        print("MiB, threads, files after a quarter:", before, "at the end:", after)
        assert not served.has_logged("Traceback")
    assert after[0] <= before[0] + 64, (before, after)
    assert after[1] <= before[1] + 8
    assert after[2] <= before[2] + 8
