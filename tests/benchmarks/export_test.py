"""The benchmark of exported models: that it runs, and what it says of errors."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.export import can_stream
from keras_ds2.features import FeatureFrontEnd
from keras_ds2.recognition import Recognizer
from tests.made_up_corpus import features_corpus
from tests.streaming.made_up_streams import RATE, recognizer, write_run

ROOT = Path(__file__).resolve().parents[2]


def lines_of(run, manifest, only):
    command = [sys.executable, "-m", "benchmarks.export", run, "--manifest", manifest]
    result = subprocess.run(
        [*command, "--repeats", "1", "--only", only], cwd=ROOT, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    return map(json.loads, result.stdout.splitlines())


@pytest.mark.slow
def test_it_runs(tmp_path):
    run = write_run(tmp_path / "run", "precomputed_running")
    manifest = features_corpus(tmp_path / "corpus", ("ab", "cad b"))
    serve, stream, *steps = lines_of(run, manifest, "tflite_float32")
    assert serve["shapes"]["utterances"] == 2
    ours, exported = (serve["contenders"][name] for name in ("keras_ds2", "tflite_float32"))
    assert exported["texts_changed"] == 0
    assert exported["furthest_log_prob"] < 1e-3
    assert (ours["wer"], ours["cer"]) == (exported["wer"], exported["cer"])
    assert exported["bytes"] > 0
    assert exported["ms"] > 0
    assert stream["case"] == "stream"
    whole = {key: ours[key] for key in ("texts_changed", "wer", "cer")}
    assert stream["contenders"] == {"keras_ds2": whole, "tflite_float32": whole}
    assert [line["case"] for line in steps] == ["step_1", "step_4", "step_16"]
    assert steps[0]["contenders"].keys() == {"keras_ds2", "tflite_float32"}
    assert steps[1]["contenders"].keys() == {"keras_ds2"}


@pytest.mark.slow
def test_the_model_of_a_triton_repository_is_read_by_step_alone(tmp_path):
    pytest.importorskip("tf2onnx")
    run = write_run(tmp_path / "run", "precomputed_running")
    manifest = features_corpus(tmp_path / "corpus", ("ab", "cad b"))
    serve, stream, *steps = lines_of(run, manifest, "triton_float32")
    assert serve["contenders"].keys() == {"keras_ds2"}
    ours, exported = (stream["contenders"][name] for name in ("keras_ds2", "triton_float32"))
    assert exported == ours
    for line in steps:
        assert line["contenders"].keys() == {"keras_ds2", "triton_float32"}


def test_a_forward_only_run_may_need_whole_utterances_all_the_same():
    forward = recognizer("2d_gru_lookahead_running")
    assert can_stream(forward)
    front_end = FeatureFrontEnd(sampling_rate=RATE, normalization="utterance")
    assert not can_stream(Recognizer(forward.model, front_end, forward.alphabet))
