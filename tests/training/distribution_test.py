"""Strategies: made where the devices are there, refused with what is missing."""

import pytest
import tensorflow as tf

from keras_ds2.training.agreement import Agreement, WorkerLost
from keras_ds2.training.cluster import Cluster, ClusterError
from keras_ds2.training.distribution import (
    DistributionError,
    is_chief,
    make_strategy,
    num_workers,
)
from keras_ds2.training.launcher import free_ports


def test_default_is_one_device():
    strategy = make_strategy("default")
    assert strategy.num_replicas_in_sync == 1
    assert is_chief(strategy)
    assert num_workers(strategy) == 1


def test_mirrored_needs_devices():
    if tf.config.list_physical_devices("GPU"):
        pytest.skip("here are GPUs")
    tf.config.list_logical_devices()  # TensorFlow has started
    with pytest.raises(DistributionError, match=r"TensorFlow sees none\. Set training.replicas"):
        make_strategy("mirrored")
    with pytest.raises(DistributionError, match="once TensorFlow has computed something"):
        make_strategy("mirrored", replicas=64)
    assert make_strategy("mirrored", replicas=1).num_replicas_in_sync == 1


def test_several_workers_need_a_cluster_and_a_fresh_process(monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    with pytest.raises(ClusterError, match=r"TF_CONFIG: .* it is not set"):
        make_strategy("multi_worker")
    tf.zeros(1)
    config = '{"cluster": {"worker": ["localhost:1"]}, "task": {"type": "worker", "index": 0}}'
    monkeypatch.setenv("TF_CONFIG", config)
    with pytest.raises(DistributionError, match="before TensorFlow computes anything"):
        make_strategy("multi_worker")


def test_a_worker_that_never_comes_is_named(monkeypatch):
    (port,) = free_ports(1)
    monkeypatch.setenv("TF_CONFIG", Cluster(("localhost:1", f"localhost:{port}"), 0).tf_config())
    monkeypatch.setenv("KERAS_DS2_JOIN_MINUTES", "0.001")
    with pytest.raises(DistributionError, match=rf"waited 0.001 minutes for localhost:{port}, in"):
        make_strategy("multi_worker")


def test_an_unknown_strategy_is_refused():
    with pytest.raises(DistributionError, match="expected default, mirrored, multi_worker"):
        make_strategy("tpu")


class TestAgreementOfOne:
    def test_is_its_own_answer(self):
        agreement = Agreement(tf.distribute.get_strategy())
        assert agreement.any(True, False) == [True, False]
        assert agreement.from_chief({"loss": 1.5}) == {"loss": 1.5}
        agreement.take_chiefs([])
        assert agreement.is_chief

    def test_its_errors_are_its_own(self):
        agreement = Agreement(tf.distribute.get_strategy())
        with pytest.raises(tf.errors.UnavailableError), agreement.losses_told():
            raise tf.errors.UnavailableError(None, None, "a file system")

    def test_of_several_an_error_of_theirs_is_a_loss(self):
        agreement = Agreement(tf.distribute.get_strategy())
        agreement.workers = 2
        said = "Graph execution error:\nCollective ops is aborted by: Socket closed\nThe error"
        message = "ops is aborted by: Socket closed"
        with pytest.raises(WorkerLost, match=message), agreement.losses_told():
            raise tf.errors.UnavailableError(None, None, said)
        with pytest.raises(tf.errors.InvalidArgumentError), agreement.losses_told():
            raise tf.errors.InvalidArgumentError(None, None, "a file")
