"""Workers that train together and do not have the same: found out before the first step.

Each plans the batches and applies the summed gradients by itself, so weights would drift apart and
nothing would show it.
"""

import json

from keras_ds2.recipe.schema import Recipe
from keras_ds2.training.agreement import Agreement, WorkerLost
from keras_ds2.training.distribution import DistributionError
from keras_ds2.version import __version__

OWN = (
    "name",
    "description",
    "data.how_to_get",
    "data.folder",
    "data.train_manifest",
    "data.validation_manifest",
    "data.test_manifest",
    "data.service",
    "augmentation.noise_manifest",
    "augmentation.rir_manifest",
    "training.save_minutes",
    "training.keep_checkpoints",
)
"""Keys of a recipe that each worker may have its own value of."""

_SHOWN = 10


def require_equal_recipes(recipe: Recipe, agreement: Agreement) -> None:
    """Compares each worker's recipe and keras_ds2 with the chief's.

    Args:
        recipe: this worker's; what may be each machine's own is not compared, see `OWN`.
        agreement: among the workers.

    Raises:
        DistributionError: if this worker has another: the keys that differ are named.
        WorkerLost: if another worker has.
    """
    own = _compared(recipe)
    chiefs = agreement.from_chief(own)
    lines = [
        f"\n  {key}: {json.dumps(chiefs.get(key))}, {json.dumps(own.get(key))}"
        for key in {**chiefs, **own}
        if chiefs.get(key) != own.get(key)
    ]
    fault = None
    if lines:
        more = f"\n  ... and {len(lines) - _SHOWN} more" if len(lines) > _SHOWN else ""
        fault = (
            "this worker has another recipe or another keras_ds2 than the chief. Give all workers "
            "the same, --set of the command included. What differs (the chief's, this worker's):"
            f"{''.join(lines[:_SHOWN])}{more}"
        )
    refuse_unequal(agreement, fault)


def refuse_unequal(agreement: Agreement, fault: str | None) -> None:
    """Ends all workers where one has something else than the others; each has to call it.

    Args:
        agreement: among the workers.
        fault: what this worker has else; None for nothing.

    Raises:
        DistributionError: of this worker's fault.
        WorkerLost: if only others have one.
    """
    faults = agreement.from_all(fault)
    if fault is not None:
        raise DistributionError(f"worker {agreement.worker}: {fault}")
    for worker, other in enumerate(faults):
        if other is not None:
            raise WorkerLost(f"cannot train together: worker {worker}: {other}")


def _compared(recipe):
    values = {"version of keras_ds2": __version__}
    for section, content in recipe.model_dump(mode="json").items():
        if isinstance(content, dict):
            values.update({f"{section}.{key}": value for key, value in content.items()})
        else:
            values[section] = content
    return {key: value for key, value in values.items() if key not in OWN}
