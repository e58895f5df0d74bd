"""Batches that processors of other machines make, by TensorFlow's `tf.data` service."""

import contextlib
import queue
import re
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator

import numpy as np
import tensorflow as tf

REACH_S = 30.0
"""How long a dispatcher is waited for."""

PATIENCE_S = 180.0
"""How long a batch is waited for, when nothing comes."""

GAP_S = 15.0
"""How long training waits for a batch that others have overtaken."""

MOST_HELD_BYTES = 4 * 2**30
"""Of the batches that are kept back while one before them is waited for."""

LAST = 32
"""So many batches at the end may stay away without an error."""


class DataServiceError(OSError):
    """The service cannot be reached, or sends nothing: the message says what to do."""


class DataService:
    """A dispatcher of the `tf.data` service, whose workers make the batches.

    Args:
        address: `grpc://HOST:PORT` of the dispatcher.
        warn: is given a line when a batch has to be made here.
        key: what the user calls the address, for messages.

    Attributes:
        made_here: int, batches that did not come though their files are sound here.
    """

    def __init__(
        self, address: str, warn: Callable[[str], None] = print, key: str = "data.service"
    ):
        self.address = address
        self.warn = warn
        self.key = key
        self.made_here = 0
        self._error = None

    def require_reachable(self) -> None:
        """Waits until somebody listens at the address.

        Raises:
            DataServiceError: if nobody does after `REACH_S`.
        """
        try:
            wait_for(self.address, REACH_S)
        except OSError as error:
            raise DataServiceError(
                f"{self.key}: expected a dispatcher at {self.address}, which cannot be reached in "
                f"{REACH_S:g} s ({error}); start it there with: keras-ds2 data-service --dispatcher"
                f" --worker --port {split_address(self.address)[1]}; or set {self.key}=null"
            ) from error

    def make(self, elements: tf.data.Dataset, count: int) -> tf.data.Dataset:
        """Has the elements of a dataset made by the service's workers.

        Each is made once, by whichever worker is free, so they come in any order and are put into
        theirs here. What does not come (its maker has died or could not make it) is left out.

        Args:
            elements: of `(number, element)`, numbers from 0 on, as `Dataset.range` gives them; its
                graph runs in the workers' processes: it can call no Python.
            count: how many there are.

        Returns:
            Dataset of `(number, element)`, numbers rising.

        Raises:
            DataServiceError: if the dispatcher cannot be reached, does not answer, or refuses the
                elements.
        """
        self.require_reachable()
        service = tf.data.experimental.service
        # Without compression: it takes longer than a local network to send features.
        register = lambda: service.register_dataset(self.address, elements, compression=None)  # noqa: E731
        dataset_id = self._answered(register)
        made = service.from_dataset_id(
            service.ShardingPolicy.DYNAMIC, self.address, dataset_id, elements.element_spec
        )

        def arranged():
            try:
                yield from in_order(made, count, PATIENCE_S, GAP_S)
            except (tf.errors.OpError, OSError) as error:
                reason = str(error).splitlines()[0]
                self._error = DataServiceError(
                    f"{self.key}: {self.address}: {reason}. See what keras-ds2 data-service says "
                    "on its machines: are its workers running, and are the data there under the "
                    "same paths as here? The same command goes on from the last checkpoint"
                )
                raise self._error from error

        return tf.data.Dataset.from_generator(arranged, output_signature=elements.element_spec)

    def tell_made_here(self) -> None:
        """Takes that a batch has not come though its files are sound; tells some of the times."""
        self.made_here += 1
        count = self.made_here
        if count & (count - 1) == 0:  # the 1st, 2nd, 4th, 8th ...
            self.warn(
                f"{self.key}: {count} {'batch' if count == 1 else 'batches'} came too late or "
                f"not at all from {self.address} and had to be made here: a worker is gone or "
                "slow, or cannot read the data under the same paths as here"
            )

    @contextlib.contextmanager
    def losses_told(self) -> Iterator[None]:
        """Turns what TensorFlow raises when batches stay away into `DataServiceError`."""
        try:
            yield
        except tf.errors.OpError as error:
            if self._error is None:
                raise
            raise self._error from error

    def _answered(self, call):
        answers = queue.SimpleQueue()

        def ask():
            try:
                answers.put((call(), None))
            except Exception as error:  # raised below, in the caller's thread
                answers.put((None, error))

        # TensorFlow asks again and again for ever where it gets no answer.
        threading.Thread(target=ask, daemon=True).start()
        try:
            answer, error = answers.get(timeout=REACH_S)
        except queue.Empty:
            raise DataServiceError(
                f"{self.key}: expected a dispatcher at {self.address}; somebody listens there, but "
                f"does not answer as one in {REACH_S:g} s; check the port"
            ) from None
        if isinstance(error, tf.errors.OpError):
            raise DataServiceError(
                f"{self.key}: {self.address} did not take the batches: {_reason(error)}"
            ) from error
        if error is not None:
            raise error
        return answer


