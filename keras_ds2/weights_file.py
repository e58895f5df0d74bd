"""Files of weights from anywhere: what they declare is held against what they hold."""

import math
import os

import h5py
import numpy as np

_NUMBERS = "biuf"


def check_weights_file(path: str | os.PathLike) -> None:
    """Looks through an HDF5 file before anything of it is read.

    Keras writes plain arrays, each in one piece and at one place. A file that is damaged, or made
    to do harm, may lead elsewhere by links, or round and round, or declare far more than it holds,
    which memory would be taken for.

    Args:
        path: of weights, as `keras.Model.save_weights` writes them.

    Raises:
        ValueError: for links, groups and arrays that stand at two places, arrays stored elsewhere,
            other things than numbers, and arrays that are larger than the file.
        OSError: if it is no HDF5 file.
    """
    size = os.path.getsize(path)
    declared = 0
    with h5py.File(path, "r") as file:
        for name, item in _entries(file, {_address(file)}):
            if not isinstance(item, h5py.Dataset):
                raise ValueError(f"{name}: expected an array of numbers, received a {item}")
            if item.external or item.is_virtual:
                raise ValueError(f"{name}: its numbers stand in another file, which is not read")
            if item.dtype.kind not in _NUMBERS and item.dtype.name != "bfloat16":
                raise ValueError(f"{name}: expected an array of numbers, received {item.dtype}")
            declared += math.prod(item.shape) * np.dtype(item.dtype).itemsize
            if declared > size:
                raise ValueError(
                    f"{name}: with it the arrays take {declared} bytes, the file has {size}"
                )


def count_numbers(path: str | os.PathLike) -> int:
    """The most numbers that a file of weights can hold."""
    return os.path.getsize(path) // 2


def _address(item):
    return h5py.h5o.get_info(item.id).addr


def _entries(group, seen, place=""):
    for name in group:
        where = f"{place}/{name}"
        link = group.get(name, getlink=True)
        if not isinstance(link, h5py.HardLink):
            yield where, f"link ({type(link).__name__})"
            continue
        item = group[name]
        if (address := _address(item)) in seen:
            yield where, "second name of what stands at another place"
            continue
        seen.add(address)
        if isinstance(item, h5py.Group):
            if place.count("/") > 64:
                yield where, "group deeper than any that Keras writes"
            else:
                yield from _entries(item, seen, where)
        else:
            yield where, item
