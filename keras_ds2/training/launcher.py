"""Several workers on this machine, started, watched and ended together."""

import collections
import ctypes
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence

from keras_ds2.training.cluster import VARIABLE, Cluster

LOST = 75
"""Exit status of a worker that ends because another one is gone: not the one to blame."""

_LINES_KEPT = 20
_GRACE_S = 10.0


class LaunchError(ValueError):
    """The workers cannot be started: the message says why and what to do."""


class WorkerDied(RuntimeError):
    """A worker has ended with an error: the message says which and what it said last."""


def launch(command: Sequence[str], workers: int) -> int:
    """Runs a command as so many workers and waits for all of them.

    Each has its own `TF_CONFIG` over free ports of this machine, and a GPU or a share of the cores.
    The first worker, the chief, writes to this process's standard output, and all write to its
    standard error, each line of the others after `worker 1: ` and the like; their standard output
    is not shown. SIGINT and SIGTERM are handed on. The workers get SIGTERM when this process dies
    (on Linux).

    Args:
        command: of a worker; it has to train under `multi_worker`.
        workers: int >= 1.

    Returns:
        The exit status on which all workers agree.

    Raises:
        LaunchError: if there are fewer GPUs than workers.
        WorkerDied: if a worker ends with an error; the others have been ended then.
    """
    environments = worker_environments(workers, os.environ)
    ended = queue.SimpleQueue()
    running = {}

    def hand_on(number, frame):
        for worker in list(running.values()):
            worker.process.send_signal(signal.SIGTERM)

    handlers = {each: signal.signal(each, hand_on) for each in (signal.SIGINT, signal.SIGTERM)}
    try:
        for index, environment in enumerate(environments):
            running[index] = _Worker(index, command, environment, ended)
        statuses, culprit = {}, None
        while running:
            try:
                index = ended.get(timeout=None if culprit is None else _GRACE_S)
            except queue.Empty:
                _end(running.values())
                continue
            worker = running.pop(index)
            status = statuses[index] = worker.process.returncode
            differs = len(set(statuses.values())) > 1 or status not in (0, 128 + signal.SIGINT)
            if differs and (culprit is None or statuses[culprit.index] in (0, LOST)):
                culprit = worker
                if status != LOST:  # else the one to blame ends by itself, or is killed below
                    hand_on(signal.SIGTERM, None)
        if culprit is not None:
            raise WorkerDied(_obituary(culprit, workers))
        return status
    finally:
        _end(running.values())
        for number, handler in handlers.items():
            signal.signal(number, handler)


def worker_environments(workers: int, environment: Mapping[str, str]) -> list[dict[str, str]]:
    """Each worker's environment: cluster, GPU, threads.

    Args:
        workers: int >= 1.
        environment: of this process.

    Raises:
        LaunchError: if there are GPUs, but fewer than workers.
    """
    gpus = _gpus(environment)
    if 0 < len(gpus) < workers:
        raise LaunchError(
            f"--workers: expected at most {len(gpus)}, the GPUs of this machine, received "
            f"{workers}; or set CUDA_VISIBLE_DEVICES= (empty) to train on the processor"
        )
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    names = tuple(f"localhost:{port}" for port in free_ports(workers))
    environments = []
    for index in range(workers):
        own = {**environment, VARIABLE: Cluster(names, index).tf_config()}
        if gpus:
            own["CUDA_VISIBLE_DEVICES"] = gpus[index]
        else:
            own.setdefault("TF_NUM_INTRAOP_THREADS", str(max(1, (cores or 1) // workers)))
        environments.append(own)
    return environments


class _Worker:
    """A process, and a thread that passes its errors on, keeps the last of them, and waits."""

    def __init__(self, index, command, environment, ended):
        self.index = index
        self.said = collections.deque(maxlen=_LINES_KEPT)
        self.process = subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=None if index == 0 else subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            process_group=0,  # Ctrl-C goes to this process alone, which hands it on
            preexec_fn=_die_with_parent,
        )
        self.thread = threading.Thread(target=self._watch, args=(ended,), daemon=True)
        self.thread.start()

    def _watch(self, ended):
        with self.process.stderr as lines:
            for line in lines:
                text = line.decode(errors="replace")
                self.said.append(text)
                who = f"worker {self.index}: " if self.index else ""
                sys.stderr.write(f"{who}{text}")
                sys.stderr.flush()
        self.process.wait()
        ended.put(self.index)


def _die_with_parent():
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG


def _end(workers):
    workers = list(workers)
    for worker in workers:
        worker.process.kill()
    for worker in workers:
        worker.thread.join()


def _obituary(worker, workers):
    status = worker.process.returncode
    if status < 0:
        how = f"was killed by signal {-status} ({signal.Signals(-status).name})"
    else:
        how = f"ended with status {status}"
    chief = ", the chief," if worker.index == 0 else ""
    lines = "".join(f"  {line}" for line in worker.said).rstrip("\n")
    last = f"Its last lines:\n{lines}\n" if lines else "It said nothing before.\n"
    return (
        f"worker {worker.index}{chief} of {workers} {how}, and the others have been ended. {last}"
        "The same command goes on from the last checkpoint."
    )


def free_ports(count: int) -> list[int]:
    """Ports of this machine that nobody listens at."""
    # All held until all are found, so that they differ.
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("localhost", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


def _gpus(environment):
    """What `CUDA_VISIBLE_DEVICES` can name, one a GPU; found without loading TensorFlow."""
    named = environment.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        return [each for each in named.split(",") if each.strip() not in ("", "-1")]
    try:
        listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return []
    count = sum(line.startswith("GPU ") for line in listed.stdout.splitlines())
    return [str(index) for index in range(count)]
