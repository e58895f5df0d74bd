"""A dispatcher of the `tf.data` service, a worker of it, or both, in this process."""

import functools
import re
import signal
import socket
import threading
from collections.abc import Callable

import tensorflow as tf

from keras_ds2.audio.io import decode_audio
from keras_ds2.data.service import REACH_S, DataServiceError, split_address, wait_for
from keras_ds2.quiet import without_chatter

_ADDRESS = r"(grpc://)?.+:\d{1,5}"


class DataServiceProcess:
    """What runs of the service in this process, until `stop`.

    Args:
        dispatcher: whether a dispatcher runs here, which hands out the batches to make.
        worker: whether a worker runs here, which makes them, on all cores.
        port: int, of the dispatcher that runs here; 0 for one that is free.
        worker_port: int, of the worker that runs here; 0 for one that is free.
        dispatcher_address: `HOST:PORT` of the worker's dispatcher; None for the one here.
        host: name by which those who train reach this worker; None for this machine's own, or the
            address by which it reaches its dispatcher.

    Attributes:
        address: `grpc://HOST:PORT` of the dispatcher.
        worker_address: `HOST:PORT` of the worker, or None.

    Raises:
        DataServiceError: if neither is to run, the dispatcher's address is at fault, a port is
            taken or of what does not run here, or the dispatcher cannot be reached.
    """

    def __init__(
        self,
        *,
        dispatcher: bool,
        worker: bool,
        port: int = 0,
        worker_port: int = 0,
        dispatcher_address: str | None = None,
        host: str | None = None,
    ):
        if not (dispatcher or worker):
            raise DataServiceError("expected --dispatcher, --worker or both, received neither")
        if dispatcher == (dispatcher_address is not None):
            raise DataServiceError(
                "--dispatcher-address: expected for a worker whose dispatcher is elsewhere, and "
                f"not beside --dispatcher; received {dispatcher_address}"
            )
        for part, runs, option, number in (
            ("dispatcher", dispatcher, "--port", port),
            ("worker", worker, "--worker-port", worker_port),
        ):
            if number and not runs:
                raise DataServiceError(
                    f"{option}: expected with --{part} alone, whose port it is, received {number}"
                )
        if dispatcher_address is not None and not re.fullmatch(_ADDRESS, dispatcher_address):
            raise DataServiceError(
                f"--dispatcher-address: expected HOST:PORT, received {dispatcher_address}"
            )
        _load_kernels()
        service = tf.data.experimental.service
        self._dispatcher = self._worker = self.worker_address = None
        if dispatcher:
            config = service.DispatcherConfig(port=port)
            self._dispatcher = _started(lambda: service.DispatchServer(config), "--port", port)
            port = int(self._dispatcher.target.rpartition(":")[2])
            host = host or socket.gethostname()
            self.address = f"grpc://{host}:{port}"
            dispatcher_address = f"localhost:{port}"
        else:
            self.address = f"grpc://{dispatcher_address.removeprefix('grpc://')}"
        if worker:
            try:
                own = wait_for(dispatcher_address, REACH_S)
            except OSError as error:
                raise DataServiceError(
                    f"--dispatcher-address: expected a dispatcher at {dispatcher_address}, which "
                    f"cannot be reached in {REACH_S:g} s ({error}); start it there with: keras-ds2 "
                    f"data-service --dispatcher --port {split_address(dispatcher_address)[1]}"
                ) from error
            own = host or (f"[{own}]" if ":" in own else own)
            config = service.WorkerConfig(
                dispatcher_address=dispatcher_address.removeprefix("grpc://"),
                worker_address=f"{own}:%port%",  # TensorFlow's word for the port that it takes
                port=worker_port,
            )
            start = lambda: service.WorkerServer(config)  # noqa: E731
            self._worker = _started(start, "--worker-port", worker_port)
            self.worker_address = f"{own}:{self._worker._address.rpartition(':')[2]}"

    def stop(self) -> None:
        """Ends what runs here at once."""
        for server in (self._worker, self._dispatcher):
            if server is not None:
                server.stop()


def run_data_service(report: Callable[[str], None], **options) -> int:
    """Runs until it is told to stop, by Ctrl-C or SIGTERM.

    Args:
        report: is given lines about where it listens.
        **options: of `DataServiceProcess`.

    Returns:
        The exit status.

    Raises:
        DataServiceError: see `DataServiceProcess`.
    """
    asked = threading.Event()
    handlers = {
        each: signal.signal(each, lambda *_: asked.set())
        for each in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        process = DataServiceProcess(**options)
        if options["dispatcher"]:
            report(f"dispatcher: train with --set data.service={process.address}")
        if options["worker"]:
            report(f"worker {process.worker_address} of {process.address}")
        while not asked.wait(1.0):  # a wait without end would keep signals from Python
            pass
        process.stop()
    finally:
        for each, handler in handlers.items():
            signal.signal(each, handler)
    return 0


@functools.cache
def _load_kernels():
    # tensorflow_io loads its library when it is first used; graphs of others need it here.
    content = tf.TensorSpec([], tf.string)
    with without_chatter():
        tf.function(decode_audio, autograph=False).get_concrete_function(content)


def _started(start, option, port):
    try:
        with without_chatter():
            return start()
    except (RuntimeError, tf.errors.OpError) as error:
        raise DataServiceError(
            f"{option} {port}: cannot listen there ({error}); is it taken? Choose another"
        ) from error
