"""Two replicas beside one: how much of twice the speed is left, measured; and simulated for more.

Each replica takes the training step of `train_step.py` with a whole batch of its own (weak scaling)
on one core and one thread: two logical devices of one process, then two processes that sum over
gRPC. Efficiency is the throughput of two over twice that of one. `--simulate` measures one step and
computes, from the parameters and the bandwidth, what more machines would make of it.
"""

import argparse
import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path

from benchmarks import _harness, train_step
from benchmarks._harness import Case, Contender
from benchmarks._workers import Workers, limit_threads, usable_cores

BYTES = 4  # of a float32 gradient
MACHINES = (1, 2, 4, 8, 16, 32, 64)


def cases(quick):
    size = train_step.QUICK_SIZE if quick else train_step.SIZE
    if not quick:
        size = size | {"batch": size["batch"] // 2}
    shape = f"{size['batch']}x{size['frames']}"
    return [
        _case(f"devices_{shape}", size, "2 devices", two_devices, threads=2),
        _case(
            f"processes_{shape}", size, "2 processes", two_processes, threads=1, core=_cores()[1]
        ),
    ]


def _cores():
    """Two cores, the first of those that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return (2 * sorted(os.sched_getaffinity(0)))[:2]
    return [0, 1]


def _case(name, size, two, make, threads, **more):
    def efficiency(medians, _):
        return {"efficiency": round(medians["1"] / medians[two], 3)}

    return Case(
        name=name,
        shapes={**size, "of": "each replica"},
        contenders=(
            Contender("1", train_step.ours, size, role="other", threads=1, process="one"),
            Contender(two, make, {**size, **more}, role="other", threads=threads, process="two"),
        ),
        extra=efficiency,
    )


def two_devices(**size):
    import tensorflow as tf

    from keras_ds2.training.distribution import make_strategy

    # A thread for each replica's operations, and none besides inside of an operation.
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(2)
    return _work_under(make_strategy("mirrored", replicas=2), size)


def two_processes(core, **size):
    from keras_ds2.training.launcher import free_ports

    names = tuple(f"localhost:{port}" for port in free_ports(2))
    given = json.dumps([names, core, size])
    command = "from benchmarks import scaling; import sys; scaling.other_process(sys.argv[1])"
    root = Path(__file__).resolve().parents[1]
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    subprocess.Popen([sys.executable, "-c", command, given], cwd=root, env=environment)
    return _multi_worker_work(names, 0, size)


def other_process(given):
    """Takes every step that the first takes, since their sums keep them in step, until it ends."""
    names, core, size = json.loads(given)
    limit_threads("tensorflow", 1, cores=[core])
    import tensorflow as tf

    work = _multi_worker_work(names, 1, size)
    with contextlib.suppress(tf.errors.UnavailableError, tf.errors.AbortedError):
        while True:
            work()


def _multi_worker_work(names, index, size):
    from keras_ds2.training.cluster import VARIABLE, Cluster
    from keras_ds2.training.distribution import make_strategy

    os.environ[VARIABLE] = Cluster(names, index).tf_config()
    return _work_under(make_strategy("multi_worker"), size)


def _work_under(strategy, size):
    with strategy.scope():
        return train_step.ours(**size)


def simulate(
    machines, *, step_ms, parameters, bandwidth_gb_per_s, small_sums, latency_us
) -> list[dict]:
    """Computes what synchronous training makes of more machines: a simulation, not a measurement.

    A ring all-reduce of `bytes` over n machines has each send and receive `2 (n - 1) / n * bytes`
    in `2 (n - 1)` messages. Gradients are summed after the backward pass: nothing overlaps.

    Args:
        machines: ints >= 1.
        step_ms: float, of one machine with its whole batch, without communication.
        parameters: int, trainable.
        bandwidth_gb_per_s: float, 10^9 bytes a second that a machine sends while it receives.
        small_sums: int, sums a step besides the gradients': only their latency counts.
        latency_us: float, of a message.

    Returns:
        For each number of machines the time of a step, of communication in it, and the efficiency:
        with a batch for each machine (weak), and with one batch shared by all (strong).
    """
    rows = []
    for count in machines:
        messages = 2 * (count - 1)
        gradients = messages / count * parameters * BYTES / (bandwidth_gb_per_s * 1e6)
        communication = gradients + (1 + small_sums) * messages * latency_us / 1e3
        weak, strong = step_ms + communication, step_ms / count + communication
        figures = {
            "communication_ms": communication,
            "weak_step_ms": weak,
            "weak_efficiency": step_ms / weak,
            "strong_step_ms": strong,
            "strong_efficiency": step_ms / count / strong,
        }
        rounded = {name: float(f"{figure:.4g}") for name, figure in figures.items()}
        rows.append({"machines": count, **rounded})
    return rows


def measured_model(**size):
    """`(trainable parameters, sums a step besides the gradients')` of the benchmark's model."""
    import keras_ds2
    from keras_ds2.layers import SequenceBatchNorm

    model = keras_ds2.build_model(
        "english",
        num_bins=train_step.BINS,
        vocabulary_size=train_step.VOCABULARY_SIZE,
        num_rnn_layers=train_step.RECURRENCES,
        units=size["units"],
        dense_units=0,
    )
    parameters = sum(weight.shape.num_elements() for weight in map(_value, model.trainable_weights))
    layers = [each for each in model._flatten_layers() if isinstance(each, SequenceBatchNorm)]
    # Means, deviations, and both's gradients; the loss's weight, the loss shown, two metrics.
    return parameters, 3 * len(layers) + 4


def _value(weight):
    return weight.value


def run_simulation(arguments: argparse.Namespace) -> None:
    """Measures what is not given, and prints the simulation: JSON, and a table."""
    (case, _) = cases(arguments.quick)
    size = {key: value for key, value in case.shapes.items() if key != "of"}
    with Workers() as workers:
        parameters, sums = workers.call("tensorflow", arguments.threads, measured_model, **size)
        step_ms = arguments.step_ms
        if step_ms is None:
            work = workers.prepare("tensorflow", arguments.threads, train_step.ours, size)
            step_ms = min(work.repeat(1) for _ in range(arguments.repeats))
    given = {
        "step_ms": step_ms,
        "parameters": arguments.parameters or parameters,
        "bandwidth_gb_per_s": arguments.bandwidth,
        "small_sums": sums,
        "latency_us": arguments.latency,
    }
    rows = simulate(MACHINES, **given)
    line = {"benchmark": "scaling", "case": "simulation", "simulated": True, "shapes": size}
    line |= {"step_measured": arguments.step_ms is None, **given, "machines": rows}
    print(json.dumps(line | {"about": _harness.about_run(arguments)}))
    print(simulation_table(given, rows), file=sys.stderr)


def simulation_table(given, rows):
    """The simulation for human eyes."""
    lines = [
        "SIMULATED, not measured: "
        + ", ".join(f"{name} {value:.4g}" for name, value in given.items()),
        f"{'machines':>10}{'sums, ms':>12}{'weak: step':>14}{'of ideal':>10}"
        f"{'strong: step':>14}{'of ideal':>10}",
    ]
    for row in rows:
        count, communication, weak, weak_share, strong, strong_share = row.values()
        lines.append(
            f"{count:>10}{communication:>12.4g}{weak:>14.4g}{weak_share:>10.0%}"
            f"{strong:>14.4g}{strong_share:>10.0%}"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    parser = _harness.parser(__doc__)
    parser.add_argument(
        "--simulate", action="store_true", help="more machines, computed from one step's time"
    )
    parser.add_argument("--step-ms", type=float, help="of --simulate; measured where not given")
    parser.add_argument("--parameters", type=int, help="of --simulate; the model's")
    parser.add_argument(
        "--bandwidth", type=float, default=1.25, help="GB/s, of --simulate (1.25: 10 Gbit/s)"
    )
    parser.add_argument(
        "--latency", type=float, default=50.0, help="us a message, of --simulate (50)"
    )
    arguments = parser.parse_args()
    if arguments.simulate:
        run_simulation(arguments)
    elif usable_cores() < 2:
        raise SystemExit("scaling: expected two cores, one a replica, found one")
    else:
        _harness.run("scaling", cases(arguments.quick), arguments)
