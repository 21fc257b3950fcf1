"""Pipelines whose draws depend on seed, epoch and number of the batch alone."""

import contextlib
import socket
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import tensorflow as tf
from numpy.testing import assert_array_equal, assert_equal

import keras_msda as msda
from tests.support import layer_cases as cases
from tests.support.errors import check_error
from tests.support.pipelines import BATCH, BATCHES, REPEATED, SIZE, batches, mixer

ROOT = Path(__file__).parent.parent
service = tf.data.experimental.service


def drawn(dataset):
    """Returns what each batch drew, by the id of its first sample."""
    found = {}
    for images, packed in dataset:
        rows = np.concatenate([np.ravel(images), np.ravel(packed)])
        found[int(packed[0, 0])] = rows.tobytes()
    return found


@pytest.mark.long
def test_the_same_seed_and_epoch_draw_the_same():
    first, again = (
        drawn(batches().apply(msda.mixing(mixer(), seed=7, epoch=3))) for _ in "ab"
    )
    assert_equal(len(first), BATCHES)
    assert_equal(again, first)


@pytest.mark.long
@pytest.mark.parametrize("change", [{"seed": 8}, {"epoch": 4}])
def test_another_seed_or_epoch_draws_differently_for_each_batch(change):
    settings = {"seed": 7, "epoch": 3}
    first = drawn(batches().apply(msda.mixing(mixer(), **settings)))
    other = drawn(batches().apply(msda.mixing(mixer(), **settings | change)))
    assert all(first[key] != other[key] for key in first)


def test_each_batch_draws_its_own():
    dataset = batches().apply(msda.mixing(mixer(), seed=7, epoch=3))
    weights = {np.asarray(packed)[:, 2].tobytes() for _, packed in dataset}
    assert_equal(len(weights), BATCHES)


@pytest.mark.long
def test_each_iteration_is_another_epoch_and_a_new_dataset_starts_again():
    # A shuffle may leave all of a batch unmixed, in both epochs: once in 50 such tests.
    layer = mixer(pairing="derangement")
    dataset = batches().apply(msda.mixing(layer, seed=7))
    first, second = drawn(dataset), drawn(dataset)
    assert all(first[key] != second[key] for key in first)
    again = batches().apply(msda.mixing(layer, seed=7))
    assert_equal([drawn(again), drawn(again)], [first, second])


@pytest.mark.long
@pytest.mark.parametrize("calls", [None, 1, 4, -1])
@pytest.mark.parametrize("epoch", [None, 2])
def test_parallel_calls_change_nothing(calls, epoch):
    arguments = {"seed": 7, "epoch": epoch}
    expected = drawn(batches().apply(msda.mixing(mixer(), **arguments)))
    mixing = msda.mixing(mixer(), num_parallel_calls=calls, **arguments)
    assert_equal(drawn(batches().apply(mixing)), expected)


@pytest.mark.long
@pytest.mark.parametrize("epoch", [None, 2])
def test_an_iterator_restored_in_mid_epoch_goes_on_with_the_same_mixes(tmp_path, epoch):
    dataset = batches().apply(msda.mixing(mixer(), seed=7, epoch=epoch))
    expected = [np.asarray(packed) for _, packed in dataset]
    dataset = batches().apply(msda.mixing(mixer(), seed=7, epoch=epoch))
    iterator = iter(dataset)
    for _ in range(5):
        next(iterator)
    path = tf.train.Checkpoint(iterator=iterator).save(str(tmp_path / "iterator"))
    # A new process would begin here.
    dataset = batches().apply(msda.mixing(mixer(), seed=7, epoch=epoch))
    iterator = iter(dataset)
    tf.train.Checkpoint(iterator=iterator).restore(path)
    rest = [np.asarray(packed) for _, packed in iterator]
    assert_array_equal(rest, expected[5:])


def after_a_restart(dataset, restored, taken, path):
    """Returns the labels of an iterator that was saved and made again in between."""
    iterator = iter(dataset)
    for _ in range(taken):
        next(iterator)
    path = tf.train.Checkpoint(iterator=iterator).save(str(path / "iterator"))
    iterator = iter(restored)
    tf.train.Checkpoint(iterator=iterator).restore(path)
    return [np.asarray(packed) for _, packed in iterator]


# At each of these the map has read ahead, perhaps over the end of the epoch.
@pytest.mark.long
@pytest.mark.parametrize("taken", [6, 11, 12])
@pytest.mark.parametrize("order", REPEATED)
def test_later_epochs_of_a_restored_iterator_are_those_of_an_unbroken_run(
    tmp_path, order, taken
):
    make = REPEATED[order]
    expected = [np.asarray(packed) for _, packed in make(7)]
    assert_equal(len({x.tobytes() for x in expected}), 3 * BATCHES)
    found = after_a_restart(make(7), make(7), taken, tmp_path)
    assert_array_equal(found, expected[taken:])


