"""Images that carry the answer, and a loss that is 0 where it knows the mix.

The images carry the answer. Sample i has two channels, constant over its pixels:
w_i h_i and w_i, where w_i is its sample weight and h_i a random number that its label
stands for. After mixing, their means are a = w_i m h_i + w_j (1 - m) h_j and
b = w_i m + w_j (1 - m), with m the mean of the mask. The loss l(y) = h_y b - a is
linear in the label, and w_i m l(y_i) + w_j (1 - m) l(y_j) = a b - b a = 0 where
partner j, weight m and the sample weights are those of the images. Anything else is
off. Absolute values are taken of each sample, after the mix: nothing cancels.
"""

import keras
import numpy as np
import pytest
from keras import ops

import keras_msda as msda
from tests.support import layer_cases as cases

CLASSES = 64
LEVELS = np.random.default_rng(11).uniform(-2, 2, CLASSES).astype("float32")
# a and b are float32 means of 64 pixels below 3; adding up costs some 2^-24 each.
EXACT = 5e-6
# What a loss that ignores the mix must exceed, or the test would see nothing.
WRONG = 0.05

LAYERS = {
    "mixup": lambda **settings: msda.MixUpLayer(seed=1, **settings),
    "cutmix": lambda **settings: msda.CutMixLayer(seed=2, **settings),
    "hmix": lambda **settings: msda.HMixLayer(seed=3, **settings),
    "gmix": lambda **settings: msda.GMixLayer(seed=4, **settings),
    "fmix": lambda **settings: msda.FMixLayer(seed=5, **settings),
    "random": lambda **settings: msda.RandomMixLayer(
        [msda.HMixLayer(), msda.FMixLayer()], seed=6, **settings
    ),
}
#: Whether a step is a graph of TensorFlow.
graphs = pytest.mark.parametrize(
    "graph", [False, True] if cases.BACKEND == "tensorflow" else [False]
)
every_layer = pytest.mark.parametrize("method", LAYERS)

MODES = {
    "eager": {"run_eagerly": True},
    "graph": {"jit_compile": False},
    "xla": {"jit_compile": True},
    "steps": {"jit_compile": False, "steps_per_execution": 4},
    "accumulation": {"jit_compile": False},
}
if cases.BACKEND == "torch":
    del MODES["xla"]  # By `torch.compile`, in test_torch.py.
    del MODES["steps"]  # Keras refuses several steps an execution.


def answering(count, size=(8, 8), seed=0):
    """Returns images that carry the answer, labels and sample weights."""
    rng = np.random.default_rng(seed)
    labels = rng.permutation(CLASSES)[:count].astype("int32")
    weights = rng.uniform(0.5, 1.5, count).astype("float32")
    values = np.stack([weights * LEVELS[labels], weights], -1)
    values = values.reshape(count, *[1] * len(size), 2)
    images = np.broadcast_to(values, (count, *size, 2))
    return images.astype("float32"), labels, weights


def residual(labels, outputs):
    """Returns l(y) = h_y b - a of each sample; further outputs do not count."""
    labels = ops.cast(ops.reshape(labels, [-1]), "int32")
    levels = ops.take(ops.convert_to_tensor(LEVELS), labels)
    return levels * outputs[:, 1] - outputs[:, 0]


def unaware(labels, outputs):
    """The control: how far a loss is from 0 that knows of no mixing."""
    return ops.abs(residual(labels, outputs))


class HandedOff(msda.MixedLoss):
    """The mean distance from 0 of the samples' mixed losses."""

    def __init__(self, layer):
        super().__init__(residual, layer, reduction="none")

    def __call__(self, y_true, y_pred, sample_weight=None):
        values = super().__call__(y_true, y_pred, sample_weight)
        return ops.mean(ops.abs(values))


def revealing(layer, size=(8, 8), sync=None):
    """Returns a model whose first two outputs are the means of the mixed images.

    Args:
        layer: The mixing layer.
        size: Spatial lengths, or None for any.
        sync: `synchronized` of a batch normalisation between layer and loss, or None
            for none.
    """
    inputs = keras.Input((*size, 2))
    means = keras.layers.GlobalAveragePooling2D()(layer(inputs))
    # Something to train, at a learning rate of 0.
    outputs = keras.layers.Dense(2, use_bias=False, kernel_initializer="identity")(
        means
    )
    if sync is not None:
        normalized = keras.layers.BatchNormalization(synchronized=sync)(outputs)
        outputs = keras.layers.Concatenate()([outputs, normalized])
    return keras.Model(inputs, outputs)


def compiled(model, layer, mode="graph"):
    """Compiles with the loss under test and, as a metric, the control."""
    steps = 2 if mode == "accumulation" else None
    optimizer = keras.optimizers.SGD(0.0, gradient_accumulation_steps=steps)
    model.compile(optimizer, HandedOff(layer), metrics=[unaware], **MODES[mode])
    return model


def assert_handed_off(history):
    assert np.max(history["loss"]) < EXACT
    assert np.min(history["unaware"]) > WRONG


def assert_step_handed_off(layer, images, labels, weights, steps=3):
    """Checks every sample of some eager calls of a layer and of its loss."""
    channels = 1 if layer.data_format == "channels_first" else -1
    axes = [axis for axis in range(1, images.ndim) if axis != channels % images.ndim]
    loss = layer.loss(residual, reduction="none")
    controls = []
    for _ in range(steps):
        mixed = cases.array(layer(images, training=True)).astype("float64")
        outputs = ops.convert_to_tensor(mixed.mean(tuple(axes)).astype("float32"))
        values = loss(labels, outputs, weights)
        np.testing.assert_allclose(values, np.zeros(weights.shape), rtol=0, atol=EXACT)
        controls.append(np.mean(cases.array(unaware(labels, outputs))))
    assert np.mean(controls) > WRONG
