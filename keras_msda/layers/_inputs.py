"""What a layer is called with: the parts of a batch, and given partners."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np

from keras_msda import _backend, _checks, _errors
from keras_msda.parts import structures

Tensor = Any


def check_real(owner: str, dtype: Any) -> None:
    """Refuses images of strings or complex numbers, of which a cast would lose half."""
    word = _errors.dtype_name(dtype)
    if not word.startswith(("bool", "int", "uint", "float", "bfloat")):
        _errors.fail(
            owner,
            "images must hold real numbers.",
            f"dtype {word}",
            "Decode files first, for example by `tf.io.decode_image`. Of complex "
            "numbers, give both parts as channels.",
        )


def take_apart(
    layer: Any, images: Any, labels: Any = None, sample_weight: Any = None
) -> structures.Batch:
    """Returns the parts of a batch, whose images have a known rank."""
    owner = type(layer).__name__
    given = structures.take_apart(
        owner,
        images,
        labels,
        sample_weight,
        batch_keys=layer.batch_keys,
        box_format=layer.bounding_box_format,
        saliency=layer.uses_saliency,
    )
    given = given._replace(parts=_read_parts(owner, given.parts))
    if _backend.get_backend_ops().int32_only:
        _check_integers(owner, keras.tree.flatten(given.parts))
    form = "(None, None, None, 3)"
    _checks.check_known_rank(owner, "images", given.parts["images"], form=form)
    return given


def take_partner_apart(layer: Any, partner: Any, given: structures.Batch) -> Any:
    """Returns given indices as they are, and a second batch as its parts."""
    owner = type(layer).__name__
    _check_partner_settings(owner, layer.per, layer.groups)
    if structures.is_indices(partner):
        return partner
    if given.alone and not isinstance(partner, Mapping):
        return {"images": partner}
    if isinstance(partner, Mapping) and set(partner) == set(given.parts):
        return _read_parts(owner, partner)  # Taken apart already.
    second = take_apart(layer, partner).parts
    _check_second(owner, list(given.parts), list(second))
    return second


def prepare_for_keras(owner: str, parts: Mapping[str, Any]) -> dict[str, Any]:
    """Returns parts that Keras can hand on.

    It asks for the rank of tensors; its own errors would not name the layer.
    """
    for key, part in parts.items():
        for tensor in keras.tree.flatten(part):
            _checks.check_known_rank(owner, _name_part(key), tensor)
    return dict(parts)


def _read_parts(owner: str, parts: Mapping[str, Any]) -> dict[str, Any]:
    """Returns parts with arrays instead of lists of numbers."""
    return {
        key: structures.read_numbers(owner, _name_part(key), part)
        for key, part in parts.items()
    }


def _name_part(key: str) -> str:
    """Returns what an error calls a part."""
    return key if key in structures.KEYS else f'"{key}"'


def join(
    owner: str, first: Mapping[str, Any], second: Mapping[str, Any]
) -> dict[str, Any]:
    """Returns the checked parts of a batch, followed by those of a second batch."""

    def concatenate(own: Any, other: Any) -> Any:
        if own is None or other is None:
            return own
        ops = _backend.get_ops(own, other)
        _check_alike(owner, own, other)
        if not ops.is_ragged(own):  # Or halves would not be the two batches.
            other = ops.reshape(other, ops.shape(own))
        return ops.concat([own, ops.cast(other, own.dtype)], 0)

    return {
        key: keras.tree.map_structure(concatenate, own, second[key])
        for key, own in first.items()
    }


def check_same_rank(owner: str, shape: Any, spatial: Any) -> None:
    """Checks that a layer inside a model keeps the rank that it was built for."""
    if spatial is not None and len(shape) != len(spatial) + 2:
        _errors.fail(
            owner,
            f"the layer was built for images of rank {len(spatial) + 2}.",
            f"shape {_errors.show(shape)}",
            "Use another layer for images with another number of axes.",
        )


def _check_partner_settings(owner: str, per: str, groups: Any) -> None:
    """Checks the settings of a layer that is given partners."""
    if per == "pair" or groups not in (None, 1):
        _errors.fail(
            owner,
            '`partner` cannot be combined with `per="pair"` or `groups`, which are '
            "about drawn partners.",
            f"per={per!r}, groups={groups!r}",
            'Use `per="sample"` or `per="batch"`, and leave `groups` out.',
        )


def check_indices(owner: str, partner: Any, batch: Any) -> Any:
    """Returns given partners, integers of one for each sample."""
    length = partner.shape[0] if len(partner.shape) == 1 else -1
    whole = keras.backend.is_int_dtype(partner.dtype)
    if not whole or _errors.differ(length, batch):
        _errors.fail(
            owner,
            "`partner` must be integers of shape (batch,), or a second batch.",
            f"shape {_errors.show(partner.shape)} and dtype "
            f"{keras.backend.standardize_dtype(partner.dtype)} for a batch of {batch}",
            "Give the index of a partner for each sample, its own for none.",
        )
    return partner


def _check_second(owner: str, keys: Sequence[str], second: Sequence[str]) -> None:
    """Checks that a second batch has the parts of the first."""
    if set(keys) != set(second):
        _errors.fail(
            owner,
            "a second batch must hold what the first one holds.",
            f"{sorted(second)} beside {sorted(keys)}",
            "Give `partner` in the form of the first batch, for example "
            "`layer(x, y, partner=(other_x, other_y))`.",
        )


def _check_alike(owner: str, own: Any, other: Any) -> None:
    """Checks that tensors of two batches have the same shape, as far as is known."""
    if len(own.shape) != len(other.shape) or any(
        map(_errors.differ, own.shape, other.shape)
    ):
        _errors.fail(
            owner,
            "a second batch must have the shapes of the first.",
            f"shapes {_errors.show(own.shape)} and {_errors.show(other.shape)}",
            "Batch both with `drop_remainder=True`, and pad what differs in length.",
        )


def _check_integers(owner: str, values: Sequence[Any]) -> None:
    """Checks that a library without 64-bit integers would not cut any."""
    for value in values:
        if not (isinstance(value, np.ndarray) and value.dtype.kind in "iu"):
            continue
        if value.dtype.itemsize == 8 and value.size:
            largest = max(int(value.max()), -int(value.min()) - 1)
            if largest >= 2**31:
                _errors.fail(
                    owner,
                    "JAX has integers of 32 bits unless it is told otherwise.",
                    f"the number {largest}",
                    "Set `jax.config.update('jax_enable_x64', True)`, or renumber.",
                )
