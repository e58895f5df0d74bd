"""What starts one training run on machines of one's own: lines for a shell, Slurm, Kubernetes."""

import shlex
from collections.abc import Sequence

import yaml

from keras_ds2.training.cluster import VARIABLE, Cluster

FORMATS = ("env", "slurm", "kubernetes")
PORT = 12345
IMAGE = "IMAGE"
"""Stands in the Kubernetes file where nothing else is given."""

_GRACE_S = 120


def format_machines(
    workers: Sequence[str],
    form: str = "env",
    *,
    recipe: str = "RECIPE",
    output: str = "DIR",
    image: str = IMAGE,
) -> str:
    """What to run where.

    Args:
        workers: `host:port` of each (see `cluster.addresses`), the chief's first.
        form: `"env"`, two lines for the shell of each machine; `"slurm"`, a file for `sbatch`;
            `"kubernetes"`, a file for `kubectl apply -f`.
        recipe: name or file of the recipe, as every machine sees it.
        output: the run folder, on the chief.
        image: with keras_ds2 in it, of `"kubernetes"`.

    Returns:
        The text, with a line end at its end.
    """
    clusters = [Cluster(tuple(workers), index) for index in range(len(workers))]
    change = "training.strategy=multi_worker"
    command = ["keras-ds2", "train", recipe, "--output", output, "--set", change]
    makers = {"env": _env, "slurm": _slurm, "kubernetes": _kubernetes}
    return makers[form](clusters, command, image)


def _env(clusters, command, _):
    parts = []
    for cluster in clusters:
        chief = ", the chief: it writes the run folder" if cluster.index == 0 else ""
        parts.append(
            f"# on {_host(cluster.workers[cluster.index])}{chief}\n"
            f"export {VARIABLE}={shlex.quote(cluster.tf_config())}\n"
            f"{shlex.join(command)}\n"
        )
    return "\n".join(parts)


def _slurm(clusters, command, _):
    hosts = list(dict.fromkeys(_host(address) for address in clusters[0].workers))
    port = clusters[0].workers[0].rpartition(":")[2]
    of_node = f"""
  {VARIABLE}=$(keras-ds2 machines "$@" --port {port} --index "$SLURM_NODEID")
  export {VARIABLE}
  exec {shlex.join(command)}
"""
    return f"""#!/bin/bash
# One worker a node; Slurm's own order of the nodes decides which is the chief. When one worker
# dies, or two minutes before the time is up, all end; queued again, the run goes on.
#SBATCH --job-name=keras-ds2
#SBATCH --nodes={len(hosts)}
#SBATCH --nodelist={",".join(hosts)}
#SBATCH --ntasks-per-node=1
#SBATCH --signal=TERM@{_GRACE_S}
#SBATCH --requeue
## With a GPU in each node: #SBATCH --gpus-per-node=1

set -euo pipefail
hosts=$(scontrol show hostnames "$SLURM_JOB_NODELIST")
srun --kill-on-bad-exit=1 bash -c {shlex.quote(of_node)} worker $hosts
"""


def _kubernetes(clusters, command, image):
    pods = [
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": f"keras-ds2-{cluster.index}", "labels": {"app": "keras-ds2"}},
            "spec": {
                "nodeSelector": {"kubernetes.io/hostname": _host(cluster.workers[cluster.index])},
                "hostNetwork": True,
                "restartPolicy": "OnFailure",
                "terminationGracePeriodSeconds": _GRACE_S,
                "containers": [
                    {
                        "name": "worker",
                        "image": image,
                        "command": list(command),
                        "env": [{"name": VARIABLE, "value": cluster.tf_config()}],
                        "volumeMounts": [{"name": "data", "mountPath": "/data"}],
                    }
                ],
                "volumes": [{"name": "data", "hostPath": {"path": "/data"}}],
            },
        }
        for cluster in clusters
    ]
    return (
        "# One pod a machine, at the machine's own address. When one dies the others end too; all\n"
        "# are started again, and the run goes on. To fill in: the image, and where the data are\n"
        "# (here /data on every machine; the run folder on the first).\n"
        + yaml.safe_dump_all(pods, sort_keys=False)
    )


def _host(address):
    return address.rpartition(":")[0]
