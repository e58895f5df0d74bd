"""Streams through a real Triton: its sequence batcher, its controls, its first states.

Wants the server that the package nvidia-pytriton brings, which cannot live beside TensorFlow's
protobuf: `python -m venv OTHER && OTHER/bin/pip install nvidia-pytriton`, and the environment's
KERAS_DS2_TRITON is OTHER/lib/python3.1x/site-packages/pytriton/tritonserver.
"""

import concurrent.futures
import contextlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import numpy as np
import pytest

from keras_ds2.export.triton import write_triton
from tests.export.made_up_export import inputs
from tests.streaming.made_up_streams import recognizer, whole_logits

KIND = "2d_gru_lookahead_running"
PATIENCE = 120
TYPES = {"float32": "FP32", "int32": "INT32"}

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        "KERAS_DS2_TRITON" not in os.environ, reason="KERAS_DS2_TRITON: no Triton's folder is named"
    ),
]


@contextlib.contextmanager
def serving(repository, folder):
    """Triton's address, while it serves."""
    pytest.importorskip("onnxruntime", reason="pip install 'keras-ds2[export]'")
    triton = Path(os.environ["KERAS_DS2_TRITON"])
    backends = folder / "backends"
    shutil.copytree(triton / "backends" / "python", backends / "python")
    version = "{}.{}".format(*sys.version_info)
    shutil.copy(
        triton / "python_backend_stubs" / version / "triton_python_backend_stub",
        backends / "python",
    )
    (backends / "onnxruntime").mkdir()
    stand_in = Path(__file__).with_name("triton_backend.py")
    shutil.copy(stand_in, backends / "onnxruntime" / "model.py")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [triton / "bin" / "tritonserver", "--model-repository", repository]
    command += ["--backend-directory", backends, "--http-address", "127.0.0.1"]
    command += ["--http-port", str(port), "--allow-grpc", "false", "--allow-metrics", "false"]
    environment = {
        **os.environ,
        "LD_LIBRARY_PATH": str(triton.parents[1] / "nvidia_pytriton.libs"),
        "TRITON_BACKEND_PACKAGES": os.pathsep.join(sys.path),
    }
    with open(folder / "triton.log", "w", encoding="utf-8") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    url = f"http://127.0.0.1:{port}/v2"
    try:
        deadline = time.monotonic() + PATIENCE
        while not is_ready(url):
            assert process.poll() is None, (folder / "triton.log").read_text("utf-8")[-3000:]
            assert time.monotonic() < deadline
            time.sleep(0.2)
        yield url
    finally:
        process.terminate()
        process.wait(PATIENCE)


def is_ready(url):
    with contextlib.suppress(OSError), urllib.request.urlopen(f"{url}/health/ready") as answer:
        return answer.status == 200
    return False


def ask(url, sequence, **tensors):
    """One request of a stream."""
    entries = [
        {
            "name": name,
            "shape": array.shape,
            "datatype": TYPES[str(array.dtype)],
            "data": array.ravel().tolist(),
        }
        for name, array in tensors.items()
    ]
    body = json.dumps({"inputs": entries, "parameters": sequence}).encode()
    request = urllib.request.Request(f"{url}/models/keras_ds2/infer", body)
    with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
        outputs = json.load(answer)["outputs"]
    return {each["name"]: np.array(each["data"]).reshape(each["shape"]) for each in outputs}


def logits_of(url, number, given, size):
    """What a client does, as the README of the export says it."""
    logits, place, done = [], 0, False
    while not done:
        piece = given[place : place + size]
        chunk = np.pad(piece, (0, size - len(piece)))[np.newaxis]
        length = np.array([[len(piece)]], np.int32)
        sequence = {"sequence_id": number, "sequence_start": place == 0, "sequence_end": False}
        said = ask(url, sequence, chunk=chunk, chunk_length=length)
        logits.append(said["logits"][0][said["logit_mask"][0]])
        done = said["done"].item()
        place += size
    sequence = {"sequence_id": number, "sequence_start": False, "sequence_end": True}
    said = ask(url, sequence, chunk=np.zeros((1, size), np.float32), chunk_length=0 * length)
    assert not said["logit_mask"].any()
    return np.concatenate(logits)


def test_streams_at_once_are_what_each_is_alone(tmp_path):
    said = write_triton(recognizer(KIND), tmp_path / "repository", streams=4)
    size = said["streaming"]["chunk_shape"][0]
    utterances = inputs(KIND) * 6
    with (
        serving(tmp_path / "repository", tmp_path) as url,
        concurrent.futures.ThreadPoolExecutor(6) as clients,
    ):
        found = list(
            clients.map(
                lambda number: logits_of(url, number, utterances[number - 1], size),
                range(1, len(utterances) + 1),
            )
        )
    for given, logits in zip(utterances, found, strict=True):
        np.testing.assert_allclose(logits, whole_logits(KIND, given), atol=1e-3)
    batches = re.findall(r"batch of (\d+)", (tmp_path / "triton.log").read_text("utf-8"))
    assert 1 < max(map(int, batches)) <= 4
