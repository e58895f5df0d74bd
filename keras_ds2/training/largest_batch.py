"""The largest batch tried before the first step: memory fails in the first minute or not at all."""

from collections.abc import Callable

import keras
import tensorflow as tf

from keras_ds2.training.callbacks import TrainingError

_OUT_OF_MEMORY = ("out of memory", "resource_exhausted", "oom when", "failed to allocate")


def try_largest_batch(model: keras.Model, dataset: tf.data.Dataset) -> None:
    """Takes one training step and takes it back: everything is as before, to the bit.

    The step is `fit`'s own, with the optimiser's update, so that nothing is compiled twice and the
    memory is that of training. Weights, moving statistics, random states, metrics and the
    optimiser's variables are kept outside the device meanwhile.

    Args:
        model: compiled.
        dataset: of one batch, with the element specification of the training data; of several
            replicas, distributed.

    Raises:
        TrainingError: if memory does not suffice: which batch, and what to change.
    """
    if not model.optimizer.built:
        model.optimizer.build(model.trainable_variables)
    variables = [*model.variables, *model.optimizer.variables, *model.metrics_variables]
    before = [keras.ops.convert_to_numpy(variable).copy() for variable in variables]
    try:
        model.fit(dataset, steps_per_epoch=1, shuffle=False, verbose=0)
    except (tf.errors.OpError, MemoryError) as error:
        if not _is_out_of_memory(error):
            raise
        raise TrainingError(_message(_size(model, dataset), error)) from error
    for variable, value in zip(variables, before, strict=True):
        variable.assign(value)


def try_largest_validation(evaluate: Callable[[], object], rows: int, frames: int) -> None:
    """Evaluates a batch as large as the largest of validation, which changes nothing.

    Args:
        evaluate: does it.
        rows: int, utterances of it.
        frames: int, of the longest.

    Raises:
        TrainingError: if memory does not suffice: which batch, and what to change.
    """
    try:
        evaluate()
    except (tf.errors.OpError, MemoryError) as error:
        if not _is_out_of_memory(error):
            raise
        size = f" of validation, {rows} utterances x {frames} frames"
        raise TrainingError(_message(size, error)) from error


def _is_out_of_memory(error):
    return isinstance(error, MemoryError | tf.errors.ResourceExhaustedError) or _says_so(str(error))


def _says_so(text):
    return any(words in text.lower() for words in _OUT_OF_MEMORY)


def _size(model, dataset):
    inputs, labels, *_ = keras.tree.map_structure(
        lambda value: model.distribute_strategy.experimental_local_results(value)[0],
        next(iter(dataset)),
    )
    rows, frames = inputs["features"].shape[:2]
    symbols = labels["labels"].shape[1]
    return f", {rows} utterances x {frames} frames with {symbols} labels each"


def _message(size, error):
    lines = str(error).strip().splitlines() or [type(error).__name__]
    reason = next(filter(_says_so, lines), lines[0]).strip()[:200]
    return (
        f"memory does not suffice for the largest batch{size}, tried before the first step; "
        "nothing has been trained in this start. Lower training.batch_size or "
        "training.batch_frames (training.accumulate_steps makes up for it), leave long utterances "
        "out by data.max_seconds, or set training.mixed_precision on a GPU.\n"
        f"What was said: {reason}"
    )
