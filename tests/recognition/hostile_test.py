"""Files from a stranger: nothing in them runs, leads elsewhere, or takes more than it holds."""

import hashlib
import io
import itertools
import json
import os
import pickle
import resource
import shutil
import tokenize
import zipfile
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest

from keras_ds2.data.features_file import FeaturesError, read_features
from keras_ds2.recipe import RecipeError, load_recipe
from keras_ds2.recipe.output_folder import OutputError, check_output
from keras_ds2.recognition import Recognizer
from keras_ds2.recognition.run_folder import RunFolderError
from keras_ds2.streaming.state_file import from_bytes, to_bytes
from keras_ds2.training.checkpoints import CheckpointError, CheckpointStore
from keras_ds2.weights_file import check_weights_file
from tests.made_up_corpus import trained_run
from tests.training.made_up_training import small_model

CHECKOUT = Path(__file__).resolve().parents[2]
GIANT = 200_000_000


class Command:
    """Unpickled, it leaves a file behind."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return trained_run(tmp_path_factory.getbasetemp())


@pytest.fixture
def copy(run, tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    for path in run.iterdir():
        if path.is_file():
            shutil.copy(path, folder)
    return folder


@pytest.fixture
def traces(tmp_path):
    """A file that is not there unless something ran."""
    path = tmp_path / "it_ran"
    yield path
    assert not path.exists()


@pytest.fixture
def little_memory():
    """No more than a gigabyte beside what is in use."""
    with open("/proc/self/statm", encoding="ascii") as file:
        used = int(file.read().split()[0]) * resource.getpagesize()
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (used + 2**30, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


def first_array(path):
    with h5py.File(path) as file:
        names = []
        file.visititems(
            lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None
        )
    return names[0]


def put(path, make):
    """Replaces a file's first array by what `make(group, name)` makes."""
    name = first_array(path)
    with h5py.File(path, "r+") as file:
        del file[name]
        group, _, last = name.rpartition("/")
        make(file[group], last)


def external_link(group, name):
    group[name] = h5py.ExternalLink("/etc/hostname", "/")


def soft_link(group, name):
    group[name] = h5py.SoftLink("/")


def stored_elsewhere(group, name):
    group.create_dataset(name, (10,), "u1", external=[("/etc/hostname", 0, 10)])


def virtual(group, name):
    layout = h5py.VirtualLayout((10,), "f4")
    layout[:] = h5py.VirtualSource("/etc/hostname", "x", (10,))
    group.create_virtual_dataset(name, layout)


def of_text(group, name):
    group.create_dataset(name, data=["cos\nsystem"], dtype=h5py.string_dtype())


def giant(group, name):
    group.create_dataset(name, (GIANT, 4), "f4", chunks=True, compression="gzip")


def giant_contiguous(group, name):
    group.create_dataset(name, (GIANT, 4), "f4")


HARMS = [external_link, soft_link, stored_elsewhere, virtual, of_text, giant, giant_contiguous]


