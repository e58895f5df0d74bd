"""The repository for Triton: its configuration by Triton's schema, its model in moving batches."""

import json
import re

import numpy as np
import pytest

from keras_ds2.export import run as export_run_module
from keras_ds2.export.metadata import metadata
from keras_ds2.export.signatures import Signatures, in_rows
from keras_ds2.export.triton import configuration, write_triton
from tests.export.made_up_export import inputs
from tests.export.signatures_test import bidirectional
from tests.streaming.made_up_streams import recognizer, whole_logits

KIND = "precomputed_running"


@pytest.fixture(scope="module")
def said():
    signatures = Signatures(recognizer(KIND), fourier_transform=False)
    step = signatures.function("step_of_rows", in_rows(signatures.step_shapes()))
    return metadata(recognizer(KIND), signatures, {"step": step}, precision="float32")


def test_every_tensor_is_a_batched_row_and_stands_in_it_once(said):
    text = configuration(said, 16)
    signature = said["signatures"]["step"]
    for each in (*signature["inputs"].values(), *signature["outputs"].values()):
        assert each["shape"][0] == -1
        assert len(each["shape"]) >= 2
    names = re.findall(r'name: "(\w+)"', text)
    assert sorted(names) == sorted(["keras_ds2", *signature["inputs"], *signature["outputs"]])


def test_tritons_schema_takes_it(said):
    reason = "no tritonclient that bears this protobuf: pip install 'tritonclient[grpc]==2.46.0'"
    pytest.importorskip("tritonclient.grpc", reason=reason, exc_type=ImportError)
    from google.protobuf import text_format
    from tritonclient.grpc import model_config_pb2

    read = text_format.Parse(configuration(said, 16), model_config_pb2.ModelConfig())
    assert (read.backend, read.max_batch_size) == ("onnxruntime", 16)
    sequence = read.sequence_batching
    assert sequence.WhichOneof("strategy_choice") == "oldest"
    kinds = {each.name: each.control[0].kind for each in sequence.control_input}
    control = model_config_pb2.ModelSequenceBatching.Control
    assert kinds == {
        "start": control.CONTROL_SEQUENCE_START,
        "end": control.CONTROL_SEQUENCE_END,
        "active": control.CONTROL_SEQUENCE_READY,
    }
    assert {each.input_name for each in sequence.state} == set(said["streaming"]["state"])
    assert list(next(each for each in read.input if each.name == "chunk").dims) == [12, 4]


def test_a_run_that_needs_whole_utterances_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("keras_ds2.export.triton.packages", lambda: None)
    with pytest.raises(ValueError, match="format triton: expected a run that streams"):
        write_triton(bidirectional(), tmp_path / "repository")
    assert export_run_module.FORMATS["triton"] is write_triton


@pytest.mark.slow
def test_streams_that_come_and_go_as_triton_batches_them(tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime", reason="pip install 'keras-ds2[export]'")
    said = write_triton(recognizer(KIND), tmp_path / "repository")
    folder = tmp_path / "repository" / "keras_ds2"
    assert (folder / "config.pbtxt").read_text("utf-8") == configuration(said, 16)
    assert json.loads((folder / "1" / "keras_ds2.json").read_text("utf-8")) == said
    session = onnxruntime.InferenceSession(folder / "1" / "model.onnx")
    names = [each.name for each in session.get_outputs()]
    streaming, size = said["streaming"], said["streaming"]["chunk_shape"][0]
    draws = np.random.default_rng(0)
    waiting = [*inputs(KIND), *inputs(KIND)]
    streams, finished = [], []

    def joined():
        shapes = said["signatures"]["step"]["inputs"]
        return {  # whatever lies in Triton's memory
            name: np.full((1, *shapes[name]["shape"][1:]), 9, shapes[name]["dtype"])
            for name in streaming["state"]
        }

    while waiting or streams:
        if waiting:
            given = waiting.pop()
            streams.append({"given": given, "place": 0, "state": joined(), "logits": []})
        chosen = [each for each in streams if draws.random() < 0.7] or streams[:1]
        chunks, lengths = [], []
        for each in chosen:
            piece = each["given"][each["place"] : each["place"] + size]
            lengths.append(len(piece))
            chunks.append(np.pad(piece, [(0, size - len(piece)), (0, 0)]))
        column = np.array(lengths, np.int32)[:, np.newaxis]
        feed = {
            "chunk": np.stack(chunks),
            "chunk_length": column,
            "start": np.array([[each["place"] == 0] for each in chosen]),
            "end": np.zeros(column.shape, bool),  # Triton tells of a sequence's last request alone
            "active": np.ones(column.shape, bool),
        }
        for name in streaming["state"]:
            feed[name] = np.concatenate([each["state"][name] for each in chosen])
        outputs = dict(zip(names, session.run(names, feed), strict=True))
        for row, each in enumerate(chosen):
            each["logits"].append(outputs["logits"][row][outputs["logit_mask"][row]])
            each["state"] = {
                name: outputs[kept["next"]][row : row + 1]
                for name, kept in streaming["state"].items()
            }
            each["place"] += size
            if outputs["done"][row, 0]:
                streams = [other for other in streams if other is not each]
                finished.append(each)
    assert len(finished) == 4
    for each in finished:
        expected = whole_logits(KIND, each["given"])
        np.testing.assert_allclose(np.concatenate(each["logits"]), expected, atol=1e-3)
