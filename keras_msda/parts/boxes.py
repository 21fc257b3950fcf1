"""Bounding boxes and keypoints of mixed images: both images', with what is left.

The partner's entries are appended to the own ones. Each carries the share of it that
its own image still shows, and what is not shown becomes padding.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from keras_msda import _backend, _checks, _errors, plans
from keras_msda.masks import _factored

Tensor = Any

# Marks a row as padding; also what coordinates of padding are.
_PADDING = -1


def mix_bounding_boxes(
    bounding_boxes: Mapping[str, Any],
    plan: plans.MixPlan,
    bounding_box_format: str,
    *,
    min_share: float = 0.0,
) -> dict[str, Tensor]:
    """Puts the boxes of both images of a mix together.

    A box weighs the share of its part inside the image that its own image still shows:
    the mean of the mask over it, or of one minus the mask for the partner's boxes.

    Args:
        bounding_boxes: "boxes" `(batch, n, 4)` and "labels" `(batch, n)`, perhaps
            further entries `(batch, n, ...)`; "weights" are multiplied. Dense, with
            labels below 0 where rows are padding, or all ragged.
        plan: From `layer.sample`, for this batch and size; two spatial axes.
        bounding_box_format: One of Keras's: "xyxy", "yxyx", "xywh", "center_xywh",
            "center_yxhw", "rel_xyxy", "rel_yxyx", "rel_xywh", "rel_center_xywh". Pixel
            k covers the coordinates from k to k + 1.
        min_share: Boxes are dropped that show less than this share, or nothing.

    Returns:
        The same entries with `2 n` rows, own boxes first, and "weights", float32. Rows
        that are dropped have boxes and labels of -1 and 0 elsewhere; of ragged tensors
        they are taken out.

    Raises:
        ValueError: If an entry is missing, or shapes or the format do not fit.

    Example:
        >>> import numpy as np, keras_msda as msda
        >>> boxes = np.array([[[0, 0, 2, 2]], [[1, 1, 3, 3]]], "float32")
        >>> boxes = {"boxes": boxes, "labels": np.array([[5], [6]])}
        >>> layer = msda.MixUpLayer(pairing="roll")
        >>> plan = layer.sample(2, (4, 4), seed=(1, 2), lam=0.75)
        >>> both = msda.mix_bounding_boxes(boxes, plan, "xyxy")
        >>> print(both["labels"].numpy().tolist(), both["weights"].numpy().tolist())
        [[5, 6], [6, 5]] [[0.75, 0.25], [0.75, 0.25]]
    """
    owner = "mix_bounding_boxes"
    _checks.check_share(owner, "min_share", min_share, "Use 0.0 to keep all.")
    box_format = _checks.check_box_format(owner, bounding_box_format)
    plan, layout = plans.convert_plan(plan, "channels_last")
    entries = checked(owner, bounding_boxes, "boxes", layout)
    return mixed_boxes(entries, plan, layout.size, box_format, min_share)


def mix_keypoints(
    keypoints: Mapping[str, Any], plan: plans.MixPlan, *, min_share: float = 0.0
) -> dict[str, Tensor]:
    """Puts the keypoints of both images of a mix together.

    A keypoint weighs the share of its own image in the pixel that it lies in.

    Args:
        keypoints: "points" `(batch, n, rank)` in pixels, x first as in (x, y), and
            "labels" `(batch, n)`, perhaps further entries `(batch, n, ...)`. Dense,
            with labels below 0 where rows are padding, or all ragged.
        plan: From `layer.sample`, for this batch and size.
        min_share: Keypoints are dropped of which less than this share is shown, or
            nothing.

    Returns:
        The same entries with `2 n` rows, as `mix_bounding_boxes` returns them.

    Raises:
        ValueError: If an entry is missing, or shapes do not fit.

    Example:
        >>> import numpy as np, keras_msda as msda
        >>> points = np.array([[[0.5, 1.5]], [[3.0, 2.0]]], "float32")
        >>> points = {"points": points, "labels": np.array([[5], [6]])}
        >>> layer = msda.MixUpLayer(pairing="roll")
        >>> plan = layer.sample(2, (4, 4), seed=(1, 2), lam=0.75)
        >>> both = msda.mix_keypoints(points, plan)
        >>> print(both["labels"].numpy().tolist(), both["weights"].numpy().tolist())
        [[5, 6], [6, 5]] [[0.75, 0.25], [0.75, 0.25]]
    """
    owner = "mix_keypoints"
    _checks.check_share(owner, "min_share", min_share, "Use 0.0 to keep all.")
    plan, layout = plans.convert_plan(plan, "channels_last")
    entries = checked(owner, keypoints, "points", layout)
    return mixed_points(entries, plan, layout.size, min_share)


def checked(
    owner: str, entries: Any, place: str, layout: plans.Layout
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
    _check_entries(owner, entries, place)
    for key, value in entries.items():
        entry = f'{name}["{key}"]'
        if key in (place, "labels", "weights"):
            _checks.check_array(owner, entry, value)
        _checks.check_known_rank(owner, entry, value, form="(None, None, ...)")
    ops = _backend.of(*entries.values())
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
    _check_box_labels(owner, tensors["labels"].dtype)
    return tensors


def mixed_boxes(
    entries: dict[str, Tensor],
    plan: plans.MixPlan,
    size: Sequence[Any],
    box_format: str,
    min_share: float,
) -> dict[str, Tensor]:
    """Returns checked boxes as a plan mixes them."""

    def share(boxes: Tensor, shown: Tensor, weight: Tensor) -> Tensor:
        ops = _backend.of(boxes)
        low, high = _edges(boxes, size, box_format)
        rows, columns = (
            _coverage(low[..., axis], high[..., axis], size[axis]) for axis in (0, 1)
        )

        def area(mask: Tensor) -> Tensor:
            return ops.sum(ops.matmul(rows, mask) * columns, -1)

        # Both, so that what is all shown has 1 and what is all hidden 0, exactly.
        seen, hidden = area(shown), area(1.0 - shown)
        whole = seen + hidden
        part = seen / ops.where(whole > 0, whole, 1.0)
        return ops.where(whole > 0, part, weight[:, None])

    shown = _shown(plan, size)
    return _both(entries, _Measure("boxes", 4, share), plan, shown, min_share)


def mixed_points(
    entries: dict[str, Tensor],
    plan: plans.MixPlan,
    size: Sequence[Any],
    min_share: float,
) -> dict[str, Tensor]:
    """Returns checked keypoints as a plan mixes them."""

    def share(points: Tensor, shown: Tensor, _weight: Tensor) -> Tensor:
        ops = _backend.of(points)
        lengths = ops.cast(ops.stack(size), "float32")
        pixel = ops.floor(ops.reverse(ops.cast(points, "float32"), -1))
        inside = ops.all((pixel >= 0) & (pixel < lengths), -1)
        pixel = ops.truncate(ops.where(inside[..., None], pixel, 0.0))
        index = pixel[..., 0]
        for axis in range(1, len(size)):
            index = index * size[axis] + pixel[..., axis]
        flat = ops.reshape(shown, [ops.shape(shown)[0], math.prod(size)])
        return ops.where(inside, ops.take_along(flat, index), 0.0)

    measure = _Measure("points", len(size), share)
    return _both(entries, measure, plan, _shown(plan, size), min_share)


class _Measure(NamedTuple):
    """How much of an entry an image shows.

    Attributes:
        place: Name of the coordinates.
        width: How many there are.
        share: Function of coordinates, of the share of their image at each pixel and of
            that of its label that returns shares `(batch, n)`.
    """

    place: str
    width: int
    share: Callable[[Tensor, Tensor, Tensor], Tensor]

    def filling(self, key: str) -> int:
        """Returns what an entry holds in a row of padding."""
        return _PADDING if key in (self.place, "labels") else 0


def _shown(plan: plans.MixPlan, size: Sequence[Any]) -> Tensor:
    """Returns the share of the own image at each pixel."""
    if isinstance(plan.mask, _factored.Mask):
        return _factored.to_dense(plan.mask, size)
    return plan.mask


def _edges(
    boxes: Tensor, size: Sequence[Any], box_format: str
) -> tuple[Tensor, Tensor]:
    """Returns near and far corners, float32 `(batch, n, 2)`, in pixels (y, x)."""
    ops = _backend.of(boxes)
    corners = box_format.removeprefix("rel_")
    boxes = ops.cast(boxes, "float32")
    first, second = boxes[..., :2], boxes[..., 2:]
    if corners.removeprefix("center_").startswith("x"):
        first, second = ops.reverse(first, -1), ops.reverse(second, -1)
    if corners.startswith("center"):
        first, second = first - second / 2.0, first + second / 2.0
    elif corners == "xywh":
        second = first + second
    if corners != box_format:
        lengths = ops.cast(ops.stack(size), "float32")
        first, second = first * lengths, second * lengths
    return first, second


def _coverage(low: Tensor, high: Tensor, length: Any) -> Tensor:
    """Returns how much of each pixel lies between two edges, `(batch, n, length)`."""
    ops = _backend.of(low)
    start = ops.cast(ops.arange(length), "float32")
    end = ops.minimum(high[..., None], start + 1.0)
    covered = end - ops.maximum(low[..., None], start)
    return ops.maximum(covered, 0.0)


def _both(
    entries: dict[str, Tensor],
    measure: _Measure,
    plan: plans.MixPlan,
    shown: Tensor,
    min_share: float,
) -> dict[str, Tensor]:
    """Returns own and partner's entries with their weights, the hidden ones dropped."""
    place = measure.place
    ops = _backend.of(shown)
    ragged = ops.is_ragged(entries["labels"])
    if ragged:
        entries = {key: _padded(key, x, measure) for key, x in entries.items()}
    halves = {key: plans.take_both(x, plan.partner) for key, x in entries.items()}
    entries = {key: own for key, (own, _) in halves.items()}
    partner = {key: other for key, (_, other) in halves.items()}
    weight = plan.weight
    own_share = measure.share(entries[place], shown, weight)
    partner_share = measure.share(partner[place], 1.0 - shown, 1.0 - weight)
    shares = ops.concat([own_share, partner_share], 1)
    both = {key: ops.concat([x, partner[key]], 1) for key, x in entries.items()}
    kept = (both["labels"] >= 0) & (shares > 0) & (shares >= min_share)
    if "weights" in both:
        shares = shares * ops.cast(both["weights"], "float32")
    both["weights"] = shares
    if ragged:
        return {key: ops.keep_rows(x, kept) for key, x in both.items()}
    return {
        key: ops.where(
            _factored.append_axes(kept, len(x.shape) - 2),
            x,
            ops.full_like(x, measure.filling(key)),
        )
        for key, x in both.items()
    }


def _padded(key: str, x: Tensor, measure: _Measure) -> Tensor:
    """Returns a ragged entry as a dense one."""
    width = measure.width if key == measure.place else None
    return _backend.of(x).pad_ragged(x, measure.filling(key), width)


def _check_entries(owner: str, entries: Any, place: str) -> None:
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
            _entries_remedy(entries, place),
        )


def _entries_remedy(entries: Any, place: str) -> str:
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
            "coordinates, labels and what else goes with them must be all ragged or "
            "all dense.",
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
    """Checks the shapes of boxes or keypoints and of what goes with them.

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
                f'"{key}" must have shape ({words}), with the batch of the images and '
                "one n for all.",
                f"shape {_errors.show(shape)}",
                "Give one row for each, and pad with labels of -1.",
            )


def _check_box_labels(owner: str, dtype: Any) -> None:
    """Checks that labels can be negative, as those of padding are."""
    name = _errors.dtype_name(dtype)
    if name == "bool" or name.startswith("uint"):
        _errors.fail(
            owner,
            "labels of boxes and keypoints are -1 where a row is padding.",
            f"labels of dtype {name}",
            "Cast them to int32.",
        )
