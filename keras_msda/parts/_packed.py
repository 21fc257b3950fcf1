"""How losses and metrics recognise packed labels.

`_forms.pack_labels` makes them: the own label, the partner's and the weight.
"""

import weakref
from typing import Any, NoReturn, Protocol

import keras

from keras_msda import _backend, _checks, _errors

Tensor = Any


class Reader(Protocol):
    """What must be known of a loss or metric to read labels without a layer.

    Attributes:
        ids: Whether labels are class ids, None where that is not known.
        of_classes: Whether labels can be nothing but ids or soft labels.
    """

    ids: bool | None
    of_classes: bool

    def is_rehearsal(self) -> bool:
        """Returns whether Keras only makes the state of a metric."""


def is_packed(reader: Reader, given: Any, *, labels: Tensor, outputs: Tensor) -> bool:
    """Returns whether labels without a layer inside the model are packed.

    `_forms.pack_labels` makes floats of the outputs' rank: three numbers per row for
    class ids, `2 L + 1` for L numbers. So integers, truth values and labels of another
    rank are never packed. For W numbers per row, with C outputs:

    | `ids` | W | reading |
    |---|---|---|
    | True: a Keras loss of class ids, or as stated | 3, of rank 2 | packed ids |
    | | any other | an error |
    | False: any other Keras loss, or as stated | 2 C + 1 | packed soft labels |
    | | C | used as they are |
    | | any other | an error |
    | None: an accuracy | 3, of rank 2, unless C is 3 | packed ids |
    | | 3, of rank 2, C is 3 | as a `MixedLoss` reads them, else an error |
    | | 2 C + 1, C | as for False |
    | | any other | an error |
    | None: a function | 3, of rank 2 or with C = 1 | an error |
    | | 2 C + 1, C | as for False |
    | | any other | an error |

    A function may take targets of any width, also three for one output. Labels of an
    accuracy are ids, or have the outputs' width. With C = 1, packed ids and packed
    numbers are the same for an accuracy.

    Args:
        reader: The loss or metric.
        given: The labels as given, by which a metric finds how a loss has read them.
        labels: The same as a tensor.
        outputs: As the model returns them.
    """
    width, classes = labels.shape[-1], outputs.shape[-1]
    floats = keras.backend.is_float_dtype(labels.dtype)
    if not floats or len(labels.shape) != len(outputs.shape) or len(labels.shape) < 2:
        return False
    row = len(labels.shape) == 2 and width == 3
    pair = bool(width == 2 * classes + 1)
    if reader.ids is not None:
        if row and classes == 3:
            _note_read(given, reader.ids)
        return row if reader.ids else pair
    if reader.of_classes:
        return _find_read(reader, given) if row and classes == 3 else row or pair
    if row or (pair and classes == 1):
        _fail_undecided(type(reader).__name__, labels.shape, outputs.shape)
    return pair


# Whether a loss has read labels as packed ids, by the identity of the labels: a metric
# gets the same tensor in the same step, later.
_READ: dict[int, tuple[weakref.ref[Any], bool]] = {}


def _note_read(labels: Any, ids: bool) -> None:
    """Keeps for metrics how a loss has read three numbers for three classes."""
    key = id(labels)
    if _backend.get_backend_ops().in_torch_compile():
        return
    try:
        alive = weakref.ref(labels, lambda _: _READ.pop(key, None))
    except TypeError:  # A list.
        return
    _READ[key] = alive, ids


def _find_read(reader: Reader, labels: Any) -> bool:
    """Returns whether a loss has read these very labels as packed ids, or raises."""
    found = (
        None if _backend.get_backend_ops().in_torch_compile() else _READ.get(id(labels))
    )
    if found is not None and found[0]() is labels:
        return found[1]
    if not reader.is_rehearsal():
        _fail_ambiguous(type(reader).__name__, labels.shape)
    return False


def check_mixed(
    owner: str, labels: Tensor, *, outputs: Tensor, ids: bool | None
) -> Tensor:
    """Returns labels that are mixed already in the outputs' shape, or raises.

    Args:
        owner: Name that an error starts with.
        labels: Labels that are not packed, without a layer inside the model.
        outputs: As the model returns them.
        ids: Whether labels are class ids, None where that is not known.
    """
    floats = keras.backend.is_float_dtype(labels.dtype)
    given, expected = tuple(labels.shape[1:]), tuple(outputs.shape[1:])
    if floats and outputs.shape[-1] == 1 and given == expected[:-1]:
        labels = labels[..., None]  # As Keras allows for one output.
        given = tuple(labels.shape[1:])
    if ids or given != expected:
        _fail_unpacked(owner, labels.shape, outputs.shape, ids)
    return labels


def _fail_unpacked(owner: str, labels: Any, outputs: Any, ids: bool | None) -> NoReturn:
    """Raises the error for labels that carry no partner."""
    _checks.check_two_columns(owner, labels, outputs)
    remedy = (
        'Map the dataset with a layer of `targets="pair"` (validation too, with '
        "`training=False`), or use `layer.loss(...)` and `layer.accuracy()` of the "
        "layer inside the model."
    )
    if ids is False and len(labels) == 2 and labels[-1] == 3:
        remedy = (
            "Packed class ids need a loss that takes class ids, such as "
            '"sparse_categorical_crossentropy", or `ids=True`. Labels that are mixed '
            "already need no `MixedLoss`: give `compile` the loss itself."
        )
    elif labels[-1:] == (None,) and len(labels) > 1:
        remedy = (
            "Set the last axis where labels are made, for example "
            "`labels = tf.ensure_shape(labels, (None, 3))`."
        )
    _errors.fail(
        owner,
        "without a layer the labels must be packed pairs, floats, or soft labels of "
        "the outputs' shape.",
        _errors.show_both(labels, outputs),
        remedy,
    )


def _fail_ambiguous(owner: str, labels: Any) -> NoReturn:
    """Raises the error for labels that have two readings."""
    _errors.fail(
        owner,
        "with three classes, three numbers may be packed ids or a soft label.",
        f"labels of shape {_errors.show(labels)}, which no `MixedLoss` has read before",
        f"Write `metrics=[{owner}(ids=True)]` for packed ids, "
        f"`metrics=[{owner}(ids=False)]` for soft labels, and "
        "`metrics=[layer.accuracy()]` for a layer inside the model.",
    )


def _fail_undecided(owner: str, labels: Any, outputs: Any) -> NoReturn:
    """Raises the error for labels that a function could take in several ways."""
    _errors.fail(
        owner,
        "three numbers may be packed class ids, packed numbers or labels that are not "
        "packed, and a function does not say which it takes.",
        _errors.show_both(labels, outputs),
        f"Write `{owner}(function, ids=True)` for packed class ids, "
        f"`{owner}(function, ids=False)` for packed numbers or soft labels of three "
        "classes. Labels that are mixed already need neither: give `compile` the "
        "function itself.",
    )
