"""The command: what it prints where, its exit status, and what it leaves unsaid."""

import io
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import yaml

from keras_ds2.cli import INTERRUPTED, main
from keras_ds2.recipe import load_recipe, recipe_names
from keras_ds2.recipe.load import save_recipe
from keras_ds2.recognition import Recognizer
from tests.made_up_corpus import features_corpus, flac_bytes, tiny_recipe, trained_run, wav_bytes
from tests.streaming.made_up_streams import heard, write_run

LIVE = "precomputed_running"
CHECKOUT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return trained_run(tmp_path_factory.getbasetemp())


@pytest.fixture(scope="module")
def recognizer(run):
    return Recognizer.load(run)


@pytest.fixture(scope="module")
def live_run(tmp_path_factory):
    return write_run(tmp_path_factory.mktemp("live") / "run", LIVE)


@pytest.fixture
def recordings(tmp_path):
    folder = tmp_path / "recordings"
    folder.mkdir()
    (folder / "a.wav").write_bytes(wav_bytes("bad"))
    (folder / "b.flac").write_bytes(flac_bytes("cab"))
    return folder


@pytest.fixture(scope="module")
def recipe_file(tmp_path_factory):
    """A recipe for features, one epoch; its corpus stands beside it."""
    folder = tmp_path_factory.mktemp("features")
    features_corpus(folder / "corpus")
    features_corpus(folder / "corpus", ("ab", "cad b"), "validation")
    recipe = tiny_recipe(folder / "corpus", training__epochs=1, training__learning_rate=1e-4)
    path = folder / "tiny.yaml"
    path.write_text(yaml.safe_dump(recipe.model_dump(exclude_none=True)))
    return path


@pytest.fixture(scope="module")
def features_run(recipe_file):
    """A run of that recipe."""
    output = recipe_file.parent / "run"
    assert main(["train", str(recipe_file), "--output", str(output)]) == 0
    return output


def call(capsys, *arguments):
    """Runs the command in this process: exit status, standard output, standard error."""
    capsys.readouterr()  # what fixtures said
    status = main([str(argument) for argument in arguments])
    said = capsys.readouterr()
    return status, said.out, said.err


