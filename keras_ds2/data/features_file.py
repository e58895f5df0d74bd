"""Precomputed features: `.npy` files of float32 `(frames, bins)`."""

import os

import numpy as np


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
        with open(path, "rb") as file:
            features = np.lib.format.read_array(file, allow_pickle=False)
    # Damaged headers raise TokenError, SyntaxError, MemoryError and more.
    except Exception as error:
        raise FeaturesError(
            f"{path}: cannot be read as a .npy array ({error}); write it again with numpy.save"
        ) from error
    if features.dtype.kind not in "fiu":
        raise FeaturesError(
            f"{path}: expected an array of real numbers, received {features.dtype}; write it again "
            "with numpy.save"
        )
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
