"""What every benchmark shares: contenders timed in turn, medians compared, a JSON line a case.

A script lists `Case`s and hands them to `run`. See README.md for how it measures.
"""

import argparse
import contextlib
import dataclasses
import functools
import importlib.metadata
import json
import math
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from benchmarks._workers import Workers, WorkRefused, WorkTooSlow, usable_cores

PAUSE_S = 0.05
"""Between two repetitions: threads that wait by spinning go to sleep meanwhile."""

TOLERANCE = 1e-3
"""How far apart, relatively, the values may lie that contenders of one case return."""

GEMM_SIZE = 2048

_PACKAGES = ("keras-ds2", "tensorflow", "keras", "torch", "numpy")


@dataclasses.dataclass(frozen=True)
class Contender:
    """One way to do a case's work.

    Attributes:
        name: in the report.
        make: function that gets `parameters` and one of `options` as keywords, in the library's own
            process, and returns the work: a function without arguments that does it once. What that
            returns is None, or a number on which all contenders of the case must agree.
        parameters: of `make`.
        library: "tensorflow" or "torch".
        role: "ours"; "peer"; "limit", which ours cannot be expected to undercut; "gemm", the
            machine's peak; "other", timed and not compared.
        options: keywords to try; the fastest of those that work is kept.
        flops: floating-point operations of the work, where counted.
        threads: None for as many as the run was given.
        process: name of a process of its own, since it sets the library up in its own way; empty
            for the one that all of the library share.
    """

    name: str
    make: Callable[..., Callable[[], float | None]]
    parameters: Mapping[str, Any]
    library: str = "tensorflow"
    role: str = "peer"
    options: tuple[Mapping[str, Any], ...] = ({},)
    flops: float | None = None
    threads: int | None = None
    process: str = ""


@dataclasses.dataclass(frozen=True)
class Case:
    """What is compared at one size.

    Attributes:
        name: for `--only` and the report.
        shapes: the sizes in words, for the report.
        contenders: ours first.
        extra: function of the medians (name to ms) and the number of threads that returns more to
            report, or None.
    """

    name: str
    shapes: Mapping[str, Any]
    contenders: tuple[Contender, ...]
    extra: Callable[[Mapping[str, float], int], Mapping[str, Any]] | None = None


JIT_OR_NOT = ({"jit_compile": False}, {"jit_compile": True})
"""For peers in TensorFlow: with and without XLA."""


def parser(description: str) -> argparse.ArgumentParser:
    """The options that every benchmark takes."""
    made = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument(
        "--quick", action="store_true", help="small sizes: does it work, not how fast"
    )
    made.add_argument("--repeats", type=int, default=5, help="repetitions of each contender (5)")
    made.add_argument("--threads", type=int, default=usable_cores(), help="(all cores)")
    made.add_argument("--only", metavar="CASE", help="one case alone")
    return made


def run(benchmark: str, cases: Iterable[Case], arguments: argparse.Namespace) -> None:
    """Measures the cases and prints them: JSON to standard output, tables to standard error."""
    if arguments.repeats < 1 or arguments.threads < 1:
        raise SystemExit("--repeats, --threads: expected ints >= 1")
    about = {"threads": arguments.threads, "repeats": arguments.repeats, **about_run(arguments)}
    chosen = _chosen(list(cases), arguments.only)
    for case in chosen:
        measured = measure(
            case,
            repeats=arguments.repeats,
            threads=arguments.threads,
            **({"shortest_s": 0.05, "limit_s": 30.0} if arguments.quick else {}),
        )
        line = {"benchmark": benchmark, "case": case.name, "shapes": case.shapes, **measured}
        print(json.dumps({**line, **about}), flush=True)
        print(table(line), file=sys.stderr, flush=True)


