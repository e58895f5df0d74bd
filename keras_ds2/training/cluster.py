"""Which machines train together: `TF_CONFIG`, read with clear errors, and written."""

import dataclasses
import json
import math
import os
from collections.abc import Mapping, Sequence
from typing import Any

VARIABLE = "TF_CONFIG"
"""The environment variable in which TensorFlow looks for the cluster."""

JOIN = "KERAS_DS2_JOIN_MINUTES"
"""The environment variable that says how long a worker waits for the others at the start."""

_JOIN_MINUTES = 15.0
_MOST_MINUTES = 60.0 * 24  # in milliseconds it has to fit 32 bits

_EXAMPLE = (
    '{"cluster": {"worker": ["host1:12345", "host2:12345"]}, '
    '"task": {"type": "worker", "index": 0}}'
)
_REMEDY = f"such as {_EXAMPLE}; keras-ds2 machines HOST HOST writes it"


class ClusterError(ValueError):
    """`TF_CONFIG` cannot be used: the message says what is wrong with it and what to do."""


@dataclasses.dataclass(frozen=True)
class Cluster:
    """The workers and which of them this process is.

    Attributes:
        workers: `host:port` of each, the chief's first.
        index: of this process among them.
    """

    workers: tuple[str, ...]
    index: int

    def tf_config(self) -> str:
        """The value of `TF_CONFIG` for this worker."""
        task = {"type": "worker", "index": self.index}
        return json.dumps({"cluster": {"worker": list(self.workers)}, "task": task})


def read_cluster(environment: Mapping[str, str] | None = None) -> Cluster:
    """Reads `TF_CONFIG`.

    Args:
        environment: None for the process's own.

    Raises:
        ClusterError: if it is absent or broken.
    """
    text = (os.environ if environment is None else environment).get(VARIABLE)
    if not text:
        raise ClusterError(
            f"{VARIABLE}: training.strategy is multi_worker, which reads the machines from this "
            f"environment variable, and it is not set; set it on each machine, {_REMEDY}. On one "
            "machine keras-ds2 train --workers N needs none."
        )
    try:
        content = json.loads(text)
    except ValueError as error:
        raise ClusterError(f"{VARIABLE}: not JSON ({error}): {text!r}; expected {_REMEDY}") from (
            error
        )
    content = _object("the whole", content)
    jobs, task = (_object(key, content.get(key)) for key in ("cluster", "task"))
    if not jobs.get("worker") or set(jobs) - {"chief", "worker"}:
        _refuse("cluster: expected a list worker, and at most chief besides", sorted(jobs))
    workers = []
    for job in ("chief", "worker"):
        addresses = jobs.get(job, [])
        if not (isinstance(addresses, list) and all(map(_is_address, addresses))):
            _refuse(f"cluster.{job}: expected a list of HOST:PORT", addresses)
        workers += addresses
    if len(set(workers)) < len(workers):
        _refuse("cluster: expected each address once", workers)
    kind, index = task.get("type"), task.get("index")
    if kind not in jobs:
        _refuse(f"task.type: expected {' or '.join(sorted(jobs))}", kind)
    if type(index) is not int or not 0 <= index < len(jobs[kind]):
        _refuse(f"task.index: expected 0 to {len(jobs[kind]) - 1}", index)
    first = len(jobs.get("chief", [])) if kind == "worker" else 0
    return Cluster(tuple(workers), first + index)


def join_seconds(environment: Mapping[str, str] | None = None) -> float:
    """How long a worker waits for the others at the start, in seconds.

    Args:
        environment: None for the process's own.

    Raises:
        ClusterError: if `KERAS_DS2_JOIN_MINUTES` is no number of minutes.
    """
    text = (os.environ if environment is None else environment).get(JOIN)
    try:
        minutes = float(text) if text else _JOIN_MINUTES
    except ValueError:
        minutes = math.nan
    if not 0 < minutes <= _MOST_MINUTES:
        raise ClusterError(
            f"{JOIN}: expected minutes, at most {_MOST_MINUTES:g}, received {text!r}"
        )
    return 60 * minutes


def addresses(hosts: Sequence[str], port: int) -> tuple[str, ...]:
    """`host:port` of each host; of a host named several times, ports that follow each other.

    Raises:
        ClusterError: if there is no host, one is no name, or a port is out of range.
    """
    if not hosts:
        raise ClusterError("hosts: expected at least one, received none")
    named = []
    for host in hosts:
        address = f"{host}:{port + list(hosts[: len(named)]).count(host)}"
        if not host or not _is_address(address):
            raise ClusterError(
                f"{address!r}: expected a host's name or address without a port, and a port from "
                "1 to 65535"
            )
        named.append(address)
    return tuple(named)


def _is_address(value: Any) -> bool:
    if not isinstance(value, str):
        return False
    host, _, port = value.rpartition(":")
    plain = bool(host) and not any(each.isspace() or each in "/'\"" for each in host)
    bracketed = host.startswith("[") and host.endswith("]")
    return (
        plain
        and (bracketed or ":" not in host)
        and port.isascii()
        and port.isdigit()
        and 1 <= int(port) <= 65535
    )


def _object(place, value):
    if not isinstance(value, dict):
        _refuse(f"{place}: expected a JSON object", value)
    return value


def _refuse(expected, received):
    raise ClusterError(f"{VARIABLE}: {expected}, received {received!r}; expected {_REMEDY}")
