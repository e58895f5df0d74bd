"""`TF_CONFIG`: read back as written, and refused with what is wrong with it."""

import json

import pytest

from keras_ds2.training.cluster import (
    JOIN,
    Cluster,
    ClusterError,
    addresses,
    join_seconds,
    read_cluster,
)


def read(content):
    text = content if isinstance(content, str) else json.dumps(content)
    return read_cluster({"TF_CONFIG": text})


def config(**changes):
    return {
        "cluster": {"worker": ["a:1", "b:2"]},
        "task": {"type": "worker", "index": 1},
        **changes,
    }


def test_it_is_read_as_it_was_written():
    cluster = Cluster(("host1:12345", "10.0.0.2:12345", "[::1]:7"), 2)
    assert read(cluster.tf_config()) == cluster


def test_a_chief_of_its_own_is_the_first():
    jobs = {"chief": ["c:1"], "worker": ["a:1", "b:1"]}
    chief = read(config(cluster=jobs, task={"type": "chief", "index": 0}))
    assert chief == Cluster(("c:1", "a:1", "b:1"), 0)
    assert read(config(cluster=jobs)).index == 2


def test_absent_it_says_what_to_set():
    for environment in ({}, {"TF_CONFIG": ""}):
        with pytest.raises(ClusterError, match=r"it is not set; .*keras-ds2 machines HOST HOST"):
            read_cluster(environment)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "not JSON"),
        ([], "the whole: expected a JSON object, received"),
        ({}, "cluster: expected a JSON object, received None"),
        (config(task=3), "task: expected a JSON object, received 3"),
        (config(cluster={"chief": ["a:1"]}), r"expected a list worker, .* received \['chief'\]"),
        (config(cluster={"worker": ["a:1"], "ps": ["b:1"]}), "at most chief besides"),
        (config(cluster={"worker": "a:1"}), "cluster.worker: expected a list of HOST:PORT"),
        (config(cluster={"worker": ["a"]}), "cluster.worker: expected a list of HOST:PORT"),
        (config(cluster={"worker": ["a:0", "b:1"]}), "expected a list of HOST:PORT"),
        (config(cluster={"worker": ["a:1", "a:1"]}), "expected each address once"),
        (
            config(task={"type": "chief", "index": 0}),
            "task.type: expected worker, received 'chief'",
        ),
        (config(task={"type": "worker", "index": 2}), "task.index: expected 0 to 1, received 2"),
        (config(task={"type": "worker", "index": "1"}), "expected 0 to 1, received '1'"),
    ],
)
def test_what_is_broken_is_said(content, message):
    with pytest.raises(ClusterError, match=message):
        read(content)


def test_a_host_named_twice_gets_two_ports():
    assert addresses(["a", "b", "a"], 7000) == ("a:7000", "b:7000", "a:7001")


@pytest.mark.parametrize(
    ("hosts", "port"), [([], 1), ([""], 1), (["a b"], 1), (["a:1"], 1), (["a"], 0), (["a"], 65536)]
)
def test_hosts_that_are_none_are_refused(hosts, port):
    with pytest.raises(ClusterError):
        addresses(hosts, port)


def test_how_long_the_others_are_waited_for():
    assert join_seconds({}) == join_seconds({JOIN: ""}) == 900
    assert join_seconds({JOIN: "0.5"}) == 30
    for text in ("soon", "0", "-1", "nan", "inf", "1e6"):
        with pytest.raises(ClusterError, match=rf"{JOIN}: expected minutes.* received '{text}'"):
            join_seconds({JOIN: text})
