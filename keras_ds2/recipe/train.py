"""A recipe trained into a run folder."""

import contextlib
import dataclasses
import hashlib
import json
import math
import os
from pathlib import Path

from rich.console import Console

from keras_ds2.atomic_write import write_text_atomically
from keras_ds2.data.dataset import (
    count_training_batches,
    evaluation_dataset,
    largest_evaluation_batch,
    made_up_batch,
    plan_training_epoch,
    training_dataset,
)
from keras_ds2.data.kept_examples import NAME as EXAMPLES
from keras_ds2.data.kept_examples import format_examples, parse_examples
from keras_ds2.data.service import DataService
from keras_ds2.decoding import GreedyDecoder
from keras_ds2.evaluation.evaluator import Evaluator
from keras_ds2.recipe.build import DataError, build
from keras_ds2.recipe.equal_workers import refuse_unequal, require_equal_recipes
from keras_ds2.recipe.load import save_recipe
from keras_ds2.recipe.output_folder import (
    INITIAL,
    RECIPE,
    check_alphabet,
    check_output,
    examples_to_go_on_with,
    has_begun,
    weights_source,
)
from keras_ds2.recipe.schema import Recipe
from keras_ds2.recognition.run_folder import read_statistics, write_configuration
from keras_ds2.recognition.transfer import transfer_weights
from keras_ds2.training.agreement import Agreement
from keras_ds2.training.callbacks import FAULTS
from keras_ds2.training.cluster import read_cluster
from keras_ds2.training.distribution import DistributionError, make_strategy
from keras_ds2.training.faults import Faults, Guard, most_unread
from keras_ds2.training.history import History
from keras_ds2.training.largest_batch import try_largest_validation
from keras_ds2.training.progress import warning
from keras_ds2.training.schedules import build_optimizer, build_schedule
from keras_ds2.training.trainer import train

SKIPPED = "skipped.txt"


def train_recipe(
    recipe: Recipe,
    output: str | os.PathLike,
    console: Console | None = None,
    init_from: str | os.PathLike | None = None,
) -> History:
    """Trains a recipe; where `output` holds a run of the same recipe, goes on with it.

    Args:
        recipe: what to train.
        output: the run folder: recipe, alphabet, configuration, weights, checkpoints, `log.csv`,
            `tensorboard/`, `skipped.txt` with the utterances left out, `examples.jsonl` with those
            trained on, which a run that goes on keeps to, and `faults.txt` with what was passed
            over later; with `init_from`, `initial_weights.json` with what was taken over; with
            `training.average_best`, `best_epochs/` and `average.json`.
        console: for progress; None for one on standard output.
        init_from: folder of another run whose best weights a new run begins with, as far as they
            fit (see `recognition.transfer`); a run that goes on does not read them again.

    Returns:
        The history of all epochs.

    Raises:
        OutputError: if the folder cannot be used. Nothing is written then.
        RunFolderError: if `init_from` cannot be read, or nothing of it fits.
        DistributionError, ClusterError: if the strategy cannot be had here, or this worker has
            another recipe or other data than the chief.
        DataServiceError: if `data.service` cannot be reached, or sends no batches any more.
        WorkerLost: if another worker has died, or has another recipe or other data.
        DataError, ManifestError, UnknownSymbolError: about the data.
        ChangedDataError: if other data were trained on before.
        ValueError: if an utterance is longer than `training.batch_frames`.
        TrainingInterrupted, TrainingError, CheckpointError: see `training.trainer.train`.
    """
    training = recipe.training
    console = console or Console()
    if training.strategy == "multi_worker":
        cluster = read_cluster()
        if cluster.index == 0:
            console.print(f"waiting for the workers {', '.join(cluster.workers)}", highlight=False)
    strategy = make_strategy(training.strategy, **_given(replicas=training.replicas))
    agreement = Agreement(strategy)
    if not agreement.is_chief:
        console = Console(quiet=True)
    service = None
    if recipe.data.service is not None:
        stderr = Console(stderr=True)  # heard of every worker
        service = DataService(recipe.data.service, warning(stderr))
        service.require_reachable()
    told = contextlib.nullcontext() if service is None else service.losses_told()
    with agreement.losses_told(), told:
        require_equal_recipes(recipe, agreement)
        return _train(
            recipe.with_absolute_folder(),
            Path(output),
            init_from,
            console,
            strategy,
            agreement,
            service,
        )


