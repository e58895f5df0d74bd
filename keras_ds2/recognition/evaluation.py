"""A run scored on a manifest."""

import dataclasses
import os
from collections.abc import Callable

from rich.console import Console

from keras_ds2.data.checking import Example, Skipped, check_utterances
from keras_ds2.data.dataset import evaluation_dataset
from keras_ds2.data.manifest import ManifestError, read_manifest
from keras_ds2.decoding import GreedyDecoder
from keras_ds2.evaluation.evaluator import Evaluation, Evaluator
from keras_ds2.evaluation.report import group_scores, group_table, report_table, worst_utterances
from keras_ds2.recognition.recognizer import load_best_weights
from keras_ds2.recognition.run_folder import read_configuration
from keras_ds2.text.normalization import normalizer


@dataclasses.dataclass(frozen=True)
class RunEvaluation:
    """What `evaluate_run` found.

    Attributes:
        evaluation: score, references and hypotheses; the skipped utterances are counted in it.
        examples: the utterances it covers, in the same order.
        skipped: those that could not be read.
        ignore_spaces: whether the character error rate counts no spaces.
        primary: `"wer"` or `"cer"`, the rate that stands first.
    """

    evaluation: Evaluation
    examples: list[Example]
    skipped: list[Skipped]
    ignore_spaces: bool
    primary: str


def evaluate_run(
    run: str | os.PathLike,
    manifest: str | os.PathLike,
    *,
    batch_size: int = 16,
    progress: Callable[[int], None] | None = None,
) -> RunEvaluation:
    """Recognises a manifest's utterances and scores them.

    References are normalised as in training and otherwise whole: symbols that the alphabet lacks
    count as errors. Utterances that cannot be read are left out of the score, counted and returned.

    Args:
        run: a run folder.
        manifest: JSON lines with texts.
        batch_size: utterances recognised together; the transcripts do not depend on it.
        progress: called with the number of utterances of each batch.

    Returns:
        A `RunEvaluation`.

    Raises:
        RunFolderError: if the run cannot be used.
        ManifestError: if the manifest cannot be used, or not one of its utterances can be read.
        ValueError: if the batch size is not positive.
    """
    if batch_size < 1:
        raise ValueError(f"batch size: expected >= 1, received {batch_size}")
    configuration = read_configuration(run)
    utterances = read_manifest(manifest)
    model = configuration["model"]
    load_best_weights(model, run)
    examples, skipped = check_utterances(
        utterances,
        configuration["front_end"],
        configuration["alphabet"],
        normalizer(configuration["language"]),
        model.time_strides,
        keep_unknown_symbols=True,
        keep_unfit=True,
    )
    if not examples:
        shown = "\n".join(f"  {each}" for each in skipped[:20])
        raise ManifestError(f"{manifest}: not one utterance can be scored:\n{shown}")
    # Like lengths together, so that little is padded.
    examples.sort(key=lambda example: example.frames)
    ignore_spaces = configuration["ignore_spaces"]
    decoder = GreedyDecoder(configuration["alphabet"])
    evaluator = Evaluator(model, decoder, model.num_bins, ignore_spaces)
    dataset = evaluation_dataset(examples, configuration["front_end"], batch_size=batch_size)
    evaluation = evaluator.evaluate(dataset, [example.text for example in examples], progress)
    score = dataclasses.replace(evaluation.score, skipped=len(skipped))
    evaluation = dataclasses.replace(evaluation, score=score)
    return RunEvaluation(evaluation, examples, skipped, ignore_spaces, configuration["primary"])


def print_evaluation(result: RunEvaluation, console: Console, by_speaker: bool = False) -> None:
    """Prints the score, the worst utterances and what was skipped.

    Args:
        result: what `evaluate_run` returned.
        console: where.
        by_speaker: whether to add a table of speakers.
    """

    def say(text):
        console.print(text, highlight=False, markup=False, soft_wrap=True)

    evaluation = result.evaluation
    texts = evaluation.references, [each.text for each in evaluation.hypotheses]
    say(report_table(evaluation.score, result.primary))
    if by_speaker:
        speakers = [example.utterance.speaker for example in result.examples]
        scores = group_scores(*texts, speakers, ignore_spaces=result.ignore_spaces)
        say(f"\n{group_table(scores, 'speaker', result.primary)}")
    places = [example.utterance.filepath for example in result.examples]
    worst = worst_utterances(*texts, places, ignore_spaces=result.ignore_spaces)
    if worst:
        say("\nmost errors:")
    for each in worst:
        say(f"{each.where}\n{each.alignment}")
    for skipped in result.skipped:
        say(f"skipped {skipped}")