def in_a_process(*arguments, code=None):
    """The same in a process of its own, as a user calls it."""
    command = ["-c", code] if code else ["-m", "keras_ds2.cli", *map(str, arguments)]
    environment = {
        key: value
        for key, value in os.environ.items()
        if key not in ("TF_CPP_MIN_LOG_LEVEL", "KERAS_BACKEND")
    }
    return subprocess.run(
        [sys.executable, *command],
        cwd=CHECKOUT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


class TestTrain:
    def test_trains_and_goes_on(self, capsys, tmp_path, recipe_file):
        output = tmp_path / "run"
        arguments = ("train", recipe_file, "--output", output, "--set", "model.units=5")
        status, out, err = call(capsys, *arguments)
        assert (status, err) == (0, "")
        assert "training on 12 utterances" in out
        assert "epoch 1/1  loss " in out
        assert out.endswith(f"done: {output}\n")
        assert json.loads((output / "recognizer.json").read_text())["model"]["units"] == 5

        status, out, err = call(capsys, *arguments)
        assert (status, err) == (0, "")
        assert "epoch 1/1" not in out

        status, _, err = call(capsys, *arguments[:-1], "model.units=6")
        assert status == 1
        assert err.startswith(f"keras-ds2: {output}: holds the run of another recipe.")
        assert "model.units: 5, 6" in err

    def test_begins_with_another_run(self, capsys, tmp_path, recipe_file):
        arguments = ("train", recipe_file, "--output", tmp_path / "run", "--init-from", tmp_path)
        status, _, err = call(capsys, *arguments)
        assert status == 1
        assert err.startswith(f"keras-ds2: {tmp_path}: expected the folder of a run")

    def test_ctrl_c_says_how_to_go_on(self, capsys, tmp_path, recipe_file, monkeypatch):
        from keras_ds2.training.callbacks import ValidationScores

        def press(self, batch, logs=None):
            signal.raise_signal(signal.SIGINT)

        monkeypatch.setattr(ValidationScores, "on_train_batch_end", press)
        status, out, err = call(capsys, "train", recipe_file, "--output", tmp_path / "run")
        assert (status, err) == (INTERRUPTED, "")
        assert "nothing is lost: the same command goes on from here" in out
        assert any((tmp_path / "run" / "checkpoints").glob("iteration-*"))

    def test_ctrl_c_before_training_is_no_traceback(self, capsys, recipe_file, monkeypatch):
        def press(*arguments):
            raise KeyboardInterrupt

        monkeypatch.setattr("keras_ds2.recipe.train.build", press)
        status, out, err = call(capsys, "train", recipe_file, "--output", "nowhere")
        assert (status, out, err) == (INTERRUPTED, "stopped\n", "")
        assert not Path("nowhere").exists()

    def test_all_faults_of_set_at_once(self, capsys, tmp_path, recipe_file):
        status, out, err = call(
            capsys,
            *("train", recipe_file, "--output", tmp_path / "run"),
            *("--set", "model.unit=3", "--set", "training.epochs=none", "--set", "epochs"),
        )
        assert (status, out) == (1, "")
        assert "3 errors" in err
        assert "--set epochs: expected KEY=VALUE such as model.units=512" in err
        assert "model.unit: unknown key, did you mean units? (from --set)" in err
        assert "training.epochs: expected" in err
        assert not (tmp_path / "run").exists()

    def test_an_unknown_recipe_is_answered_with_a_suggestion(self, capsys, tmp_path):
        status, _, err = call(capsys, "train", "fsd", "--output", tmp_path / "run")
        assert status == 1
        assert "no recipe of that name, did you mean fsdd?" in err

    def test_absent_data_are_answered_with_where_to_get_them(self, capsys, tmp_path):
        output = tmp_path / "run"
        arguments = ("train", "fsdd", "--output", output, "--set", f"data.folder={tmp_path}")
        status, _, err = call(capsys, *arguments)
        assert status == 1
        assert f"{tmp_path}/train.jsonl: no such file" in err
        assert "git clone" in err
        assert "--set data.folder=FOLDER" in err
        assert not output.exists()


class TestInspect:
    def test_prints_figures_and_writes_a_page(self, capsys, tmp_path, recipe_file):
        output = tmp_path / "page"
        arguments = ("inspect", recipe_file, "--output", output, "--samples", "1")
        status, out, err = call(capsys, *arguments, "--set", "training.batch_size=3")
        assert (status, err) == (0, "")
        assert "lengths of training" in out
        assert out.endswith(f"page: {output / 'inspect.html'}\n")
        assert (output / "inspect.html").read_text().count("<img ") == 2

    def test_absent_data_are_answered_with_where_to_get_them(self, capsys, tmp_path):
        output = tmp_path / "page"
        arguments = ("inspect", "fsdd", "--output", output, "--set", f"data.folder={tmp_path}")
        status, _, err = call(capsys, *arguments)
        assert status == 1
        assert "git clone" in err
        assert not output.exists()


class TestEvaluate:
    def test_prints_a_table(self, capsys, features_run):
        manifest = features_run.parent / "corpus" / "validation.jsonl"
        arguments = ("evaluate", features_run, "--manifest", manifest, "--by-speaker")
        status, out, err = call(capsys, *arguments)
        assert (status, err) == (0, "")
        for part in ("WER", "CER", "2 utterances", "speaker 1", "most errors:"):
            assert part in out

    def test_or_json(self, capsys, features_run):
        manifest = features_run.parent / "corpus" / "validation.jsonl"
        arguments = ("evaluate", features_run, "--manifest", manifest, "--json")
        status, out, err = call(capsys, *arguments)
        assert (status, err, out.count("\n")) == (0, "", 1)
        found = json.loads(out)
        assert (found["utterances"], found["skipped"], found["words"]) == (2, 0, 3)
        errors = found["substitutions"] + found["insertions"] + found["deletions"]
        assert found["wer"] == pytest.approx(errors / 3)

    def test_without_a_manifest_it_is_the_recipes(self, capsys, features_run, tmp_path):
        run = shutil.copytree(features_run, tmp_path / "run")
        manifest = features_run.parent / "corpus" / "validation.jsonl"
        _, expected, _ = call(capsys, "evaluate", run, "--manifest", manifest, "--json")
        recipe = load_recipe(run / "recipe.yaml")
        data = recipe.data.model_copy(update={"test_manifest": "validation.jsonl"})
        save_recipe(recipe.model_copy(update={"data": data}), run / "recipe.yaml")
        assert call(capsys, "evaluate", run, "--json") == (0, expected, "")

    def test_errors(self, capsys, run, tmp_path):
        for arguments, message in (
            ((tmp_path, "--manifest", "x"), "expected the folder of a run"),
            ((tmp_path,), "expected the folder of a run"),
            ((run,), "names no data.test_manifest; give --manifest"),
            ((run, "--manifest", tmp_path / "x"), "no such manifest"),
            ((run, "--manifest", "x", "--batch-size", "0"), "expected >= 1, received 0"),
        ):
            status, out, err = call(capsys, "evaluate", *arguments)
            assert (status, out) == (1, "")
            assert err.startswith("keras-ds2: ")
            assert message in err
            assert err.count("\n") == 1


class TestTranscribe:
    def test_prints_a_line_for_each_file_of_a_folder(self, capsys, run, recognizer, recordings):
        status, out, err = call(capsys, "transcribe", run, recordings)
        assert (status, err) == (0, "")
        expected = [f"{recordings}/{name}" for name in ("a.wav", "b.flac")]
        assert out == "".join(f"{path}\t{recognizer.transcribe(path)}\n" for path in expected)

    def test_or_a_json_object_for_each(self, capsys, run, recognizer, recordings):
        status, out, err = call(capsys, "transcribe", run, recordings / "a.wav", "--json")
        assert (status, err) == (0, "")
        found = recognizer.recognize(recordings / "a.wav")
        assert json.loads(out) == {
            "file": f"{recordings}/a.wav",
            "text": found.text,
            "seconds": 0.3,
            "log_prob": pytest.approx(found.hypothesis.log_prob, abs=1e-3),
        }

    def test_a_bad_file_is_named_and_the_others_go_on(self, capsys, run, recordings):
        bad = recordings / "aa.wav"
        bad.write_bytes(wav_bytes("bad")[:-9])
        status, out, err = call(capsys, "transcribe", run, recordings, "absent.wav")
        assert status == 1
        names = [line.split("\t")[0] for line in out.splitlines()]
        assert names == [f"{recordings}/a.wav", f"{recordings}/b.flac"]
        first, second = err.splitlines()
        assert first.startswith(f"keras-ds2: {bad}: truncated")
        assert second.startswith("keras-ds2: absent.wav: cannot be read")

    def test_also_as_json(self, capsys, run, recordings):
        status, out, err = call(capsys, "transcribe", run, "x.wav", recordings / "a.wav", "--json")
        rows = [json.loads(line) for line in out.splitlines()]
        assert status == 1
        assert [set(row) for row in rows] == [
            {"file", "error"},
            {"file", "text", "seconds", "log_prob"},
        ]
        assert err == f"keras-ds2: {rows[0]['error']}\n"

    def test_reads_standard_input(self, capsys, run, recognizer, monkeypatch):
        content = flac_bytes("dad")
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(content)))
        status, out, err = call(capsys, "transcribe", run, "-")
        assert (status, err) == (0, "")
        assert out == f"-\t{recognizer.transcribe(content)}\n"

    def test_a_damaged_run_is_one_message(self, capsys, run, tmp_path, recordings):
        for path in run.iterdir():
            if path.is_file():
                shutil.copy(path, tmp_path)
        (tmp_path / "alphabet.json").write_text("{")
        status, out, err = call(capsys, "transcribe", tmp_path, recordings)
        assert (status, out) == (1, "")
        assert f"{tmp_path}/alphabet.json" in err

    def test_a_run_of_features(self, capsys, tmp_path, features_run):
        bad = tmp_path / "bad.npy"
        np.save(bad, np.zeros((5, 3)))
        good = features_run.parent / "corpus" / "validation_0.npy"
        status, out, err = call(capsys, "transcribe", features_run, good, bad, "-")
        assert status == 1
        assert out.startswith(f"{good}\t")
        assert "expected shape (frames, 4), received (5, 3)" in err
        assert "this model reads .npy files" in err