def _train(recipe, folder, init_from, console, strategy, agreement, service):
    training = recipe.training
    replicas = strategy.num_replicas_in_sync
    if training.batch_size is not None and replicas > training.batch_size:
        raise DistributionError(
            f"training.batch_size: expected at least {replicas}, one utterance for each of the "
            f"{replicas} replicas that share a batch, received {training.batch_size}"
        )
    source, kept = None, None
    if agreement.is_chief:
        check_output(folder, recipe)
        source = weights_source(folder, init_from)
        kept = examples_to_go_on_with(folder)
    kept = agreement.from_chief(kept)  # the others need not see its folder
    kept = None if kept is None else parse_examples(kept)
    built = build(recipe, console, strategy, kept)
    if kept is not None and built.front_end.is_measured and agreement.is_chief:
        read_statistics(folder, built.front_end)
    _require_equal_data(built, agreement)
    size = _given(batch_size=training.batch_size, batch_frames=training.batch_frames)
    batching = {**size, **_given(num_buckets=training.num_buckets)}
    batches = count_training_batches(
        built.train, built.front_end, augmentation=built.augmentation, **batching
    )
    _check_updates(training, batches)
    transfer = None
    ignore_spaces = recipe.text.language == "mandarin"
    if agreement.is_chief:
        check_alphabet(folder, built.alphabet)
        _report_data(built, batches, console)
        _report_replicas(replicas, agreement.workers, console)
        if source is not None:
            transfer = transfer_weights(built.model, built.alphabet, built.front_end, source)
            console.print(transfer.summary(), highlight=False, markup=False, soft_wrap=True)
        folder.mkdir(parents=True, exist_ok=True)
        save_recipe(recipe, folder / RECIPE)
        write_configuration(
            folder,
            built.model,
            built.front_end,
            built.alphabet,
            recipe.text.language,
            ignore_spaces,
            recipe.evaluation.primary,
        )
        lines = "".join(f"{each}\n" for each in built.skipped)
        write_text_atomically(folder / SKIPPED, lines)
        if transfer is not None:
            text = json.dumps(dataclasses.asdict(transfer), indent=1, ensure_ascii=False)
            write_text_atomically(folder / INITIAL, text + "\n")
        if not has_begun(folder):
            content = format_examples(built.utterances, built.train, built.skipped)
            write_text_atomically(folder / EXAMPLES, content)
    if agreement.from_chief(transfer is not None):
        agreement.take_chiefs(built.model.variables)

    schedule = build_schedule(
        training.schedule,
        training.learning_rate,
        steps_per_epoch=batches.steps_per_epoch,
        epochs=training.epochs,
        warmup_steps=training.warmup_steps,
        **_given(anneal_factor=training.anneal_factor),
    )
    with strategy.scope():
        built.model.compile(
            build_optimizer(
                training.optimizer,
                schedule,
                clip_norm=training.clip_norm,
                weight_decay=training.weight_decay,
                momentum=training.momentum,
                nesterov=training.nesterov,
                ema_momentum=training.ema_momentum,
                accumulate_steps=training.accumulate_steps,
            )
        )
        built.model.optimizer.build(built.model.trainable_variables)

    plan = {"seed": training.seed, "sorta_grad": training.sorta_grad, **batching}
    guard = _guard(built, recipe, plan, _faults(folder, agreement, console))
    built.model.needs_all_read = recipe.data.on_error == "stop"

    def make_dataset(epoch, step, **shares):
        return training_dataset(
            built.train,
            built.front_end,
            epochs=epoch + 1 if step else training.epochs,  # as `train` asks
            first_epoch=epoch,
            first_step=step,
            augmentation=built.augmentation,
            unread=_named(guard.faults.add, agreement),
            service=service,
            **plan,
            **shares,
        )

    def make_shares(epoch, step):
        def of_worker(context):
            count = replicas // context.num_input_pipelines
            first = context.input_pipeline_id * count
            return make_dataset(epoch, step, replicas=replicas, own=range(first, first + count))

        return strategy.distribute_datasets_from_function(of_worker)

    def make_largest(**shares):
        return made_up_batch(built.front_end, len(built.alphabet), *batches.largest, **shares)

    def make_largest_shares():
        return strategy.distribute_datasets_from_function(lambda _: make_largest(replicas=replicas))

    alone = training.strategy == "default"
    validate, try_validation = _validation(
        built, size, ignore_spaces, recipe.data, guard.faults, batches.largest
    )
    return train(
        built.model,
        make_dataset if alone else make_shares,
        validate,
        folder=folder,
        epochs=training.epochs,
        steps_per_epoch=batches.steps_per_epoch,
        batch_size=len(built.train) / batches.steps_per_epoch,
        largest_batch=make_largest() if alone else make_largest_shares(),
        try_validation=try_validation,
        keep_start=transfer is not None,
        average_best=training.average_best,
        monitor=training.monitor,
        early_stop_patience=training.early_stop_patience,
        primary=recipe.evaluation.primary,
        guard=guard,
        console=console,
        agreement=agreement,
        **_given(save_minutes=training.save_minutes, keep_checkpoints=training.keep_checkpoints),
    )


