"""Serving: how long users who speak in real time wait for their text, and what batching gives.

From the last sample sent to the final text, over the loopback, users in this process, each
server in one of its own: `batch_dispatch` computes whatever has come as one batch, `int16` is the
same with `--precision int16`, `batches_of_one` with `--max-batch 1`. The model is the production
one, 512 units, untrained; each user says utterances of noise, a tenth of a second at a time, begun
at times drawn at random. All servers get the same users in turn.
"""

import asyncio
import contextlib
import json
import os
import random
import re
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import numpy as np

from benchmarks import _harness

RATE = 16000
PIECE_SECONDS = 0.1
PATIENCE_S = 120.0
ALPHABET = " 'abcdefghijklmnopqrstuvwxyz"

USERS = (10, 20, 30, 50)
SIZE = {"units": 512, "num_rnn_layers": 3, "lookahead": 20, "utterance_s": 4.0, "utterances": 2}
QUICK_USERS = (2, 4)
QUICK_SIZE = {"units": 32, "num_rnn_layers": 1, "lookahead": 4, "utterance_s": 1.0, "utterances": 1}
SERVERS = {
    "batch_dispatch": ("--max-batch", "64"),
    "int16": ("--max-batch", "64", "--precision", "int16"),
    "batches_of_one": ("--max-batch", "1"),
}


def main(arguments):
    users, size = (QUICK_USERS, QUICK_SIZE) if arguments.quick else (USERS, SIZE)
    names = [f"users_{count}" for count in users]
    if arguments.only not in (None, *names):
        raise SystemExit(f"--only: expected one of {', '.join(names)}, received {arguments.only}")
    about = {
        "threads": arguments.threads,
        "repeats": arguments.repeats,
        "quick": arguments.quick,
        "machine": _harness.machine(),
        **_harness.commit(),
        "versions": _harness.versions(),
    }
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as servers:
        run = write_run(Path(folder) / "run", size)
        urls = {
            name: servers.enter_context(server(run, options, arguments.threads))
            for name, options in SERVERS.items()
        }
        for url in urls.values():
            asyncio.run(crowd(url, 2, size["utterance_s"], 1))
        for name, count in zip(names, users, strict=True):
            if arguments.only in (None, name):
                line = {"benchmark": "serving", "case": name, "shapes": {"users": count, **size}}
                line["contenders"] = measure(urls, count, size, arguments.repeats)
                print(json.dumps({**line, **about}), flush=True)
                print(table(line), file=sys.stderr, flush=True)


def measure(urls, users, size, repeats):
    """Delays of every server under the same users, in turn."""
    delays, loads = {name: [] for name in urls}, {name: [] for name in urls}
    for _ in range(repeats):
        for name, url in urls.items():
            before, begin = figures(url), time.monotonic()
            delays[name] += asyncio.run(crowd(url, users, size["utterance_s"], size["utterances"]))
            after, wall = figures(url), time.monotonic() - begin
            loads[name].append((after - before, wall))
    return {
        name: {
            "role": "peer" if name == "batches_of_one" else "ours",
            **spread(delays[name]),
            "mean_batch": _rounded(
                sum(load[1] for load, _ in loads[name]) / sum(load[0] for load, _ in loads[name])
            ),
            "device_busy": _rounded(
                sum(load[2] for load, _ in loads[name]) / sum(wall for _, wall in loads[name])
            ),
        }
        for name in urls
    }


def spread(delays):
    """Median, 98th percentile and most, in ms; those that never got a text are counted apart."""
    told = sorted(1000 * delay for delay in delays if delay is not None)
    if not told:
        return {"utterances": len(delays), "without_text": len(delays)}
    return {
        "median_ms": _rounded(statistics.median(told)),
        "p98_ms": _rounded(float(np.percentile(told, 98))),
        "max_ms": _rounded(told[-1]),
        "utterances": len(delays),
        "without_text": len(delays) - len(told),
    }


async def crowd(url, users, seconds, utterances):
    """So many users at once; the delay of each utterance, None where no text came."""
    draws = random.Random(users)
    offsets = [draws.uniform(0, seconds) for _ in range(users)]
    said = await asyncio.gather(*(user(url, each, seconds, utterances) for each in offsets))
    return [delay for delays in said for delay in delays]


async def user(url, offset, seconds, utterances):
    await asyncio.sleep(offset)
    delays = []
    for index in range(utterances):
        try:
            async with asyncio.timeout(seconds + PATIENCE_S):
                delays.append(await utterance(url, seconds, seed=index))
        except (TimeoutError, OSError, ConnectionError, KeyError):
            delays.append(None)
    return delays


