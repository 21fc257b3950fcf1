"""PyTorch alone: waits for the device, and `torch.compile`."""

import keras
import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from tests.support import layer_cases as cases
from tests.support.handing_off import (
    EXACT,
    LAYERS,
    answering,
    every_layer,
    residual,
    revealing,
)


class Waits(TorchDispatchMode):
    """Counts what makes the host wait for a device: reading numbers from it."""

    def __init__(self):
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        names = ("aten._local_scalar_dense.default", "aten.nonzero.default")
        self.count += str(function) in names
        return function(*args, **kwargs or {})


@pytest.mark.parametrize("name", cases.LAYERS)
def test_a_call_and_its_loss_wait_for_the_device_once_at_most(name):
    images, labels, weights = answering(8)
    layer = cases.make(name)
    loss = layer.loss(residual, reduction="none")
    images = keras.ops.convert_to_tensor(images)
    layer(images, training=True)
    with Waits() as call:
        outputs = layer(images, training=True).mean((1, 2))
    with Waits() as loss_waits:
        loss(labels, outputs, weights)
    # A choice for the whole batch is made on the host.
    assert call.count <= (name == "random-batch")
    assert loss_waits.count == 0


@every_layer
def test_a_step_written_by_hand_hands_off_exactly(method):
    layer = LAYERS[method]()
    loss = layer.loss(residual, reduction="none")
    head = torch.eye(2, requires_grad=True)
    for seed in range(3):
        images, labels, weights = answering(8, seed=seed)
        outputs = layer(images, training=True).mean((1, 2)) @ head
        values = loss(labels, outputs, weights)
        values.sum().backward()
        found = values.detach()
        np.testing.assert_allclose(found, np.zeros(8), rtol=0, atol=EXACT)
    assert torch.isfinite(head.grad).all()


def test_the_bits_are_those_of_threefry():
    # Random123's known answers for Threefry-2x32-20 (kat_vectors), counter 0, key 0.
    from keras_msda._backend._torch import TorchOps

    bits = TorchOps().random_bits([1], torch.zeros(2, dtype=torch.int32))
    assert int(bits[0]) & 0xFFFFFFFF == 0x6B200159 ^ 0x99BA4EFE


@pytest.mark.parametrize("name", ["mixup", "cutmix", "hmix", "gmix", "fmix"])
def test_the_mixing_itself_compiles_without_a_graph_break(name):
    layer = cases.make(name)
    images = keras.ops.convert_to_tensor(cases.images(4, (6, 7)))
    seed = torch.tensor([1, 2], dtype=torch.int32)
    explained = torch._dynamo.explain(lambda x: layer.mix(x, seed=seed))(images)
    assert explained.graph_break_count == 0, explained.break_reasons


@pytest.mark.filterwarnings("ignore")  # Inductor's own.
def test_the_default_compiler_gives_the_same():
    layer = cases.make("gmix", num_classes=3)
    batch = [cases.images(4, (6, 7)), np.array([0, 2, 1, 2])]
    batch = [keras.ops.convert_to_tensor(x) for x in batch]
    seed = torch.tensor([1, 2], dtype=torch.int32)
    compiled = torch.compile(
        lambda *given: layer.mix(given, seed=seed), fullgraph=True, dynamic=False
    )
    found, expected = compiled(*batch), layer.mix(tuple(batch), seed=seed)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", ["mixup", "cutmix", "hmix", "gmix", "fmix"])
def test_a_model_and_its_loss_compile_without_a_graph_break(name):
    images, labels, _ = map(keras.ops.convert_to_tensor, answering(8))
    layer = cases.make(name)
    model = revealing(layer)
    loss = layer.loss("sparse_categorical_crossentropy")
    model(images, training=True)  # Builds it.

    def step(images, labels):
        return loss(labels % 2, keras.ops.softmax(model(images, training=True)))

    explained = torch._dynamo.explain(step)(images, labels)
    assert explained.graph_break_count == 0, explained.break_reasons