def measure(
    case: Case,
    *,
    repeats: int,
    threads: int,
    shortest_s: float = 0.3,
    limit_s: float = 180.0,
    pause_s: float = PAUSE_S,
) -> dict[str, Any]:
    """Times one case's contenders in turn, and among them a matrix product.

    Args:
        case: what is compared.
        repeats: int, repetitions of each contender.
        threads: int, of each contender that names no other number.
        shortest_s: float; a repetition is as many calls as take this long.
        limit_s: float, in which one of several options must be ready.
        pause_s: float, before each repetition.

    Returns:
        The report's entries. A peer that cannot run is under `skipped`, with the reason.
    """
    contenders = {each.name: each for each in (*case.contenders, _GEMM)}
    too_slow = {}
    while True:  # anew, where an option was too slow
        with contextlib.suppress(WorkTooSlow), Workers() as workers:
            ready, facts, skipped = _prepared(
                workers, contenders.values(), threads, limit_s, too_slow
            )
            _check_agreement(case.name, {name: work.value for name, work in ready.items()})
            calls = {name: math.ceil(shortest_s / ready[name].seconds) or 1 for name in ready}
            repeats_of = {
                name: functools.partial(work.repeat, calls[name]) for name, work in ready.items()
            }
            # One round for nothing: making one contender can make another trace or compile anew.
            interleave(repeats_of, 1, pause_s)
            samples = interleave(repeats_of, repeats, pause_s)
            break
    timed = {name: spread(each) for name, each in samples.items()}
    gemm = GEMM_SIZE**3 * 2 / (timed.pop("gemm")["min_ms"] * 1e6)
    for name, entry in timed.items():
        each = contenders[name]
        entry |= {"role": each.role, "library": each.library, "calls": calls[name], **facts[name]}
        if each.threads is not None:
            entry["threads"] = each.threads
        if each.flops is not None:
            entry["gflop_per_s"] = _rounded(each.flops / (entry["median_ms"] * 1e6))
            entry["share_of_gemm"] = _rounded(entry["gflop_per_s"] / gemm)
    medians = {name: entry["median_ms"] for name, entry in timed.items()}
    return {
        "contenders": timed,
        **compare({name: contenders[name].role for name in medians}, medians),
        "gemm_gflop_per_s": _rounded(gemm),
        "skipped": skipped,
        **(case.extra(medians, threads) if case.extra else {}),
    }


def _prepared(workers, contenders, threads, limit_s, too_slow):
    """Every contender's work with its fastest option.

    Args:
        workers: to make it.
        contenders: whose.
        threads: int.
        limit_s: float, see `measure`.
        too_slow: contender's name and option to what is said of it; gets a new one before
            `WorkTooSlow` is raised.

    Returns:
        Name to work; name to what to report of the options; name to why it was skipped.
    """
    workers.start({(each.library, each.threads or threads, each.process) for each in contenders})
    ready, facts, skipped = {}, {}, {}
    for each in contenders:
        works, failed = [], {}
        for option in each.options:
            named = json.dumps(option)
            if (each.name, named) in too_slow:
                failed[named] = too_slow[each.name, named]
                continue
            parameters = {**each.parameters, **option}
            limit = limit_s if len(each.options) > 1 else None
            try:
                work = workers.prepare(
                    each.library,
                    each.threads or threads,
                    each.make,
                    parameters,
                    limit,
                    each.process,
                )
            except WorkRefused as refusal:
                failed[named] = str(refusal)
            except WorkTooSlow as slowness:
                too_slow[each.name, named] = str(slowness)
                raise
            else:
                works.append((work.seconds, len(works), option, work))
        if not works:
            if each.role != "peer":
                raise SystemExit(f"{each.name}: {failed}")
            skipped[each.name] = "; ".join(dict.fromkeys(failed.values()))
            continue
        (_, _, option, ready[each.name]), *others = sorted(works, key=lambda entry: entry[:2])
        for *_, other in others:
            other.drop()
        said = {"option": option, "options_that_failed": failed}
        facts[each.name] = {name: fact for name, fact in said.items() if fact}
    return ready, facts, skipped


def interleave(
    repeats_of: Mapping[str, Callable[[], float]], repeats: int, pause_s: float
) -> dict[str, list[float]]:
    """Calls first, second, ..., last, first, ...: what the machine does besides hits all alike.

    Args:
        repeats_of: name to a function that does one repetition and returns its ms.
        repeats: int, rounds.
        pause_s: float, before each call.

    Returns:
        Name to the ms of every round.
    """
    samples = {name: [] for name in repeats_of}
    for _ in range(repeats):
        for name, repeat in repeats_of.items():
            time.sleep(pause_s)
            samples[name].append(repeat())
    return samples


def spread(samples: list[float]) -> dict[str, float]:
    """Median, least and most, in ms."""
    ends = {"median_ms": statistics.median(samples), "min_ms": min(samples), "max_ms": max(samples)}
    return {name: _rounded(value) for name, value in ends.items()}


