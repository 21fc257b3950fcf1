"""How a loss or a metric learns what a layer drew.

Labels either carry it, packed or already mixed by a pipeline, or a layer inside the
model drew it in this very step and draws it again from the seed that it remembers.
"""

import weakref
from typing import Any, NamedTuple, Protocol

from keras_msda import _backend, _checks, plans

Tensor = Any


class Mixer(Protocol):
    """What a loss needs of a layer."""

    uid: str
    targets: str

    def replay(self, batch: Any) -> plans.MixPlan:
        """Returns the plan of the last call again, without its mask."""


# Losses name their layer by a uid in their configuration: nesting the layer itself
# would make a second layer when a model is loaded. The newest layer of a uid counts,
# which is the one that a load or a clone has just made.
_LAYERS: weakref.WeakValueDictionary[str, Any] = weakref.WeakValueDictionary()


def register(layer: Mixer) -> None:
    """Makes a layer known under its uid."""
    _LAYERS[layer.uid] = layer


def find(owner: str, uid: str | None) -> Any:
    """Returns the newest layer of a uid, or None for no uid."""
    if uid is None:
        return None
    layer = _LAYERS.get(uid)
    if layer is None:
        _checks.fail_unknown_layer(owner, uid)
    return layer


class Targets(NamedTuple):
    """Labels of a batch as a loss uses them.

    Attributes:
        own: Labels of the first images.
        other: Labels of the second images, or None where only the own label counts.
        weight: float32 `(batch,)`, share of the own label, or None.
        sample_weight: Weights of the samples, mixed like the labels, or None.
    """

    own: Tensor
    other: Tensor | None
    weight: Tensor | None
    sample_weight: Tensor | None


def read_targets(
    reader: Any, labels: Any, outputs: Any, sample_weight: Any, *, ids: bool | None
) -> Targets:
    """Finds out what each output is to be compared with.

    Args:
        reader: The loss or metric; its `layer` is the one inside the model, or None.
        labels: As the model is given them.
        outputs: As the model returns them, classes last.
        sample_weight: Shape `(batch,)` or `(batch, 1)`, or None.
        ids: Whether labels are class ids; None to tell by the shape.
    """
    owner, layer = type(reader).__name__, reader.layer
    ops = _backend.of(labels, outputs)
    labels, outputs = ops.convert(labels), ops.convert(outputs)
    if sample_weight is not None:
        sample_weight = ops.convert(sample_weight, "float32")
    if ids is None and layer is None and _could_be_both(labels, outputs):
        _checks.fail_ambiguous(owner, labels.shape)
    if _is_packed(labels, outputs, ids, inside=layer is not None):
        return Targets(*plans.unpack_labels(labels), sample_weight)
    if layer is None and (ids or tuple(labels.shape[1:]) != tuple(outputs.shape[1:])):
        _checks.fail_unpacked(owner, labels.shape, outputs.shape)
    if layer is None or layer.targets == "own":
        return Targets(labels, None, None, sample_weight)
    plan = layer.replay(ops.shape(labels)[0])
    if sample_weight is not None:
        _checks.check_sample_weight(owner, sample_weight.shape)
        plan, sample_weight = plans.mix_sample_weights(sample_weight, plan)
    other = plans.take_partner(labels, plan.partner)
    return Targets(labels, other, plan.weight, sample_weight)


def _could_be_both(labels: Tensor, outputs: Tensor) -> bool:
    """Tells labels that may be packed ids or soft labels of three classes."""
    return tuple(labels.shape[1:]) == tuple(outputs.shape[1:]) == (3,)


def _is_packed(
    labels: Tensor, outputs: Tensor, ids: bool | None, *, inside: bool
) -> bool:
    """Tells packed labels by their last axis: 3 for ids, 2 C + 1 for C outputs.

    Three numbers for three classes are the plain labels of a layer inside the model.
    """
    if len(labels.shape) != 2 or len(outputs.shape) != 2:
        return False
    width, classes = labels.shape[-1], outputs.shape[-1]
    if width == 3 and ids is not False:
        return bool(ids) or not (inside and classes == 3)
    return ids is not True and bool(width == 2 * classes + 1)
