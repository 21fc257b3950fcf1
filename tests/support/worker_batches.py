"""What worker processes import: batches that a layer mixes there."""

import functools
import multiprocessing

import keras
import numpy as np

import keras_msda as msda

IMAGES = np.zeros((4, 2, 2, 1), np.float32)
IDS = np.arange(4)
BATCHES = 4


def layer_of():
    return msda.MixUpLayer(num_classes=4, pairing="roll", seed=1)


def shares(mixed):
    """Returns the weights of the own labels, which say what was drawn."""
    labels = keras.ops.convert_to_numpy(mixed[1])
    return np.diagonal(labels).tolist()


def draw(layer, count=1):
    """Returns the weights of some batches, one after another."""
    return [shares(layer(IMAGES, IDS)) for _ in range(count)]


def draw_in_model(model):
    """Returns the weights that the first layer of a model draws."""
    return draw(model.layers[0], 2)


def answer(function, argument, queue):
    queue.put(function(argument))


class Batches(keras.utils.PyDataset):
    """Batches that are mixed by a layer's own sequence, or by a seed."""

    def __init__(self, layer, seeded=False, **kwargs):
        super().__init__(**kwargs)
        self.layer, self.seeded, self.epoch = layer, seeded, 0

    def __len__(self):
        return BATCHES

    def __getitem__(self, index):
        batch = IMAGES, IDS
        if self.seeded:
            mixed = self.layer.mix(batch, seed=(self.epoch, index))
        else:
            mixed = self.layer(*batch)
        return tuple(map(keras.ops.convert_to_numpy, mixed))

    def on_epoch_end(self):
        self.epoch += 1


def train(dataset):
    """Returns the weights of two epochs of `fit`."""
    seen = []

    def loss(labels, outputs):
        seen.append(np.diagonal(keras.ops.convert_to_numpy(labels)).tolist())
        return keras.losses.categorical_crossentropy(labels, outputs)

    layers = [keras.Input((2, 2, 1)), keras.layers.Flatten(), keras.layers.Dense(4)]
    model = keras.Sequential(layers)
    model.compile("sgd", loss, run_eagerly=True)
    model.fit(dataset, epochs=2, shuffle=False, verbose=0)
    return seen


def train_by_processes(seededs):
    """Returns the weights of two epochs of batches that two processes make.

    Forked off a server that has only imported this: TensorFlow may wait for ever in a
    fork of a process with threads, as Keras makes them by default.
    """
    multiprocessing.set_start_method("forkserver", force=True)
    multiprocessing.set_forkserver_preload([__name__])
    settings = {"workers": 2, "use_multiprocessing": True}
    return [train(Batches(layer_of(), seeded, **settings)) for seeded in seededs]


def collate(layer, samples):
    """Mixes samples of a PyTorch DataLoader."""
    images, ids = (np.stack(part) for part in zip(*samples, strict=True))
    return shares(layer(images, ids))


def collate_of(layer):
    return functools.partial(collate, layer)
