"""Checkpoints: what they keep, how many, and damaged ones."""

import json
import os
import shutil
from pathlib import Path

import keras
import numpy as np
import pytest

from keras_ds2.training.checkpoints import (
    CheckpointError,
    CheckpointStore,
    save_weights,
    without_optimizer,
)
from tests.training.made_up_training import small_model


@pytest.fixture(scope="module")
def trained():
    """A model whose optimiser has a state."""
    model = small_model()
    x, y = np.ones((4, 3), np.float32), np.ones((4, 1), np.float32)
    model.fit(x, y, epochs=2, verbose=0)
    return model


@pytest.fixture
def store(tmp_path):
    return CheckpointStore(tmp_path / "checkpoints")


def state(iteration, **more):
    return {"iteration": iteration, "epoch": 1, "step": 2, "history": [], **more}


def names(store):
    return [path.name for path in store.saved()]


def test_an_empty_store_restores_nothing(store, trained):
    assert store.saved() == []
    assert store.restore(trained) is None


def test_restores_weights_optimizer_random_state_and_position(store, trained):
    store.save(trained, state(2, history=[{"epoch": 1, "loss": 0.1 + 0.2}]))
    other = small_model()
    other.layers[0].kernel.assign(other.layers[0].kernel + 1)
    restored = store.restore(other)
    assert (restored["epoch"], restored["step"]) == (1, 2)
    assert restored["history"] == [{"epoch": 1, "loss": 0.1 + 0.2}]
    for one, two in zip(trained.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)
    pairs = zip(trained.optimizer.variables, other.optimizer.variables, strict=True)
    for one, two in pairs:
        np.testing.assert_array_equal(one.numpy(), two.numpy())
    dropped = [model.layers[1](np.ones((1, 64)), training=True) for model in (trained, other)]
    np.testing.assert_array_equal(*dropped)
    assert 0 < np.count_nonzero(dropped[0]) < 64


def test_keeps_the_newest_only(tmp_path, trained):
    store = CheckpointStore(tmp_path, keep=3)
    for iteration in (8, 9, 10, 99, 100, 1000):
        store.save(trained, state(iteration))
    assert names(store) == [f"iteration-{number:09d}" for number in (99, 100, 1000)]


def test_the_same_iteration_again_replaces_the_checkpoint(store, trained):
    store.save(trained, state(5))
    store.save(trained, state(5, step=3))
    assert len(names(store)) == 1
    assert store.restore(trained)["step"] == 3


def test_what_a_killed_process_left_is_passed_over_and_removed(store, trained):
    store.save(trained, state(1))
    draft = store.folder / ".iteration-000000002.draft"
    shutil.copytree(store.saved()[0], draft)
    (draft / "state.json").write_text('{"iteration": 2, "ep')
    assert names(store) == ["iteration-000000001"]
    assert store.restore(trained)["iteration"] == 1
    store.save(trained, state(3))
    assert not draft.exists()


def test_a_save_that_fails_leaves_the_one_before(store, trained, monkeypatch):
    store.save(trained, state(1))

    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(type(trained), "save_weights", full)
    with pytest.raises(OSError, match="No space left"):
        store.save(trained, state(2))
    assert names(store) == ["iteration-000000001"]
    assert store.restore(trained)["iteration"] == 1


def flip(content):
    """One bit of it, in the middle, is another."""
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