def compare(roles: Mapping[str, str], medians: Mapping[str, float]) -> dict[str, Any]:
    """How many times ours each peer takes, and how many times the limit ours takes.

    Args:
        roles: name to role; nothing is compared where none is "ours".
        medians: name to ms.
    """
    ours = next((medians[name] for name, role in roles.items() if role == "ours"), None)
    if ours is None:
        return {}
    peers = [name for name, role in roles.items() if role == "peer"]
    limits = [name for name, role in roles.items() if role == "limit"]
    return {
        "peer_to_ours": {name: _rounded(medians[name] / ours) for name in peers},
        "ours_to_limit": {name: _rounded(ours / medians[name]) for name in limits},
    }


def table(line: Mapping[str, Any]) -> str:
    """A report's line for human eyes."""
    rows = [
        f"{line['benchmark']} {line['case']}  (matrix product: {line['gemm_gflop_per_s']} GFLOP/s)",
        f"  {'ms':<30}{'median':>10}{'min':>10}{'max':>10}{'to ours':>10}{'of peak':>10}",
    ]
    ours = next((e["median_ms"] for e in line["contenders"].values() if e["role"] == "ours"), None)
    for name, entry in line["contenders"].items():
        ratio = f"{entry['median_ms'] / ours:.2f}" if ours else ""
        share = f"{entry['share_of_gemm']:.0%}" if "share_of_gemm" in entry else ""
        times = "".join(f"{entry[key]:>10.4g}" for key in ("median_ms", "min_ms", "max_ms"))
        rows.append(f"  {name:<30}{times}{ratio:>10}{share:>10}")
    rows += [f"  {name}: skipped, {reason}" for name, reason in line["skipped"].items()]
    known = ("benchmark", "case", "shapes", "contenders", "skipped", "gemm_gflop_per_s")
    known = (*known, "peer_to_ours", "ours_to_limit")
    rows += [f"  {key}: {value}" for key, value in line.items() if key not in known]
    return "\n".join([*rows, ""])


def about_run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Where, with what and in which state of the checkout."""
    return {
        "quick": arguments.quick,
        "machine": machine(),
        **commit(),
        "versions": versions(),
    }


def machine() -> dict[str, Any]:
    """Processor, cores, and how busy it was before."""
    facts = {}
    if Path("/proc/cpuinfo").is_file():
        first = Path("/proc/cpuinfo").read_text().split("\n\n")[0]
        pairs = (line.split(":", 1) for line in first.splitlines() if ":" in line)
        facts = {key.strip(): value.strip() for key, value in pairs}
    return {
        "cpu": facts.get("model name") or platform.processor() or platform.machine(),
        "cpu_family_and_model": [facts.get("cpu family"), facts.get("model")],
        "cores": usable_cores(),
        "system": platform.system(),
        "load_before": _rounded(os.getloadavg()[0]),
    }


def commit() -> dict[str, Any]:
    """The checkout's commit, and whether anything in it had been changed since."""

    def git(*command):
        folder = Path(__file__).resolve().parent
        result = subprocess.run(["git", *command], cwd=folder, capture_output=True, text=True)
        return result.stdout.strip() if result.returncode == 0 else None

    try:
        return {
            "commit": git("rev-parse", "HEAD"),
            "changed_since": bool(git("status", "--porcelain")),
        }
    except FileNotFoundError:  # no git here
        return {"commit": None}


def versions() -> dict[str, str | None]:
    """Of Python and of the libraries; None for what is not installed."""

    def version(package):
        try:
            return importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            return None

    return {"python": platform.python_version(), **{name: version(name) for name in _PACKAGES}}


def _matrix_product():
    import numpy as np
    import tensorflow as tf

    draws = np.random.default_rng(0)
    shape = (GEMM_SIZE, GEMM_SIZE)
    first, second = (tf.constant(draws.normal(size=shape), tf.float32) for _ in range(2))
    product = tf.function(tf.matmul)

    def work():
        product(first, second)

    return work


_GEMM = Contender("gemm", _matrix_product, {}, role="gemm")


def _check_agreement(case, values):
    values = {name: value for name, value in values.items() if value is not None}
    first = next(iter(values.values()), 0.0)
    if not all(math.isclose(value, first, rel_tol=TOLERANCE) for value in values.values()):
        raise SystemExit(f"{case}: not the same work, the contenders' results differ: {values}")


def _chosen(cases, only):
    if only is None:
        return cases
    chosen = [case for case in cases if case.name == only]
    if not chosen:
        known = ", ".join(case.name for case in cases)
        raise SystemExit(f"--only: expected one of {known}, received {only}")
    return chosen


def _rounded(value):
    return float(f"{value:.4g}")
