"""A run scored on a manifest."""

import os
from collections.abc import Callable

from keras_ds2.data.checking import Skipped, check_utterances
from keras_ds2.data.dataset import evaluation_dataset
from keras_ds2.data.manifest import Utterance, read_manifest
from keras_ds2.decoding import GreedyDecoder
from keras_ds2.evaluation.evaluator import Evaluation, Evaluator
from keras_ds2.recognition.recognizer import load_best_weights
from keras_ds2.recognition.run_folder import read_configuration
from keras_ds2.text.normalization import normalizer


def evaluate_run(
    run: str | os.PathLike,
    manifest: str | os.PathLike,
    *,
    batch_size: int = 16,
    progress: Callable[[int], None] | None = None,
) -> tuple[Evaluation, list[Utterance], list[Skipped]]:
    """Recognises a manifest's utterances and scores them.

    References are normalised as in training and otherwise whole: symbols that the alphabet lacks
    count as errors. Utterances that cannot be read are left out of the score and returned.

    Args:
        run: a run folder.
        manifest: JSON lines with texts.
        batch_size: utterances recognised together; the transcripts do not depend on it.
        progress: called with the number of utterances of each batch.

    Returns:
        The evaluation, the utterances it covers, and those left out.

    Raises:
        RunFolderError: if the run cannot be used.
        ManifestError: if the manifest cannot be used, or not one of its utterances can be read.
    """
    configuration = read_configuration(run)
    model = configuration["model"]
    load_best_weights(model, run)
    examples, skipped = check_utterances(
        read_manifest(manifest),
        configuration["front_end"],
        configuration["alphabet"],
        normalizer(configuration["language"]),
        model.time_strides,
        keep_unknown_symbols=True,
        keep_unfit=True,
    )
    # Like lengths together, so that little is padded.
    examples.sort(key=lambda example: example.frames)
    evaluator = Evaluator(
        model,
        GreedyDecoder(configuration["alphabet"]),
        model.num_bins,
        configuration["ignore_spaces"],
    )
    dataset = evaluation_dataset(examples, configuration["front_end"], batch_size=batch_size)
    evaluation = evaluator.evaluate(dataset, [example.text for example in examples], progress)
    return evaluation, [example.utterance for example in examples], skipped
