"""The benchmark of serving: its sums, and that it runs."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import serving

ROOT = Path(__file__).resolve().parents[2]


def test_delays_are_summed_up_and_texts_that_never_came_are_told():
    delays = [0.001 * each for each in range(1, 102)]
    assert serving.spread([*delays, None, None]) == {
        "median_ms": 51.0,
        "p98_ms": 99.0,
        "max_ms": 101.0,
        "utterances": 103,
        "without_text": 2,
    }
    assert serving.spread([None]) == {"utterances": 1, "without_text": 1}


@pytest.mark.slow
def test_it_runs():
    command = [sys.executable, "-m", "benchmarks.serving", "--quick", "--repeats", "1"]
    result = subprocess.run(
        [*command, "--only", "users_2"], cwd=ROOT, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    (line,) = map(json.loads, result.stdout.splitlines())
    assert line["case"] == "users_2"
    for name, entry in line["contenders"].items():
        assert (entry["utterances"], entry["without_text"]) == (2, 0)
        assert 0 < entry["median_ms"] <= entry["p98_ms"] <= entry["max_ms"]
        assert 1 <= entry["mean_batch"] <= int(serving.SERVERS[name][1])
    assert line["contenders"]["batch_dispatch"]["role"] == "ours"