IN_ANOTHER_PROCESS = """
import sys
import numpy as np, tensorflow as tf
from tests.support.pipelines import REPEATED
dataset = REPEATED["after"](7)
iterator = iter(dataset)
tf.train.Checkpoint(iterator=iterator).restore(sys.argv[1])
rest = [np.asarray(packed) for _, packed in iterator]
rest += [np.asarray(packed) for _, packed in dataset.take(1)]
np.save(sys.argv[2], rest)
"""


@pytest.mark.processes
@pytest.mark.slow
def test_another_process_goes_on_and_counts_on(tmp_path):
    dataset = REPEATED["after"](7)
    expected = [np.asarray(packed) for _, packed in dataset]
    expected += [np.asarray(packed) for _, packed in dataset.take(1)]
    iterator = iter(REPEATED["after"](7))
    for _ in range(11):
        next(iterator)
    path = tf.train.Checkpoint(iterator=iterator).save(str(tmp_path / "iterator"))
    command = [sys.executable, "-c", IN_ANOTHER_PROCESS, path, tmp_path / "rest.npy"]
    subprocess.run(command, check=True, cwd=ROOT)
    assert_array_equal(np.load(tmp_path / "rest.npy"), expected[11:])


@pytest.mark.long
def test_the_global_seed_changes_nothing():
    dataset = batches().apply(msda.mixing(mixer(), seed=7))
    expected = drawn(dataset)
    try:
        tf.random.set_seed(3)
        assert_equal(drawn(batches().apply(msda.mixing(mixer(), seed=7))), expected)
    finally:
        tf.random.set_seed(None)


# What seed 7 drew before iterations were counted within the dataset.
COMMITTED = {
    0: [0.41426849365234375, 0.6598281860351562, 0.29119110107421875],
    3: [0.9820632934570312, 0.28688812255859375, 0.43605804443359375],
    None: [0.16948699951171875, 0.7553939819335938, 0.9211349487304688],
}


@pytest.mark.parametrize("epoch", COMMITTED)
def test_the_draws_of_a_seed_and_an_epoch_stay(epoch):
    data = tf.data.Dataset.from_tensor_slices((np.zeros((4, 1, 1, 1)), np.arange(4)))
    layer = msda.MixUpLayer(pairing="roll", targets="pair")
    data = data.batch(2).apply(msda.mixing(layer, seed=7, epoch=epoch))
    weights = np.concatenate([packed[:, 2] for _, packed in data])
    assert_array_equal(weights[:3], np.float32(COMMITTED[epoch]))


@pytest.mark.long
def test_a_variable_is_read_once_when_an_iteration_begins(tmp_path):
    epoch = tf.Variable(3, dtype=tf.int64)

    def make():
        return batches().apply(msda.mixing(mixer(), seed=7, epoch=epoch))

    expected = [np.asarray(packed) for _, packed in make()]
    iterator = iter(make())
    epoch.assign(4)  # Begun is an iteration with its first batch.
    epoch.assign(3)
    found = [np.asarray(next(iterator)[1])]
    epoch.assign(4)
    found += [np.asarray(packed) for _, packed in iterator]
    assert_array_equal(found, expected)
    epoch.assign(3)
    dataset = make()
    # An iterator brings the number that it began with.
    iterator = iter(dataset)
    next(iterator)
    path = tf.train.Checkpoint(iterator=iterator).save(str(tmp_path / "iterator"))
    epoch.assign(4)
    iterator = iter(make())
    tf.train.Checkpoint(iterator=iterator).restore(path)
    rest = [np.asarray(packed) for _, packed in iterator]
    assert_array_equal(rest, expected[1:])


@pytest.mark.parametrize("epoch", [None, 3, "variable"])
def test_the_number_of_batches_stays_known(epoch):
    moment = tf.Variable(3, dtype=tf.int64) if epoch == "variable" else epoch
    mixing = msda.mixing(mixer(), seed=7, epoch=moment)
    assert_equal(len(batches().apply(mixing)), BATCHES)
    endless = batches().repeat().apply(mixing)
    assert_equal(int(endless.cardinality()), -1)  # Infinite.


class Recorder:
    """Stands for a layer: shows what it is handed."""

    seed = 1

    def __init__(self):
        self.handed = []

    def mix(self, inputs, *, seed):  # noqa: ARG002
        self.handed.append(inputs)
        return inputs


