"""TensorFlow Lite and ONNX files give in processes of their own what keras_ds2 gives."""

import importlib.util
import json

import numpy as np
import pytest

from keras_ds2.export.onnx import write_onnx
from keras_ds2.export.tflite import write_tflite
from tests.export.made_up_export import assert_same, inputs, outputs_in_a_fresh_process
from tests.export.signatures_test import bidirectional, quiet_at_its_ends
from tests.streaming.made_up_streams import KINDS, RATE, recognizer, whole_logits

WRITERS = {"tflite": write_tflite, "onnx": write_onnx}
NEEDED = ("tf2onnx", "onnx", "onnxruntime")
MISSING = [name for name in NEEDED if importlib.util.find_spec(name) is None]
FORMATS = [
    "tflite",
    pytest.param(
        "onnx",
        marks=pytest.mark.skipif(
            bool(MISSING), reason=f"no {', '.join(MISSING)}: pip install 'keras-ds2[export]'"
        ),
    ),
]

pytestmark = [
    pytest.mark.slow,
    # NumPy's own, which tf2onnx calls.
    pytest.mark.filterwarnings("ignore::DeprecationWarning:tf2onnx"),
]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("file_format", FORMATS)
def test_in_a_fresh_process_without_keras_ds2(tmp_path, file_format, kind):
    said = WRITERS[file_format](recognizer(kind), tmp_path / "model")
    found = outputs_in_a_fresh_process(tmp_path / "model", inputs(kind), tmp_path)
    assert_same(found, kind, inputs(kind))
    assert json.loads((tmp_path / "model" / "keras_ds2.json").read_text("utf-8")) == said


@pytest.mark.parametrize("file_format", FORMATS)
def test_several_streams_at_a_time(tmp_path, file_format):
    kind = "precomputed_running"
    WRITERS[file_format](recognizer(kind), tmp_path / "model", chunk_ms=60, streams=3)
    found = outputs_in_a_fresh_process(tmp_path / "model", inputs(kind), tmp_path)
    assert_same(found, kind, inputs(kind))


@pytest.mark.parametrize("file_format", FORMATS)
def test_a_run_that_needs_the_whole_utterance(tmp_path, file_format):
    waveform = quiet_at_its_ends()
    WRITERS[file_format](bidirectional(), tmp_path / "model")
    found = outputs_in_a_fresh_process(tmp_path / "model", [waveform], tmp_path)
    assert found.keys() == {"serve_0", "text_0"}
    recognition = bidirectional().recognize(waveform, RATE)
    logits = found["serve_0"].astype(np.float64)
    log_probs = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    np.testing.assert_allclose(log_probs, recognition.log_probs, atol=1e-3)
    assert found["text_0"] == recognition.text


@pytest.mark.parametrize("precision", ["float16", "int8"])
@pytest.mark.parametrize("file_format", FORMATS)
def test_fewer_bits_take_less_and_change_little(tmp_path, file_format, precision):
    kind = "2d_gru_lookahead_running"
    sizes = {}
    for each in ("float32", precision):
        WRITERS[file_format](recognizer(kind), tmp_path / each, precision=each)
        sizes[each] = (tmp_path / each / f"step.{file_format}").stat().st_size
    if precision == "float16":  # of a model as small as this int8 saves nothing
        assert sizes[precision] < sizes["float32"]
    given = inputs(kind)
    found = outputs_in_a_fresh_process(tmp_path / precision, given, tmp_path)
    for index, array in enumerate(given):
        expected = whole_logits(kind, array)
        for name in (f"serve_{index}", f"step_{index}"):
            error = np.abs(found[name] - expected).mean() / expected.std()
            assert 0 < error < (0.01 if precision == "float16" else 0.25), name


def test_a_row_of_int8_is_the_same_in_any_batch(tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime", reason="pip install 'keras-ds2[export]'")
    kind = "2d_gru_lookahead_running"
    write_onnx(recognizer(kind), tmp_path / "model", precision="int8")
    session = onnxruntime.InferenceSession(tmp_path / "model" / "serve.onnx")
    waveform = inputs(kind)[1]
    draws = np.random.default_rng(0)
    others = draws.normal(0, [[1e-3], [1.0]], (2, len(waveform))).astype(np.float32)

    def logits(*rows):
        length = np.full(len(rows), len(waveform), np.int32)
        return session.run(["logits"], {"waveform": np.stack(rows), "waveform_length": length})[0]

    np.testing.assert_allclose(logits(waveform, *others)[0], logits(waveform)[0], atol=1e-5)
