"""A recipe on two replicas, of one process and of two: the weights and figures of one device."""

import csv
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import yaml
from rich.console import Console

from keras_ds2.data.service import wait_for
from keras_ds2.recipe import load_recipe
from keras_ds2.recipe.train import train_recipe
from keras_ds2.training.callbacks import TrainingInterrupted, ValidationScores
from keras_ds2.training.checkpoints import CheckpointStore
from keras_ds2.training.cluster import Cluster
from keras_ds2.training.distribution import DistributionError
from keras_ds2.training.launcher import LOST, free_ports
from tests.distributed_run import (
    QUIET,
    ROOT,
    assert_same_values,
    mirrored,
    other_output,
    saved_values,
    start_two_workers,
    two_workers,
)
from tests.made_up_corpus import TEXTS, features_corpus, tiny_recipe

EPOCHS, STEPS = 7, 3
HALVES = pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])


@pytest.fixture(scope="module")
def recipe_file(tmp_path_factory):
    """33 utterances in batches of 16: of the last batch of an epoch one replica has nothing.

    21 steps in all, whose length is the clip: were it taken before the sum over replicas it would
    be another.
    """
    folder = tmp_path_factory.mktemp("corpus")
    features_corpus(folder, (3 * TEXTS)[:33])
    features_corpus(folder, ("ab", "cad", "bad"), "validation", seed=100)
    recipe = tiny_recipe(
        folder,
        features__normalization="corpus",
        augmentation__time_warp=[0.9, 1.1],
        model__dropout=0.0,
        model__conv_type="2d",
        model__conv_kernel_size=[[5, 3]],
        model__conv_strides=[[2, 2]],
        model__bidirectional=True,
        training__batch_size=16,
        training__epochs=EPOCHS,
        training__num_buckets=1,
        training__optimizer="sgd",
        training__momentum=0.5,
        training__learning_rate=0.1,
        training__warmup_steps=2,
        training__clip_norm=0.5,
        training__weight_decay=0.01,
    )
    path = folder / "tiny.yaml"
    path.write_text(yaml.safe_dump(recipe.model_dump(exclude_none=True)))
    return path


@pytest.fixture(scope="module")
def one(recipe_file):
    """The run on one device."""
    output = recipe_file.parent / "one"
    train_recipe(load_recipe(recipe_file), output, Console(file=io.StringIO()))
    return output


@pytest.fixture(scope="module")
def two(recipe_file):
    """The run of two processes, and what each of them had at the end."""
    output = recipe_file.parent / "two"
    return output, two_workers(recipe_file, output)


def log(run):
    return list(csv.DictReader((Path(run) / "log.csv").read_text().splitlines()))


def assert_same_run(run, expected):
    """Weights, optimiser, moving statistics, figures of every epoch."""
    assert_same_values(saved_values(run), saved_values(expected))
    for found, wanted in zip(log(run), log(expected), strict=True):
        assert found.keys() == wanted.keys()
        for key, value in wanted.items():
            assert float(found[key]) == pytest.approx(float(value), rel=1e-4, abs=1e-6), key


def test_two_replicas_end_as_one(recipe_file, one, tmp_path):
    first, second = mirrored(recipe_file, tmp_path / "run")
    assert_same_values(second, first, atol=0)
    assert_same_run(tmp_path / "run", one)


@pytest.mark.slow
def test_two_workers_end_as_one(one, two):
    """Files by the chief alone; both workers have its weights."""
    run, (first, second) = two
    assert_same_values(second, first, atol=0)
    assert_same_run(run, one)
    assert {path.name for path in run.iterdir()} == {path.name for path in one.iterdir()}
    events = [sorted((each / "tensorboard").rglob("events*")) for each in (run, one)]
    assert len(events[0]) == len(events[1])
    assert not other_output(run).exists()


