"""The benchmarks' sums: medians, ratios, taking turns, what is refused."""

import importlib
import importlib.util
import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmarks import _harness, convolution, scaling
from benchmarks._harness import Case, Contender

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = {
    "ctc": "2x300x29",
    "recurrence": "gru_8x20x256",
    "convolution": "conv_1",
    "train_step": "scaling_batch",
    "input_pipeline": "flac_to_batches",
    "streaming": "paper_2",
    "scaling": "devices_2x80",
}
NO_LIBRARY = "json"  # for contenders that need none: a worker sets nothing up for it


def sleeping(seconds, log, name, fails=False):
    """The work of sleeping; every call writes its name into a file."""
    if fails:
        raise ValueError("made to fail")

    def work():
        with open(log, "a") as file:
            file.write(f"{name}\n")
        time.sleep(seconds)
        return 1.0

    return work


def returning(value):
    return lambda: value


def contender(name, seconds, log, **keywords):
    parameters = {"seconds": seconds, "log": str(log), "name": name}
    return Contender(name, sleeping, parameters, **{"library": NO_LIBRARY, **keywords})


@pytest.fixture
def log(tmp_path, monkeypatch):
    """A file for what is called; the matrix product sleeps and writes nothing."""
    quiet = {"seconds": 0.001, "log": "/dev/null", "name": "gemm"}
    gemm = Contender("gemm", sleeping, quiet, library=NO_LIBRARY, role="gemm")
    monkeypatch.setattr(_harness, "_GEMM", gemm)
    return tmp_path / "log"


def measured(*contenders, extra=None, repeats=3, **settings):
    case = Case("made up", {}, contenders, extra)
    settings = {"threads": 1, "shortest_s": 0.0, "pause_s": 0.0, **settings}
    return _harness.measure(case, repeats=repeats, **settings)


def test_spread():
    assert _harness.spread([5.0, 1.0, 2.0]) == {"median_ms": 2.0, "min_ms": 1.0, "max_ms": 5.0}
    assert _harness.spread([4.0, 1.0])["median_ms"] == 2.5


def test_ratios_are_of_peers_to_ours_and_of_ours_to_the_limit():
    roles = {"a": "ours", "b": "peer", "c": "peer", "d": "limit", "e": "other"}
    medians = {"a": 2.0, "b": 5.0, "c": 1.0, "d": 0.5, "e": 9.0}
    assert _harness.compare(roles, medians) == {
        "peer_to_ours": {"b": 2.5, "c": 0.5},
        "ours_to_limit": {"d": 4.0},
    }
    assert _harness.compare({"e": "other"}, medians) == {}


def test_contenders_take_turns():
    calls = []

    def repeats(name):
        def repeat():
            calls.append(name)
            return float(len(calls))

        return repeat

    samples = _harness.interleave({name: repeats(name) for name in "abc"}, 3, pause_s=0.0)
    assert "".join(calls) == "abcabcabc"
    assert samples == {"a": [1.0, 4.0, 7.0], "b": [2.0, 5.0, 8.0], "c": [3.0, 6.0, 9.0]}


def test_a_case_is_measured_in_turns_and_reported(log):
    report = measured(
        contender("mine", 0.01, log, role="ours", flops=1e6),
        contender("theirs", 0.04, log),
        contender("elsewhere", 0.01, log, library="no_such_library"),
        extra=lambda medians, threads: {"medians": sorted(medians), "threads": threads},
    )
    # A round that does not count, then three.
    assert log.read_text().split()[-8:] == ["mine", "theirs"] * 4
    assert report["contenders"].keys() == {"mine", "theirs"}
    assert 10 <= report["contenders"]["mine"]["median_ms"] < 40
    ratio = report["contenders"]["theirs"]["median_ms"] / report["contenders"]["mine"]["median_ms"]
    assert report["peer_to_ours"]["theirs"] == pytest.approx(ratio, rel=1e-3)
    assert report["skipped"] == {"elsewhere": "no_such_library is not installed"}
    mine = report["contenders"]["mine"]
    assert mine["gflop_per_s"] == pytest.approx(1 / mine["median_ms"], rel=1e-3)
    share = mine["gflop_per_s"] / report["gemm_gflop_per_s"]
    assert mine["share_of_gemm"] == pytest.approx(share, rel=1e-2)
    assert report["medians"] == ["mine", "theirs"]
    assert report["threads"] == 1
    _harness.table({"benchmark": "b", "case": "c", "shapes": {}, **report})


def test_the_fastest_option_that_works_is_kept(log):
    options = ({"fails": True}, {"seconds": 0.05}, {"seconds": 0.0})
    each = contender("mine", 1.0, log, role="ours", options=options)
    entry = measured(each, repeats=1)["contenders"]["mine"]
    assert entry["option"] == {"seconds": 0.0}
    assert entry["options_that_failed"] == {'{"fails": true}': "ValueError: made to fail"}


