"""Faults of a recipe that need more than one key to see.

Each function takes a mapping as it stands in the file, which may hold anything, and yields
`(key, message)`; values of the wrong type are left to the schema, so that both kinds of fault are
shown together.
"""

from collections.abc import Iterator, Mapping
from typing import Any

Fault = tuple[str, str]


def _is_set(values: Mapping[str, Any], key: str) -> bool:
    return values.get(key) is not None


def _number(value: Any) -> float | None:
    """The value as the schema will read it, `None` where it will refuse it."""
    if isinstance(value, bool):
        return None
    try:
        return float(value)
    except (TypeError, ValueError):
        return None


def _is_on(values: Mapping[str, Any], key: str) -> bool:
    return (_number(values.get(key)) or 0) > 0


def _together(values: Mapping[str, Any], switch: str, detail: str) -> Iterator[Fault]:
    """Either both keys are in use, or neither."""
    if _is_on(values, switch) and not _is_set(values, detail):
        yield detail, f"expected a value, since {switch} is on, received nothing"
    if _is_set(values, detail) and not _is_on(values, switch):
        yield detail, f"has no effect without {switch}: expected {switch} > 0 or no {detail}"


def _one_of(values: Mapping[str, Any], *keys: str) -> Iterator[Fault]:
    """Exactly one of the keys is set."""
    given = [key for key in keys if _is_set(values, key)]
    if len(given) != 1:
        received = " and ".join(given) or "none"
        yield (
            given[-1] if given else keys[0],
            f"expected exactly one of {', '.join(keys)}, received {received}",
        )


def data_faults(values: Mapping[str, Any]) -> Iterator[Fault]:
    """Faults of `data`: one source of validation, a range of durations."""
    yield from _one_of(values, "validation_manifest", "validation_speakers", "validation_share")
    low, high = _number(values.get("min_seconds")), _number(values.get("max_seconds"))
    if low is not None and high is not None and low >= high:
        yield "max_seconds", f"expected > min_seconds ({low:g}) s, received {high:g}"
    if values.get("on_error") == "stop" and _is_set(values, "max_error_share"):
        yield (
            "max_error_share",
            (
                "has no effect where on_error is stop: expected no such key, "
                f"received {values['max_error_share']!r}"
            ),
        )


def text_faults(values: Mapping[str, Any]) -> Iterator[Fault]:
    """Faults of `text`: a count that a fixed alphabet does not read."""
    if values.get("alphabet") == "english" and (_number(values.get("min_count")) or 1) > 1:
        yield (
            "min_count",
            (
                "has no effect on the fixed english alphabet: expected 1, "
                f"received {values['min_count']!r}"
            ),
        )


def features_faults(values: Mapping[str, Any]) -> Iterator[Fault]:
    """Faults of `features`: keys of the one kind beside the other."""
    if values.get("kind") == "precomputed":
        if not _is_set(values, "num_bins"):
            yield "num_bins", "expected the width of the precomputed features, received nothing"
        for key in ("sampling_rate", "window_ms", "epsilon", "trim_db", "power_normalize"):
            if _is_set(values, key):
                yield (
                    key,
                    (
                        "has no effect on precomputed features: expected no such key, "
                        f"received {values[key]!r}"
                    ),
                )
    elif _is_set(values, "num_bins"):
        yield (
            "num_bins",
            (
                "follows from sampling_rate and window_ms: expected no such key unless kind is "
                f"precomputed, received {values['num_bins']!r}"
            ),
        )
    yield from _running_faults(values)


def _running_faults(values: Mapping[str, Any]) -> Iterator[Fault]:
    frames = ("normalization_prior_frames", "normalization_memory_frames")
    if values.get("normalization") != "running":
        for key in frames:
            if _is_set(values, key):
                yield (
                    key,
                    (
                        "has no effect unless normalization is running: expected no such key, "
                        f"received {values[key]!r}"
                    ),
                )
        return
    prior, memory = (_number(values.get(key)) for key in frames)
    if prior is not None and memory is not None and prior > memory:
        yield frames[1], f"expected >= {frames[0]} ({prior:g}), received {memory:g}"
    if values.get("power_normalize") is True:
        yield (
            "power_normalize",
            (
                "needs the whole utterance, which running normalization does without: expected "
                "no such key, or false, received true"
            ),
        )


