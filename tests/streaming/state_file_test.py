"""Arrays to bytes and back, and no pickle."""

import io
import pickle

import numpy as np
import pytest

from keras_ds2.streaming.state_file import from_bytes, to_bytes


def test_arrays_come_back():
    arrays = {"a.b": np.arange(6.0).reshape(2, 3), "c": np.array(3), "d": np.zeros((0, 2))}
    again = from_bytes(to_bytes(arrays))
    assert again.keys() == arrays.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(again[name], array)
        assert again[name].dtype == array.dtype


def npz_of_objects():
    file = io.BytesIO()
    np.savez(file, a=np.array([{}], dtype=object))
    return file.getvalue()


@pytest.mark.parametrize(
    "content", [b"", b"PK\x03\x04", pickle.dumps([1]), npz_of_objects(), to_bytes({"a": 1})[:60]]
)
def test_anything_else_is_refused(content):
    with pytest.raises(ValueError, match="expected the bytes that a session's to_bytes gave"):
        from_bytes(content)
