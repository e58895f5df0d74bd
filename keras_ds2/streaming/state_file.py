"""A stream's state as bytes: arrays in NumPy's .npz, no pickle."""

import io
import zipfile
from collections.abc import Mapping

import numpy as np


def to_bytes(arrays: Mapping[str, np.ndarray]) -> bytes:
    """Writes a flat dictionary of arrays of numbers."""
    file = io.BytesIO()
    np.savez(file, **{name: np.asarray(array) for name, array in arrays.items()})
    return file.getvalue()


def from_bytes(content: bytes) -> dict[str, np.ndarray]:
    """Reads what `to_bytes` wrote; nothing in it is run as code.

    Raises:
        ValueError: if it is anything else.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            if any(member.compress_type != zipfile.ZIP_STORED for member in archive.infolist()):
                raise ValueError("it is compressed")  # a little of which may be a lot
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    # A damaged zip file, or one of pickled objects, fails in many ways.
    except (
        ValueError,
        OSError,
        EOFError,
        KeyError,
        AttributeError,
        MemoryError,
        zipfile.BadZipFile,
    ) as error:
        raise ValueError(
            f"state: expected the bytes that a session's to_bytes gave, cannot be read: {error}"
        ) from error
