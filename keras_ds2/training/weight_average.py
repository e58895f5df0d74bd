"""Optimisers that keep an exponential moving average of the weights, and its use."""

import contextlib
from collections.abc import Iterator

import keras
import tensorflow as tf

_WARM_UP = 9.0


class _AveragingMixin:
    """What the optimisers below do beside their steps.

    After update `t` (from 0) `average = momentum * average + (1 - momentum) * weights` with
    `momentum = min(ema_momentum, t / (t + 9))`: the first average is the weights themselves, and
    the average never reaches further back than about a tenth of the updates so far. Source of the
    rise: TensorFlow's `ExponentialMovingAverage` with `num_updates`, (1 + t) / (10 + t).

    Differs from Keras's own `use_ema`, whose variables, and so whose place in checkpoints, it
    uses: Keras has a constant momentum, counts batches where gradients are accumulated, and lets
    every `fit` end with the averages in place of the weights. Here the weights stay as they are
    until `averaged_weights` is asked for.
    """

    def _update_model_variables_moving_average(self, trainable_variables):
        updates = tf.cast(self.iterations, tf.float32)
        momentum = tf.minimum(float(self.ema_momentum), updates / (updates + _WARM_UP))
        if self.gradient_accumulation_steps:
            is_update = (self._iterations + 1) % self.gradient_accumulation_steps == 0
            momentum = tf.where(is_update, momentum, 1.0)

        def update_all(distribution, variables, averages, momentum):
            for variable, average in zip(variables, averages, strict=True):
                distribution.extended.update(
                    average, _move_average, args=(variable, momentum), group=False
                )

        tf.__internal__.distribute.interim.maybe_merge_call(
            update_all,
            self._distribution_strategy,
            [variable.value for variable in trainable_variables],
            [average.value for average in self._model_variables_moving_average],
            momentum,
        )

    def finalize_variable_values(self, var_list):
        """Leaves the weights as they are: `fit` calls this at its end."""

    def averages(self) -> list[tuple[keras.Variable, keras.Variable]]:
        """Pairs of a weight and its average; none before the first update."""
        if not self.built or not keras.ops.convert_to_numpy(self.iterations):
            return []
        return list(
            zip(self._trainable_variables, self._model_variables_moving_average, strict=True)
        )


def _move_average(average, variable, momentum):
    momentum = tf.cast(momentum, average.dtype)
    average.assign(momentum * average + (1 - momentum) * variable)


def _register(optimizer):
    return keras.saving.register_keras_serializable(package="keras_ds2")(optimizer)


@_register
class AveragingAdamW(_AveragingMixin, keras.optimizers.AdamW):
    """AdamW that averages the weights where `use_ema` is set."""


@_register
class AveragingAdam(_AveragingMixin, keras.optimizers.Adam):
    """Adam that averages the weights where `use_ema` is set."""


@_register
class AveragingSGD(_AveragingMixin, keras.optimizers.SGD):
    """SGD that averages the weights where `use_ema` is set."""


@contextlib.contextmanager
def averaged_weights(model: keras.Model) -> Iterator[None]:
    """Lets a model have the average of its weights, and gives it the weights back to the bit.

    Moving statistics of normalisation are averages already and stay as they are. Where the
    optimiser keeps no averages, or has made no update yet, nothing is changed.

    `keras.callbacks.SwapEMAWeights` swaps by sums and differences, which round, and puts the
    averages in place of the weights after the last epoch: a run gone on with would not be exact.

    Args:
        model: compiled.
    """
    optimizer = getattr(model.optimizer, "inner_optimizer", model.optimizer)
    pairs = optimizer.averages() if isinstance(optimizer, _AveragingMixin) else []
    weights = [keras.ops.convert_to_numpy(variable) for variable, _ in pairs]
    try:
        for variable, average in pairs:
            variable.assign(average)
        yield
    finally:
        for (variable, _), value in zip(pairs, weights, strict=True):
            variable.assign(value)