async def utterance(url, seconds, seed):
    """Seconds from the last sample sent to the final text."""
    from websockets.asyncio.client import connect

    noise = np.random.default_rng(seed).normal(0, 3000, int(seconds * RATE)).astype("<i2")
    size = int(PIECE_SECONDS * RATE)
    pieces = [noise[start : start + size].tobytes() for start in range(0, len(noise), size)]
    async with connect(url.replace("http", "ws", 1) + "/v1/stream", compression=None) as socket:
        start = {"type": "start", "sampling_rate": RATE, "encoding": "pcm16"}
        await socket.send(json.dumps(start))
        if json.loads(await socket.recv())["type"] != "ready":
            raise ConnectionError
        told = asyncio.get_running_loop().create_future()

        async def hear():
            async for message in socket:
                if json.loads(message)["type"] == "final":
                    told.set_result(time.monotonic())

        hearing = asyncio.create_task(hear())
        begin = time.monotonic()
        for index, piece in enumerate(pieces, start=1):
            await asyncio.sleep(max(0.0, begin + index * PIECE_SECONDS - time.monotonic()))
            await socket.send(piece)
        sent = time.monotonic()
        await socket.send(json.dumps({"type": "end"}))
        await asyncio.wait({told, hearing}, return_when=asyncio.FIRST_COMPLETED)
        hearing.cancel()
        if not told.done():
            raise ConnectionError
        return told.result() - sent


@contextlib.contextmanager
def server(run, options, threads):
    """A server in a process of its own; yields its URL."""
    command = [sys.executable, "-m", "keras_ds2.cli", "serve", run, "--port", "0", *options]
    command += ["--max-sessions", "64"]
    environment = {
        **os.environ,
        "TF_CPP_MIN_LOG_LEVEL": "2",
        "TF_NUM_INTRAOP_THREADS": str(threads),
        "KERAS_DS2_TOKEN": "",
    }
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
        try:
            while True:
                log.seek(0)
                text = log.read()
                if found := re.search(r"running on (http://\S+)", text):
                    break
                if process.poll() is not None:
                    raise SystemExit(f"the server did not start:\n{text}")
                time.sleep(0.1)
            yield found.group(1)
        finally:
            process.terminate()
            try:
                process.wait(60)
            finally:
                process.kill()


def figures(url):
    """Batches so far, streams in them, seconds that they took."""
    with urllib.request.urlopen(url + "/metrics") as answer:
        text = answer.read().decode()
    names = ("batch_size_count", "batch_size_sum", "batch_seconds_sum")
    return np.array(
        [float(re.search(rf"^keras_ds2_{name} (\S+)$", text, re.M).group(1)) for name in names]
    )


def write_run(folder, size):
    """A run folder of an untrained model."""
    from keras_ds2.quiet import import_tensorflow

    import_tensorflow()
    import keras_ds2
    from keras_ds2.features import FeatureFrontEnd
    from keras_ds2.recognition.run_folder import WEIGHTS, write_configuration
    from keras_ds2.text.alphabet import Alphabet

    front_end = FeatureFrontEnd(sampling_rate=RATE, normalization="running")
    noise = np.random.default_rng(0).normal(0, 0.1, RATE).astype(np.float32)
    front_end.adapt([(noise, RATE)])
    alphabet = Alphabet(list(ALPHABET))
    model = keras_ds2.build_model(
        "production",
        vocabulary_size=len(alphabet),
        num_bins=front_end.num_output_bins,
        hop_ms=front_end.hop_ms,
        num_rnn_layers=size["num_rnn_layers"],
        units=size["units"],
        lookahead_context=size["lookahead"],
    )
    folder.mkdir()
    write_configuration(folder, model, front_end, alphabet, "none", False, "wer")
    model.save_weights(folder / WEIGHTS)
    return folder


def table(line):
    rows = [
        f"serving {line['case']}: ms from the last sample to the final text",
        f"  {'':<16}{'median':>10}{'98 %':>10}{'max':>10}{'batch':>8}{'busy':>8}",
    ]
    for name, entry in line["contenders"].items():
        times = "".join(f"{entry.get(key, '-'):>10}" for key in ("median_ms", "p98_ms", "max_ms"))
        load = f"{entry['mean_batch']:>8}{entry['device_busy']:>8.0%}"
        lost = f"  {entry['without_text']} without text" if entry["without_text"] else ""
        rows.append(f"  {name:<16}{times}{load}{lost}")
    return "\n".join([*rows, ""])


def _rounded(value):
    return float(f"{value:.4g}")


if __name__ == "__main__":
    main(_harness.parser(__doc__).parse_args())
