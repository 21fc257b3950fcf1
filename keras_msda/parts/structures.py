"""The forms of a batch: a nest goes in, and the same nest comes out.

Inputs are a tensor, the images; a dictionary, whose keys say what is mixed; or a tuple
of the images and of tensors that are mixed like them. Labels and weights are given
beside the inputs, or in the dictionary.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, NoReturn

import keras
import numpy as np

from keras_msda import _checks, _errors
from keras_msda.parts import _outputs, _table

Tensor = Any

#: Names of the second, third, ... entry of a tuple of inputs.
_EXTRA = re.compile(r"inputs\[\d+\]")
#: Has a meaning for layers alone whose masks depend on it.
_SALIENCY = "saliency"
#: Keys of a dictionary of inputs that have a meaning; all others are the user's.
KEYS = ("images", *(key for key in _table.PARTS if key != _SALIENCY))
#: One of these must be in a dictionary; weights alone are mixed with nothing.
_MIXED_KEYS = tuple(key for key in KEYS[1:] if key != "sample_weight")
#: What other libraries call them: TensorFlow Datasets, Hugging Face, torchvision.
OTHER_KEYS = {
    "images": ("image", "pixel_values", "img", "x", "inputs"),
    "labels": ("label", "classes", "class", "target", "targets", "y", "fine_label"),
    "sample_weight": ("sample_weights", "weight", "weights"),
    "segmentation_masks": (
        "segmentation_mask",
        "segmentation",
        "masks",
        "mask",
        "annotation",
    ),
    "bounding_boxes": ("bounding_box",),
}


class Batch(NamedTuple):
    """A batch, taken apart.

    Attributes:
        parts: What may be mixed, by the keys of a dictionary; later entries of a tuple
            of inputs are called "inputs[1]" and so on.
        restore: Puts mixed parts into the form that the batch had.
        alone: Whether there are images alone, as a tensor.
    """

    parts: dict[str, Any]
    restore: Callable[[Mapping[str, Any]], Any]
    alone: bool = False


def extra_keys(parts: Mapping[str, Any]) -> list[str]:
    """Returns the keys of the second and later entries of a tuple of inputs."""
    return [key for key in parts if _EXTRA.fullmatch(key)]


def is_indices(partner: Any) -> bool:
    """Returns whether partners are given as indices, and not as a second batch."""
    if isinstance(partner, (Mapping, tuple)):
        return False
    if isinstance(partner, list):
        return not any(hasattr(entry, "shape") and entry.shape for entry in partner)
    # TensorFlow's shapes of unknown rank count as false, and have no length.
    return len(getattr(partner, "shape", None) or ()) == 1


def read_numbers(owner: str, name: str, part: Any) -> Any:
    """Returns a part with arrays, as NumPy makes them, instead of lists of numbers.

    Args:
        owner: Name that an error starts with.
        name: Of the part, in an error.
        part: A tensor, an array or a list of numbers; or a dictionary or tuple of them,
            but a tuple has no lists, which would be rows of one array.

    Raises:
        ValueError: If a tuple holds both tensors and numbers.
    """
    if isinstance(part, Mapping):
        return {
            key: read_numbers(owner, f"{name}[{key!r}]", value)
            for key, value in part.items()
        }
    if not isinstance(part, (list, tuple)) or any(value is None for value in part):
        return part
    leaves = keras.tree.flatten(part)
    arrays = [leaf for leaf in leaves if _outputs.is_array(leaf)]
    if arrays and len(arrays) < len(leaves):
        _fail_mixed(owner, name, part)
    if arrays:
        return part
    _checks.check_array(owner, name, part)
    return np.asarray(part)


def _fail_mixed(owner: str, name: str, part: Sequence[Any]) -> NoReturn:
    """Refuses a tuple of several outputs, some of which are lists of numbers."""
    _errors.fail(
        owner,
        f"{name} of several outputs in a tuple must be tensors or arrays.",
        f"a tuple of {', '.join(type(entry).__name__ for entry in part)}",
        "Convert lists by `np.asarray(x)`, or give a dictionary.",
    )


def take_apart(  # noqa: PLR0913 (the three parts of a batch)
    owner: str,
    images: Any,
    labels: Any = None,
    sample_weight: Any = None,
    *,
    batch_keys: Sequence[str] = (),
    box_format: str | None = None,
    saliency: bool = False,
) -> Batch:
    """Returns the parts of a batch.

    Args:
        owner: Name that an error starts with.
        images: Inputs; or a tuple of the three arguments; or a dictionary that holds
            labels, too.
        labels: Labels, or None.
        sample_weight: Weights of the samples, or None.
        batch_keys: Extra keys of a dictionary that are mixed.
        box_format: Format of bounding boxes, or None.
        saliency: Whether the key "saliency" has a meaning.

    Raises:
        ValueError: If the form is none of those.
    """

    def keyed(inputs: Mapping[str, Any], beside: Mapping[str, Any]) -> dict[str, Any]:
        _check_labels_once(owner, list(inputs), list(beside))
        _check_keys(owner, {**inputs, **beside}, batch_keys, box_format)
        known = {*KEYS, *batch_keys, *extra_keys(inputs)}
        known |= {_SALIENCY} if saliency else set()
        return {key: value for key, value in inputs.items() if key in known}

    fields = _read_fields(images)
    if labels is None:
        if fields is not None:
            _check_no_weights_beside(owner, sample_weight)
            return Batch(keyed(fields, {}), _in_fields(images, fields))
        _check_no_weights(owner, sample_weight)
        if not isinstance(images, (tuple, list)):
            return Batch({"images": images}, lambda mixed: mixed["images"], alone=True)
        _check_parts(owner, images)
        batch = take_apart(
            owner,
            *images,
            batch_keys=batch_keys,
            box_format=box_format,
            saliency=saliency,
        )
        return _take_tuple_apart(images, batch)
    beside = {"labels": labels}
    if sample_weight is not None:
        beside["sample_weight"] = sample_weight
    if fields is not None:
        inputs, restore = keyed(fields, beside), _in_fields(images, fields)
    elif isinstance(images, (tuple, list)):
        _check_inputs(owner, images)
        names = ["images", *(f"inputs[{n}]" for n in range(1, len(images)))]
        inputs = dict(zip(names, images, strict=True))
        restore = _in_order(images, names)
    else:
        inputs, restore = {"images": images}, lambda mixed: mixed["images"]
    return Batch(
        inputs | beside,
        lambda mixed: (restore(mixed), *(mixed[key] for key in beside)),
    )


def _take_tuple_apart(given: Sequence[Any], batch: Batch) -> Batch:
    """Returns the parts of a tuple of inputs, labels and perhaps weights.

    Args:
        given: The tuple.
        batch: Its entries, taken apart.
    """

    def restore(mixed: Mapping[str, Any]) -> Any:
        entries = batch.restore(mixed)
        # Weights that are None stay where they were.
        return _outputs.restore_kind(given, [*entries, *given[len(entries) :]])

    return Batch(batch.parts, restore)


def _read_fields(inputs: Any) -> Mapping[str, Any] | None:
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
    return lambda mixed: _outputs.restore_kind(inputs, [mixed[name] for name in names])


def _check_no_weights_beside(owner: str, sample_weight: Any) -> None:
    """Refuses sample weights beside a dictionary that holds the labels."""
    if sample_weight is not None:
        _errors.fail(
            owner,
            "with a dictionary of images and labels, sample weights must be one of its "
            "entries.",
            "a dictionary, and `sample_weight` beside it",
            'Add them under the key "sample_weight", or give labels beside the '
            "dictionary, too.",
        )


def _check_inputs(owner: str, inputs: Sequence[Any]) -> None:
    """Checks a tuple of several inputs."""
    plain = all(hasattr(entry, "shape") for entry in inputs)
    if not inputs or not plain:
        _errors.fail(
            owner,
            "several inputs in a tuple must be tensors, the images first.",
            f"a tuple of {', '.join(type(entry).__name__ for entry in inputs)}",
            'Use a dictionary, `{"images": x, ...}`, with `batch_keys` for what is '
            "mixed like the images.",
        )


def _check_labels_once(
    owner: str, inputs: Sequence[Any], beside: Sequence[Any]
) -> None:
    """Checks that labels and weights are given in one place."""
    twice = [key for key in beside if key in inputs]
    if twice:
        _errors.fail(
            owner,
            "labels and weights must be in the dictionary or beside it, not in both.",
            f"{twice[0]!r} in both",
            "Leave one of them out.",
        )


def _check_no_weights(owner: str, sample_weight: Any) -> None:
    """Refuses sample weights without labels."""
    if sample_weight is not None:
        _errors.fail(
            owner,
            "sample weights can only be mixed together with labels.",
            "sample_weight without labels",
            "Give labels too, or the weights to the loss.",
        )


def _check_keys(
    owner: str, inputs: Any, batch_keys: Sequence[str], box_format: Any
) -> None:
    """Checks the keys of a dictionary of inputs.

    Args:
        owner: Name that an error starts with.
        inputs: The dictionary, or its keys.
        batch_keys: Keys of extra tensors to mix.
        box_format: Format of bounding boxes or None.
    """
    keys = list(inputs)
    _check_something_mixed(owner, keys, batch_keys)
    received = _show_keys(keys)
    for key in batch_keys:
        if key not in keys:
            _errors.fail(
                owner,
                f'the dictionary must hold "{key}", one of `batch_keys`.',
                received,
                f'Add "{key}", or leave it out of `batch_keys`.',
            )
    if "bounding_boxes" in keys and box_format is None:
        _errors.fail(
            owner,
            '"bounding_boxes" need `bounding_box_format`.',
            f"{received}, bounding_box_format=None",
            'Give the layer for example `bounding_box_format="xyxy"`.',
        )
    if isinstance(inputs, Mapping):
        _check_all_given(owner, inputs, ("images", *_MIXED_KEYS, *batch_keys))


def _check_something_mixed(
    owner: str, keys: Sequence[Any], batch_keys: Sequence[str]
) -> None:
    """Checks that a dictionary holds images and something that belongs to them."""
    if "images" not in keys:
        _errors.fail(
            owner,
            'a dictionary must hold "images".',
            _show_keys(keys),
            _suggest_renaming(keys)
            or 'Add "images", or give the images as the first argument.',
        )
    if not any(key in keys for key in (*_MIXED_KEYS, *batch_keys)):
        words = ", ".join(f'"{key}"' for key in _MIXED_KEYS)
        _errors.fail(
            owner,
            f"a dictionary must hold something that is mixed with the images: {words} "
            "or one of `batch_keys`.",
            _show_keys(keys),
            _suggest_renaming(keys)
            or 'Add "labels", or call the layer with images alone.',
        )


def _show_keys(keys: Sequence[Any]) -> str:
    """Returns the keys of a dictionary as an error shows them."""
    return f"keys {sorted(map(str, keys))}"


def _check_all_given(
    owner: str, inputs: Mapping[Any, Any], keys: Sequence[str]
) -> None:
    """Refuses None under the keys of what is mixed."""
    for key in keys:
        if key in inputs:
            _checks.check_given(owner, key, inputs[key])


def _suggest_renaming(keys: Sequence[Any]) -> str:
    """Returns the line that renames keys of other libraries; empty if none is known."""
    names = {}
    for key, others in OTHER_KEYS.items():
        found = [other for other in (key, *others) if other in keys]
        if found:
            names[found[0]] = key
    if "images" not in names.values() or all(old == new for old, new in names.items()):
        return ""
    entries = ", ".join(
        f"{_errors.quoted(names.get(key, key))}: d[{_errors.quoted(key)}]"
        for key in keys
    )
    return f"Rename the keys first: `dataset.map(lambda d: {{{entries}}})`."


def _check_parts(owner: str, parts: Any) -> None:
    """Checks a tuple that is given instead of images, labels and weights."""
    if not (2 <= len(parts) <= 3):
        _errors.fail(
            owner,
            "a tuple must hold images, labels and perhaps sample weights.",
            f"{len(parts)} entries",
            "Give images alone as a tensor, and more tensors as a dictionary with "
            "`batch_keys`.",
        )
