"""Rows of boxes and keypoints: how they are checked, appended and weighted.

The partner's rows follow the own ones. The weight of a row is the share of it that its
own image still shows; hidden rows become padding.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import keras

from keras_msda import _backend, _checks, _errors, plans
from keras_msda.masks import _factored

Tensor = Any

# Marks a row as padding; also what coordinates of padding are.
_PADDING = -1


class Measure(NamedTuple):
    """How much of an entry an image shows.

    Attributes:
        place: Name of the coordinates.
        width: How many there are.
        share: Function that returns shares `(batch, n)`. It takes the coordinates, the
            share of their image at each pixel, and that of its label.
        move: Function that returns coordinates of a partner that is moved. It takes the
            coordinates, and where and how large the partner is shown, in pixels.
        owner: Name that errors start with.
    """

    place: str
    width: int
    share: Callable[[Tensor, Tensor, Tensor], Tensor]
    move: Callable[[Tensor, Tensor, Tensor], Tensor]
    owner: str

    def fill_value(self, key: str) -> int:
        """Returns what an entry holds in a row of padding."""
        return _PADDING if key in (self.place, "labels") else 0


def check_entries(
    owner: str, entries: Any, *, place: str, layout: plans.Layout
) -> dict[str, Tensor]:
    """Returns boxes or keypoints as tensors that can be mixed, or raises.

    Args:
        owner: Name that an error starts with.
        entries: Dictionary of tensors, dense or ragged.
        place: "boxes" or "points", the entry with the coordinates.
        layout: Of the images.
    """
    name = "bounding_boxes" if place == "boxes" else "keypoints"
    _checks.check_given(owner, name, entries)
    _check_dictionary(owner, entries, place)
    for key, value in entries.items():
        entry = f'{name}["{key}"]'
        if key in (place, "labels", "weights"):
            _checks.check_array(owner, entry, value)
        _checks.check_known_rank(owner, entry, value, form="(None, None, ...)")
    ops = _backend.get_ops(*entries.values())
    ragged = {key: ops.is_ragged(value) for key, value in entries.items()}
    _check_all_ragged(owner, ragged)
    if place == "boxes":
        _check_two_axes(owner, layout.size)
    tensors = {
        key: value if ragged[key] else ops.convert(value)
        for key, value in entries.items()
    }
    shapes = {key: value.shape for key, value in tensors.items()}
    _check_places(owner, shapes, place, layout)
    for key in (place, "labels"):
        _check_signed(owner, key, tensors[key].dtype)
    return tensors


def check_moves(owner: str, place: str, moves: str) -> None:
    """Refuses coordinates beside partners that do not stay in one piece.

    Args:
        owner: Name that an error starts with.
        place: "boxes" or "points".
        moves: As in `Settings`.
    """
    if moves == "pieces":
        _errors.fail(
            owner,
            f"{place} cannot follow a partner whose parts are moved one by one.",
            f"{place} in a batch",
            "Leave them out, or mix by a method that keeps the partner in one piece, "
            "such as `PuzzleMixLayer(transport=False)`.",
        )


def mix_entries(
    entries: dict[str, Tensor],
    measure: Measure,
    *,
    plan: plans.Plan,
    size: Sequence[Any],
    min_share: float,
) -> dict[str, Tensor]:
    """Returns own and partner's entries with their weights, the hidden ones dropped.

    Args:
        entries: From `check_entries`.
        measure: How much of an entry an image shows.
        plan: The plan of the batch.
        size: Spatial lengths of the images.
        min_share: Entries with less than this share, or with none, are dropped.
    """
    place, shown = measure.place, plan.mask
    if isinstance(shown, _factored.Mask):
        shown = _factored.to_dense(shown, size)
    ops = _backend.get_ops(shown)
    ragged = ops.is_ragged(entries["labels"])
    if ragged:
        entries = {key: _pad(key, x, measure) for key, x in entries.items()}
    halves = {key: plans.take_both(x, plan.partner) for key, x in entries.items()}
    entries = {key: own for key, (own, _) in halves.items()}
    partner = {key: other for key, (_, other) in halves.items()}
    moved, move, weight = partner[place], plans.get_move(plan), plan.weight
    if move is not None:  # Measured before integers are rounded.
        moved = _move_partner(moved, measure, move)
        dtype = keras.backend.standardize_dtype(entries[place].dtype)
        partner[place] = ops.cast(moved, dtype)
    own_share = measure.share(entries[place], shown, weight)
    partner_share = measure.share(moved, 1.0 - shown, 1.0 - weight)
    shares = ops.concat([own_share, partner_share], 1)
    both = {key: ops.concat([x, partner[key]], 1) for key, x in entries.items()}
    kept = (both["labels"] >= 0) & (shares > 0) & (shares >= min_share)
    if "weights" in both:
        shares = shares * ops.cast(both["weights"], "float32")
    both["weights"] = shares
    if ragged:
        return {
            key: _backend.get_tensorflow_ops().keep_rows(x, kept)
            for key, x in both.items()
        }
    return {
        key: ops.where(
            _factored.append_axes(kept, len(x.shape) - 2),
            x,
            ops.full_like(x, measure.fill_value(key)),
        )
        for key, x in both.items()
    }


def _move_partner(coordinates: Tensor, measure: Measure, move: Any) -> Tensor:
    """Returns the partner's coordinates, float32, where the partner is shown."""
    if move.start is None:
        check_moves(measure.owner, measure.place, "pieces")
    ops = _backend.get_ops(coordinates)
    return measure.move(ops.cast(coordinates, "float32"), move.start, move.scale)


