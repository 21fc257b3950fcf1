"""What worker processes import: batches that a layer mixes there."""

import functools

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


def collate(layer, samples):
    """Mixes samples of a PyTorch DataLoader."""
    images, ids = (np.stack(part) for part in zip(*samples, strict=True))
    return shares(layer(images, ids))


def collate_of(layer):
    return functools.partial(collate, layer)
