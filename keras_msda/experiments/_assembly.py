"""Models that mix inside, with the loss and accuracy that fit them."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import keras

from keras_msda import losses, metrics, models


class Assembled(NamedTuple):
    """What `compile` needs."""

    model: keras.Model
    loss: Any
    accuracy: Any


def mix_features(
    backbone: keras.Model,
    mixer: Any,
    *,
    loss: Any,
    layer_names: Sequence[str] | None = None,
) -> Assembled:
    """Returns a model that mixes features, as Manifold Mixup does.

    Args:
        backbone: The network.
        mixer: Mixing layer that draws the plans.
        loss: Of one label.
        layer_names: Where features may be mixed; None for the default places.
    """
    model = models.ManifoldMixing(backbone, layer_names, mixer=mixer)
    return Assembled(model, model.mixing.loss(loss), model.mixing.accuracy())


def mix_by_gradient(
    backbone: keras.Model, mixer: Any, *, loss: Any, **options: Any
) -> Assembled:
    """Returns a model that mixes by the gradient of its loss, as PuzzleMix does.

    Args:
        backbone: The network.
        mixer: Mixing layer with `targets="pair"`.
        loss: Of one label.
        **options: Further arguments of `SaliencyMixing`.
    """
    model = models.SaliencyMixing(backbone, mixer, **options)
    return Assembled(model, losses.MixedLoss(loss), metrics.MixedAccuracy())


def mix_pairs(backbone: keras.Model, *, loss: Any) -> Assembled:
    """Returns a model for batches that a pipeline has mixed, with packed labels."""
    return Assembled(backbone, losses.MixedLoss(loss), metrics.MixedAccuracy())