DAMAGES = [
    ("state.json", lambda content: content[:-5]),
    ("state.json", lambda content: b""),
    ("state.json", lambda content: b"[]"),
    ("state.json", flip),
    ("state.json", lambda content: content.replace(b"random_states", b"random")),
    ("model.weights.h5", lambda content: b""),
    ("model.weights.h5", lambda content: content[: len(content) // 2]),
    ("model.weights.h5", lambda content: content + b"more"),
    ("model.weights.h5", flip),
    ("model.weights.h5", lambda content: b"not HDF5" * 100),
    ("checksums.sha256", lambda content: b""),
    ("checksums.sha256", flip),
    ("checksums.sha256", lambda content: b"\xff\xfe" + content),
]


class TestDamage:
    @pytest.mark.parametrize(("file", "damage"), DAMAGES)
    def test_is_told_and_the_one_before_is_taken(self, store, trained, file, damage):
        store.save(trained, state(1))
        store.save(trained, state(2))
        path = store.saved()[-1] / file
        path.write_bytes(damage(path.read_bytes()))
        said = []
        model = small_model()
        assert store.restore(model, said.append)["iteration"] == 1
        assert len(said) == 1
        assert said[0].startswith(f"{path.parent}: damaged checkpoint (")
        assert said[0].endswith("taking iteration-000000001, the one before")
        for one, two in zip(trained.get_weights(), model.get_weights(), strict=True):
            np.testing.assert_array_equal(one, two)

    @pytest.mark.parametrize("file", ["state.json", "model.weights.h5", "checksums.sha256"])
    def test_a_missing_file_is_damage(self, store, trained, file):
        store.save(trained, state(1))
        (store.saved()[0] / file).unlink()
        with pytest.raises(CheckpointError, match="iteration-000000001: damaged"):
            store.restore(small_model())

    def test_of_all_is_an_error_that_names_each(self, store, trained):
        for iteration in (1, 2):
            store.save(trained, state(iteration))
            (store.saved()[-1] / "state.json").write_text("{")
        said = []
        with pytest.raises(CheckpointError, match="No checkpoint of this run can be read") as error:
            store.restore(small_model(), said.append)
        assert said == []
        for iteration in (1, 2):
            assert f"iteration-00000000{iteration}: damaged" in str(error.value)

    def test_damaged_ones_of_a_future_given_up_push_out_no_good_one(self, store, trained):
        for iteration in (1, 2, 8, 9):
            store.save(trained, state(iteration))
        (store.saved()[-1] / "state.json").write_text("{")
        assert store.restore(small_model())["iteration"] == 8
        (store.saved()[0] / "state.json").write_text("{")
        with pytest.raises(CheckpointError):
            store.restore(small_model())
        store.save(trained, state(3))
        assert names(store) == ["iteration-000000003"]

    def test_folders_of_other_names_are_left_alone(self, store, trained):
        store.save(trained, state(1))
        (store.folder / "iteration-000000001 (copy)").mkdir()
        assert names(store) == ["iteration-000000001"]
        assert store.restore(small_model())["iteration"] == 1


def test_another_models_checkpoint_is_an_error(store, trained):
    store.save(trained, state(1))
    other = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    other.compile("adam", "mse")
    with pytest.raises(CheckpointError, match="damaged checkpoint"):
        store.restore(other)


class Kill(BaseException):
    """The process ends here."""


class TestKilled:
    """At each file operation of a save: there is a checkpoint afterwards, and it is whole."""

    OPERATIONS = ("replace", "fsync", "mkdir", "rmdir", "unlink", "open")

    def test_a_checkpoint_is_always_there(self, tmp_path, trained, monkeypatch):
        survived = 0
        for moment in range(1000):
            store = CheckpointStore(tmp_path / str(moment), keep=1)
            store.save(trained, state(5))
            if self.saves_whole(store, trained, moment, monkeypatch):
                break
            survived += 1
            assert store.restore(small_model())["iteration"] == 5
            store.save(trained, state(6))
            assert names(store) == ["iteration-000000006"]
            assert [path.name for path in store.folder.iterdir()] == names(store)
        assert survived > 10

    def saves_whole(self, store, trained, moment, monkeypatch):
        """Saves the same iteration again; from the moment on, nothing is done any more."""
        done = []

        def dying(real):
            def call(*arguments, **options):
                done.append(real)
                if len(done) > moment:
                    raise Kill
                return real(*arguments, **options)

            return call

        with monkeypatch.context() as patch:
            for name in self.OPERATIONS:
                patch.setattr(os, name, dying(getattr(os, name)))
            try:
                store.save(trained, state(5, step=3))
            except Kill:
                return False
        return len(done) <= moment


def test_nothing_in_a_checkpoint_is_pickled(store, trained):
    store.save(trained, state(1))
    files = sorted(path.name for path in store.saved()[0].iterdir())
    assert files == ["checksums.sha256", "model.weights.h5", "state.json"]
    json.loads((store.saved()[0] / "state.json").read_text())
    assert (store.saved()[0] / "model.weights.h5").read_bytes().startswith(b"\x89HDF")


class TestSaveWeights:
    def test_are_the_models_and_hold_no_optimizer(self, tmp_path, trained):
        path = tmp_path / "best.weights.h5"
        save_weights(without_optimizer(trained), path)
        plain = keras.Sequential.from_config(trained.get_config())
        plain.load_weights(path)
        for one, two in zip(trained.get_weights(), plain.get_weights(), strict=True):
            np.testing.assert_array_equal(one, two)
        with_optimizer = tmp_path / "all.weights.h5"
        trained.save_weights(with_optimizer)
        assert path.stat().st_size < with_optimizer.stat().st_size
        assert sorted(each.name for each in tmp_path.glob("*best*")) == ["best.weights.h5"]

    def test_leave_the_older_file_when_writing_fails(self, tmp_path, trained, monkeypatch):
        path = tmp_path / "best.weights.h5"
        save_weights(without_optimizer(trained), path)
        before = path.read_bytes()

        def breaks(self, draft):
            Path(draft).write_bytes(b"half")
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(type(trained), "save_weights", breaks)
        with pytest.raises(OSError, match="No space left"):
            save_weights(without_optimizer(trained), path)
        assert path.read_bytes() == before
        assert os.listdir(tmp_path) == [path.name]
