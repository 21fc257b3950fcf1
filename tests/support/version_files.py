"""Writes the files that later versions must load: `... VERSION FOLDER`.

It uses nothing but names of 0.1.0, so that the code of every version can run it.
"""

import sys
import warnings
from pathlib import Path

import keras
import numpy as np

import keras_msda as msda

CLASSES = 4
#: Arguments of the layers, by name; methods that a version lacks are left out, and
#: PuzzleMix, which no model contains.
ARGUMENTS = {
    "MixUpLayer": {"alpha": 0.5},
    "CutMixLayer": {"alpha": (2.0, 1.0)},
    "HMixLayer": {"box_ratio": 0.25, "per": "pair"},
    "GMixLayer": {"probability": 0.75},
    "FMixLayer": {"decay_power": 2.0, "max_soft": 0.25},
    "SaliencyMixLayer": {},
    "ResizeMixLayer": {},
    "GridMixLayer": {"grid": 3},
    "SmoothMixLayer": {},
}


def make_images():
    """Returns a batch, the same in every version."""
    rng = np.random.default_rng(5)
    return rng.integers(0, 256, (8, 12, 12, 1)).astype("float32") / 255


def make_layers():
    """Returns the layers of this version, by name."""
    known = {x: y for x, y in ARGUMENTS.items() if hasattr(msda, x)}
    found = {
        name: getattr(msda, name)(**arguments, seed=number, name=name.lower())
        for number, (name, arguments) in enumerate(known.items())
    }
    members = [msda.MixUpLayer(), msda.FMixLayer()]
    found["RandomMixLayer"] = msda.RandomMixLayer(
        members, weights=[1.0, 3.0], seed=9, name="randommixlayer"
    )
    return found


def make_model(layers):
    """Returns a model with all layers side by side, trained by the loss of one."""
    inputs = keras.Input((12, 12, 1))
    mean = keras.layers.GlobalAveragePooling2D()
    means = [mean(layer(inputs)) for layer in layers.values()]
    outputs = keras.layers.Dense(CLASSES, activation="softmax")(
        keras.layers.Concatenate()(means)
    )
    model = keras.Model(inputs, outputs)
    layer = layers["HMixLayer"]
    loss = layer.loss("sparse_categorical_crossentropy")
    model.compile("adam", loss, metrics=[layer.accuracy()], run_eagerly=True)
    return model


def train(model):
    """Trains for a step, and returns the loss."""
    fit = model.fit(make_images(), np.arange(8) % CLASSES, verbose=0)
    return fit.history["loss"][0]


def write(version, folder):
    """Writes a model, a file of its weights, and what both must give again."""
    keras.utils.set_random_seed(3)
    model = make_model(make_layers())
    # All layers but one mix in vain here, which a version may warn of.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        train(model)
    model.save(folder / f"{version}.keras")
    model.save_weights(folder / f"{version}.weights.h5")
    found = {"predicted": np.asarray(model.predict(make_images(), verbose=0))}
    for number, values in enumerate(model.trainable_variables):
        found[f"weights_{number}"] = np.asarray(values)
    np.savez_compressed(folder / f"{version}.npz", **found)


if __name__ == "__main__":
    write(sys.argv[1], Path(sys.argv[2]))
