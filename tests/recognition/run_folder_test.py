"""What a run folder holds for recognition, and what is said of a damaged one."""

import json
import shutil

import numpy as np
import pytest

from keras_ds2.features.front_end import FeatureFrontEnd
from keras_ds2.recognition import Recognizer
from keras_ds2.recognition.run_folder import (
    RunFolderError,
    read_configuration,
    write_configuration,
)
from keras_ds2.text.alphabet import Alphabet
from tests.made_up_corpus import trained_run


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return trained_run(tmp_path_factory.getbasetemp())


@pytest.fixture
def copy(run, tmp_path):
    """A copy of what recognition reads of a run, to damage."""
    for path in run.iterdir():
        if path.is_file():
            shutil.copy(path, tmp_path)
    return tmp_path


def change(path, **values):
    content = json.loads(path.read_text())
    content.update(values)
    path.write_text(json.dumps(content))


class TestConfiguration:
    def test_is_read_as_it_was_written(self, run, tmp_path):
        read = read_configuration(run)
        write_configuration(
            tmp_path, read["model"], read["front_end"], read["alphabet"], "mandarin", True, "cer"
        )
        again = read_configuration(tmp_path)
        assert (again["language"], again["ignore_spaces"]) == ("mandarin", True)
        assert (read["primary"], again["primary"]) == ("wer", "cer")
        assert again["alphabet"] == read["alphabet"]
        assert again["model"].get_config() == read["model"].get_config()
        configs = [each["front_end"].get_config() for each in (read, again)]
        assert {**configs[0], "name": ""} == {**configs[1], "name": ""}

    @pytest.mark.parametrize("normalization", ["corpus", "running"])
    def test_corpus_statistics_come_along(self, run, tmp_path, normalization):
        front_end = FeatureFrontEnd(kind="precomputed", num_bins=4, normalization=normalization)
        features = np.random.default_rng(0).normal(3, 2, (50, 4)).astype(np.float32)
        front_end.adapt([(features, 50)])
        read = read_configuration(run)
        write_configuration(
            tmp_path, read["model"], front_end, read["alphabet"], "none", False, "wer"
        )
        again = read_configuration(tmp_path)["front_end"]
        np.testing.assert_array_equal(again(features[np.newaxis]), front_end(features[np.newaxis]))

    def test_is_json_and_hdf5_and_no_code(self, run):
        names = {path.name for path in run.iterdir() if path.is_file()}
        assert {"recognizer.json", "alphabet.json", "recipe.yaml", "skipped.txt"} <= names
        weights = {"best.weights.h5", "front_end.weights.h5"}
        assert weights <= names
        for name in weights:
            assert (run / name).read_bytes().startswith(b"\x89HDF")
        assert not any(name.startswith(".") for name in names)


def damage_format(copy):
    change(copy / "recognizer.json", version=99)


def damage_model(copy):
    change(copy / "recognizer.json", model={"units": 3})


def damage_number(copy):
    model = json.loads((copy / "recognizer.json").read_text())["model"]
    change(copy / "recognizer.json", model={**model, "units": "many"})


def damage_front_end(copy):
    change(copy / "recognizer.json", front_end=["log_spectrogram"])


def damage_primary(copy):
    change(copy / "recognizer.json", primary="loss")


def drop(copy, key):
    content = json.loads((copy / "recognizer.json").read_text())
    del content[key]
    (copy / "recognizer.json").write_text(json.dumps(content))


def drop_language(copy):
    drop(copy, "language")


def cut(name, size):
    def damage(copy):
        path = copy / name
        path.write_bytes(path.read_bytes()[:size])

    damage.__name__ = f"cut_{name}_to_{size}"
    return damage


def hollow(name):
    def damage(copy):
        content = (copy / name).read_bytes()
        (copy / name).write_bytes(content[:600] + bytes(3000) + content[3600:])

    damage.__name__ = f"hollow_{name}"
    return damage


def write(name, content):
    def damage(copy):
        (copy / name).write_bytes(content)

    damage.__name__ = f"write_{name}"
    return damage


def remove(name):
    def damage(copy):
        (copy / name).unlink()

    damage.__name__ = f"remove_{name}"
    return damage


def another_alphabet(copy):
    Alphabet(list("xyz")).save(copy / "alphabet.json")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (remove("recognizer.json"), "found no readable recognizer.json"),
        (cut("recognizer.json", 80), "recognizer.json: not JSON .*train the run again"),
        (write("recognizer.json", b"\xff\xfe\x00"), "recognizer.json: not JSON"),
        (write("recognizer.json", b"[]"), "recognizer.json: expected .* received"),
        (write("recognizer.json", b"3"), "recognizer.json: expected .* received 3"),
        (damage_format, "'version': 99.* another release"),
        (damage_model, "recognizer.json: cannot be used"),
        (damage_number, "cannot be used: .*units"),
        (damage_front_end, "recognizer.json: cannot be used"),
        (damage_primary, "cannot be used: primary: expected wer or cer, received 'loss'"),
        (drop_language, "cannot be used: .*language"),
        (remove("alphabet.json"), "alphabet.json: no such alphabet file"),
        (cut("alphabet.json", 30), "alphabet.json:.* not JSON"),
        (another_alphabet, "alphabet.json: expected the model's 6 symbols.* received 4"),
        (remove("front_end.weights.h5"), "cannot be used"),
        (cut("front_end.weights.h5", 500), "cannot be used"),
        (remove("best.weights.h5"), r"holds no best\.weights\.h5 yet"),
        (cut("best.weights.h5", 0), r"best\.weights\.h5: cannot be read as this model's"),
        (cut("best.weights.h5", 2000), r"best\.weights\.h5: cannot be read as this model's"),
        (hollow("best.weights.h5"), r"best\.weights\.h5: cannot be read as this model's"),
        (write("best.weights.h5", b"no HDF5"), r"best\.weights\.h5: cannot be read as this mod"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_a_damaged_run_is_one_error_that_names_the_part(copy, damage, message):
    damage(copy)
    with pytest.raises(RunFolderError, match=message) as caught:
        Recognizer.load(copy)
    assert str(copy) in str(caught.value)


def test_another_models_weights_are_an_error(copy):
    model = json.loads((copy / "recognizer.json").read_text())["model"]
    change(copy / "recognizer.json", model={**model, "units": model["units"] + 1})
    with pytest.raises(RunFolderError, match="cannot be read as this model's weights"):
        Recognizer.load(copy)


def test_a_run_that_names_no_primary_rate_is_read_all_the_same(copy):
    drop(copy, "primary")
    assert read_configuration(copy)["primary"] == "wer"


def test_an_undamaged_copy_is_a_run(copy):
    assert set(Recognizer.load(copy).alphabet.symbols) == set("abcd ")
