"""A SavedModel gives in TensorFlow alone what keras_ds2 gives."""

import json

import pytest

from keras_ds2.export.saved_model import write_saved_model
from tests.export.made_up_export import assert_same, inputs, outputs_in_a_fresh_process
from tests.streaming.made_up_streams import ALPHABET, KINDS, RATE, recognizer

QUICK = "2d_relu_none_short_window"


@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=[] if kind == QUICK else pytest.mark.slow) for kind in KINDS]
)
def test_in_a_fresh_process_without_keras_ds2(tmp_path, kind):
    said = write_saved_model(recognizer(kind), tmp_path / "model")
    found = outputs_in_a_fresh_process(tmp_path / "model", inputs(kind), tmp_path)
    assert_same(found, kind, inputs(kind))
    assert json.loads((tmp_path / "model" / "assets" / "keras_ds2.json").read_text("utf-8")) == said
    assert said["alphabet"] == list(ALPHABET.symbols)
    assert said["sampling_rate"] == (16000 if kind.startswith("precomputed") else RATE)