class TestWeights:
    @pytest.mark.parametrize("file", ["best.weights.h5", "front_end.weights.h5"])
    @pytest.mark.parametrize("harm", HARMS)
    def test_of_a_run_are_looked_through(self, copy, little_memory, file, harm):
        put(copy / file, harm)
        with pytest.raises(ValueError):
            check_weights_file(copy / file)
        with pytest.raises(RunFolderError, match="cannot be"):
            Recognizer.load(copy)

    def test_groups_in_circles_end(self, copy):
        with h5py.File(copy / "best.weights.h5", "r+") as file:
            file["circle"] = file["/"]
        with pytest.raises(ValueError, match=r"circle: .* second name"):
            check_weights_file(copy / "best.weights.h5")

    def test_groups_of_two_names_each_are_not_gone_through_again_and_again(self, tmp_path):
        with h5py.File(path := tmp_path / "a.weights.h5", "w") as file:
            group = file
            for _ in range(40):  # 2^40 ways to the last
                following = group.create_group("one")
                group["two"] = following
                group = following
        with pytest.raises(ValueError, match="second name"):
            check_weights_file(path)

    def test_groups_within_groups_end(self, tmp_path):
        with h5py.File(path := tmp_path / "a.weights.h5", "w") as file:
            file.create_group("a/" * 100)
        with pytest.raises(ValueError, match="deeper than any"):
            check_weights_file(path)

    def test_sound_ones_pass(self, run):
        for name in ("best.weights.h5", "front_end.weights.h5"):
            check_weights_file(run / name)

    def test_a_model_with_code_in_their_place_is_not_loaded(self, copy, traces):
        inputs = keras.Input((1,))
        path = str(traces)
        outputs = keras.layers.Lambda(lambda x: (open(path, "w").close(), x)[1])(inputs)
        keras.Model(inputs, outputs).save(copy / "evil.keras")
        traces.unlink(missing_ok=True)
        shutil.move(copy / "evil.keras", copy / "best.weights.h5")
        with pytest.raises(RunFolderError, match="cannot be read as this model's weights"):
            Recognizer.load(copy)

    def test_pickled_ones_are_not_unpickled(self, copy, traces):
        (copy / "best.weights.h5").write_bytes(pickle.dumps(Command(traces)))
        with pytest.raises(RunFolderError):
            Recognizer.load(copy)


CLASS = {"module": "os", "class_name": "system", "config": {"command": "true"}}


class TestConfiguration:
    def change(self, copy, section, **values):
        path = copy / "recognizer.json"
        content = json.loads(path.read_text())
        content[section].update(values)
        path.write_text(json.dumps(content))

    @pytest.mark.parametrize(
        ("section", "values"),
        [
            ("model", {"dtype": CLASS}),
            ("model", {"dtype": {**CLASS, "module": "keras", "class_name": "DTypePolicy"}}),
            ("model", {"recurrent_initializer": CLASS}),
            ("model", {"rnn_type": CLASS}),
            ("model", {"conv_filters": [CLASS]}),
            ("model", CLASS),
            ("front_end", {"normalization": CLASS}),
            ("front_end", CLASS),
        ],
    )
    def test_names_no_class(self, copy, section, values):
        self.change(copy, section, **values)
        with pytest.raises(RunFolderError, match="cannot be used"):
            Recognizer.load(copy)

    @pytest.mark.parametrize(
        "values",
        [
            {"units": GIANT},
            {"units": 100_000},
            {"num_rnn_layers": GIANT},
            {"dense_units": GIANT},
            {"vocabulary_size": GIANT},
            {"conv_filters": [GIANT]},
            {"conv_kernel_size": [GIANT]},
            {"num_bins": GIANT},
            {"units": -(10**9)},
        ],
    )
    def test_declares_no_more_than_its_weights_hold(self, copy, little_memory, values):
        self.change(copy, "model", **values)
        with pytest.raises(RunFolderError, match="cannot be used"):
            Recognizer.load(copy)


class TestFeatures:
    def test_pickled_objects_are_refused(self, tmp_path, traces):
        path = tmp_path / "x.npy"
        np.save(path, np.array([[Command(traces)]], dtype=object), allow_pickle=True)
        with pytest.raises(FeaturesError, match="expected real numbers"):
            read_features(path, 1)
        path.write_bytes(pickle.dumps(Command(traces)))
        with pytest.raises(FeaturesError, match="cannot be read as a"):
            read_features(path, 1)

    def test_a_giant_shape_is_refused(self, tmp_path, little_memory):
        file = io.BytesIO()
        header = {"descr": "<f4", "fortran_order": False, "shape": (10**10, 4)}
        np.lib.format.write_array_header_1_0(file, header)
        path = tmp_path / "x.npy"
        path.write_bytes(file.getvalue() + bytes(64))
        with pytest.raises(FeaturesError, match="truncated"):
            read_features(path, 4)


