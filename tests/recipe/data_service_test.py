"""A recipe trained on batches of `keras-ds2 data-service`: the run without it, to the bit."""

import csv
import io
import os
import re
import signal
import subprocess
import sys

import pytest
from rich.console import Console

from keras_ds2.data.service import DataServiceError
from keras_ds2.recipe.train import train_recipe
from tests.distributed_run import QUIET, ROOT, assert_same_values, saved_values
from tests.made_up_corpus import audio_changes, audio_corpus, features_corpus, tiny_recipe


@pytest.fixture
def service():
    """A dispatcher and a worker in a process of their own; their address."""
    command = [sys.executable, "-m", "keras_ds2.cli", "data-service", "--dispatcher", "--worker"]
    process = subprocess.Popen(
        [*command, "--host", "localhost"],
        cwd=ROOT,
        env={**os.environ, **QUIET},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    yield re.search(r"data\.service=(grpc://localhost:\d+)", process.stdout.readline())[1]
    process.send_signal(signal.SIGTERM)
    said, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (0, "")
    assert "worker localhost:" in said


@pytest.mark.slow
def test_the_same_run_from_a_service(service, tmp_path, capfd):
    audio_corpus(tmp_path / "corpus")
    audio_corpus(tmp_path / "corpus", ("bad", "cab a"), "validation", seed=100)
    changes = {
        **audio_changes(),
        "augmentation__speed": [0.9, 1.1],
        "augmentation__noise_share": 0.5,
        "augmentation__noise_snr_db": [0, 20],
        "training__epochs": 2,
        "training__learning_rate": 1e-3,
    }
    for name, more in (("here", {}), ("there", {"data__service": service})):
        recipe = tiny_recipe(tmp_path / "corpus", **changes, **more)
        train_recipe(recipe, tmp_path / name, Console(file=io.StringIO()))
    assert "made here" not in capfd.readouterr().err
    here, there = (tmp_path / name for name in ("here", "there"))
    rows = [
        [
            {key: value for key, value in row.items() if "second" not in key}
            for row in csv.DictReader((run / "log.csv").read_text().splitlines())
        ]
        for run in (here, there)
    ]
    assert len(rows[0]) == 2
    assert rows[0] == rows[1]
    assert_same_values(*map(saved_values, (here, there)), atol=0)


def test_a_service_that_is_not_there_is_told_before_anything_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr("keras_ds2.data.service.REACH_S", 0.2)
    features_corpus(tmp_path)
    recipe = tiny_recipe(tmp_path, **audio_changes(), data__service="grpc://localhost:1")
    with pytest.raises(DataServiceError, match=r"data\.service: expected a dispatcher at grpc://"):
        train_recipe(recipe, tmp_path / "run", Console(file=io.StringIO()))
    assert not (tmp_path / "run").exists()