def _reason(error):
    reason = (str(error).splitlines() or [type(error).__name__])[0]
    if re.search(r"\b2 ?GB|larger than max|[Ff]ailed to serialize", reason):
        reason += (
            ". What is sent along, the plan of all epochs with paths and labels and the recordings "
            "of noise and rooms, may have 2 GB at the most: give fewer or shorter recordings"
        )
    return reason


def split_address(address: str) -> tuple[str, int]:
    """Host and port of `grpc://HOST:PORT` or `HOST:PORT`."""
    host, _, port = address.removeprefix("grpc://").rpartition(":")
    return host.strip("[]"), int(port)


def wait_for(address: str, seconds: float) -> str:
    """Waits until somebody listens at an address.

    Returns:
        The address of this machine by which it can be answered.

    Raises:
        OSError: why it could not be reached the last time, after so many seconds.
    """
    deadline = time.monotonic() + seconds
    while True:
        left = max(deadline - time.monotonic(), 0.1)
        try:
            with socket.create_connection(split_address(address), timeout=left) as connection:
                return connection.getsockname()[0]
        except OverflowError as error:
            raise OSError(str(error)) from error
        except OSError:
            if time.monotonic() + 0.5 > deadline:
                raise
            time.sleep(0.5)


def in_order(
    elements: Iterable,
    count: int,
    patience_s: float,
    gap_s: float = GAP_S,
    most_held_bytes: int = MOST_HELD_BYTES,
) -> Iterator:
    """Puts elements into the order of their numbers.

    An element is given up, and left out, when the caller has waited for it for a while since a
    later one came, when the later ones fill the memory they may have, or when there are no more.
    What comes after that is dropped.

    Args:
        elements: `(number, element)` in any order.
        count: they are numbered from 0 to this.
        patience_s: float, seconds in which something has to come.
        gap_s: float, seconds that an element is waited for where later ones are there. Time in
            which the caller does other things does not count.
        most_held_bytes: int, of later ones that are kept.

    Yields:
        `(number, element)`, numbers rising.

    Raises:
        TimeoutError: if nothing comes for `patience_s`. Of the `LAST` elements it is no error: a
            worker that has died never says that there are no more.
        Exception: what `elements` raises.
    """
    arrived, stopped = queue.Queue(maxsize=1), threading.Event()
    threading.Thread(target=_pull, args=(elements, arrived, stopped), daemon=True).start()
    held = {}  # number: (element, `waited_s` when it came), in the order in which they came
    expected, held_bytes, waited_s, ended, has_come = 0, 0, 0.0, False, False
    try:
        while expected < count and (held or not ended):
            while not ended and expected not in held and held_bytes < most_held_bytes:
                left = patience_s
                if held:
                    _, overtaken = next(iter(held.values()))
                    left = overtaken + gap_s - waited_s
                    if left <= 0:
                        break
                start = time.monotonic()
                try:
                    element, error = arrived.get(timeout=left)
                except queue.Empty:
                    if held:
                        waited_s += left
                        break
                    if not has_come or count - expected > LAST:
                        raise TimeoutError(f"no batch has come for {patience_s:g} s") from None
                    element, error = None, None
                waited_s += time.monotonic() - start
                if error is not None:
                    raise error
                ended, has_come = element is None, True
                if not ended and int(element[0]) >= expected:
                    held[int(element[0])] = element, waited_s
                    held_bytes += _bytes(element)
            if expected in held:
                element, _ = held.pop(expected)
                held_bytes -= _bytes(element)
                yield element
            expected += 1
    finally:
        stopped.set()


def _bytes(element):
    return sum(np.asarray(each).nbytes for each in tf.nest.flatten(element))


def _pull(elements, arrived, stopped):
    def put(element, error=None):
        while not stopped.is_set():
            with contextlib.suppress(queue.Full):
                return arrived.put((element, error), timeout=0.5)

    try:
        for element in elements:
            put(element)
            if stopped.is_set():
                return
        put(None)
    except Exception as error:  # raised by `in_order`, in its caller's thread
        put(None, error)
