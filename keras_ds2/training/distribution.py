"""The strategy: on one device, on several of one machine, or on several machines, in step.

Every strategy here is synchronous: all replicas compute one step together, on their shares of one
batch, and have the same weights after it.
"""

import tensorflow as tf

from keras_ds2.quiet import without_chatter
from keras_ds2.training.cluster import read_cluster

STRATEGIES = ("default", "mirrored", "multi_worker")


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


def is_chief(strategy: tf.distribute.Strategy) -> bool:
    """Whether this process is the one that writes files and shows progress."""
    resolver = _resolver(strategy)
    if resolver is None:
        return True
    return resolver.task_id == 0 and (
        resolver.task_type == "chief" or "chief" not in resolver.cluster_spec().jobs
    )


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
    try:
        with without_chatter():
            return tf.distribute.MultiWorkerMirroredStrategy()
    except RuntimeError as error:
        raise DistributionError(
            "training.strategy: multi_worker has to be set up before TensorFlow computes anything "
            f"({error}); train in a process of its own"
        ) from error
    except tf.errors.OpError as error:
        raise DistributionError(
            f"training.strategy: worker {cluster.index} cannot join the others at "
            f"{', '.join(cluster.workers)} ({error.message}); is {cluster.workers[cluster.index]} "
            "this machine, its port free, and are the others running?"
        ) from error
