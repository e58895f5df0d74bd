"""A training run on `keras.Model.fit` that can be broken off and gone on with."""

from collections.abc import Callable
from pathlib import Path

import keras
import tensorflow as tf
from rich.console import Console

from keras_ds2.atomic_write import remove_drafts
from keras_ds2.training.agreement import Agreement
from keras_ds2.training.best_epochs import BestEpochs
from keras_ds2.training.callbacks import (
    SAVE_MINUTES,
    ProgressDisplay,
    RunKeeper,
    TrainingInterrupted,
    ValidationScores,
)
from keras_ds2.training.checkpoints import FOLDER, KEEP, CheckpointError, CheckpointStore
from keras_ds2.training.faults import Guard
from keras_ds2.training.history import History
from keras_ds2.training.largest_batch import try_largest_batch
from keras_ds2.training.progress import EpochProgress, warning
from keras_ds2.training.tensorboard import TensorBoard

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
    try_validation: Callable[[], None] | None = None,
    keep_start: bool = False,
    average_best: int | None = None,
    monitor: str = "wer",
    early_stop_patience: int | None = None,
    primary: str = "wer",
    save_minutes: float = SAVE_MINUTES,
    keep_checkpoints: int = KEEP,
    guard: Guard | None = None,
    console: Console | None = None,
    agreement: Agreement | None = None,
) -> History:
    """Trains until the last epoch, from the beginning or from the newest checkpoint in `folder`.

    Killed at any moment and called again it ends as if it had never been killed: same batches,
    same weights, same figures. Ctrl-C and SIGTERM write a checkpoint after the step at hand; a
    second one ends the process at once. A damaged checkpoint is told of and the one before taken.

    Of several workers the chief alone
    reads and writes the folder, and validates; the others get what it has read and found, and all
    stop after the same step, whichever is asked to.

    Args:
        model: compiled; of several replicas, with its optimiser built under their strategy.
        make_dataset: from `(epoch, step)` to the dataset that starts there: the batches of all
            epochs from then on, or where `step` is not 0 the rest of that one at the least;
            distributed where there are several replicas.
        validate: called by the chief; returns scores (`val_loss`, `val_wer`, `val_cer`) and pairs
            (said, recognised).
        folder: of the run: checkpoints, `best.weights.h5`, `log.csv` and `tensorboard/`.
        epochs: int, in all.
        steps_per_epoch: int.
        batch_size: float, mean utterances a step, for the progress display.
        largest_batch: dataset of one batch, tried before the first step; None for no such trial.
        try_validation: called before the first step, on the chief: raises where the largest batch
            of validation does not fit; None for no such trial.
        keep_start: bool, whether the model as it comes is kept as the first checkpoint.
        average_best: int or None, how many of the best epochs are averaged at the end (see
            `training.best_epochs`).
        monitor: `"wer"`, `"cer"` or `"loss"`, of validation.
        early_stop_patience: int or None.
        primary: `"wer"` or `"cer"`, shown first of the validation's scores.
        save_minutes: float, between checkpoints inside an epoch; one stands at each epoch's end.
        keep_checkpoints: int >= 1, how many of the newest are kept.
        guard: what is done about batches that the model passes over; None to stop at the first.
        console: for progress; None for one on standard output.
        agreement: among the workers; None for one worker.

    Returns:
        The history of all epochs.

    Raises:
        TrainingInterrupted: after the checkpoint, when asked to stop.
        TrainingError: if the loss is not finite, utterances cannot be read, checkpoints cannot be
            written, or memory does not suffice for `largest_batch`.
        CheckpointError: if there are checkpoints and none can be read, or its epochs had another
            number of steps.
    """
    console = console or Console()
    agreement = agreement or Agreement(tf.distribute.get_strategy())
    warn = warning(console)
    store = CheckpointStore(folder / FOLDER, keep_checkpoints)
    if agreement.is_chief:
        remove_drafts(folder)
    state = agreement.from_chief(store.restore(model, warn) if agreement.is_chief else None)
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
        newest = (store.saved() or [store.folder])[-1]
        raise CheckpointError(
            f"{newest}: had {before} steps an epoch, now there are {steps_per_epoch}: "
            "the data have changed since. Name another folder to train on them, or put the data "
            "back as they were to go on."
        )
    history = History(state["history"])
    monitored = f"val_{monitor}"
    if step == steps_per_epoch:
        console.print(f"going on with the validation of epoch {epoch + 1}", highlight=False)
    elif (epoch, step) != (0, 0):
        console.print(f"going on from epoch {epoch + 1}, step {step + 1}", highlight=False)
    samples = []

    def scores():
        with keeper.interruptible():
            figures, samples[:] = validate()
        return figures

    def chiefs_scores():
        found = None
        try:
            found = scores() if agreement.is_chief else None
        except TrainingInterrupted:
            if agreement.workers == 1:
                raise
        found = agreement.from_chief(found)
        if found is None:  # The chief leaves no other waiting.
            keeper.require_saved()
            raise TrainingInterrupted
        return found

    progress = EpochProgress(console, primary)
    best_epochs = BestEpochs(folder, monitored, average_best) if average_best else None
    keeper = RunKeeper(
        folder,
        store,
        history,
        (epoch, step),
        monitor,
        early_stop_patience,
        save_minutes,
        best_epochs=best_epochs,
        agreement=agreement,
        sums=state.get("sums"),
        in_a_row=state.get("in_a_row", 0),
        warn=warn,
        guard=guard,
    )
    unfinished = epoch < epochs and not history.is_stale(monitored, early_stop_patience)
    if largest_batch is not None and unfinished:
        try_largest_batch(model, largest_batch)
    if try_validation is not None and unfinished and agreement.is_chief:
        try_validation()
    while epoch < epochs and not history.is_stale(monitored, early_stop_patience):
        # The rest of a broken epoch is a fit of its own, since Keras's epochs are equally long.
        last_epoch = epoch + 1 if step else epochs
        display = ProgressDisplay(
            progress, history, epochs, steps_per_epoch, step, batch_size, lambda: samples
        )
        callbacks = [ValidationScores(chiefs_scores), keeper]
        if agreement.is_chief:
            # The keeper may stop training at an epoch's end: what must not miss it stands before.
            callbacks.insert(1, TensorBoard(folder / "tensorboard", warn))
            callbacks.append(display)
        try:
            if step == steps_per_epoch:
                _end_epoch(model, epoch, callbacks)
            else:
                model.fit(
                    make_dataset(epoch, step),
                    epochs=last_epoch,
                    initial_epoch=epoch,
                    steps_per_epoch=steps_per_epoch - step,
                    shuffle=False,
                    verbose=0,
                    callbacks=callbacks,
                )
        except Exception:
            keeper.save_steps_done()  # Whatever stops validation, no step is lost.
            raise
        finally:
            progress.stop()
            keeper.give_back_signals()
        epoch, step = keeper.epoch, 0
    keeper.require_saved()
    if best_epochs is not None and agreement.is_chief:
        best_epochs.try_average(model, scores, history, console)
    agreement.any(False)  # No worker leaves before the chief has done.
    return history


def _end_epoch(model, epoch, callbacks):
    """What `fit` does after an epoch's last step, of an epoch that was broken off there."""
    around = keras.callbacks.CallbackList(callbacks, model=model, epochs=epoch + 1, steps=0)
    around.on_train_begin()
    model.reset_metrics()
    around.on_epoch_begin(epoch)
    around.on_epoch_end(epoch, dict(model.get_metrics_result()))
    around.on_train_end()