class TestRecipes:
    @pytest.mark.parametrize(
        "tag",
        [
            '!!python/object/apply:os.system ["touch {}"]',
            "!!python/object/new:os.system [touch {}]",
            "!!python/name:os.system",
            "!!python/module:os",
        ],
    )
    def test_tags_of_python_are_no_yaml_here(self, copy, traces, tag):
        path = copy / "recipe.yaml"
        text = path.read_text().replace("name: digits", "name: " + tag.format(traces))
        assert "python" in text
        path.write_text(text)
        with pytest.raises(RecipeError, match="could not determine a constructor"):
            load_recipe(path)

    def test_aliases_that_multiply_end(self, tmp_path):
        lines = ["a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1]"]
        lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 9)]
        path = tmp_path / "recipe.yaml"
        path.write_text("\n".join(lines))
        with pytest.raises(RecipeError, match="unknown key"):
            load_recipe(path)


def test_links_that_lead_out_of_a_run_are_not_written_over(copy, tmp_path):
    recipe = load_recipe(copy / "recipe.yaml")
    check_output(copy, recipe)
    outside = tmp_path / "precious"
    outside.write_text("mine")
    (copy / "log.csv").unlink(missing_ok=True)
    (copy / "log.csv").symlink_to(outside)
    with pytest.raises(OutputError, match=r"log\.csv: is a link to .*precious, outside"):
        check_output(copy, recipe)


def test_nor_are_folders_elsewhere(copy, tmp_path):
    recipe = load_recipe(copy / "recipe.yaml")
    (tmp_path / "precious").mkdir()
    (copy / "checkpoints").symlink_to(tmp_path / "precious")
    with pytest.raises(OutputError, match=r"checkpoints: is a link to .*precious, outside"):
        check_output(copy, recipe)


class TestCheckpoints:
    """With checksums that fit: whoever writes a checkpoint writes these too."""

    def checkpoint(self, folder, change):
        store = CheckpointStore(folder)
        model = small_model()
        model.optimizer.build(model.trainable_variables)
        store.save(model, {"iteration": 1})
        (made,) = store.saved()
        change(made)
        names = ("state.json", "model.weights.h5")
        lines = [f"{hashlib.sha256((made / n).read_bytes()).hexdigest()}  {n}\n" for n in names]
        (made / "checksums.sha256").write_text("".join(lines))
        return store

    def test_as_they_were_are_read(self, tmp_path):
        store = self.checkpoint(tmp_path, lambda made: None)
        assert store.restore(small_model())["iteration"] == 1

    @pytest.mark.parametrize("harm", HARMS)
    def test_are_looked_through(self, tmp_path, little_memory, harm):
        store = self.checkpoint(tmp_path, lambda made: put(made / "model.weights.h5", harm))
        with pytest.raises(CheckpointError, match="can be read"):
            store.restore(small_model())

    @pytest.mark.parametrize("file", ["state.json", "model.weights.h5"])
    def test_are_not_unpickled(self, tmp_path, traces, file):
        def change(made):
            (made / file).write_bytes(pickle.dumps(Command(traces)))

        with pytest.raises(CheckpointError, match="can be read"):
            self.checkpoint(tmp_path / "checkpoints", change).restore(small_model())


def test_a_streams_state_is_not_decompressed(little_memory):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.npy", bytes(10_000_000))
    with pytest.raises(ValueError, match="compressed"):
        from_bytes(file.getvalue())
    assert from_bytes(to_bytes({"x": np.arange(3)}))["x"].tolist() == [0, 1, 2]


NEVER = {"pickle", "eval", "exec", "marshal", "shelve", "joblib", "load_model", "unsafe_load"}
NEVER |= {"full_load", "UnsafeLoader", "FullLoader", "safe_mode", "enable_unsafe_deserialization"}


def test_the_package_has_no_way_to_run_what_it_reads():
    for path in (CHECKOUT / "keras_ds2").rglob("*.py"):
        with open(path, "rb") as file:
            tokens = list(tokenize.tokenize(file.readline))
        words = [token.string for token in tokens if token.type == tokenize.NAME]
        assert not NEVER.intersection(words), path
        for before, word in itertools.pairwise(words):
            assert before != "allow_pickle" or word == "False", path
            assert before != "yaml" or word != "load", path
