"""Pipelines of small batches that are mixed in one order or another."""

import numpy as np
import tensorflow as tf

import keras_msda as msda
from tests.support import layer_cases as cases

BATCHES, BATCH, SIZE = 12, 4, (5, 6)


def batches(number=BATCHES):
    """Returns signatures of batches and the ids of their samples."""
    images = np.tile(cases.signatures(BATCH, SIZE), (number, 1, 1, 1))
    ids = np.arange(number * BATCH)
    return tf.data.Dataset.from_tensor_slices((images, ids)).batch(BATCH)


def mixer(name="hmix", **arguments):
    return cases.make(name, targets="pair", **arguments)


REPEATED = {
    "after": lambda seed: batches().apply(msda.mixing(mixer(), seed=seed)).repeat(3),
    "before": lambda seed: batches().repeat(3).apply(msda.mixing(mixer(), seed=seed)),
    "taken": lambda seed: (
        batches(20).apply(msda.mixing(mixer(), seed=seed)).take(BATCHES).repeat(3)
    ),
}
