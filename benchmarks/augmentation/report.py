"""The table of what each augmentation adds."""

from benchmarks import _trainings

ALL = "all of them"
NONE = "none of them"

OFF = {
    "speed": ("speed=null",),
    "noise": ("noise_share=0", "noise_snr_db=null"),
    "vocal tracts": ("vocal_tract=null",),
    "masks in time": ("time_masks=0", "time_mask_max_frames=null"),
    "masks in frequency": ("frequency_masks=0", "frequency_mask_max_bins=null"),
}
"""What the recipe augments with, and the keys of its section that turn it off."""

SHORTER = {
    "model.num_rnn_layers": 3,
    "model.units": 256,
    "model.conv_filters": "[256]",
    "training.epochs": 30,
}
"""What the trainings here have that the recipe has not: they are many."""


def cases() -> dict[str, list[str]]:
    """What is trained, and each one's changes to the recipe."""
    without = {f"without {name}": list(keys) for name, keys in OFF.items()}
    nothing = [key for keys in OFF.values() for key in keys]
    return {
        name: [f"augmentation.{key}" for key in keys]
        for name, keys in {ALL: [], **without, NONE: nothing}.items()
    }


def table(scores: dict[str, dict[str, dict[int, dict]]], manifests: list[str]) -> str:
    """`_trainings.table` beside all of them, in points."""

    def points(pairs):
        return ", ".join(f"{100 * (here - base):+.1f}" for here, base in pairs)

    return _trainings.table("augmentation", scores, manifests, ALL, points)
