"""Workers without processes: what they say goes from thread to thread, or is given."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import tensorflow as tf

from keras_ds2.training.agreement import Agreement


def together(act, workers=2):
    """Calls `act(agreement)` for so many workers at once; returns what each has returned."""
    said = [None] * workers
    barrier = threading.Barrier(workers, timeout=60)

    def of(worker):
        agreement = Agreement(tf.distribute.get_strategy())
        agreement.workers, agreement.worker = workers, worker
        agreement.is_chief = worker == 0

        def summed(values, of_chief):
            silent = of_chief and worker
            values = np.asarray(values, np.int32)
            said[worker] = np.zeros_like(values) if silent else values
            barrier.wait()
            total = np.sum(said, axis=0, dtype=np.int32)
            barrier.wait()
            return tf.constant(total)

        agreement._summed = summed
        return agreement

    with ThreadPoolExecutor(workers) as threads:
        futures = [threads.submit(act, of(worker)) for worker in range(workers)]
        return [future.result() for future in futures]


class OneOfTwo(Agreement):
    """One of two workers; the other is of its opinion.

    Args:
        worker: which, 0 for the chief.
        others_words: what the other says when all are asked.
    """

    def __init__(self, worker=0, others_words=None):
        super().__init__(tf.distribute.get_strategy())
        self.workers, self.worker, self.is_chief = 2, worker, worker == 0
        self.others_words = others_words

    def any(self, *asked):
        return list(asked)

    def from_chief(self, value):
        return json.loads(json.dumps(value))

    def from_all(self, value):
        words = [value, self.others_words]
        return words if self.is_chief else words[::-1]

    def take_chiefs(self, variables):
        pass
