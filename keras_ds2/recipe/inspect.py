"""A recipe's data shown before they are trained on: figures, pictures, sounds."""

import os
from pathlib import Path

from rich.console import Console

from keras_ds2.atomic_write import write_text_atomically
from keras_ds2.data.dataset import plan_training_epoch
from keras_ds2.inspection.findings import Findings, find
from keras_ds2.inspection.page import render_page
from keras_ds2.inspection.sample import choose, take_sample
from keras_ds2.inspection.terminal import print_findings
from keras_ds2.recipe.build import build
from keras_ds2.recipe.schema import Recipe
from keras_ds2.training.progress import counting

PAGE = "inspect.html"
SAMPLES = 5
"""Utterances on the page, unless told otherwise."""

_LANGUAGES = {"english": "en", "mandarin": "zh", "none": "und"}


class InspectionError(ValueError):
    """Nothing can be shown: the message says why."""


def inspect_recipe(
    recipe: Recipe,
    output: str | os.PathLike,
    console: Console | None = None,
    *,
    samples: int = SAMPLES,
) -> Findings:
    """Reads all data of a recipe as training would, prints what is in them, and writes a page.

    Utterances with symbols outside the alphabet are named, whatever `data.unknown_symbols` says.

    Args:
        recipe: checked.
        output: folder of `inspect.html`; made where it is missing.
        console: for figures and progress; None for one on standard output.
        samples: utterances to show on the page.

    Returns:
        What is printed.

    Raises:
        InspectionError: if `output` is a file, or `samples` below 0.
        DataError, ManifestError, RecordingsError: about the data.
    """
    console = console or Console()
    folder = Path(output)
    if folder.exists() and not folder.is_dir():
        raise InspectionError(f"{folder}: expected a folder, found a file; name another --output")
    if samples < 0:
        raise InspectionError(f"--samples: expected a whole number >= 0, received {samples}")
    data = recipe.data.model_copy(update={"unknown_symbols": "skip"})
    recipe = recipe.model_copy(update={"data": data})
    built = build(recipe, console)
    training = recipe.training
    sizes = {key: getattr(training, key) for key in ("batch_size", "batch_frames", "num_buckets")}
    batches = plan_training_epoch(
        built.train,
        built.front_end,
        epoch=1,  # the first may go by length
        seed=training.seed,
        sorta_grad=training.sorta_grad,
        augmentation=built.augmentation,
        **{key: value for key, value in sizes.items() if value is not None},
    )
    found = find(
        built.train,
        built.validation,
        built.skipped,
        batches,
        built.alphabet,
        built.front_end.hop_ms,
        built.left_out,
    )
    print_findings(found, console)
    places = choose(built.train, samples)
    shown = []
    with counting(console, "hearing samples", len(places)) as advance:
        for place in places:
            shown.append(
                take_sample(
                    built.train, place, built.front_end, built.augmentation, seed=training.seed
                )
            )
            advance()
    page = render_page(
        found,
        shown,
        title=recipe.name,
        description=recipe.description,
        language=_LANGUAGES[recipe.text.language],
        sampling_rate=built.front_end.sampling_rate,
        hop_ms=built.front_end.hop_ms,
        augmentation=recipe.augmentation.model_dump(exclude_defaults=True),
    )
    write_text_atomically(folder / PAGE, page)
    console.print(f"page: {folder / PAGE}", highlight=False, soft_wrap=True)
    return found