class Sample(NamedTuple):
    images: Any
    labels: Any


X = np.zeros((4, 2, 2, 1), np.float32)
STRUCTURES = {
    "images": X,
    "dictionary": {"images": X, "meta": X},
    "nested": ({"images": X, "meta": (X, {"more": X})}, X),
    "views": ((X, X), X, X),
    "named": Sample(X, X),
}


def test_images_that_are_alone_in_a_tuple_are_images():
    dataset = tf.data.Dataset.from_tensor_slices((X,)).batch(2)
    mixed = next(iter(dataset.apply(msda.mixing(mixer(), seed=7))))
    assert_array_equal(mixed, X[:2])


@pytest.mark.parametrize("arguments", [{}, {"epoch": 1}, {"epoch": 1, "index": True}])
@pytest.mark.parametrize("name", STRUCTURES)
def test_the_layer_gets_the_structure_of_the_dataset(name, arguments):
    dataset = tf.data.Dataset.from_tensor_slices(STRUCTURES[name]).batch(2)
    if "index" in arguments:
        arguments = arguments | {"index": lambda *_: tf.constant(3)}
    layer = Recorder()
    mixed = dataset.apply(msda.mixing(layer, seed=7, **arguments))
    tf.nest.assert_same_structure(layer.handed[0], dataset.element_spec)
    assert_equal(mixed.element_spec, dataset.element_spec)


@pytest.mark.long
def test_an_epoch_may_be_a_variable():
    epoch = tf.Variable(3, dtype=tf.int64)
    dataset = batches().apply(msda.mixing(mixer(), seed=7, epoch=epoch))
    expected = [
        drawn(batches().apply(msda.mixing(mixer(), seed=7, epoch=number)))
        for number in (3, 4)
    ]
    assert_equal(drawn(dataset), expected[0])
    epoch.assign(4)
    assert_equal(drawn(dataset), expected[1])


