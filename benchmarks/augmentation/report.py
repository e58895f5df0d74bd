"""The table of what each augmentation adds."""

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
    """Markdown: a row a case, two columns a manifest: WER, and how it differs from all of them.

    Seeds are compared with the same seeds; what only one of the two has counts in neither.
    """
    header = ["augmentation", "seeds"]
    for manifest in manifests:
        header += [f"WER, {manifest}", f"beside {ALL}"]
    lines = ["| " + " | ".join(header) + " |", "|---" * len(header) + "|"]
    for case, found in scores.items():
        seeds = sorted({seed for each in found.values() for seed in each})
        row = [case, ", ".join(map(str, seeds))]
        for manifest in manifests:
            row += _columns(found.get(manifest, {}), scores.get(ALL, {}).get(manifest, {}))
        lines.append("| " + " | ".join(row) + " |")
    return "\n".join(lines)


def _columns(here, base):
    shared = sorted(here.keys() & base.keys())
    rates = ", ".join(f"{100 * score['wer']:.1f} %" for score in here.values())
    changes = [100 * (here[seed]["wer"] - base[seed]["wer"]) for seed in shared]
    if here is base or not shared:
        return [rates, ""]
    return [rates, ", ".join(f"{change:+.1f}" for change in changes)]