def _pad(key: str, x: Tensor, measure: Measure) -> Tensor:
    """Returns a ragged entry as a dense one."""
    width = measure.width if key == measure.place else None
    return _backend.get_tensorflow_ops().pad_ragged(x, measure.fill_value(key), width)


def _check_dictionary(owner: str, entries: Any, place: str) -> None:
    """Checks for a dictionary of boxes or keypoints with their labels."""
    valid = isinstance(entries, Mapping) and {place, "labels"} <= set(entries)
    if not valid:
        received = type(entries).__name__
        if isinstance(entries, Mapping):
            received = f"keys {sorted(map(str, entries))}"
        _errors.fail(
            owner,
            f'{place} must be a dictionary that holds "{place}" and "labels".',
            received,
            _suggest_entries(entries, place),
        )


def _suggest_entries(entries: Any, place: str) -> str:
    """Returns how to give boxes or keypoints, with KerasCV's "classes" renamed."""
    keys = list(entries) if isinstance(entries, Mapping) else []
    if place not in keys or "classes" not in keys:
        return f'Use `{{"{place}": ..., "labels": ...}}`.'
    names = {"classes": "labels"}
    renamed = ", ".join(
        f"{_errors.quoted(names.get(k, k))}: d[{_errors.quoted(k)}]" for k in keys
    )
    return f"Rename them: `{{{renamed}}}`, d being the given dictionary."


def _check_all_ragged(owner: str, ragged: dict[str, bool]) -> None:
    """Checks that all entries are ragged, or none."""
    if any(ragged.values()) and not all(ragged.values()):
        _errors.fail(
            owner,
            "coordinates, labels and other entries must be all ragged or all dense.",
            f"ragged: {[key for key, value in ragged.items() if value]}, dense: "
            f"{[key for key, value in ragged.items() if not value]}",
            "Convert the ragged ones with `to_tensor(-1)`.",
        )


def _check_two_axes(owner: str, size: Sequence[Any]) -> None:
    """Checks for images with two spatial axes."""
    if len(size) != 2:
        _errors.fail(
            owner,
            "bounding boxes need images with two spatial axes.",
            f"{len(size)} spatial axes",
            "Give points instead, as keypoints.",
        )


def _check_places(owner: str, shapes: dict[str, Any], place: str, layout: Any) -> None:
    """Checks the shapes of all entries of boxes or keypoints.

    Args:
        owner: Name that an error starts with.
        shapes: Shape of each entry.
        place: Name of the coordinates.
        layout: Of the images.
    """
    width = 4 if place == "boxes" else len(layout.size)
    forms = {place: ("batch", "n", width), "labels": ("batch", "n")}
    count = shapes[place][1] if len(shapes[place]) == 3 else None
    for key, shape in shapes.items():
        form = forms.get(key, ("batch", "n", *shape[2:]))
        expected = (layout.batch, count, *form[2:])
        if len(shape) != len(form) or any(map(_errors.differ, shape, expected)):
            words = ", ".join(map(str, form if key in forms else (*form[:2], "...")))
            _errors.fail(
                owner,
                f'"{key}" must have shape ({words}), with the batch size of the images '
                "and the same n for all entries.",
                f"shape {_errors.show(shape)}",
                "Give one row for each, and pad with labels of -1.",
            )


def _check_signed(owner: str, key: str, dtype: Any) -> None:
    """Checks that an entry can be negative, as that of padding is."""
    name = _errors.dtype_name(dtype)
    if name == "bool" or name.startswith("uint"):
        _errors.fail(
            owner,
            f"{key} of boxes and keypoints must be able to hold -1, for padding."
            if key == "labels"
            else f"{key} must be able to hold -1, for padding.",
            f"{key} of dtype {name}",
            "Cast them to int32.",
        )
