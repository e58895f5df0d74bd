"""The strategy: on one device, on several of one machine, or on several machines, in step.

Every strategy here is synchronous: all replicas compute one step together, on their shares of one
batch, and have the same weights after it.
"""

import contextlib
import faulthandler
import os
import signal
import threading
import time

import tensorflow as tf
from tensorflow.python.distribute import multi_worker_util
from tensorflow.python.eager import context
from tensorflow.tsl.protobuf.coordination_config_pb2 import CoordinatedJob

from keras_ds2.data.service import wait_for
from keras_ds2.quiet import without_chatter
from keras_ds2.training.cluster import JOIN, VARIABLE, join_seconds, read_cluster

STRATEGIES = ("default", "mirrored", "multi_worker")

_SPARE_S = 10.0


class DistributionError(ValueError):
    """The strategy cannot be made here: the message says what is missing and what to do."""


def make_strategy(name: str, replicas: int | None = None) -> tf.distribute.Strategy:
    """Makes a strategy. Call it before anything else of TensorFlow.

    Args:
        name: `"default"`, one device; `"mirrored"`, `tf.distribute.MirroredStrategy` over the GPUs
            of this machine or, where there is none, over logical devices of its processor;
            `"multi_worker"`, `tf.distribute.MultiWorkerMirroredStrategy` over the workers that
            `TF_CONFIG` names.
        replicas: int, of `"mirrored"`; None for as many as there are devices.

    Raises:
        DistributionError: if the devices are too few, or TensorFlow has started already.
        ClusterError: of `"multi_worker"`, if `TF_CONFIG` is absent or broken.
    """
    if name == "default":
        return tf.distribute.get_strategy()
    if name == "mirrored":
        return tf.distribute.MirroredStrategy(_devices(replicas))
    if name == "multi_worker":
        return _multi_worker()
    raise DistributionError(f"strategy: expected {', '.join(STRATEGIES)}, received {name!r}")


def num_workers(strategy: tf.distribute.Strategy) -> int:
    """Processes that train together."""
    resolver = _resolver(strategy)
    return 1 if resolver is None else sum(map(len, resolver.cluster_spec().as_dict().values()))


def worker_index(strategy: tf.distribute.Strategy) -> int:
    """Which of the processes that train together this one is; 0 is the chief."""
    resolver = _resolver(strategy)
    if resolver is None:
        return 0
    chiefs = "chief" in resolver.cluster_spec().jobs and resolver.task_type != "chief"
    return int(chiefs) + resolver.task_id


def is_chief(strategy: tf.distribute.Strategy) -> bool:
    """Whether this process is the one that writes files and shows progress."""
    return worker_index(strategy) == 0


def _resolver(strategy):
    if isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        return strategy.cluster_resolver
    return None


def _devices(replicas):
    gpus = tf.config.list_physical_devices("GPU")
    kind = "GPU" if gpus else "CPU"
    if not gpus and replicas is not None:
        _divide_processor(replicas)
    devices = [each.name for each in tf.config.list_logical_devices(kind)]
    if not gpus and replicas is None and len(devices) == 1:
        raise DistributionError(
            "training.strategy: mirrored takes the machine's GPUs, and TensorFlow sees none. Set "
            "training.replicas to the number of logical devices to make of the processor, or "
            "training.strategy to default."
        )
    if replicas is not None and replicas > len(devices):
        raise DistributionError(
            f"training.replicas: expected at most {len(devices)}, the {kind} devices that "
            f"TensorFlow has, received {replicas}"
        )
    return devices[:replicas]


def _divide_processor(replicas):
    processor = tf.config.list_physical_devices("CPU")[0]
    if tf.config.get_logical_device_configuration(processor) is not None:
        return  # The process has done so itself.
    try:
        tf.config.set_logical_device_configuration(
            processor, [tf.config.LogicalDeviceConfiguration()] * replicas
        )
    except RuntimeError as error:
        if len(tf.config.list_logical_devices("CPU")) >= replicas:
            return
        raise DistributionError(
            f"training.replicas: {replicas} logical devices cannot be made of the processor once "
            "TensorFlow has computed something; make the strategy first, or train in a process "
            "of its own"
        ) from error


def _multi_worker():
    cluster = read_cluster()
    seconds = join_seconds()
    if cluster.index == 0:
        _await(cluster.workers[1:], seconds)
    else:
        _bound_registration(seconds)
    try:
        with _ended_in_any_case(seconds), without_chatter(), _ended_by_ctrl_c():
            return tf.distribute.MultiWorkerMirroredStrategy()
    except RuntimeError as error:
        raise DistributionError(
            "training.strategy: multi_worker has to be set up before TensorFlow computes anything "
            f"({error}); train in a process of its own"
        ) from error
    except tf.errors.DeadlineExceededError as error:
        raise _absent(cluster.workers[:1], seconds) from error
    except tf.errors.OpError as error:
        raise DistributionError(
            f"training.strategy: worker {cluster.index} cannot join the others at "
            f"{', '.join(cluster.workers)} ({error.message}); is {cluster.workers[cluster.index]} "
            "this machine, its port free, and are the others running?"
        ) from error


def _await(addresses, seconds):
    """Waits for the other workers, who listen as soon as they wait for the chief.

    TensorFlow's own wait in the chief takes an hour, and nothing but SIGKILL ends it.
    """
    deadline = time.monotonic() + seconds
    absent = []
    for address in addresses:
        try:
            wait_for(address, max(deadline - time.monotonic(), 0.0))
        except OSError:
            absent.append(address)
    if absent:
        raise _absent(absent, seconds)


@contextlib.contextmanager
def _ended_in_any_case(seconds):
    """Ends the process, with a traceback, where TensorFlow does not keep to its own bound.

    Seen now and then in a worker without a chief; Python gets no turn while TensorFlow waits.
    """
    with os.fdopen(os.dup(2), "w") as stderr:
        faulthandler.dump_traceback_later(seconds + _SPARE_S, exit=True, file=stderr)
        try:
            yield
        finally:
            faulthandler.cancel_dump_traceback_later()


@contextlib.contextmanager
def _ended_by_ctrl_c():
    """Gives SIGINT to the system: while TensorFlow waits Python would not hear of it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handler = signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)


def _bound_registration(seconds):
    """Has TensorFlow wait for the chief no longer than so."""
    # As `MultiWorkerMirroredStrategy` does itself where it has not been done, without the bound.
    spec = tf.distribute.cluster_resolver.TFConfigClusterResolver().cluster_spec()
    context.context().configure_coordination_service(
        service_type="standalone",
        service_leader=multi_worker_util.coordination_leader(spec),
        cluster_register_timeout_in_ms=round(1000 * seconds),
        coordinated_jobs=[
            CoordinatedJob(name=job, num_tasks=spec.num_tasks(job))
            for job in ("chief", "worker")
            if job in spec.jobs
        ],
    )


def _absent(addresses, seconds):
    return DistributionError(
        f"training.strategy: waited {seconds / 60:g} minutes for {', '.join(addresses)}, in vain. "
        "Is it started, has it ended with a message of its own, can this machine reach it, and do "
        f"all workers have the same {VARIABLE}? {JOIN}=MINUTES waits longer"
    )
