"""Batches made by a service: those that are made without it, to the bit, and what goes wrong."""

import itertools
import random
import socket
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import tensorflow as tf

from keras_ds2.data import service as service_module
from keras_ds2.data.checking import check_utterances
from keras_ds2.data.dataset import feature_dataset, training_dataset
from keras_ds2.data.loader import Loader
from keras_ds2.data.manifest import read_manifest
from keras_ds2.data.plan import Plan
from keras_ds2.data.service import LAST, DataService, DataServiceError, in_order
from keras_ds2.data.service_process import DataServiceProcess
from keras_ds2.features.front_end import FeatureFrontEnd
from keras_ds2.text.normalization import as_it_is
from tests.data.dataset_test import ALPHABET, EVERYTHING, content
from tests.made_up_corpus import RATE, audio_corpus

OPTIONS = {"batch_size": 5, "epochs": 3, "seed": 7, "augmentation": EVERYTHING}


def numbered(numbers):
    return [(number, f"element {number}") for number in numbers]


class TestInOrder:
    def test_whatever_order_they_come_in(self):
        numbers = list(range(200))
        draws = random.Random(0)
        mixed = sorted(numbers, key=lambda number: number + draws.uniform(0, 150))
        assert mixed != numbers
        assert list(in_order(numbered(mixed), 200, 10.0)) == numbered(numbers)

    @pytest.mark.parametrize("missing", [{0}, {7, 8}, {199}, set(range(0, 200, 3))])
    def test_what_does_not_come_is_left_out(self, missing):
        there = [number for number in range(200) if number not in missing]
        assert list(in_order(numbered(there), 200, 10.0)) == numbered(there)

    def test_what_comes_after_all_others_is_waited_for(self):
        numbers = [*range(1, 1000), 0]
        assert list(in_order(numbered(numbers), 1000, 10.0)) == numbered(range(1000))

    def test_what_comes_too_late_is_dropped(self):
        given_up = threading.Event()

        def late():
            yield from numbered([1, 2])
            given_up.wait(20)
            yield from numbered([0, 3])

        elements = in_order(late(), 4, 10.0, 0.1)
        assert next(elements)[0] == 1
        given_up.set()
        assert [number for number, _ in elements] == [2, 3]

    def test_others_that_come_do_not_make_one_waited_for_longer(self):
        ended = threading.Event()

        def steady():
            for number in itertools.count(1):
                yield number, "element"
                if ended.wait(0.02):
                    return

        elements = in_order(steady(), 10**6, 10.0, 0.2)
        assert next(elements)[0] == 1
        ended.set()

    def test_time_in_which_nobody_waits_does_not_count(self):
        validated = threading.Event()

        def paused():
            yield from numbered([0, 2])
            validated.wait(20)
            yield from numbered([1])

        elements = in_order(paused(), 3, 10.0, 0.5)
        found = [next(elements)[0]]
        time.sleep(1.0)
        validated.set()
        assert found + [number for number, _ in elements] == [0, 1, 2]

    def test_those_missing_are_waited_for_together(self):
        ended, start = threading.Event(), time.monotonic()

        def every_third():
            yield from numbered(number for number in range(300) if number % 3)
            ended.wait(60)

        elements = in_order(every_third(), 300, 10.0, 0.3)
        found = [next(elements)[0] for _ in range(200)]
        assert found == [number for number in range(300) if number % 3]
        assert time.monotonic() - start < 15  # one by one it were 30
        ended.set()

    def test_no_more_are_held_than_are_allowed(self):
        taken = []

        def endless():
            for number in itertools.count(1):
                taken.append(number)
                yield number, np.zeros(125)

        elements = in_order(endless(), 10**6, 10.0, most_held_bytes=20_000)
        assert next(elements)[0] == 1
        assert 15 <= len(taken) <= 23
        elements.close()

    @pytest.mark.parametrize(("count", "raises"), [(5, False), (LAST + 5, True)])
    def test_nothing_for_long_is_an_error_but_for_a_gap_and_at_the_end(self, count, raises):
        ended = threading.Event()

        def stuck():
            yield from numbered([0, 2])
            ended.wait(20)

        elements = in_order(stuck(), count, 0.1, 0.1)
        assert [next(elements)[0], next(elements)[0]] == [0, 2]
        if raises:
            with pytest.raises(TimeoutError, match=r"no batch has come for 0.1 s"):
                next(elements)
        else:
            assert not list(elements)
        ended.set()

    def test_a_fault_is_passed_on(self):
        def faulty():
            yield from numbered([0])
            raise OSError("broken")

        elements = in_order(faulty(), 5, 10.0)
        assert next(elements)[0] == 0
        with pytest.raises(OSError, match="broken"):
            next(elements)