@pytest.mark.long
def test_batches_may_bring_their_number():
    mixing = msda.mixing(mixer(), seed=7, epoch=3, index=lambda _, ids: ids[0] // BATCH)
    expected = drawn(batches().apply(msda.mixing(mixer(), seed=7, epoch=3)))
    shuffled = batches().shuffle(BATCHES, seed=1)
    assert_equal(drawn(shuffled.apply(mixing)), expected)
    counted = drawn(shuffled.apply(msda.mixing(mixer(), seed=7, epoch=3)))
    assert counted != expected


@pytest.mark.long
def test_the_layer_s_seed_is_the_default_and_its_sequence_stays():
    layer = mixer(seed=7)
    before = cases.array(layer._seed_state.value).copy()
    found = drawn(batches().apply(msda.mixing(layer, epoch=3)))
    assert_equal(found, drawn(batches().apply(msda.mixing(mixer(), seed=7, epoch=3))))
    assert_array_equal(cases.array(layer._seed_state.value), before)


@pytest.mark.long
@pytest.mark.parametrize("seed", [-1, 2**63 - 1, 2**64 - 1, np.int64(5)])
def test_seeds_of_64_bits_and_either_sign_are_taken(seed):
    found = drawn(batches().apply(msda.mixing(mixer(), seed=seed, epoch=0)))
    other = drawn(batches().apply(msda.mixing(mixer(), seed=12345, epoch=0)))
    assert all(found[key] != other[key] for key in found)


@pytest.mark.long
def test_two_pipelines_of_one_layer_do_not_disturb_each_other():
    layer = mixer()
    mixing = msda.mixing(layer, seed=7, epoch=1)
    expected = drawn(batches().apply(mixing))
    pair = tf.data.Dataset.zip(batches().apply(mixing), batches().apply(mixing))
    first, second = zip(*pair, strict=True)
    assert_equal([drawn(first), drawn(second)], [expected] * 2)


@pytest.mark.long
def test_elements_may_be_dictionaries_weighted_or_images_alone():
    layer = cases.make("cutmix", num_classes=3)
    images, ids = cases.images(8, SIZE), np.arange(8) % 3
    mixing = msda.mixing(layer, seed=7, epoch=1)
    slices = tf.data.Dataset.from_tensor_slices
    names = np.array([f"sample {n}" for n in range(8)])
    keyed = slices({"images": images, "labels": ids, "id": names}).batch(4)
    batch = next(iter(keyed.apply(mixing)))
    weighted = slices((images, ids, np.ones(8, np.float32))).batch(4).apply(mixing)
    alone = slices(images).batch(4).apply(mixing)
    first = next(iter(weighted))
    assert_equal(len(first), 3)
    for mixed in (batch["images"], first[0], next(iter(alone))):
        assert_array_equal(mixed, batch["images"])
        assert (np.asarray(mixed) != images[:4]).any()
    assert_array_equal(batch["labels"], first[1])
    assert_array_equal(batch["id"], names[:4].astype(bytes))


def test_a_schedule_reaches_a_pipeline():
    layer = mixer()
    dataset = batches().apply(msda.mixing(layer, seed=7, epoch=1))
    layer.probability = 0.0
    for images, packed in dataset:
        assert_array_equal(images, cases.signatures(BATCH, SIZE))
        assert_array_equal(packed[:, 2], np.ones(BATCH))


@pytest.mark.parametrize(
    ("arguments", "rule", "received"),
    [
        (("layer",), "`layer` must be a mixing layer.", "str"),
        (({"seed": 1.5},), "`seed` must be an integer of at most 64 bits", "seed=1.5"),
        (({"seed": 2**64},), "`seed` must be an integer of at most 64 bits", "seed="),
        (({"epoch": -1},), "`epoch` must be an integer of 0 or more", "epoch=-1"),
        (({"index": 3},), "`index` must be a function of a batch", "index=3"),
    ],
)
def test_wrong_arguments_are_refused_before_any_work(arguments, rule, received):
    (argument,) = arguments
    layer, settings = (
        (argument, {}) if isinstance(argument, str) else (mixer(), argument)
    )
    check_error(
        lambda: msda.mixing(layer, **settings), "mixing", ValueError, rule, received
    )


# The tf.data service, its workers in processes of their own.

WORKER = """
import sys
import tensorflow as tf
service = tf.data.experimental.service
worker = service.WorkerServer(
    service.WorkerConfig(
        dispatcher_address=sys.argv[1],
        worker_address=f"localhost:{sys.argv[2]}",
        port=int(sys.argv[2]),
        heartbeat_interval_ms=200,
    )
)
print("ready", flush=True)
worker.join()
"""


@pytest.fixture
def workers():
    """Starts a dispatcher and, when called, workers; ends them after the test."""
    processes = []
    dispatcher = service.DispatchServer(service.DispatcherConfig(port=0))

    def start(ports):
        address = dispatcher.target.split("://")[1]
        command = [sys.executable, "-c", textwrap.dedent(WORKER), address]
        started = [
            subprocess.Popen([*command, str(port)], stdout=subprocess.PIPE)
            for port in ports
        ]
        processes.extend(started)
        for process in started:
            assert process.stdout.readline() == b"ready\n"
        return dispatcher.target, started

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def free_ports(count):
    """Returns ports that nobody listens at."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("localhost", 0))
        return [each.getsockname()[1] for each in sockets]


def numbered_batches(number=60):
    """Returns a dataset that makes each batch from its number."""
    images = tf.constant(cases.signatures(BATCH, SIZE))

    def load(index):
        ids = index * BATCH + tf.range(BATCH, dtype=tf.int64)
        return images, ids

    return tf.data.Dataset.range(number).map(load)


def served(target, epoch, seed=7):
    mixing = msda.mixing(
        mixer(), seed=seed, epoch=epoch, index=lambda _, ids: ids[0] // BATCH
    )
    policy = service.ShardingPolicy.DYNAMIC
    sharded = service.distribute(processing_mode=policy, service=target)
    return numbered_batches().apply(mixing).apply(sharded)


@pytest.mark.processes
@pytest.mark.slow
@pytest.mark.parametrize("count", [1, 3])
def test_workers_of_a_service_draw_what_one_process_draws(workers, count):
    target, _ = workers(free_ports(count))
    local = msda.mixing(mixer(), seed=7, epoch=2)
    expected = drawn(numbered_batches().apply(local))
    assert_equal(drawn(served(target, epoch=2)), expected)
    other = drawn(served(target, epoch=3))
    assert all(other[key] != expected[key] for key in expected)


@pytest.mark.processes
@pytest.mark.slow
def test_an_epoch_goes_on_the_same_after_a_worker_was_killed_and_restarted(workers):
    ports = free_ports(2)
    target, started = workers(ports)
    expected = drawn(numbered_batches().apply(msda.mixing(mixer(), seed=7, epoch=2)))
    found = {}
    for step, element in enumerate(served(target, epoch=2)):
        found |= drawn([element])
        if step == 3:
            started[0].kill()
            started[0].wait()
            workers(ports[:1])
    # Batches that the worker held are lost, as dynamic sharding has it; those that come
    # are the same.
    assert len(found) > BATCHES
    assert all(expected[key] == value for key, value in found.items())
