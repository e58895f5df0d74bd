"""Mends `keras.Model.fit` under `MultiWorkerMirroredStrategy`.

Keras 3.15 fails there at two places, keras-team/keras#20585; at the first of them it fails under
`MirroredStrategy` too, where replicas' labels are not equally wide. When a Keras does not,
`tests/models/multi_worker_fit_test.py` says so: delete this file then, and the base class
`MultiWorkerFit` of `DeepSpeech2`.
"""

import keras
import tensorflow as tf


class MultiWorkerFit:
    """Mixin before `keras.Model`: the two overrides; without a strategy they change nothing."""

    def _maybe_symbolic_build(self, iterator=None, data_batch=None):
        """Builds on what one replica gets: Keras takes the mean of all replicas' shares."""
        if iterator is not None and self._distribute_strategy is not None:
            of_replicas = self._distribute_strategy.experimental_local_results
            _, _, batches = next(iter(iterator))
            data_batch = keras.tree.map_structure(
                lambda value: of_replicas(value)[0], next(batches)
            )
            iterator = None
        super()._maybe_symbolic_build(iterator=iterator, data_batch=data_batch)

    def train_step(self, data):
        return self._with_an_axis(super().train_step(data))

    def test_step(self, data):
        return self._with_an_axis(super().test_step(data))

    def _with_an_axis(self, metrics):
        """Metrics `(1,)`: Keras reduces them over their axis 0 besides over the workers."""
        if not _reduces_over_workers(self.distribute_strategy):
            return metrics
        return keras.tree.map_structure(lambda value: tf.reshape(value, [1]), metrics)


def _reduces_over_workers(strategy):
    # As Keras asks.
    return isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy) and (
        strategy.extended._in_multi_worker_mode()
    )
