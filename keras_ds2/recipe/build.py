"""From a recipe to the objects it names."""

import dataclasses
from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf
from rich.console import Console

from keras_ds2.data.augmentation import Augmentation
from keras_ds2.data.checking import Example, Skipped, check_utterances
from keras_ds2.data.dataset import feature_dataset
from keras_ds2.data.kept_examples import KeptExample, match_examples
from keras_ds2.data.manifest import ManifestError, Utterance, read_manifest
from keras_ds2.features.front_end import FeatureFrontEnd
from keras_ds2.models import DeepSpeech2, build_model
from keras_ds2.recipe.build_augmentation import build_augmentation
from keras_ds2.recipe.schema import Recipe
from keras_ds2.text.alphabet import Alphabet, UnknownSymbolError
from keras_ds2.text.collection import collect_alphabet
from keras_ds2.text.english import english_alphabet
from keras_ds2.text.mandarin import mandarin_alphabet
from keras_ds2.text.normalization import normalizer
from keras_ds2.training.progress import counting


class DataError(ValueError):
    """The recipe's data are absent or cannot be used: the message says how to get them."""


@dataclasses.dataclass(frozen=True)
class Built:
    """All objects of a training run.

    Attributes:
        utterances: all of the training data, those not trained on too.
        unread: of a run that goes on: examples that cannot be read any more.
    """

    model: DeepSpeech2
    front_end: FeatureFrontEnd
    alphabet: Alphabet
    augmentation: Augmentation
    train: list[Example]
    validation: list[Example]
    skipped: list[Skipped]
    left_out: int
    utterances: list[Utterance]
    unread: list[Skipped]


def build(
    recipe: Recipe,
    console: Console,
    strategy: tf.distribute.Strategy | None = None,
    kept: Sequence[KeptExample] | None = None,
) -> Built:
    """Builds all that a recipe names: reads and checks the data on the way.

    Args:
        recipe: checked.
        console: for progress.
        strategy: that the model is made under, or None.
        kept: the examples of a run that goes on: the same are taken, whatever can be read of them.
            The front end's statistics are left to the caller. None for a new run.

    Returns:
        The objects; the model is not compiled yet.

    Raises:
        DataError: if the data are absent, or nothing usable is left of them.
        ManifestError: if a manifest is faulty.
        ChangedDataError: if the training data are not those of `kept`.
        RecordingsError: if none of noise or of impulse responses is usable.
        UnknownSymbolError: if `data.unknown_symbols` is "error" and there are any.
    """
    keras.utils.set_random_seed(recipe.training.seed % 2**32)
    train, validation = split_utterances(recipe, require_files=kept is None)
    normalize = normalizer(recipe.text.language)
    matched = None if kept is None else match_examples(kept, train, normalize)
    alphabet = build_alphabet(recipe, [normalize(utterance.text) for utterance in train])
    if recipe.data.unknown_symbols == "error":
        transcripts = [(normalize(each.text), each.where) for each in train]
        try:
            alphabet.require_known(transcripts)
        except UnknownSymbolError as error:
            remedy = "Or set data.unknown_symbols: skip to leave these utterances out."
            raise UnknownSymbolError(f"{error}\n{remedy}", error.symbols) from None
    front_end = FeatureFrontEnd(**recipe.features.given())
    with (strategy or tf.distribute.get_strategy()).scope():
        model = build_model(
            recipe.model.variant,
            vocabulary_size=len(alphabet),
            num_bins=front_end.num_output_bins,
            hop_ms=front_end.hop_ms,
            dtype=recipe.training.mixed_precision,
            **recipe.model.given("variant"),
        )
    augmentation = build_augmentation(recipe, front_end.sampling_rate, console)
    if matched is None:
        chosen = [each for each in train if _has_length(each, recipe)]
    else:
        chosen = [utterance for utterance, _ in matched.trained]
    total = len(chosen) + len(validation)
    with counting(console, "reading every utterance once", total) as advance:

        def check(utterances, **keep):
            return check_utterances(
                utterances,
                front_end,
                alphabet,
                normalize,
                model.time_strides,
                progress=advance,
                **keep,
            )

        keep_all = {"keep_unknown_symbols": True, "keep_unfit": True}
        examples, skipped = check(chosen, **({} if matched is None else keep_all))
        held_out, skipped_held_out = check(validation, **keep_all)
    for name, usable in (("train", examples), ("validation", held_out)):
        if not usable:
            shown = "\n".join(f"  {each}" for each in [*skipped, *skipped_held_out][:20])
            raise DataError(f"data.{name}: not one usable utterance is left.\n{shown}")
    left_out, unread = len(train) - len(chosen), []
    if matched is not None:
        examples = matched.with_unread(examples, normalize, alphabet)
        left_out, skipped, unread = matched.left_out, matched.skipped, skipped
        front_end.ensure_built()
    elif front_end.is_measured:
        front_end.adapt(feature_dataset(examples, front_end))
    return Built(
        model=model,
        front_end=front_end,
        alphabet=alphabet,
        augmentation=augmentation,
        train=examples,
        validation=held_out,
        skipped=[*skipped, *skipped_held_out],
        left_out=left_out,
        utterances=train,
        unread=unread,
    )


