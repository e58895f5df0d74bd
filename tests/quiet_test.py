"""TensorFlow's start-up chatter is left out, and nothing else is."""

import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from keras_ds2 import quiet

CHECKOUT = Path(__file__).resolve().parents[1]

CHATTER = [
    "2026-01-01 E external/local_xla/xla/stream_executor/cuda/cuda_fft.cc:485] Unable to register "
    "cuFFT factory: Attempting to register factory for plugin cuFFT",
    "2026-01-01 E external/local_xla/xla/stream_executor/cuda/cuda_dnn.cc:8454] Unable to register "
    "cuDNN factory: Attempting to register",
    "WARNING: All log messages before absl::InitializeLog() is called are written to STDERR",
    "E0000 00:00:1 computation_placer.cc:177] computation placer already registered.",
    "I0000 00:00:1 service.cc:146] XLA service 0x55a3b9 initialized for platform Host",
    "I0000 00:00:1 service.cc:154]   StreamExecutor device (0): Host, Default Version",
    "I0000 00:00:1 device_compiler.h:188] Compiled cluster using XLA!  This line is logged at most",
]
REAL = [
    "2026-01-01 E tensorflow/core/platform: could not open the driver",
    "ImportError: libtensorflow_framework.so.2: cannot open shared object file",
    "cuFFT failed",
    "E0000 00:00:1 service.cc:146] XLA service could not be started",
]


@pytest.mark.parametrize("line", CHATTER)
def test_chatter_is_known_by_its_words(line):
    assert quiet._CHATTER.search(line)


@pytest.mark.parametrize("line", REAL)
def test_real_errors_are_not(line):
    assert not quiet._CHATTER.search(line)


def import_in_a_process(tmp_path, body):
    """Imports a stand-in for TensorFlow, whose module body is given, in a process of its own."""
    (tmp_path / "tensorflow.py").write_text(body)
    code = (
        "from keras_ds2.quiet import import_tensorflow\n"
        "import os\n"
        "import_tensorflow()\n"
        "os.write(2, b'after\\n')\n"
    )
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{CHECKOUT}"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_what_is_said_past_python_is_sorted_by_line(tmp_path):
    lines = [CHATTER[0], REAL[0], CHATTER[2], REAL[1]]
    body = f"import os\nos.write(2, {chr(10).join(lines).encode()!r} + b'\\n')\n"
    done = import_in_a_process(tmp_path, body)
    assert done.returncode == 0
    assert done.stderr == f"{REAL[0]}\n{REAL[1]}\nafter\n"


def test_xla_says_nothing_when_a_kernel_is_compiled_first():
    code = (
        "from keras_ds2.quiet import import_tensorflow\n"
        "import_tensorflow()\n"
        "from keras_ds2.ops import ctc_loss\n"
        "print(float(ctc_loss([[1]], [[[0.0, 0.0]]], [1], [1])[0]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=CHECKOUT, capture_output=True, text=True, check=False
    )
    assert float(done.stdout) == pytest.approx(0.6931472)
    assert done.stderr == ""


def test_an_import_that_fails_says_why(tmp_path):
    body = "import os\nos.write(2, b'half a line')\nraise ImportError('no such library')\n"
    done = import_in_a_process(tmp_path, body)
    assert done.returncode == 1
    assert done.stderr.startswith("half a line")
    assert "ImportError: no such library" in done.stderr


def test_in_this_process_it_changes_nothing_but_levels(capfd):
    quiet.import_tensorflow()
    os.write(2, b"still here\n")
    print("and here", file=sys.stderr)
    assert capfd.readouterr().err == "still here\nand here\n"
    assert os.environ["KERAS_BACKEND"] == "tensorflow"
    assert logging.getLogger("tensorflow").level == logging.ERROR
    assert logging.getLogger("absl").level == logging.ERROR


def test_a_level_that_the_user_set_is_kept(monkeypatch):
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "0")
    quiet.import_tensorflow()
    assert os.environ["TF_CPP_MIN_LOG_LEVEL"] == "0"
