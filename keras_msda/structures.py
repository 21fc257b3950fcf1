"""The forms of a batch: a nest goes in, and the same nest comes out.

One rule for all of them. Inputs are a tensor, the images; a dictionary, whose keys say
what is mixed; or a tuple, whose first entry is the images and whose others are mixed
like them. Labels and weights stand beside inputs, or in the dictionary.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import keras
import numpy as np

from keras_msda import _checks

Tensor = Any

#: Names of the second, third, ... entry of a tuple of inputs.
_FURTHER = re.compile(r"inputs\[\d+\]")


class Batch(NamedTuple):
    """A batch, taken apart.

    Attributes:
        parts: What may be mixed, by the keys of a dictionary of Keras's; further
            entries of a tuple of inputs are called "inputs[1]" and so on.
        restore: Puts mixed parts into the form that the batch had.
        alone: Whether there are images alone, as a tensor.
    """

    parts: dict[str, Any]
    restore: Callable[[Mapping[str, Any]], Any]
    alone: bool = False


def further_keys(parts: Mapping[str, Any]) -> list[str]:
    """Returns the keys of the further entries of a tuple of inputs."""
    return [key for key in parts if _FURTHER.fullmatch(key)]


def is_indices(partner: Any) -> bool:
    """Returns whether partners are given as indices, and not as a second batch."""
    if isinstance(partner, (Mapping, tuple)):
        return False
    if isinstance(partner, list):
        return not any(hasattr(entry, "shape") and entry.shape for entry in partner)
    shape = getattr(partner, "shape", None)
    return getattr(shape, "rank", 0) is not None and len(shape or ()) == 1


def as_array(part: Any) -> Any:
    """Returns a list of numbers as an array, and anything else as it is."""
    if not isinstance(part, list) or None in part:
        return part
    leaves = keras.tree.flatten(part)
    plain = not any(hasattr(leaf, "shape") for leaf in leaves)
    return np.asarray(part) if plain else part


def take_apart(  # noqa: PLR0913 (the three parts of a batch)
    owner: str,
    images: Any,
    labels: Any = None,
    sample_weight: Any = None,
    *,
    batch_keys: Sequence[str] = (),
    box_format: str | None = None,
) -> Batch:
    """Returns the parts of a batch.

    Args:
        owner: Name that an error starts with.
        images: Inputs; or a tuple of the three arguments; or a dictionary that holds
            labels, too.
        labels: Labels, or None.
        sample_weight: Weights of the samples, or None.
        batch_keys: Further keys of a dictionary that are mixed.
        box_format: Format of bounding boxes, or None.

    Raises:
        ValueError: If the form is none of those.
    """

    def keyed(inputs: Mapping[str, Any], beside: Mapping[str, Any]) -> dict[str, Any]:
        _checks.check_labels_once(owner, list(inputs), list(beside))
        _checks.check_keys(owner, {**inputs, **beside}, batch_keys, box_format)
        known = {*_checks.KEYS, *batch_keys, *further_keys(inputs)}
        return {key: value for key, value in inputs.items() if key in known}

    fields = _fields(images)
    if labels is None:
        if fields is not None:
            _checks.check_no_weights_beside(owner, sample_weight)
            return Batch(keyed(fields, {}), _in_fields(images, fields))
        _checks.check_no_weights(owner, sample_weight)
        if not isinstance(images, (tuple, list)):
            return Batch({"images": images}, lambda mixed: mixed["images"], alone=True)
        _checks.check_parts(owner, images)
        return _take_tuple_apart(owner, images, batch_keys, box_format)
    beside = {"labels": labels}
    if sample_weight is not None:
        beside["sample_weight"] = sample_weight
    if fields is not None:
        inputs, restore = keyed(fields, beside), _in_fields(images, fields)
    elif isinstance(images, (tuple, list)):
        _checks.check_inputs(owner, images)
        names = ["images", *(f"inputs[{n}]" for n in range(1, len(images)))]
        inputs = dict(zip(names, images, strict=True))
        restore = _in_order(images, names)
    else:
        inputs, restore = {"images": images}, lambda mixed: mixed["images"]
    return Batch(
        inputs | beside,
        lambda mixed: (restore(mixed), *(mixed[key] for key in beside)),
    )


def _take_tuple_apart(
    owner: str, given: Sequence[Any], batch_keys: Sequence[str], box_format: str | None
) -> Batch:
    """Returns the parts of a tuple of inputs, labels and perhaps weights."""
    batch = take_apart(owner, *given, batch_keys=batch_keys, box_format=box_format)

    def restore(mixed: Mapping[str, Any]) -> Any:
        entries = batch.restore(mixed)
        # Weights that are None stay where they were.
        return _like(given, [*entries, *given[len(entries) :]])

    return Batch(batch.parts, restore)


def _fields(inputs: Any) -> Mapping[str, Any] | None:
    """Returns the entries of a dictionary, or of a named tuple that has images."""
    if isinstance(inputs, Mapping):
        return inputs
    if "images" in getattr(inputs, "_fields", ()):
        fields: Mapping[str, Any] = inputs._asdict()
        return fields
    return None


def _in_fields(
    inputs: Any, fields: Mapping[str, Any]
) -> Callable[[Mapping[str, Any]], Any]:
    """Returns what puts mixed parts in the place of the entries that they were."""

    def restore(mixed: Mapping[str, Any]) -> Any:
        entries = {key: mixed.get(key, value) for key, value in fields.items()}
        if isinstance(inputs, Mapping):
            return entries
        return type(inputs)(**entries)

    return restore


def _in_order(
    inputs: Sequence[Any], names: Sequence[str]
) -> Callable[[Mapping[str, Any]], Any]:
    """Returns what puts mixed parts into a tuple or list like the inputs."""
    return lambda mixed: _like(inputs, [mixed[name] for name in names])


def _like(given: Sequence[Any], entries: list[Any]) -> Any:
    """Returns entries in a tuple or list of the kind of the given one."""
    if hasattr(given, "_fields"):
        return type(given)(*entries)
    return list(entries) if isinstance(given, list) else tuple(entries)
