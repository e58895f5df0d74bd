"""A training run on `keras.Model.fit` that can be broken off and gone on with."""

from collections.abc import Callable
from pathlib import Path

import keras
import tensorflow as tf
from rich.console import Console

from keras_ds2.training.agreement import Agreement
from keras_ds2.training.best_epochs import BestEpochs
from keras_ds2.training.callbacks import (
    ProgressDisplay,
    RunKeeper,
    TrainingInterrupted,
    ValidationScores,
)
from keras_ds2.training.checkpoints import FOLDER, CheckpointError, CheckpointStore
from keras_ds2.training.history import History
from keras_ds2.training.largest_batch import try_largest_batch
from keras_ds2.training.progress import EpochProgress

__all__ = ["TrainingInterrupted", "train"]


def train(
    model: keras.Model,
    make_dataset: Callable[[int, int], tf.data.Dataset],
    validate: Callable[[], tuple[dict[str, float], list[tuple[str, str]]]],
    *,
    folder: Path,
    epochs: int,
    steps_per_epoch: int,
    batch_size: float,
    largest_batch: tf.data.Dataset | None = None,
    keep_start: bool = False,
    average_best: int | None = None,
    monitor: str = "wer",
    early_stop_patience: int | None = None,
    primary: str = "wer",
    console: Console | None = None,
    agreement: Agreement | None = None,
) -> History:
    """Trains until the last epoch, from the beginning or from the newest checkpoint in `folder`.

    Ctrl-C and SIGTERM write a checkpoint after the step at hand. Of several workers the chief alone
    reads and writes the folder, and validates; the others get what it has read and found, and all
    stop after the same step, whichever is asked to.

    Args:
        model: compiled; of several replicas, with its optimiser built under their strategy.
        make_dataset: from `(epoch, step)` to the dataset that starts there and holds the batches of
            all epochs from then on; distributed where there are several replicas.
        validate: called by the chief; returns scores (`val_loss`, `val_wer`, `val_cer`) and pairs
            (said, recognised).
        folder: of the run: checkpoints, `best.weights.h5`, `log.csv` and `tensorboard/`.
        epochs: int, in all.
        steps_per_epoch: int.
        batch_size: float, mean utterances a step, for the progress display.
        largest_batch: dataset of one batch, tried before the first step; None for no such trial.
        keep_start: bool, whether the model as it comes is kept as the first checkpoint.
        average_best: int or None, how many of the best epochs are averaged at the end (see
            `training.best_epochs`).
        monitor: `"wer"`, `"cer"` or `"loss"`, of validation.
        early_stop_patience: int or None.
        primary: `"wer"` or `"cer"`, shown first of the validation's scores.
        console: for progress; None for one on standard output.
        agreement: among the workers; None for one worker.

    Returns:
        The history of all epochs.

    Raises:
        TrainingInterrupted: after the checkpoint, when asked to stop.
        TrainingError: if the loss is not finite, or memory does not suffice for `largest_batch`.
        CheckpointError: if the checkpoint to go on from is damaged, or its epochs had another
            number of steps.
    """
    console = console or Console()
    agreement = agreement or Agreement(tf.distribute.get_strategy())
    store = CheckpointStore(folder / FOLDER)
    state = agreement.from_chief(store.restore(model) if agreement.is_chief else None)
    if state is not None:
        agreement.take_chiefs([*model.variables, *model.optimizer.variables])
    else:
        state = {"epoch": 0, "step": 0, "history": [], "steps_per_epoch": steps_per_epoch}
        if keep_start and agreement.is_chief:
            model.optimizer.build(model.trainable_variables)
            store.save(model, {"iteration": 0, **state})
    epoch, step = state["epoch"], state["step"]
    before = state.get("steps_per_epoch", steps_per_epoch)
    if before != steps_per_epoch:
        raise CheckpointError(
            f"{store.saved()[-1]}: had {before} steps an epoch, now there are {steps_per_epoch}: "
            "the data have changed since. Name another folder to train on them, or put the data "
            "back as they were to go on."
        )
    history = History(state["history"])
    monitored = f"val_{monitor}"
    if (epoch, step) != (0, 0):
        console.print(f"going on from epoch {epoch + 1}, step {step + 1}", highlight=False)
    samples = []

    def scores():
        figures, samples[:] = validate()
        return figures

    def chiefs_scores():
        return agreement.from_chief(scores() if agreement.is_chief else None)

    progress = EpochProgress(console, primary)
    best_epochs = BestEpochs(folder, monitored, average_best) if average_best else None
    keeper = RunKeeper(
        folder,
        store,
        history,
        (epoch, step),
        monitor,
        early_stop_patience,
        best_epochs=best_epochs,
        agreement=agreement,
    )
    unfinished = epoch < epochs and not history.is_stale(monitored, early_stop_patience)
    if largest_batch is not None and unfinished:
        try_largest_batch(model, largest_batch)
    while epoch < epochs and not history.is_stale(monitored, early_stop_patience):
        # The rest of a broken epoch is a fit of its own, since Keras's epochs are equally long.
        last_epoch = epoch + 1 if step else epochs
        display = ProgressDisplay(
            progress, history, epochs, steps_per_epoch, step, batch_size, lambda: samples
        )
        callbacks = [ValidationScores(chiefs_scores), keeper]
        if agreement.is_chief:
            tensorboard = keras.callbacks.TensorBoard(folder / "tensorboard", write_graph=False)
            callbacks += [tensorboard, display]
        try:
            model.fit(
                make_dataset(epoch, step),
                epochs=last_epoch,
                initial_epoch=epoch,
                steps_per_epoch=steps_per_epoch - step,
                shuffle=False,
                verbose=0,
                callbacks=callbacks,
            )
        finally:
            progress.stop()
            keeper.give_back_signals()
        epoch, step = keeper.epoch, 0
    if best_epochs is not None and agreement.is_chief:
        best_epochs.try_average(model, scores, history, console)
    agreement.any(False)  # No worker leaves before the chief has done.
    return history
