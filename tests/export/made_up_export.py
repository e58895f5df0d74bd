"""What an exported folder gives in a process without keras_ds2, beside what it was made from."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np

from tests.streaming.made_up_streams import ALPHABET, KINDS, heard, recognizer, whole_logits

SCRIPT = Path(__file__).with_name("fresh_process.py")


def inputs(kind):
    """Two utterances of unequal lengths: waveforms, or features."""
    lengths = (60, 33) if KINDS[kind][0].get("kind") == "precomputed" else (9000, 4321)
    return [heard(kind, length, seed=length) for length in lengths]


def outputs_in_a_fresh_process(folder, arrays, tmp_path):
    """What `fresh_process.py` writes: see there."""
    given, found = tmp_path / "inputs.npz", tmp_path / "outputs.npz"
    np.savez(given, **{f"input_{index}": array for index, array in enumerate(arrays)})
    done = subprocess.run(
        [sys.executable, "-W", "ignore", SCRIPT, folder, given, found],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": "", "TF_CPP_MIN_LOG_LEVEL": "2"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return dict(np.load(found))


def assert_same(found, kind, arrays, atol=1e-3):
    """Its logits and texts are those of keras_ds2."""
    for index, array in enumerate(arrays):
        expected = whole_logits(kind, array)
        decoded = recognizer(kind).decoder.decode(expected[np.newaxis], [len(expected)])[0]
        np.testing.assert_allclose(found[f"serve_{index}"], expected, atol=atol)
        np.testing.assert_allclose(found[f"step_{index}"], expected, atol=atol)
        assert found[f"text_{index}"] == found[f"heard_{index}"] == decoded.text != ""
    assert len(ALPHABET) == found["serve_0"].shape[-1]
