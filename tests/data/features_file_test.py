"""Precomputed features: what is read, and every way in which a file can be wrong."""

import contextlib
import gc
import io
import pickle
import random
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from keras_ds2.data.features_file import FeaturesError, read_features

GOOD = np.random.default_rng(0).normal(size=(7, 4)).astype(np.float32)


def npy(array, **options):
    content = io.BytesIO()
    np.save(content, array, **options)
    return content.getvalue()


def npz(array):
    content = io.BytesIO()
    np.savez(content, array=array)
    return content.getvalue()


def with_shape(shape):
    """The good file with another shape in its header, of the same length."""
    return npy(GOOD).replace(b"(7, 4), }" + b" " * 12, (shape + ", }").encode().ljust(21))


@pytest.mark.parametrize(
    "array",
    [
        GOOD,
        GOOD.astype(np.float64),
        GOOD.astype(np.float16),
        np.asfortranarray(GOOD),
        GOOD.astype(">f4"),
        np.arange(12, dtype=np.int16).reshape(3, 4),
        GOOD[:1],
    ],
    ids=["float32", "float64", "float16", "fortran", "big endian", "int16", "one frame"],
)
def test_numbers_are_read_as_float32(tmp_path, array):
    path = tmp_path / "a.npy"
    np.save(path, array)
    features = read_features(path, 4)
    assert features.dtype == np.float32
    np.testing.assert_array_equal(features, array.astype(np.float32))


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"", "cannot be read as a .npy array"),
        (b"RIFF....WAVE", "cannot be read as a .npy array"),
        (npy(GOOD)[:-1], r"truncated: 111 of 112 bytes\); write it again with numpy.save"),
        (npy(GOOD)[:40], "cannot be read as a .npy array"),
        (npz(GOOD), "cannot be read as a .npy array"),
        (npz(GOOD)[:60], "cannot be read as a .npy array"),
        (with_shape("(7000000000000, 4)"), "truncated: 112 of 112000000000000 bytes"),
        (with_shape("(-7, 4)"), "expected descr, fortran_order and shape"),
        (npy(GOOD).replace(b"<f4", b"<f3"), "cannot be read as a .npy array"),
        (b"\x93NUMPY\x02\x00\xff\xff\xff\xff", "a header of at most 10000 bytes"),
        (npy(np.zeros(3, [("a", "f4")])), "expected descr, fortran_order and shape"),
        (npy(GOOD).replace(b"{'descr'", b"{((((((("), "cannot be read as a .npy array"),
        (
            npy(np.array([{}, 1], object), allow_pickle=True),
            r"expected real numbers, received type \|O",
        ),
        (npy(GOOD.astype(complex)), "expected real numbers, received type <c16"),
        (npy(GOOD > 0), r"expected real numbers, received type \|b1"),
        (npy(np.array([["a"] * 4])), "expected real numbers, received type <U1"),
        (npy(GOOD[0]), r"expected shape \(frames, 4\), received \(4,\)"),
        (npy(np.float32(1)), r"expected shape \(frames, 4\), received \(\)"),
        (npy(GOOD[:, :3]), r"received \(7, 3\); set features.num_bins"),
        (npy(GOOD[:0]), r"received \(0, 4\)"),
        (npy(GOOD[np.newaxis]), r"received \(1, 7, 4\)"),
        (npy(np.where(GOOD > 0, np.nan, GOOD)), "not finite; compute it again"),
        (npy(np.where(GOOD > 0, np.inf, GOOD)), "not finite; compute it again"),
        (npy(np.full((3, 4), 1e300)), "not finite; compute it again"),
    ],
)
def test_what_cannot_be_used_is_named_with_its_fault(tmp_path, content, fault):
    path = tmp_path / "a.npy"
    path.write_bytes(content)
    with pytest.raises(FeaturesError, match=fault) as caught:
        read_features(path, 4)
    assert str(caught.value).startswith(f"{path}: ")


class Trap:
    """Raises where a file that holds it is unpickled."""

    def __reduce__(self):
        return (_spring, ())


def _spring():
    raise AssertionError("code in the file was run")


@pytest.mark.parametrize(
    "content",
    [npy(np.array([Trap()], object), allow_pickle=True), pickle.dumps(Trap())],
    ids=["object array", "bare pickle"],
)
def test_a_pickle_is_refused_and_not_run(tmp_path, content):
    path = tmp_path / "a.npy"
    path.write_bytes(content)
    with pytest.raises(FeaturesError, match="cannot be read"):
        read_features(path, 4)


@pytest.mark.parametrize("name", ["absent.npy", "."])
def test_absent_files_and_folders(tmp_path, name):
    with pytest.raises(FeaturesError, match=r"cannot be read as a \.npy array"):
        read_features(tmp_path / name, 4)


def test_threads_do_not_disturb_each_other(tmp_path):
    # numpy.load's way of reading headers fails where the garbage collector lets threads in.
    path = tmp_path / "a.npy"
    np.save(path, GOOD)
    threshold, interval = gc.get_threshold(), sys.getswitchinterval()

    def let_others_in(*arguments):
        time.sleep(0)

    gc.callbacks.append(let_others_in)
    gc.set_threshold(5)
    sys.setswitchinterval(1e-5)
    try:
        with ThreadPoolExecutor(4) as pool:
            results = list(pool.map(lambda _: read_features(path, 4), range(2000)))
    finally:
        gc.set_threshold(*threshold)
        gc.callbacks.remove(let_others_in)
        sys.setswitchinterval(interval)
    assert all(np.array_equal(result, GOOD) for result in results)


def test_a_damaged_file_raises_nothing_else(tmp_path):
    draws = random.Random(1)
    good = npy(GOOD)
    path = tmp_path / "a.npy"
    for _ in range(300):
        content = bytearray(good)
        for _ in range(draws.choice([1, 2, 5])):
            content[draws.randrange(128)] = draws.choice(b"({[]})'\"0\\\n:, \x00\xff")
        path.write_bytes(content)
        with contextlib.suppress(FeaturesError):
            assert read_features(path, 4).shape[1] == 4
