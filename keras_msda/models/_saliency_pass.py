"""The first pass of a step: how much the loss depends on each pixel.

It leaves no trace: what layers and metrics assign to their variables is dropped.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import keras

from keras_msda import _backend, _errors

Tensor = Any


class Pass(NamedTuple):
    """What the first pass finds.

    Attributes:
        loss: The loss, a scalar.
        by_images: Its gradient by the images, of their shape, float32.
        by_weights: Its gradients by the weights; None where it does not depend on one.
    """

    loss: Tensor
    by_images: Tensor
    by_weights: list[Tensor | None]


def differentiate(
    owner: str,
    loss: Callable[[Tensor], Tensor],
    images: Tensor,
    *,
    state: Sequence[keras.Variable],
    weights: Sequence[keras.Variable] = (),
) -> Pass:
    """Returns a loss and its gradients, without changing any variable.

    Args:
        owner: Name that an error starts with.
        loss: Function of images that returns a scalar.
        images: float32.
        state: All variables that the function may read or write.
        weights: Those of them to differentiate by.
    """
    ops = _backend.get_backend_ops()
    # JAX has no values but those of its steps; elsewhere variables are read in place.
    known = [(x, x.value) for x in state] if ops.functional else []

    def call(images: Tensor, *values: Tensor) -> Tensor:
        pairs = [*known, *zip(weights, values, strict=True)]
        with keras.StatelessScope(state_mapping=pairs):
            return loss(images)

    values = [ops.convert(x.value) for x in weights]
    value, found = ops.value_and_gradients(call, images, *values)
    if found[0] is None:
        _fail_unconnected(owner)
    return Pass(value, found[0], found[1:])


def to_saliency(gradient: Tensor, data_format: str) -> Tensor:
    """Returns the root of the mean over channels of the squared gradient.

    Args:
        gradient: By the images, float32, shape `(batch, *size, channels)` or channels
            first.
        data_format: "channels_last" or "channels_first".

    Returns:
        float32, shape `(batch, *size)`; not finite where the gradient is not.
    """
    ops = _backend.get_ops(gradient)
    rank = len(gradient.shape)
    largest = ops.max(ops.maximum(gradient, -gradient), tuple(range(1, rank)))
    # The squares of a confident model's gradients would be 0 in float32.
    unit = ops.where(largest > 0.0, largest, 1.0)
    lengths = [ops.shape(gradient)[0], *(1 for _ in range(rank - 1))]
    ratio = gradient / ops.reshape(unit, lengths)
    axis = 1 if data_format == "channels_first" else rank - 1
    root = ops.sqrt(ops.mean(ratio * ratio, axis))
    return root * ops.reshape(unit, lengths[:-1])


def _fail_unconnected(owner: str) -> None:
    """Raises the error for a model that gradients do not pass through."""
    _errors.fail(
        owner,
        "the loss must depend on the images by operations that have a gradient.",
        "no gradient of the loss by the images",
        "Look for `stop_gradient` and for casts to integers in the model, or give the "
        'mixing layer a map of your own under the key "saliency".',
    )
