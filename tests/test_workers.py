"""Worker processes draw numbers of their own."""

import copy
import multiprocessing
import pickle

import keras
import pytest
from numpy.testing import assert_equal

from keras_msda.layers import _workers as workers
from tests.support import worker_batches as batches


def elsewhere(monkeypatch):
    """Has what comes now count as another process."""
    monkeypatch.setattr(workers._Process, "number", workers.current() + 1)


def answers(method, function, arguments):
    """Returns what a function gives in processes of their own, one an argument."""
    context = multiprocessing.get_context(method)
    queue = context.SimpleQueue()
    found = []
    for argument in arguments:
        process = context.Process(
            target=batches.answer, args=(function, argument, queue)
        )
        process.start()
        found.append(queue.get())
        process.join()
    return found


def distinct(rows):
    return len({str(row) for row in rows})


def test_a_copy_in_another_process_draws_numbers_of_its_own(monkeypatch):
    layer = batches.layer_of()
    batches.draw(layer)
    expected = batches.draw(copy.deepcopy(layer), 3)
    found = []
    for _ in range(2):
        elsewhere(monkeypatch)
        found += batches.draw(copy.deepcopy(layer), 3)
        found += batches.draw(layer, 3)
    assert distinct(expected + found) == 12 + 3


def test_a_pickle_goes_on_in_its_process_and_begins_anew_in_another(monkeypatch):
    layer = batches.layer_of()
    batches.draw(layer)
    pickled = pickle.dumps(layer)
    expected = batches.draw(layer, 3)
    assert_equal(batches.draw(pickle.loads(pickled), 3), expected)
    elsewhere(monkeypatch)
    first, second = (batches.draw(pickle.loads(pickled), 3) for _ in "ab")
    assert distinct(expected + first + second) == 9


def test_a_saved_model_goes_on_in_another_process(monkeypatch, tmp_path):
    model = keras.Sequential([keras.Input((2, 2, 1)), batches.layer_of()])
    batches.draw(model.layers[0])
    model.save(tmp_path / "model.keras")
    expected = batches.draw(model.layers[0], 3)
    elsewhere(monkeypatch)
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert_equal(batches.draw(loaded.layers[0], 3), expected)


def test_a_traced_call_of_another_process_begins_anew_at_once(monkeypatch):
    layer = batches.layer_of()
    elsewhere(monkeypatch)
    tf = pytest.importorskip("tensorflow")
    data = tf.data.Dataset.from_tensors((batches.IMAGES, batches.IDS)).repeat(3)
    found = [batches.shares(x) for x in data.map(layer)]
    plain = [batches.shares(x) for x in data.map(batches.layer_of())]
    assert distinct(found + plain) == 6


def test_mix_depends_on_its_seed_alone_in_every_process(monkeypatch):
    layer = batches.layer_of()
    batch = batches.IMAGES, batches.IDS
    expected = batches.shares(layer.mix(batch, seed=(2, 3)))
    elsewhere(monkeypatch)
    assert_equal(batches.shares(layer.mix(batch, seed=(2, 3))), expected)


@pytest.mark.processes
@pytest.mark.slow
def test_spawned_processes_draw_numbers_of_their_own():
    layer = batches.layer_of()
    model = keras.Sequential([keras.Input((2, 2, 1)), layer])
    first = answers("spawn", batches.draw, [layer])
    second = answers("spawn", batches.draw_in_model, [model])
    own = batches.draw(layer, 2)
    assert distinct(first[0] + second[0] + own) == 5


@pytest.mark.processes
@pytest.mark.slow
@pytest.mark.tensorflow
def test_a_py_dataset_of_two_processes_never_repeats_itself():
    # In a process of its own, which has not yet started the threads of TensorFlow.
    (found,) = answers("spawn", batches.train_by_processes, [(False, True)])
    plain, seeded = found
    assert distinct(plain) == distinct(seeded) == 2 * batches.BATCHES
    again = batches.train(batches.Batches(batches.layer_of(), True))
    assert_equal(seeded, again)


class _Info:
    def __init__(self, seed):
        self.seed = seed


def test_a_worker_of_pytorch_draws_by_its_seed(monkeypatch):
    data = pytest.importorskip("torch").utils.data
    rows = []
    for seed in (5, 6, 5):
        layer = batches.layer_of()
        elsewhere(monkeypatch)
        monkeypatch.setattr(data, "get_worker_info", lambda seed=seed: _Info(seed))
        rows.append(batches.draw(layer, 3))
    assert_equal(rows[0], rows[2])
    assert distinct(rows[0] + rows[1]) == 6


@pytest.mark.processes
@pytest.mark.slow
def test_a_data_loader_of_two_processes_never_repeats_itself():
    torch = pytest.importorskip("torch")
    samples = list(zip(batches.IMAGES, batches.IDS, strict=True)) * batches.BATCHES

    def epochs():
        torch.manual_seed(3)
        loader = torch.utils.data.DataLoader(
            samples,
            batch_size=4,
            num_workers=2,
            collate_fn=batches.collate_of(batches.layer_of()),
            multiprocessing_context="forkserver",
        )
        return [shares for _ in range(2) for shares in loader]

    assert distinct(epochs()) == 2 * batches.BATCHES
