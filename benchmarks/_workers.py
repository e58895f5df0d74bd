"""Processes that do the work: one a library, alive while a case lasts, working when told to.

TensorFlow and PyTorch in one process would fight over its threads.
"""

import importlib.util
import multiprocessing
import os
import time
import traceback
from collections.abc import Callable, Iterable, Mapping
from typing import Any


class WorkRefused(RuntimeError):
    """Work cannot be done; the message says why."""


class WorkTooSlow(RuntimeError):
    """Work was not ready in time; its process still tries, so its `Workers` are of no more use."""


class Workers:
    """A process for each library, number of threads and name, all ended at exit.

    A script's functions are handed over by name, so it must be importable without side effects.
    """

    def __init__(self):
        self._pipes = {}
        self._processes = []

    def __enter__(self):
        return self

    def __exit__(self, exception, *_):
        for pipe in self._pipes.values():
            pipe.close()
        for process in self._processes:
            process.join(timeout=0 if exception else 30)
            process.kill()
            process.join()
            process.close()

    def start(self, libraries: Iterable[tuple[str, int, str]]) -> None:
        """Starts the processes of these libraries, threads and names, as far as installed.

        Others are started when first asked; beforehand, all load at the same time.
        """
        for library, threads, name in libraries:
            if _is_installed(library):
                self._pipe(library, threads, name)

    def prepare(
        self,
        library: str,
        threads: int,
        make: Callable[..., Callable[[], float | None]],
        parameters: Mapping[str, Any],
        limit_s: float | None = None,
        name: str = "",
    ) -> "Work":
        """Makes work and does it a few times, so that it is compiled and warm.

        Args:
            library: whose process makes it.
            threads: int, of that process.
            make: see `Contender`.
            parameters: of `make`.
            limit_s: float, how long to wait, or None.
            name: of the process, where the library's one is not to be shared.

        Raises:
            WorkRefused: if the library is not installed, or the work fails.
            WorkTooSlow: after `limit_s`.
        """
        pipe = self._pipe(library, threads, name)
        _ask(pipe, (_load, make))  # time counts from here
        return Work(pipe, *_ask(pipe, (_prepare, make, parameters), limit_s))

    def call(self, library: str, threads: int, function: Callable, **parameters) -> Any:
        """Calls a function once in a library's process."""
        return _ask(self._pipe(library, threads), (_call, function, parameters))

    def _pipe(self, library, threads, name=""):
        key = library, threads, name
        if key not in self._pipes:
            if not _is_installed(library):
                raise WorkRefused(f"{library} is not installed")
            ours, theirs = multiprocessing.Pipe()
            context = multiprocessing.get_context("spawn")
            process = context.Process(target=_serve, args=(theirs, library, threads), daemon=True)
            process.start()
            theirs.close()
            self._pipes[key] = ours
            self._processes.append(process)
        return self._pipes[key]


class Work:
    """Work that is ready in its process.

    Attributes:
        value: what it returned.
        seconds: what a call took, roughly.
    """

    def __init__(self, pipe, index, value, seconds):
        self._pipe = pipe
        self._index = index
        self.value = value
        self.seconds = seconds

    def repeat(self, calls: int) -> float:
        """Does it so many times and returns the ms of one call."""
        return _ask(self._pipe, (_repeat, self._index, calls))

    def drop(self) -> None:
        """Forgets it, and what it holds in memory."""
        _ask(self._pipe, (_drop, self._index))


def usable_cores() -> int:
    """Cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _is_installed(library):
    return importlib.util.find_spec(library) is not None


def _ask(pipe, request, limit_s=None):
    try:
        pipe.send(request)
        if not pipe.poll(limit_s):
            raise WorkTooSlow(f"not ready after {limit_s:g} s")
        refused, answer = pipe.recv()
    except (EOFError, BrokenPipeError, ConnectionResetError) as error:
        raise SystemExit("a worker process has ended: out of memory?") from error
    if refused:
        raise WorkRefused(answer)
    return answer


def _serve(pipe, library, threads):
    """A worker's life: answers requests until the pipe closes."""
    limit_threads(library, threads)
    works = []
    while True:
        try:
            function, *arguments = pipe.recv()
        except EOFError:
            return
        try:
            pipe.send((False, function(works, *arguments)))
        except Exception as error:
            traceback.print_exc()
            said = f"{type(error).__name__}: {' '.join(str(error).split())}"
            pipe.send((True, said[:300]))


def limit_threads(library: str, threads: int, cores: Iterable[int] | None = None) -> None:
    """Equal numbers of threads for all, on equally many cores; no GPU; no denormal numbers.

    Args:
        library: "tensorflow" or "torch".
        threads: int.
        cores: to stay on; None for the first so many.
    """
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, cores or sorted(os.sched_getaffinity(0))[:threads])
    os.environ |= {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
    if library == "tensorflow":
        from keras_ds2.quiet import import_tensorflow

        import_tensorflow()
        import tensorflow as tf

        tf.config.set_visible_devices([], "GPU")
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(threads)
    elif library == "torch":
        import torch

        torch.set_num_threads(threads)
        torch.set_num_interop_threads(threads)
        torch.set_flush_denormal(True)  # as TensorFlow does


def _load(_, make):
    """Does nothing: to be asked, the process must have loaded its library and the script."""


def _prepare(works, make, parameters):
    work = make(**parameters)
    value = work()
    seconds = _seconds(work)
    if seconds < 0.5:
        seconds = min(seconds, _seconds(work))
    works.append(work)
    return len(works) - 1, value, seconds


def _repeat(works, index, calls):
    return _seconds(works[index], calls) / calls * 1e3


def _drop(works, index):
    works[index] = None


def _call(_, function, parameters):
    return function(**parameters)


def _seconds(work, calls=1):
    start = time.perf_counter()
    for _ in range(calls):
        work()
    return time.perf_counter() - start
