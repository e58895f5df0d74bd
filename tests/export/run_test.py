"""A run written out by the command, whole or not at all."""

import json
import re
import sys

import pytest

from keras_ds2.cli import main
from keras_ds2.cli.parser import build_parser
from keras_ds2.export import run as export_run_module
from keras_ds2.export.run import FORMATS, PRECISIONS, export_run
from keras_ds2.recognition import Recognizer
from keras_ds2.streaming import StreamingError
from tests.export.signatures_test import bidirectional
from tests.streaming.made_up_streams import write_run

KIND = "precomputed_running"


@pytest.fixture
def run(tmp_path):
    return write_run(tmp_path / "run", KIND)


def test_the_command_says_what_it_has_written(run, tmp_path, capsys):
    output = tmp_path / "out" / "model"
    arguments = ["export", run, "--format", "saved_model", "--output", output, "--chunk-ms", "60"]
    assert main([str(each) for each in arguments]) == 0
    assert capsys.readouterr().out == f"{output}: serve and step\n"
    said = json.loads((output / "assets" / "keras_ds2.json").read_text("utf-8"))
    assert said["streaming"]["chunk_shape"] == [6, 4]
    assert [each.name for each in output.parent.iterdir()] == ["model"]


def test_the_command_takes_every_format_and_precision(capsys):
    arguments = ["export", "run", "--output", "out"]
    for file_format in FORMATS:
        for precision in PRECISIONS:
            chosen = ["--format", file_format, "--precision", precision]
            assert build_parser().parse_args([*arguments, *chosen]).precision == precision
    for chosen, known in (
        (["--format", "no_such"], FORMATS),
        (["--format", "onnx", "--precision", "no_such"], PRECISIONS),
    ):
        with pytest.raises(SystemExit):
            build_parser().parse_args([*arguments, *chosen])
        said = capsys.readouterr().err.rpartition("choose from ")[2]
        assert re.findall(r"\w+", said) == list(known)


def test_what_exists_is_not_written_over(run, tmp_path):
    with pytest.raises(ValueError, match=r"run: exists already; name another output"):
        export_run(run, "saved_model", run)
    assert (run / "recognizer.json").is_file()


def test_what_fails_leaves_nothing(run, tmp_path, monkeypatch):
    def fail(recognizer, folder):
        folder.mkdir()
        raise OSError("no space")

    monkeypatch.setitem(export_run_module.FORMATS, "saved_model", fail)
    with pytest.raises(OSError, match="no space"):
        export_run(run, "saved_model", tmp_path / "out" / "model")
    assert list((tmp_path / "out").iterdir()) == []


def test_a_format_whose_packages_are_missing_says_what_to_install(run, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ImportError, match=r"pip install 'keras-ds2\[export\]'"):
        export_run(run, "onnx", tmp_path / "model")


@pytest.mark.parametrize(
    ("file_format", "options", "said"),
    [
        ("saved_model", {"precision": "int8"}, "precision: saved_model has no such choice"),
        ("saved_model", {"streams": 2}, "streams: saved_model has no such choice"),
        ("tflite", {"precision": "int4"}, "precision: expected one of float32, float16, int8"),
        ("tflite", {"streams": 0}, "streams: expected a number >= 1, received 0"),
    ],
)
def test_choices_that_a_format_lacks_are_refused(run, tmp_path, file_format, options, said):
    with pytest.raises(ValueError, match=said):
        export_run(run, file_format, tmp_path / "model", **options)
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize("options", [{"chunk_ms": 60.0}, {"streams": 2}])
def test_choices_of_streams_need_a_run_that_streams(run, tmp_path, monkeypatch, options):
    monkeypatch.setattr(Recognizer, "load", lambda run: bidirectional())
    with pytest.raises(StreamingError, match="this model is bidirectional"):
        export_run(run, "tflite", tmp_path / "model", **options)


def test_an_unknown_format_is_refused(run, tmp_path):
    with pytest.raises(ValueError, match=r"format: expected one of .*triton, received 'pickle'"):
        export_run(run, "pickle", tmp_path / "model")
