"""Workers started together: what each is given, who is blamed when one dies, none left behind."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from keras_ds2.training.launcher import LOST, LaunchError, WorkerDied, launch, worker_environments

INDEX = (
    "import json, os, sys, time, signal\n"
    "index = json.loads(os.environ["
    "'TF_CONFIG'])['task']['index']\n"
)


def worker(code):
    """A command that runs `code`, in which `index` is the worker's own."""
    return [sys.executable, "-c", INDEX + code]


def test_each_worker_has_its_place_and_its_share_of_the_cores():
    base = {"CUDA_VISIBLE_DEVICES": "", "TF_CONFIG": "of something else", "HOME": "/home"}
    environments = worker_environments(2, base)
    configs = [json.loads(each["TF_CONFIG"]) for each in environments]
    assert [each["task"] for each in configs] == [
        {"type": "worker", "index": index} for index in (0, 1)
    ]
    assert configs[0]["cluster"] == configs[1]["cluster"]
    assert len(set(configs[0]["cluster"]["worker"])) == 2
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    for each in environments:
        assert each["TF_NUM_INTRAOP_THREADS"] == str(max(1, cores // 2))
        assert each["HOME"] == "/home"


def test_or_a_gpu_of_its_own():
    environments = worker_environments(2, {"CUDA_VISIBLE_DEVICES": "3,5,6"})
    assert [each["CUDA_VISIBLE_DEVICES"] for each in environments] == ["3", "5"]
    with pytest.raises(LaunchError, match="expected at most 1, the GPUs of this machine"):
        worker_environments(2, {"CUDA_VISIBLE_DEVICES": "0"})


def test_the_chiefs_output_is_shown(capfd):
    assert launch(worker("print('this is', index)"), 3) == 0
    assert capfd.readouterr().out == "this is 0\n"


def test_all_end_when_one_dies_and_it_is_named(tmp_path, capfd):
    code = (
        "if index == 1:\n"
        "    print('out of memory', file=sys.stderr)\n"
        "    sys.exit(3)\n"
        "time.sleep(60)\n"
    )
    started = time.monotonic()
    with pytest.raises(WorkerDied) as caught:
        launch(worker(code), 3)
    assert time.monotonic() - started < 30
    assert str(caught.value) == (
        "worker 1 of 3 ended with status 3, and the others have been ended. Its last lines:\n"
        "  out of memory\n"
        "The same command goes on from the last checkpoint."
    )
    assert capfd.readouterr().err == "worker 1: out of memory\n"


def test_who_only_lost_another_is_not_blamed():
    code = f"time.sleep(index); sys.exit({LOST} if index == 0 else 4)"
    with pytest.raises(WorkerDied, match="worker 1 of 2 ended with status 4"):
        launch(worker(f"signal.signal(signal.SIGTERM, signal.SIG_IGN); {code}"), 2)


def test_a_signal_is_named_and_what_does_not_end_by_itself_is_killed(monkeypatch):
    monkeypatch.setattr("keras_ds2.training.launcher._GRACE_S", 0.5)
    code = (
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "time.sleep(0.5)\n"
        "os.kill(os.getpid(), signal.SIGKILL) if index == 0 else time.sleep(60)\n"
    )
    with pytest.raises(WorkerDied, match=r"worker 0, the chief, of 2 was killed by signal 9"):
        launch(worker(code), 2)


def test_a_status_that_not_all_have_is_a_death():
    with pytest.raises(WorkerDied, match="of 2 ended with status"):
        launch(worker("sys.exit(0 if index == 0 else 130)"), 2)


def test_sigterm_is_handed_on_and_their_status_is_the_answer(tmp_path):
    code = (
        "def stop(*_):\n"
        f"    open(f'{tmp_path}/stopped{{index}}', 'w').close()\n"
        "    sys.exit(130)\n"
        "signal.signal(signal.SIGTERM, stop)\n"
        f"open(f'{tmp_path}/ready{{index}}', 'w').close()\n"
        "time.sleep(60)\n"
    )

    def ask():
        while len(list(tmp_path.glob("ready*"))) < 2:
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGTERM)

    before = signal.getsignal(signal.SIGTERM)
    threading.Thread(target=ask, daemon=True).start()
    assert launch(worker(code), 2) == 130
    assert len(list(tmp_path.glob("stopped*"))) == 2
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.skipif(sys.platform != "linux", reason="Linux tells children of a parent's death")
def test_no_worker_outlives_a_killed_launcher(tmp_path):
    code = f"open(f'{tmp_path}/{{index}}-{{os.getpid()}}', 'w').close()\ntime.sleep(60)"
    program = f"from keras_ds2.training.launcher import launch; launch({worker(code)!r}, 2)"
    root = Path(__file__).resolve().parents[2]
    launcher = subprocess.Popen([sys.executable, "-c", program], cwd=root)
    while len(list(tmp_path.iterdir())) < 2:
        assert launcher.poll() is None
        time.sleep(0.05)
    launcher.kill()
    launcher.wait()
    pids = [int(path.name.split("-")[1]) for path in tmp_path.iterdir()]
    deadline = time.monotonic() + 20
    while any(_runs(pid) for pid in pids):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _runs(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
