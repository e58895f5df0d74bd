"""Optimisers and how their rate goes."""

import keras
import tensorflow as tf

from keras_ds2.training.weight_average import AveragingAdam, AveragingAdamW, AveragingSGD


@keras.saving.register_keras_serializable(package="keras_ds2")
class Warmup(keras.optimizers.schedules.LearningRateSchedule):
    """Lets the rate rise in a straight line before another schedule sets in.

    Args:
        schedule: another schedule.
        warmup_steps: int >= 1, steps of the rise; the first step has a rate above 0.
        delay: bool, whether the other schedule counts its steps from the end of the rise, or from
            the first step on, so that the rise is a share of its rate.
    """

    def __init__(self, schedule, warmup_steps, delay=True):
        super().__init__()
        self.schedule = schedule
        self.warmup_steps = warmup_steps
        self.delay = delay

    def __call__(self, step):
        step = tf.cast(step, tf.float32)
        share = tf.minimum((step + 1) / self.warmup_steps, 1.0)
        delay = self.warmup_steps if self.delay else 0
        return share * self.schedule(tf.maximum(step - delay, 0.0))

    def get_config(self):
        schedule = keras.saving.serialize_keras_object(self.schedule)
        return {"schedule": schedule, "warmup_steps": self.warmup_steps, "delay": self.delay}

    @classmethod
    def from_config(cls, config):
        schedule = keras.saving.deserialize_keras_object(config["schedule"])
        return cls(**{**config, "schedule": schedule})


def build_schedule(
    kind: str,
    learning_rate: float,
    *,
    steps_per_epoch: int,
    epochs: int,
    warmup_steps: int = 0,
    anneal_factor: float = 1.2,
) -> keras.optimizers.schedules.LearningRateSchedule:
    """Builds the schedule of the learning rate.

    Args:
        kind: `"constant"`; `"cosine"`, to 0 at the last step; `"annealed"`, divided by
            `anneal_factor` after each epoch (the paper's, with 1.2), the epochs of the rise too.
        learning_rate: float, the highest rate.
        steps_per_epoch: int.
        epochs: int.
        warmup_steps: int >= 0.
        anneal_factor: float > 1.

    Returns:
        A Keras schedule.

    Raises:
        ValueError: if the kind is unknown.
    """
    schedules = keras.optimizers.schedules
    steps = max(epochs * steps_per_epoch - warmup_steps, 1)
    if kind == "constant":
        schedule = schedules.PolynomialDecay(learning_rate, steps, end_learning_rate=learning_rate)
    elif kind == "cosine":
        schedule = schedules.CosineDecay(learning_rate, steps)
    elif kind == "annealed":
        schedule = schedules.ExponentialDecay(
            learning_rate, steps_per_epoch, 1 / anneal_factor, staircase=True
        )
    else:
        raise ValueError(f"schedule: expected constant, cosine or annealed, received {kind!r}.")
    if not warmup_steps:
        return schedule
    # Annealing is bound to the epochs, so the rise must not shift it.
    return Warmup(schedule, warmup_steps, delay=kind != "annealed")


def build_optimizer(
    name: str,
    schedule: keras.optimizers.schedules.LearningRateSchedule,
    *,
    clip_norm: float | None = None,
    weight_decay: float | None = None,
    momentum: float | None = None,
    nesterov: bool | None = None,
    ema_momentum: float | None = None,
    accumulate_steps: int = 1,
) -> keras.optimizers.Optimizer:
    """Builds the optimiser.

    Args:
        name: `"adamw"`, `"adam"` or `"sgd"`.
        schedule: of the learning rate.
        clip_norm: the largest norm of all gradients together; None for any.
        weight_decay: decoupled, of matrices and kernels only (not of biases and normalisation).
        momentum: of `"sgd"`.
        nesterov: of `"sgd"`.
        ema_momentum: float in (0, 1), of an exponential moving average of the weights (see
            `training.weight_average`); None for none.
        accumulate_steps: int >= 1, batches whose mean gradient makes one update; clipping and decay
            apply to the update. The schedule counts batches learnt from (those passed over, and
            overflows of half precision, do not count), Adam's moments and `ema_momentum` count
            updates. A group of batches may begin in one epoch and end in the next.

    Returns:
        A Keras optimiser.

    Raises:
        ValueError: if the name is unknown.
    """
    optimizers = {
        "adamw": keras.optimizers.AdamW,
        "adam": keras.optimizers.Adam,
        "sgd": keras.optimizers.SGD,
    }
    averaging = {"adamw": AveragingAdamW, "adam": AveragingAdam, "sgd": AveragingSGD}
    if name not in optimizers:
        raise ValueError(f"optimizer: expected {', '.join(optimizers)}, received {name!r}.")
    given = {"weight_decay": weight_decay, "momentum": momentum, "nesterov": nesterov}
    given = {key: value for key, value in given.items() if value is not None}
    if ema_momentum is not None:
        optimizers = averaging
        given.update(use_ema=True, ema_momentum=ema_momentum)
    if accumulate_steps > 1:
        given.update(gradient_accumulation_steps=accumulate_steps)
    optimizer = optimizers[name](schedule, global_clipnorm=clip_norm, **given)
    if optimizer.weight_decay:
        optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    return optimizer