def test_a_plan_gives_the_batches_it_was_made_of():
    batches = [([3, 1], 10, (5, 0)), ([2], 7, (5, 0)), ([0, 1, -1], 9, (5, 1))]
    plan = Plan(iter(batches))
    assert len(plan) == 3
    find = tf.function(plan.batch)
    for number in range(7):
        expected = batches[number % 3]
        for found, value in zip(find(tf.constant(number, tf.int64)), expected, strict=True):
            assert found.numpy().tolist() == np.array(value).tolist()
    assert len(Plan([])) == 0


@pytest.fixture
def local():
    process = DataServiceProcess(dispatcher=True, worker=True, host="localhost")
    yield process
    process.stop()


def made(number):
    lost = (number % 50 == 7) | (number == 0)
    with tf.control_dependencies([tf.debugging.Assert(~lost, ["lost"])]):
        return number, {"values": tf.fill([number % 5, 3], number)}


def test_elements_of_a_service_come_in_order_and_those_that_fail_are_left_out(local):
    other = DataServiceProcess(
        dispatcher=False, worker=True, dispatcher_address=local.address, host="localhost"
    )
    elements = tf.data.Dataset.range(120).map(made, num_parallel_calls=4).ignore_errors()
    found = list(DataService(local.address).make(elements, 120).as_numpy_iterator())
    other.stop()
    there = [number for number in range(1, 120) if number % 50 != 7]
    assert [number for number, _ in found] == there
    for number, element in found:
        np.testing.assert_array_equal(element["values"], np.full((number % 5, 3), number))


class TestNoService:
    def test_nobody_there(self, monkeypatch):
        monkeypatch.setattr(service_module, "REACH_S", 0.5)
        with socket.socket() as taken:
            taken.bind(("localhost", 0))  # and does not listen
            address = f"grpc://localhost:{taken.getsockname()[1]}"
            start = time.monotonic()
            with pytest.raises(DataServiceError) as error:
                DataService(address).require_reachable()
        assert time.monotonic() - start < 20
        assert f"data.service: expected a dispatcher at {address}" in str(error.value)
        assert "keras-ds2 data-service --dispatcher" in str(error.value)

    def test_somebody_else_there(self, monkeypatch):
        monkeypatch.setattr(service_module, "REACH_S", 0.5)
        with socket.socket() as other:
            other.bind(("localhost", 0))
            other.listen()
            address = f"grpc://localhost:{other.getsockname()[1]}"
            with pytest.raises(DataServiceError, match=r"does not answer as one in 0.5 s"):
                DataService(address).make(tf.data.Dataset.range(3), 3)

    @pytest.mark.parametrize(
        ("reason", "hint"),
        [
            ("exceeded maximum protobuf size of 2GB: 2300000000", "recordings of noise and rooms"),
            ("SENT: Received message larger than max (3 vs. 2)", "recordings of noise and rooms"),
            ("broken", "did not take the batches: broken$"),
        ],
    )
    def test_what_is_refused(self, monkeypatch, reason, hint):
        def refuse(*_, **__):
            raise tf.errors.InternalError(None, None, f"{reason}\nmore lines")

        monkeypatch.setattr(tf.data.experimental.service, "register_dataset", refuse)
        with socket.socket() as other:
            other.bind(("localhost", 0))
            other.listen()
            address = f"grpc://localhost:{other.getsockname()[1]}"
            with pytest.raises(DataServiceError, match=hint) as error:
                DataService(address).make(tf.data.Dataset.range(3), 3)
        assert f"data.service: {address} did not take the batches: {reason}" in str(error.value)

    def test_no_worker(self):
        # In a process of its own: threads of TensorFlow's go on asking for batches, and complain.
        code = """
import tensorflow as tf
from keras_ds2.data import service as service_module
from keras_ds2.data.service_process import DataServiceProcess

service_module.PATIENCE_S = 0.5
process = DataServiceProcess(dispatcher=True, worker=False, host="localhost")
service = service_module.DataService(process.address)
elements = tf.data.Dataset.range(3).map(lambda number: (number, number))
try:
    with service.losses_told():
        list(service.make(elements, 3))
except service_module.DataServiceError as error:
    print(process.address, error, sep="\\n", flush=True)
"""
        command = [sys.executable, "-c", code]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
        address, message = ended.stdout.split("\n", 1)
        assert f"data.service: {address}: no batch has come for 0.5 s" in message
        assert "goes on from the last checkpoint" in message