def test_an_option_that_is_too_slow_is_given_up(log):
    options = ({"seconds": 0.01}, {"seconds": 60.0})
    each = contender("mine", 0.0, log, role="ours", options=options)
    entry = measured(each, repeats=1, limit_s=2.0)["contenders"]["mine"]
    assert entry["option"] == {"seconds": 0.01}
    assert entry["options_that_failed"] == {'{"seconds": 60.0}': "not ready after 2 s"}


def test_short_work_is_done_many_times_in_a_repetition(log):
    entry = measured(contender("mine", 0.01, log), repeats=1, shortest_s=0.1)["contenders"]["mine"]
    assert 2 <= entry["calls"] <= 10
    assert len(log.read_text().split()) == 3 + 2 * entry["calls"]


def test_ours_must_run_and_a_peer_may_fail(log):
    fails = {"seconds": 0.0, "log": str(log), "name": "failing", "fails": True}
    theirs = Contender("theirs", sleeping, fails, NO_LIBRARY)
    report = measured(contender("mine", 0.0, log, role="ours"), theirs, repeats=1)
    assert report["skipped"] == {"theirs": "ValueError: made to fail"}
    with pytest.raises(SystemExit, match="made to fail"):
        measured(Contender("mine", sleeping, fails, NO_LIBRARY, role="ours"))


def test_contenders_that_do_other_work_are_refused(log):
    def case(value):
        return Contender(f"returns {value}", returning, {"value": value}, NO_LIBRARY)

    assert measured(case(1.0), case(1.0001), case(None), repeats=1)["skipped"] == {}
    for value in (1.1, float("nan")):
        with pytest.raises(SystemExit, match="not the same work"):
            measured(case(1.0), case(value))


def test_an_unknown_case_is_refused():
    arguments = _harness.parser("").parse_args(["--only", "b"])
    with pytest.raises(SystemExit, match="expected one of a, received b"):
        _harness.run("made_up", [Case("a", {}, ())], arguments)


@pytest.mark.parametrize("quick", [True, False])
def test_every_script_lists_its_cases(quick):
    found = {path.stem for path in (ROOT / "benchmarks").glob("[a-z]*.py")}
    assert found == SCRIPTS.keys() | {"export", "serving"}  # which have no Cases
    for name in SCRIPTS:
        more = {"step_ms": None} if name == "input_pipeline" else {}
        cases = importlib.import_module(f"benchmarks.{name}").cases(quick, **more)
        names = [case.name for case in cases]
        assert len(set(names)) == len(names) > 0
        assert (SCRIPTS[name] in names) or not quick
        for case in cases:
            json.dumps(case.shapes)
            assert all(each.flops is None or each.flops > 0 for each in case.contenders)


SIMULATED = {"step_ms": 1000.0, "parameters": 25_000_000, "small_sums": 0, "latency_us": 0.0}


class TestSimulatedScaling:
    def test_by_hand(self):
        """100 MB over 1 GB/s: on two machines each sends and receives them once, 100 ms."""
        rows = scaling.simulate([1, 2, 4], bandwidth_gb_per_s=1.0, **SIMULATED)
        assert [row["communication_ms"] for row in rows] == [0, 100, 150]
        assert [row["weak_step_ms"] for row in rows] == [1000, 1100, 1150]
        assert [row["strong_step_ms"] for row in rows] == [1000, 600, 400]
        assert rows[1]["weak_efficiency"] == pytest.approx(1000 / 1100, rel=1e-3)
        assert rows[2]["strong_efficiency"] == pytest.approx(1000 / (4 * 400), rel=1e-3)

    def test_latency_grows_with_machines_and_sums(self):
        size = {**SIMULATED, "parameters": 0, "small_sums": 9, "latency_us": 100.0}
        rows = scaling.simulate([1, 3], bandwidth_gb_per_s=1.0, **size)
        # Ten sums with the gradients', each of 2 (n - 1) steps of a tenth of a ms.
        assert [row["communication_ms"] for row in rows] == [0, 4]

    def test_without_an_end_of_bandwidth_nothing_is_lost(self):
        for row in scaling.simulate([1, 8, 64], bandwidth_gb_per_s=1e12, **SIMULATED):
            assert row["weak_efficiency"] == row["strong_efficiency"] == 1


def test_taps_on_padding_do_not_count():
    assert convolution.real_taps(4, kernel=3, stride=1) == 2 + 3 + 3 + 2
    assert convolution.real_taps(5, kernel=4, stride=2) == 3 + 4 + 2


@pytest.mark.slow
@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_runs(name):
    if importlib.util.find_spec("torch") is None:
        pytest.skip("no PyTorch, a peer: `make bench` installs it")
    command = [sys.executable, "-m", f"benchmarks.{name}", "--quick", "--repeats", "1"]
    result = subprocess.run(
        [*command, "--only", SCRIPTS[name]], cwd=ROOT, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    (line,) = result.stdout.splitlines()
    report = json.loads(line)
    assert report["case"] == SCRIPTS[name]
    assert report["skipped"] == {}
    assert report["commit"] is None or len(report["commit"]) == 40
