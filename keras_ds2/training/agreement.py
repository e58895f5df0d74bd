"""What workers that train together tell each other beside the gradients."""

import contextlib
import json
from collections.abc import Iterable, Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_ds2.training.distribution import num_workers, worker_index


class WorkerLost(RuntimeError):
    """Another worker has died or cannot be reached, and this one cannot go on alone."""


class Agreement:
    """Talk among the workers of a strategy; every worker has to call each method at the same place.

    With one worker nothing is sent.

    Args:
        strategy: that all of them train under.
    """

    def __init__(self, strategy: tf.distribute.Strategy):
        self.strategy = strategy
        self.workers = num_workers(strategy)
        self.worker = worker_index(strategy)
        self.is_chief = self.worker == 0

        def on_replica(values, of_chief):
            replica = tf.distribute.get_replica_context()
            first = tf.equal(replica.replica_id_in_sync_group, 0)
            # A worker has a say once, however many replicas it has.
            per_worker = strategy.num_replicas_in_sync // self.workers
            own = tf.equal(replica.replica_id_in_sync_group % per_worker, 0)
            speaks = tf.where(of_chief, first, own)
            values = tf.where(speaks, values, tf.zeros_like(values))
            return replica.all_reduce(tf.distribute.ReduceOp.SUM, values)

        @tf.function(input_signature=[tf.TensorSpec([None], tf.int32), tf.TensorSpec([], tf.bool)])
        def summed(values, of_chief):
            results = strategy.run(on_replica, (values, of_chief))
            return strategy.experimental_local_results(results)[0]

        self._summed = summed

    @contextlib.contextmanager
    def losses_told(self) -> Iterator[None]:
        """Turns what TensorFlow raises when a worker is gone into `WorkerLost`."""
        try:
            yield
        except tf.errors.OpError as error:
            gone = (tf.errors.UnavailableError, tf.errors.AbortedError)
            told = isinstance(error, gone) or "ollective" in str(error)
            if self.workers == 1 or not told:
                raise
            lines = [line.strip() for line in str(error).splitlines() if line.strip()]
            reasons = [line for line in lines if "aborted by" in line]
            (reason,) = [*reasons, *lines, type(error).__name__][:1]
            raise WorkerLost(
                f"another of the {self.workers} workers has died or cannot be reached, see what it "
                f"says itself ({reason}). Training goes on from the last checkpoint when "
                "all workers are started again with the same command."
            ) from error

    def any(self, *asked: bool) -> list[bool]:
        """To each question, whether any worker says yes."""
        if self.workers == 1:
            return list(asked)
        return [bool(count) for count in self._summed([int(each) for each in asked], False).numpy()]

    def from_chief(self, value: Any) -> Any:
        """What the chief says.

        Args:
            value: JSON-able; read of the chief alone.
        """
        if self.workers == 1:
            return value
        said = json.dumps(value).encode() if self.is_chief else b""
        (size,) = self._summed([len(said)], True).numpy()
        return json.loads(self._bytes_of_chief(said, size))

    def from_all(self, value: Any) -> list[Any]:
        """What each worker says, in their order.

        Args:
            value: JSON-able, this worker's.
        """
        if self.workers == 1:
            return [value]
        said = json.dumps(value).encode()
        sizes = np.zeros(self.workers, np.int32)
        sizes[self.worker] = len(said)
        sizes = self._summed(sizes, False).numpy()
        words = -(-sizes // 4)
        ends = np.cumsum(words)
        places = [slice(end - count, end) for end, count in zip(ends, words, strict=True)]
        # Each has a place of its own in what is summed.
        padded = np.zeros(ends[-1], np.int32)
        padded[places[self.worker]].view(np.uint8)[: len(said)] = np.frombuffer(said, np.uint8)
        padded = self._summed(padded, False).numpy()
        parts = zip(places, sizes, strict=True)
        return [json.loads(padded[place].tobytes()[:size]) for place, size in parts]

    def take_chiefs(self, variables: Iterable[keras.Variable]) -> None:
        """Gives every worker the chief's values of these variables, to the bit."""
        if self.workers == 1:
            return
        for variable in variables:
            value = keras.ops.convert_to_numpy(variable)
            said = self._bytes_of_chief(value.tobytes(), value.nbytes)
            if not self.is_chief:
                variable.assign(np.frombuffer(said, value.dtype).reshape(value.shape))

    def _bytes_of_chief(self, said, size):
        padded = np.zeros(-(-int(size) // 4), np.int32)
        if self.is_chief:
            padded.view(np.uint8)[: len(said)] = np.frombuffer(said, np.uint8)
        return self._summed(padded, True).numpy().tobytes()[:size]