def test_batches_made_here_are_told_of_now_and_then():
    lines = []
    service = DataService("grpc://host:1", lines.append)
    for _ in range(9):
        service.tell_made_here()
    assert [line.split()[1] for line in lines] == ["1", "2", "4", "8"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dispatcher": False, "worker": False}, "received neither"),
        ({"dispatcher": False, "worker": True}, "--dispatcher-address: expected for a worker"),
        (
            {"dispatcher": True, "worker": True, "dispatcher_address": "host:1"},
            "received host:1",
        ),
        (
            {"dispatcher": False, "worker": True, "dispatcher_address": "host"},
            "expected HOST:PORT, received host",
        ),
        (
            {"dispatcher": False, "worker": True, "dispatcher_address": "host:1", "port": 6000},
            r"--port: expected with --dispatcher alone, .*, received 6000",
        ),
        (
            {"dispatcher": True, "worker": False, "worker_port": 6000},
            r"--worker-port: expected with --worker alone, .*, received 6000",
        ),
    ],
)
def test_what_a_process_is_to_run(options, message):
    with pytest.raises(DataServiceError, match=message):
        DataServiceProcess(**options)


@pytest.mark.parametrize("option", ["port", "worker_port"])
def test_a_taken_port(option):
    with socket.socket() as taken:
        taken.bind(("", 0))
        taken.listen()
        port, flag = taken.getsockname()[1], option.replace("_", "-")
        with pytest.raises(DataServiceError, match=rf"^--{flag} {port}: cannot listen there"):
            DataServiceProcess(dispatcher=True, worker=option == "worker_port", **{option: port})


def test_precomputed_features_are_refused():
    front_end = FeatureFrontEnd("precomputed", num_bins=3)
    with pytest.raises(ValueError, match=r"kind precomputed, .* received grpc://host:1"):
        Loader([], front_end, None, service=DataService("grpc://host:1"))


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    front_end = FeatureFrontEnd(sampling_rate=RATE, normalization="corpus")
    manifest = audio_corpus(tmp_path_factory.mktemp("audio"))
    utterances = read_manifest(manifest)
    examples, _ = check_utterances(utterances, front_end, ALPHABET, as_it_is, [2])
    front_end.adapt(feature_dataset(examples, front_end))
    return examples, front_end


@pytest.fixture
def process():
    process = DataServiceProcess(dispatcher=True, worker=True, host="localhost")
    yield process
    process.stop()


@pytest.fixture(scope="module")
def whole(corpus):
    return content(training_dataset(*corpus, **OPTIONS))


@pytest.mark.slow
class TestTraining:
    @pytest.mark.parametrize("start", [(0, 0), (1, 2)])
    @pytest.mark.parametrize("workers", [1, 2])
    def test_to_the_bit_and_from_any_start(self, corpus, process, whole, start, workers):
        others = [
            DataServiceProcess(
                dispatcher=False, worker=True, dispatcher_address=process.address, host="localhost"
            )
            for _ in range(1, workers)
        ]
        epoch, step = start
        told = []
        dataset = training_dataset(
            *corpus,
            first_epoch=epoch,
            first_step=step,
            unread=told.append,
            service=DataService(process.address, told.append),
            **OPTIONS,
        )
        found = content(dataset)
        for other in others:
            other.stop()
        assert found == whole[3 * epoch + step :]
        assert not told

    def test_shares_too(self, corpus, process):
        options = {**OPTIONS, "replicas": 2, "own": [1]}
        service = DataService(process.address)
        here, there = (
            training_dataset(*corpus, **options, **more).take(5).as_numpy_iterator()
            for more in ({}, {"service": service})
        )
        for one, other in zip(here, there, strict=True):
            tf.nest.map_structure(np.testing.assert_array_equal, one, other)
        assert service.made_here == 0

    def test_broken_files_are_passed_over_as_without_it(self, process, tmp_path):
        front_end = FeatureFrontEnd(sampling_rate=RATE)
        utterances = read_manifest(audio_corpus(tmp_path))
        examples, _ = check_utterances(utterances, front_end, ALPHABET, as_it_is, [2])
        (tmp_path / "train_1.flac").unlink()
        (tmp_path / "train_4.flac").write_bytes(b"fLaC")
        lines = []
        service = DataService(process.address, lines.append)
        runs, told = [], []
        for more in ({}, {"service": service}):
            told.append([])
            runs.append(
                content(
                    training_dataset(examples, front_end, unread=told[-1].append, **more, **OPTIONS)
                )
            )
        assert runs[0] == runs[1]
        assert sorted(map(str, told[0])) == sorted(map(str, told[1]))
        assert len(told[0]) == 6
        assert not lines

    def test_a_worker_that_goes_takes_no_batch_along(self, corpus):
        process = DataServiceProcess(dispatcher=True, worker=True, host="localhost")
        other = DataServiceProcess(
            dispatcher=False, worker=True, dispatcher_address=process.address, host="localhost"
        )
        options = {**OPTIONS, "epochs": 20, "augmentation": None}
        whole = content(training_dataset(*corpus, **options))
        service = DataService(process.address, lambda line: None)
        dataset = training_dataset(*corpus, unread=pytest.fail, service=service, **options)
        found = []
        for batch in dataset.as_numpy_iterator():
            found += content(tf.data.Dataset.from_tensors(batch))
            if len(found) == 5:
                other.stop()
        process.stop()
        assert found == whole
