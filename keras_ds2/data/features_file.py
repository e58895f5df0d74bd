"""Precomputed features: `.npy` files of float32 `(frames, bins)`."""

import math
import os
import re

import numpy as np

_HEADER_KEY = re.compile(rb"'(descr|fortran_order|shape)'\s*:\s*('[^']*'|True|False|\([\d, ]*\))")
_REAL_NUMBERS = re.compile(r"[<>=|]?[fiu]\d+")
_LONGEST_HEADER = 10_000  # bytes, as in NumPy


class FeaturesError(ValueError):
    """Features that cannot be read: the message says where, what is wrong, and what to do."""


def read_features(path: str | os.PathLike, num_bins: int) -> np.ndarray:
    """Reads one utterance's features.

    Args:
        path: a `.npy` file; pickled objects in it are refused.
        num_bins: bins that a frame must have.

    Returns:
        float32 `(frames, num_bins)`.

    Raises:
        FeaturesError: for a file that is missing, damaged, of another type or shape, without a
            frame, or with values that are not finite.
    """
    path = os.fspath(path)
    try:
        features = _read_npy(path)
    except (OSError, ValueError, TypeError) as error:
        raise FeaturesError(
            f"{path}: cannot be read as a .npy array ({error}); write it again with numpy.save"
        ) from error
    if features.ndim != 2 or features.shape[1] != num_bins or not len(features):
        raise FeaturesError(
            f"{path}: expected shape (frames, {num_bins}), received {features.shape}; set "
            "features.num_bins to what the files hold"
        )
    with np.errstate(over="ignore"):  # becomes an infinity, which is refused below
        features = features.astype(np.float32)
    if not np.isfinite(features).all():
        raise FeaturesError(f"{path}: holds values that are not finite; compute it again")
    return features


def _read_npy(path):
    """An array of real numbers, safe in threads.

    `numpy.load` is not: it reads a header by `ast`, which in CPython 3.11 raises a SystemError now
    and then when threads use it at the same time (python/cpython issue 106905).
    """
    with open(path, "rb") as file:
        version = np.lib.format.read_magic(file)
        length = int.from_bytes(file.read(2 if version == (1, 0) else 4), "little")
        if length > _LONGEST_HEADER:
            raise ValueError(f"expected a header of at most {_LONGEST_HEADER} bytes, not {length}")
        keys = dict(_HEADER_KEY.findall(file.read(length)))
        if len(keys) < 3:
            raise ValueError("expected descr, fortran_order and shape in its header")
        kind = keys[b"descr"].decode("latin-1").strip("'")
        if not _REAL_NUMBERS.fullmatch(kind):
            raise ValueError(f"expected real numbers, received type {kind}")
        dtype = np.dtype(kind)
        shape = [int(size) for size in keys[b"shape"].strip(b"()").split(b",") if size.strip()]
        count = math.prod(shape)
        held = os.fstat(file.fileno()).st_size - file.tell()
        if held < count * dtype.itemsize:
            raise ValueError(f"truncated: {held} of {count * dtype.itemsize} bytes")
        order = "F" if keys[b"fortran_order"] == b"True" else "C"
        return np.fromfile(file, dtype, count).reshape(shape, order=order)