class TestStream:
    def test_ends_with_the_text_of_the_whole(self, capsys, live_run, tmp_path):
        features = heard(LIVE, 60)
        np.save(tmp_path / "f.npy", features)
        expected = Recognizer.load(live_run).transcribe(features)
        path = tmp_path / "f.npy"
        status, out, err = call(capsys, "stream", live_run, path, "--chunk-ms", 60)
        assert (status, err) == (0, "")
        assert out.splitlines()[-1] == expected
        assert "|" in out
        status, out, err = call(
            capsys, "stream", live_run, path, "--json", "--realtime", "--precision", "int16"
        )
        assert json.loads(out.splitlines()[-1])["text"] == expected

    def test_draws_a_picture(self, capsys, live_run, tmp_path):
        pytest.importorskip("matplotlib", reason="the extra demo is not installed")
        np.save(tmp_path / "f.npy", heard(LIVE, 60))
        picture = tmp_path / "live.png"
        arguments = ("stream", live_run, tmp_path / "f.npy", "--picture", picture)
        assert call(capsys, *arguments)[0] == 0
        assert picture.read_bytes().startswith(b"\x89PNG")
        status, _, err = call(capsys, "stream", live_run, "-", "--picture", picture)
        assert status == 1
        assert "--picture: expected a recording" in err

    @pytest.mark.parametrize("option", [("--chunk-ms", 60), ("--precision", "int16")])
    def test_what_a_server_has_set_is_not_the_clients(self, capsys, option):
        status, _, err = call(capsys, "stream", "http://127.0.0.1:1", "a.wav", *option)
        assert status == 1
        assert f"{option[0]}: a server has its own; give it to keras-ds2 serve" in err

    def test_a_model_that_cannot_is_one_message(self, capsys, run, recordings):
        status, out, err = call(capsys, "stream", run, recordings / "a.wav")
        assert (status, out) == (1, "")
        assert err.startswith("keras-ds2: these features need the whole utterance")
        assert "power_normalize" in err


