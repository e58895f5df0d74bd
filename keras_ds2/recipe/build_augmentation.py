"""Augmentation as a recipe names it, its recordings read and checked."""

from rich.console import Console

from keras_ds2.data.augmentation import Augmentation
from keras_ds2.data.manifest import ManifestError, read_manifest
from keras_ds2.data.recordings import Recordings, RecordingsError, read_recordings
from keras_ds2.recipe.schema import Recipe
from keras_ds2.training.progress import counting

LONGEST_RESPONSE_SECONDS = 10.0
"""What is longer is no room's impulse response, and would slow down every utterance."""

_SHOWN = 10


def build_augmentation(recipe: Recipe, sampling_rate: int, console: Console) -> Augmentation:
    """Builds what the `augmentation` section names; reads noise and impulse responses.

    Args:
        recipe: checked.
        sampling_rate: int, Hz, of the waveforms that are augmented.
        console: for progress, and for what could not be used.

    Raises:
        ManifestError: if a manifest is absent or faulty.
        RecordingsError: if not one of its recordings can be used.
    """
    noise = _recordings(recipe, "noise_manifest", sampling_rate, console)
    responses = _recordings(
        recipe, "rir_manifest", sampling_rate, console, longest_seconds=LONGEST_RESPONSE_SECONDS
    )
    numbers = recipe.augmentation.given("noise_manifest", "rir_manifest")
    return Augmentation(**numbers, noise_recordings=noise, rir_recordings=responses)


def _recordings(recipe, key, sampling_rate, console, **options) -> Recordings | None:
    named = getattr(recipe.augmentation, key)
    if named is None:
        return None
    path = recipe.data.in_folder(named)
    try:
        utterances = read_manifest(path, require_text=False)
        with counting(console, f"reading {key}", len(utterances)) as advance:
            recordings, skipped = read_recordings(
                utterances, sampling_rate, progress=advance, **options
            )
    except ManifestError as error:
        raise ManifestError(f"augmentation.{key}: {error}", error.faults) from None
    except RecordingsError as error:
        raise RecordingsError(f"augmentation.{key}: {path}: {error}") from None
    minutes = recordings.samples / sampling_rate / 60
    cut = ""
    if recordings.cut_to is not None:
        cut = f", the longest cut to {recordings.cut_to / sampling_rate:.1f} s to fit"
    console.print(
        f"{key}: {len(recordings)} recordings, {minutes:.1f} min held in memory{cut}; "
        f"{len(skipped)} skipped as unusable",
        highlight=False,
    )
    for each in skipped[:_SHOWN]:
        console.print(
            f"  skipped {each}", style="yellow", highlight=False, markup=False, soft_wrap=True
        )
    if len(skipped) > _SHOWN:
        console.print(f"  ... and {len(skipped) - _SHOWN} more", style="yellow", highlight=False)
    return recordings