@pytest.mark.slow
def test_what_the_second_worker_cannot_read_is_passed_over_counted_and_named(recipe_file, tmp_path):
    """Its data stand elsewhere, as on a machine of its own, and a third of them goes away."""
    other = shutil.copytree(recipe_file.parent, tmp_path / "other")
    first, second = two_workers(
        recipe_file,
        tmp_path / "run",
        "data.max_error_share=0.9",
        "training.epochs=3",
        others_changes=[f"data.folder={other}"],
        others_removals=[str(other / f"train_{index}.npy") for index in range(11)],
    )
    assert_same_values(second, first, atol=0)
    faults = (tmp_path / "run" / "faults.txt").read_text().splitlines()
    counts = [float(row["unread"]) for row in log(tmp_path / "run")]
    assert 0 < max(counts) <= len(faults) <= min(11, sum(counts))
    said = Path(f"{tmp_path / 'run'}.said").read_text()
    for line in faults:
        assert re.match(rf"worker 1: {re.escape(str(other))}\S*", line), line
        assert re.search(r"train_(\d|10)\.npy", line), line
    assert said.count("passed over: worker 1: ") == min(10, len(faults))
    assert not other_output(tmp_path / "run").exists()


@pytest.mark.slow
def test_two_workers_go_on_without_a_file_that_broke_as_one(recipe_file, tmp_path, monkeypatch):
    """The chief has the run's folder and says what was trained on."""

    def break_off(self, batch, logs=None):
        os.kill(os.getpid(), signal.SIGINT)

    begun = tmp_path / "begun"
    with monkeypatch.context() as patch:
        patch.setattr(ValidationScores, "on_train_batch_end", break_off)
        with pytest.raises(TrainingInterrupted):
            train_recipe(load_recipe(recipe_file), begun, Console(file=io.StringIO()))
    shutil.copytree(begun, tmp_path / "run")
    broken = recipe_file.parent / "train_7.npy"
    content = broken.read_bytes()
    broken.unlink()
    try:
        train_recipe(load_recipe(recipe_file), begun, Console(file=io.StringIO()))
        first, second = two_workers(recipe_file, tmp_path / "run")
    finally:
        broken.write_bytes(content)
    assert_same_values(second, first, atol=0)
    assert_same_run(tmp_path / "run", begun)
    assert [float(row["unread"]) for row in log(begun)] == [1] * EPOCHS


@pytest.mark.slow
@HALVES
@pytest.mark.parametrize("train", [mirrored, two_workers])
def test_half_precision_ends_as_on_one_device(train, policy, recipe_file, tmp_path):
    """A loss scale this high overflows at first, in some replica before the others."""
    changes = (
        f"training.mixed_precision={policy}",
        "training.optimizer=adamw",
        "training.momentum=null",
    )
    first, second = train(recipe_file, tmp_path / "run", *changes)
    assert_same_values(second, first, atol=0)
    assert all(np.isfinite(values).all() for values in first.values())
    recipe = load_recipe(recipe_file, changes)
    train_recipe(recipe, tmp_path / "one", Console(file=io.StringIO()))
    here, there = (log(tmp_path / name) for name in ("run", "one"))
    for found, wanted in zip(here[:4], there[:4], strict=True):  # then rounding has grown
        assert float(found["loss"]) == pytest.approx(float(wanted["loss"]), rel=0.05)
    if policy == "mixed_float16":
        (updates,) = (each for name, each in first.items() if name.endswith("adam_w/iteration"))
        scale = first["loss_scale_optimizer/dynamic_scale"]
        overflows = np.log2(2**15 / scale)
        assert overflows > 0
        assert updates + overflows == EPOCHS * STEPS


@pytest.mark.slow
@pytest.mark.parametrize("train", [mirrored, two_workers])
def test_accumulated_and_averaged_they_end_as_one(train, recipe_file, tmp_path):
    """Batches of so many frames, two an update: clip and averages are the update's."""
    changes = (
        "training.batch_size=null",
        "training.batch_frames=300",
        "training.accumulate_steps=2",
        "training.ema_momentum=0.9",
    )
    train_recipe(load_recipe(recipe_file, changes), tmp_path / "one", Console(file=io.StringIO()))
    first, second = train(recipe_file, tmp_path / "run", *changes)
    assert_same_values(second, first, atol=0)
    assert_same_run(tmp_path / "run", tmp_path / "one")


@pytest.mark.slow
def test_dropout_leaves_replicas_equal(recipe_file, tmp_path):
    first, second = mirrored(recipe_file, tmp_path / "run", "model.dropout=0.2")
    assert_same_values(second, first, atol=0)