class TestRecipes:
    def test_are_listed_with_what_they_are(self, capsys):
        status, out, err = call(capsys, "recipes")
        assert (status, err) == (0, "")
        rows = [line.split("\t") for line in out.splitlines()]
        assert [row[0] for row in rows] == recipe_names()
        assert all(len(row) == 2 and row[1] for row in rows)

    def test_and_every_key(self, capsys):
        status, out, _ = call(capsys, "recipes", "--keys")
        assert status == 0
        assert "model:" in out.splitlines()
        assert "  units: whole number >= 1; not set" in out.splitlines()


class TestUsage:
    @pytest.mark.parametrize(
        "arguments",
        [
            (),
            ("sing",),
            ("train", "fsdd"),
            ("transcribe", "run"),
            ("evaluate", "run", "--manifest", "m", "--batch-size", "many"),
        ],
    )
    def test_wrong_usage_is_status_2(self, capsys, arguments):
        with pytest.raises(SystemExit) as caught:
            main(arguments)
        assert caught.value.code == 2
        assert "usage: keras-ds2" in capsys.readouterr().err

    def test_what_keras_ds2_does_not_expect_is_not_hidden(self, run, monkeypatch):
        def broken(*arguments):
            raise KeyError("a mistake of our own")

        monkeypatch.setattr("keras_ds2.recognition.transcription.transcribe_files", broken)
        with pytest.raises(KeyError):
            main(["transcribe", str(run), "a.wav"])


class TestProcess:
    def test_help_is_quick_and_quiet(self):
        code = (
            "import sys\n"
            "from keras_ds2.cli import main\n"
            "try:\n"
            "    main(['--help'])\n"
            "except SystemExit as stopped:\n"
            "    assert stopped.code == 0\n"
            "heavy = {'tensorflow', 'keras', 'numpy', 'rich'} & set(sys.modules)\n"
            "assert not heavy, heavy\n"
        )
        done = in_a_process(code=code)
        assert (done.returncode, done.stderr) == (0, "")
        commands = (
            "train",
            "inspect",
            "evaluate",
            "transcribe",
            "stream",
            "serve",
            "demo",
            "recipes",
        )
        for command in commands:
            assert command in done.stdout

    def test_tensorflows_chatter_is_not_shown(self):
        done = in_a_process("recipes")
        assert (done.returncode, done.stderr) == (0, "")
        assert any(line.startswith("demo\t") for line in done.stdout.splitlines())

    def test_an_error_is(self, tmp_path):
        done = in_a_process("transcribe", tmp_path, "a.wav")
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.startswith(f"keras-ds2: {tmp_path}: expected the folder of a run")
        assert done.stderr.count("\n") == 1
