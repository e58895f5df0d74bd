"""Training that is killed, and training on a disk that is full: nothing is lost."""

import os
import signal
import time

import h5py
import numpy as np
import pytest
import yaml

from keras_ds2.training.checkpoints import CheckpointStore
from tests.made_up_corpus import TEXTS, features_corpus, tiny_recipe
from tests.recipe.training_process import Trainings, said

KILLS = 20
EPOCHS, STEPS = 6, 15

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("killed")


@pytest.fixture(scope="module")
def trainings(folder):
    corpus = folder / "corpus"
    features_corpus(corpus, 5 * TEXTS)
    features_corpus(corpus, TEXTS, "validation", seed=100)
    recipe = tiny_recipe(
        corpus,
        features__normalization="corpus",
        augmentation__time_warp=[0.9, 1.1],
        augmentation__gaussian_noise_stddev=0.1,
        training__epochs=EPOCHS,
        training__learning_rate=0.02,
        training__schedule="cosine",
        training__ema_momentum=0.9,
        training__accumulate_steps=2,
        training__average_best=2,
        training__save_minutes=0,
    )
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(recipe.model_dump(exclude_none=True)))
    with Trainings(path) as trainings:
        yield trainings


@pytest.fixture(scope="module")
def whole(folder, trainings):
    """The run that is left in peace."""
    output = folder / "whole"
    assert trainings.train(output) == 0, said(output)
    return output


def arrays(path):
    """All that an HDF5 file holds."""
    found = {}

    def add(name, item):
        if isinstance(item, h5py.Dataset):
            found[name] = item[()]

    with h5py.File(path) as file:
        file.visititems(add)
    return found


def assert_same_run(output, whole):
    """Log, best weights, the last weights and the optimiser are the same, to the bit."""
    assert (output / "log.csv").read_text() == (whole / "log.csv").read_text()
    last = [CheckpointStore(each / "checkpoints").saved()[-1] for each in (output, whole)]
    assert last[0].name.split(".")[0] == last[1].name.split(".")[0]
    pairs = [
        (output / "best.weights.h5", whole / "best.weights.h5"),
        tuple(each / "model.weights.h5" for each in last),
    ]
    for one, two in pairs:
        one, two = arrays(one), arrays(two)
        assert one.keys() == two.keys()
        for name in one:
            np.testing.assert_array_equal(one[name], two[name], err_msg=name)
    assert not [path.name for path in output.rglob(".draft*")]
    assert [path.name for path in (output / "checkpoints").iterdir() if path.name[0] == "."] == []


def newest(output):
    saved = CheckpointStore(output / "checkpoints").saved()
    return saved[-1].name if saved else ""


def wait_for(output, iteration):
    """Waits for a checkpoint."""
    patience = time.monotonic() + 300
    while newest(output) < f"iteration-{iteration:09d}":
        assert time.monotonic() < patience, said(output)
        time.sleep(0.01)


def test_killed_at_twenty_moments_it_ends_as_if_left_in_peace(folder, trainings, whole):
    draws = np.random.default_rng(1)
    output = folder / "killed"
    for kill in range(KILLS):
        process = trainings.start(output)
        # So many checkpoints on, and then anywhere in the step, the save or the validation.
        for _ in range(draws.integers(0, 5)):
            before, patience = newest(output), time.monotonic() + 120
            while newest(output) == before and time.monotonic() < patience:
                time.sleep(0.001)
        time.sleep(draws.uniform(0, 0.08))
        os.kill(process, signal.SIGKILL)
        assert trainings.wait() == -signal.SIGKILL, f"kill {kill}: {said(output)}"
    assert trainings.train(output) == 0, said(output)
    assert "going on " in said(output)
    assert_same_run(output, whole)


# Log, events and the front end's statistics fit in, weights and optimiser do not.
FILE_SIZE = 20_000


def test_without_space_it_warns_goes_on_stops_and_nothing_is_lost(folder, trainings, whole):
    output = folder / "full"
    assert trainings.train(output, file_size=FILE_SIZE) == 1, said(output)
    text = said(output)
    assert "training goes on and tries again later; there is no checkpoint yet" in text
    assert "cannot be written (File too large); it needs " in text
    assert " are free there" in text
    assert "keras-ds2: " in text
    assert "make room and run the same command to go on" in text
    assert "Traceback" not in text
    assert not list(output.rglob(".*"))
    assert trainings.train(output) == 0, said(output)
    assert_same_run(output, whole)


def test_space_that_another_takes_in_the_middle_of_a_save(folder, trainings, whole):
    # HDF5 may end the process then, which is why room is made sure of before it is asked to write.
    output = folder / "taken"
    process = trainings.start(output)
    wait_for(output, STEPS + 2)
    os.kill(process, signal.SIGKILL)
    trainings.wait()
    assert trainings.train(output, file_size=FILE_SIZE, reserve=False) != 0
    assert trainings.train(output) == 0, said(output)
    assert_same_run(output, whole)


def test_asked_to_stop_it_stops_soon_and_goes_on(folder, trainings, whole):
    output = folder / "term"
    process = trainings.start(output)
    wait_for(output, STEPS)
    os.kill(process, signal.SIGTERM)
    assert trainings.wait() == 130, said(output)
    assert "nothing is lost" in said(output)
    assert trainings.train(output) == 0, said(output)
    assert_same_run(output, whole)