def _check_updates(training, batches):
    in_all = training.epochs * batches.steps_per_epoch
    if training.accumulate_steps > in_all:
        raise DataError(
            "training.accumulate_steps: expected at most the batches of the whole training, "
            f"{training.epochs} epochs of {batches.steps_per_epoch}, received "
            f"{training.accumulate_steps}: there would be no update at all"
        )


def _require_equal_data(built, agreement):
    """Every worker plans the batches by itself: they must have the same to plan with."""
    digest = hashlib.sha256()
    for example in built.train:
        digest.update(f"{example.frames} {example.labels.tolist()}\n".encode())
    digest = digest.hexdigest()
    equal = agreement.from_chief(digest) == digest
    refuse_unequal(
        agreement,
        None
        if equal
        else "data.train_manifest: this worker has other training data than the chief (another "
        "manifest, other files, or files that it cannot read); give all workers the same",
    )
    agreement.take_chiefs(built.front_end.weights)


def _report_replicas(replicas, workers, console):
    if replicas > 1:
        machines = f" of {workers} workers" if workers > 1 else ""
        console.print(f"{replicas} replicas{machines} share each batch", highlight=False)


def _faults(folder, agreement, console):
    """The chief tells and keeps what any worker could not read."""
    return Faults(folder / FAULTS if agreement.is_chief else None, warning(console))


def _named(add, agreement):
    """A worker's files may be its own machine's: what it could not read names it."""
    if agreement.is_chief:
        return add
    return lambda fault: add(f"worker {agreement.worker}: {fault}")


def _guard(built, recipe, plan, faults):
    def describe(epoch, step):
        batches = plan_training_epoch(
            built.train, built.front_end, augmentation=built.augmentation, epoch=epoch, **plan
        )
        return [built.train[index].utterance.where for index in batches[step].indices]

    return Guard(
        faults,
        describe,
        skips_not_finite=recipe.training.on_nan == "skip",
        most_unread=_most_unread(built.train, recipe.data),
    )


def _most_unread(examples, data):
    if data.on_error == "stop":
        return 0
    return most_unread(len(examples), **_given(share=data.max_error_share))


def _validation(built, size, ignore_spaces, data, faults, largest_trained):
    examples = sorted(built.validation, key=lambda example: example.frames)
    references = [example.text for example in examples]
    model = built.model
    evaluator = Evaluator(model, GreedyDecoder(built.alphabet), model.num_bins, ignore_spaces)
    dataset = evaluation_dataset(examples, built.front_end, unread=faults.add, **size)
    most = _most_unread(examples, data)
    shown = sorted({len(examples) * part // 6 for part in (1, 3, 5)})

    def validate():
        evaluation = evaluator.evaluate(dataset, references)
        faults.tell()
        faults.check_unread("validation", evaluation.unread, most)
        scores = {
            "val_loss": evaluation.loss,
            "val_wer": evaluation.score.wer,
            "val_cer": evaluation.score.cer,
        }
        return scores, [(references[i], evaluation.hypotheses[i].text) for i in shown]

    def try_largest():
        rows, frames = largest_evaluation_batch(examples, **size)
        if rows * frames <= math.prod(largest_trained[:2]):
            return  # training takes more
        batch = made_up_batch(built.front_end, len(built.alphabet), rows, frames, 1)
        try_largest_validation(lambda: evaluator.evaluate(batch, ["a"] * rows), rows, frames)

    return validate, try_largest


def _report_data(built, batches, console):
    model = built.model
    delay = "whole utterance" if model.delay_ms is None else f"{model.delay_ms:g} ms"
    rows, frames, symbols = batches.largest
    hours = sum(example.utterance.duration for example in built.train) / 3600
    console.print(
        f"training on {len(built.train)} utterances ({hours:.2f} h), choosing by "
        f"{len(built.validation)}; {built.left_out} left out by length, {len(built.skipped)} "
        "skipped as unusable\n"
        f"{model.count_params() / 1e6:.2f} M parameters, {len(built.alphabet)} symbols with blank, "
        f"a step every {model.step_ms:g} ms, context ahead: {delay}\n"
        f"{batches.steps_per_epoch} batches an epoch, of at most {batches.shapes} shapes: kernels "
        "are compiled when each comes first\n"
        f"the largest, tried first: {rows} utterances x {frames} frames, {symbols} labels each",
        highlight=False,
    )
    warn = warning(console)
    for skipped in built.skipped[:10]:
        warn(f"  skipped {skipped}")
    if len(built.skipped) > 10:
        warn(f"  ... all of them in {SKIPPED}")
    if built.unread:
        warn(
            f"sound when this run began, now unreadable: {len(built.unread)} of them; each keeps "
            "its place and is passed over there, or stops the run, as data.on_error says"
        )
    for unread in built.unread[:10]:
        warn(f"  unreadable {unread}")
    if len(built.unread) > 10:
        warn(f"  ... and {len(built.unread) - 10} more")


def _given(**values):
    return {key: value for key, value in values.items() if value is not None}