def start(*arguments, **environment):
    command = [sys.executable, "-m", "keras_ds2.cli", "train", *map(str, arguments)]
    return subprocess.Popen(
        command,
        cwd=ROOT,
        env={**os.environ, **QUIET, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for_epochs(run, count, *processes):
    """Until the run's log has so many epochs; none of the processes may end before."""
    for _ in range(2400):
        if (run / "log.csv").exists() and len(log(run)) >= count:
            return
        for process in processes:
            assert process.poll() is None, process.communicate()
        time.sleep(0.1)
    raise AssertionError(f"{run}: not {count} epochs in four minutes")


def newest_step(run):
    """How many steps of its epoch the newest checkpoint knows of; 0 where there is none."""
    saved = CheckpointStore(run / "checkpoints").saved()
    try:
        return json.loads((saved[-1] / "state.json").read_text())["step"] if saved else 0
    except FileNotFoundError:  # one that is a newer one's too many by now
        return newest_step(run)


def wait_for_step(run, step, *processes):
    """Until the newest checkpoint stands after that step of an epoch."""
    for _ in range(24000):
        if newest_step(run) == step:
            return
        for process in processes:
            assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    raise AssertionError(f"{run}: no checkpoint after step {step} in four minutes")


def workers_of(launcher):
    """Process ids of a launcher's workers, in their order."""
    found = {}
    for children in Path(f"/proc/{launcher.pid}/task").glob("*/children"):
        for pid in children.read_text().split():
            entries = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
            (config,) = [each for each in entries if each.startswith(b"TF_CONFIG=")]
            found[b'"index": 1' in config] = int(pid)
    return [found[False], found[True]]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="looks for workers in /proc")
class TestBrokenOff:
    def test_a_killed_worker_is_named_and_the_run_goes_on_to_the_same_end(
        self, recipe_file, one, two, tmp_path
    ):
        output = tmp_path / "run"
        changes = ("--set", "training.save_minutes=0")
        arguments = (recipe_file, "--output", output, "--workers", 2, *changes)
        launcher = start(*arguments)
        wait_for_epochs(output, 2, launcher)
        killed = workers_of(launcher)[1]
        while True:  # Stopped first: were a later checkpoint under way it still would be inside.
            wait_for_step(output, 1, launcher)
            os.kill(killed, signal.SIGSTOP)
            time.sleep(0.5)
            if newest_step(output) == 1:
                break
            os.kill(killed, signal.SIGCONT)
        os.kill(killed, signal.SIGKILL)
        _, errors = launcher.communicate(timeout=120)
        assert launcher.returncode == 1
        assert "worker 1 of 2 was killed by signal 9 (SIGKILL)" in errors
        assert len(log(output)) < EPOCHS

        launcher = start(*arguments)
        shown, errors = launcher.communicate(timeout=300)
        assert (launcher.returncode, errors) == (0, "")
        assert re.search(r"going on from epoch \d, step [23]", shown)
        assert_same_run(output, one)
        assert_same_values(saved_values(output), saved_values(two[0]), atol=0)

    def test_asked_to_stop_all_workers_stop_at_one_step_and_go_on(self, recipe_file, one, tmp_path):
        output = tmp_path / "run"
        arguments = (recipe_file, "--output", output, "--workers", 2)
        launcher = start(*arguments)
        wait_for_epochs(output, 2, launcher)
        launcher.send_signal(signal.SIGTERM)
        shown, errors = launcher.communicate(timeout=120)
        assert launcher.returncode == 130, errors
        assert "nothing is lost" in shown
        assert len(log(output)) < EPOCHS

        launcher = start(*arguments)
        _, errors = launcher.communicate(timeout=300)
        assert (launcher.returncode, errors) == (0, "")
        assert_same_run(output, one)

    def test_asked_to_stop_in_validation_they_stop_at_once_and_validate_again(
        self, recipe_file, two, tmp_path
    ):
        output = tmp_path / "run"
        launcher = start_two_workers(recipe_file, output, validation_seconds=200)
        wait_for_step(output, STEPS, launcher)
        started = time.monotonic()
        launcher.send_signal(signal.SIGTERM)
        _, errors = launcher.communicate(timeout=120)
        assert launcher.returncode == 130, errors
        assert time.monotonic() - started < 100

        first, second = two_workers(recipe_file, output)
        said = Path(f"{output}.said").read_text()
        assert "going on with the validation of epoch 1" in said
        assert_same_values(second, first, atol=0)
        assert_same_values(saved_values(output), saved_values(two[0]), atol=0)
        assert log(output) == log(two[0])

    def test_a_worker_whose_peer_dies_says_so_and_ends(self, recipe_file, tmp_path):
        """As on other machines, where no launcher looks after it. Here the chief dies."""
        output = tmp_path / "run"
        chief, other = start_apart(recipe_file, output)
        wait_for_epochs(output, 1, chief, other)
        chief.kill()
        chief.communicate()
        _, errors = other.communicate(timeout=120)
        assert other.returncode == LOST
        assert "another of the 2 workers has died or cannot be reached" in errors


def start_apart(recipe_file, output, *of_second):
    """Two workers as on machines of their own, the second with arguments of its own."""
    names = tuple(f"localhost:{port}" for port in free_ports(2))
    arguments = (recipe_file, "--output", output, "--set", "training.strategy=multi_worker")
    return [
        start(*arguments, *more, TF_CONFIG=Cluster(names, index).tf_config())
        for index, more in enumerate([(), of_second])
    ]


@pytest.mark.slow
class TestWithoutAStart:
    """Workers on machines of their own that cannot begin: all end, and say why."""

    @pytest.mark.parametrize(
        ("change", "said_by_second", "said_by_chief"),
        [
            ("training.learning_rate=0.2", "training.learning_rate: 0.1, 0.2", "worker 1: this"),
            ("data.folder=/nowhere", "/nowhere/train.jsonl: no such file", "has died"),
        ],
        ids=["another recipe", "death before the first step"],
    )
    def test_the_chief_ends_with_the_second(
        self, recipe_file, tmp_path, change, said_by_second, said_by_chief
    ):
        chief, second = start_apart(recipe_file, tmp_path / "run", "--set", change)
        _, of_second = second.communicate(timeout=240)
        _, of_chief = chief.communicate(timeout=240)
        assert (second.returncode, chief.returncode) == (1, LOST), of_second + of_chief
        assert said_by_second in of_second
        assert said_by_chief in of_chief
        assert not (tmp_path / "run").exists()

    def test_who_never_comes_is_waited_for_so_long_or_until_ctrl_c(self, recipe_file, tmp_path):
        clusters = [
            Cluster(tuple(f"localhost:{port}" for port in free_ports(2)), index)
            for index in (0, 1, 1)
        ]
        chief, second, interrupted = (
            start(
                recipe_file,
                *("--output", tmp_path / "run", "--set", "training.strategy=multi_worker"),
                TF_CONFIG=cluster.tf_config(),
                KERAS_DS2_JOIN_MINUTES=minutes,
            )
            for cluster, minutes in zip(clusters, ("0.1", "0.1", ""), strict=True)
        )
        for process, cluster in ((chief, clusters[0]), (second, clusters[1])):
            _, errors = process.communicate(timeout=240)
            assert process.returncode == 1
            absent = cluster.workers[1 - cluster.index]
            told = f"waited 0.1 minutes for {absent}, in vain" in errors
            # TensorFlow does not always keep to its bound; a watchdog ends the worker then.
            assert told or (process is second and "Timeout (0:00:16)!" in errors), errors
        wait_for(clusters[2].workers[1], 120)  # it listens when it waits
        interrupted.send_signal(signal.SIGINT)
        interrupted.communicate(timeout=60)
        assert interrupted.returncode == -signal.SIGINT


def test_a_batch_smaller_than_the_replicas_is_refused(recipe_file, tmp_path, monkeypatch):
    class Eight:
        num_replicas_in_sync = 8
        extended = None

    monkeypatch.setattr("keras_ds2.recipe.train.make_strategy", lambda *arguments, **more: Eight())
    with pytest.raises(DistributionError, match=r"expected at least 8.* received 4"):
        train_recipe(load_recipe(recipe_file, ["training.batch_size=4"]), tmp_path / "run")