def augmentation_faults(values: Mapping[str, Any]) -> Iterator[Fault]:
    """Faults of `augmentation`: a switch or a detail without the other, changes that are none."""
    yield from _together(values, "noise_share", "noise_snr_db")
    yield from _together(values, "rir_share", "rir_manifest")
    for key in ("noise_manifest", "noise_color"):
        if _is_set(values, key) and not _is_on(values, "noise_share"):
            yield key, f"has no effect without noise_share: expected noise_share > 0 or no {key}"
    if _is_set(values, "noise_manifest") and _is_set(values, "noise_color"):
        yield (
            "noise_color",
            (
                "has no effect on recorded noise: expected noise_manifest or noise_color, "
                f"received both, {values['noise_color']!r}"
            ),
        )
    shift_ms = values.get("shift_ms")
    if isinstance(shift_ms, list) and [_number(bound) for bound in shift_ms] == [0, 0]:
        yield "shift_ms", f"shifts nothing: expected a range, or no shift_ms, received {shift_ms!r}"
    yield from _together(values, "time_masks", "time_mask_max_frames")
    yield from _together(values, "frequency_masks", "frequency_mask_max_bins")


def training_faults(values: Mapping[str, Any]) -> Iterator[Fault]:
    """Faults of `training`: one size of batches, keys of another schedule, optimizer, strategy."""
    yield from _one_of(values, "batch_size", "batch_frames")
    averaged, epochs = _number(values.get("average_best")), _number(values.get("epochs"))
    if averaged is not None and epochs is not None and averaged > epochs:
        yield "average_best", f"expected <= epochs ({epochs:g}), received {averaged:g}"
    if values.get("schedule") == "annealed":
        if not _is_set(values, "anneal_factor"):
            yield "anneal_factor", "expected > 1, since schedule is annealed, received nothing"
    elif _is_set(values, "anneal_factor"):
        yield (
            "anneal_factor",
            (
                "has no effect unless schedule is annealed: expected no such key, "
                f"received {values['anneal_factor']!r}"
            ),
        )
    if values.get("strategy") != "mirrored" and _is_set(values, "replicas"):
        yield (
            "replicas",
            (
                "has no effect unless strategy is mirrored: expected no such key, "
                f"received {values['replicas']!r}"
            ),
        )
    replicas, batch_size = _number(values.get("replicas")), _number(values.get("batch_size"))
    if replicas is not None and batch_size is not None and replicas > batch_size:
        yield (
            "replicas",
            (
                f"expected at most batch_size ({batch_size:g}), which is shared out among them, "
                f"received {replicas:g}"
            ),
        )
    if values.get("optimizer") != "sgd":
        for key in ("momentum", "nesterov"):
            if _is_set(values, key):
                yield (
                    key,
                    (
                        "has no effect unless optimizer is sgd: expected no such key, "
                        f"received {values[key]!r}"
                    ),
                )


def recipe_faults(values: Mapping[str, Any]) -> Iterator[Fault]:
    """Faults between sections: changes to a waveform where there is none, or that are undone."""
    features = values.get("features") or {}
    if isinstance(features, Mapping):
        yield from _service_faults(values.get("data"), features)
    augmentation = values.get("augmentation")
    if not (isinstance(features, Mapping) and isinstance(augmentation, Mapping)):
        return
    if features.get("kind") == "precomputed":
        for key in ("rir_share", "noise_share"):
            if _is_on(augmentation, key):
                yield (
                    f"augmentation.{key}",
                    (
                        "needs waveforms: expected 0 where features.kind is precomputed, "
                        f"received {augmentation[key]!r}"
                    ),
                )
        for key in ("speed", "shift_ms", "gain_db"):
            if _is_set(augmentation, key):
                yield (
                    f"augmentation.{key}",
                    (
                        "needs waveforms: expected no such key where features.kind is precomputed, "
                        f"received {augmentation[key]!r}"
                    ),
                )
        return
    if features.get("normalization") != "running" and features.get("power_normalize") is not False:
        yield from _undone_gain_faults(augmentation)


def _service_faults(data: Any, features: Mapping[str, Any]) -> Iterator[Fault]:
    if not (isinstance(data, Mapping) and _is_set(data, "service")):
        return
    if features.get("kind") == "precomputed":
        yield (
            "data.service",
            (
                "needs waveforms: expected no such key where features.kind is precomputed, whose "
                "files Python reads, which the service's machines do not run for others, received "
                f"{data['service']!r}"
            ),
        )


def _undone_gain_faults(augmentation: Mapping[str, Any]) -> Iterator[Fault]:
    gain_db = augmentation.get("gain_db")
    if isinstance(gain_db, list) and len(gain_db) == 2:
        low, high = map(_number, gain_db)
        if low is not None and high is not None and low <= high <= 0:
            yield (
                "augmentation.gain_db",
                (
                    "has no effect, since power-normalised features undo a gain that does not "
                    f"overload: expected a maximum > 0, received {gain_db!r}"
                ),
            )