def build_alphabet(recipe: Recipe, transcripts: Sequence[str]) -> Alphabet:
    """Builds the alphabet that `text.alphabet` names.

    Args:
        recipe: its `text` section is read.
        transcripts: of training, normalised.
    """
    if recipe.text.alphabet == "english":
        return english_alphabet()
    collect = mandarin_alphabet if recipe.text.alphabet == "mandarin" else collect_alphabet
    return collect(transcripts, min_count=recipe.text.min_count)


def split_utterances(
    recipe: Recipe, require_files: bool = True
) -> tuple[list[Utterance], list[Utterance]]:
    """Reads the manifests: what to train on, and what to choose by.

    Args:
        recipe: its `data` section is read.
        require_files: whether an audio file that is not there is a fault; one to choose by always
            is where `data.on_error` is "stop".

    Raises:
        DataError: if a manifest is absent, or the speakers to hold out are not there.
        ManifestError: if a manifest is faulty.
    """
    train = _read(recipe, "train_manifest", require_files)
    if recipe.data.validation_manifest is not None:
        require_files = require_files or recipe.data.on_error == "stop"
        return train, _read(recipe, "validation_manifest", require_files)
    if recipe.data.validation_share is not None and recipe.data.validation_split_by == "utterance":
        held_out = _draw(range(len(train)), recipe)
        return (
            [each for index, each in enumerate(train) if index not in held_out],
            [each for index, each in enumerate(train) if index in held_out],
        )
    speakers = sorted({each.speaker for each in train if each.speaker is not None})
    nameless = [each.where for each in train if each.speaker is None]
    if nameless:
        raise DataError(
            f"{nameless[0]}: no speaker ({len(nameless)} such lines); to hold speakers out of "
            "training each line needs one; or give data.validation_manifest"
        )
    if recipe.data.validation_speakers is not None:
        held_out = set(recipe.data.validation_speakers)
        missing = sorted(held_out - set(speakers))
        if missing:
            raise DataError(
                f"data.validation_speakers: not in {recipe.data.path('train_manifest')}: "
                f"{', '.join(missing)}; its speakers are {', '.join(speakers)}"
            )
    else:
        held_out = _draw(speakers, recipe)
    if held_out == set(speakers):
        raise DataError(
            f"data: all {len(speakers)} speakers are held out, none is left to train on; hold out "
            "fewer, or give data.validation_manifest"
        )
    return (
        [each for each in train if each.speaker not in held_out],
        [each for each in train if each.speaker in held_out],
    )


def _draw(choices, recipe):
    draws = np.random.default_rng(recipe.training.seed)
    count = max(1, round(recipe.data.validation_share * len(choices)))
    return {choices[index] for index in draws.permutation(len(choices))[:count]}


def _read(recipe, key, require_files):
    path = recipe.data.path(key)
    if not path.is_file():
        raise DataError(
            f"{path}: no such file (data.{key}).\n{recipe.data.how_to_get.rstrip()}\n"
            "Elsewhere? Say where: --set data.folder=FOLDER"
        )
    try:
        return read_manifest(path, require_files=require_files)
    except ManifestError as error:
        raise ManifestError(f"data.{key}: {error}", error.faults) from None


def _has_length(utterance, recipe):
    longest = recipe.data.max_seconds
    return utterance.duration >= recipe.data.min_seconds and (
        longest is None or utterance.duration <= longest
    )
