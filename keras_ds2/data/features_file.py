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
        features = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise FeaturesError(
            f"{path}: cannot be read as a .npy array ({error}); write it again with numpy.save"
        ) from error
    if not isinstance(features, np.ndarray) or features.dtype.kind not in "fiu":
        received = getattr(features, "dtype", type(features).__name__)
        raise FeaturesError(f"{path}: expected one array of numbers, received {received}")
    if features.ndim != 2 or features.shape[1] != num_bins or not len(features):
        raise FeaturesError(
            f"{path}: expected shape (frames, {num_bins}), received {features.shape}; set "
            "features.num_bins to what the files hold"
        )
    features = features.astype(np.float32)
    if not np.isfinite(features).all():
        raise FeaturesError(f"{path}: holds values that are not finite; compute it again")
    return features
