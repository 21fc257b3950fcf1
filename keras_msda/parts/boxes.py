"""Bounding boxes of mixed images: those of both images, with the share that is left."""

from collections.abc import Mapping, Sequence
from typing import Any

from keras_msda import _backend, _checks, plans
from keras_msda.parts import _entries
from keras_msda.parts._part import Context, Settings

Tensor = Any


@_backend.skip_autograph
def mix_bounding_boxes(
    bounding_boxes: Mapping[str, Any],
    plan: plans.Plan,
    bounding_box_format: str,
    *,
    min_share: float = 0.0,
) -> dict[str, Tensor]:
    """Combines the boxes of both images of a mix.

    The weight of a box is the share of it, inside the image, that its own image still
    shows: the mean of the mask over it, or of one minus the mask for the partner's
    boxes.

    Args:
        bounding_boxes: "boxes" `(batch, n, 4)` and "labels" `(batch, n)`, optionally
            other entries `(batch, n, ...)`; "weights" are multiplied. All dense, with
            labels below 0 in rows of padding, or all ragged.
        plan: From `layer.sample`, for this batch and size; two spatial axes.
        bounding_box_format: One of Keras's: "xyxy", "yxyx", "xywh", "center_xywh",
            "center_yxhw", "rel_xyxy", "rel_yxyx", "rel_xywh", "rel_center_xywh". Pixel
            k covers the coordinates from k to k + 1.
        min_share: Boxes with less than this share, or with none, are dropped.

    Returns:
        The same entries with `2 n` rows, own boxes first, and "weights", float32.
        Dropped rows have boxes and labels of -1, and 0 elsewhere; from ragged tensors
        they are removed.

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
    entries = _entries.check_entries(
        owner, bounding_boxes, place="boxes", layout=layout
    )
    settings = Settings(
        bounding_box_format=box_format, min_box_share=min_share, owner=owner
    )
    return _mix_boxes(entries, plan, layout.size, settings)


def check(key: str, context: Context, *, owner: str) -> dict[str, Tensor]:
    """Returns bounding boxes as tensors that can be mixed, or raises; see `Part`."""
    _entries.check_moves(owner, "boxes", context.settings.moves)
    return _entries.check_entries(
        owner, context.parts[key], place="boxes", layout=context.layout
    )


def mix(key: str, context: Context, *, plan: plans.Plan) -> dict[str, Tensor]:
    """Returns checked bounding boxes as a plan mixes them; see `Part`."""
    boxes, size = context.parts[key], context.layout.size
    return _mix_boxes(boxes, plan, size, context.settings)


def _mix_boxes(
    entries: dict[str, Tensor],
    plan: plans.Plan,
    size: Sequence[Any],
    settings: Settings,
) -> dict[str, Tensor]:
    """Returns checked boxes as a plan mixes them."""
    box_format = str(settings.bounding_box_format)

    def share(boxes: Tensor, shown: Tensor, weight: Tensor) -> Tensor:
        ops = _backend.get_ops(boxes)
        low, high = _find_edges(boxes, size, box_format)
        rows, columns = (
            _measure_coverage(low[..., axis], high[..., axis], size[axis])
            for axis in (0, 1)
        )

        def area(mask: Tensor) -> Tensor:
            return ops.sum(ops.matmul(rows, mask) * columns, -1)

        # Both, so that a box all shown has exactly 1, and one all hidden exactly 0.
        seen, hidden = area(shown), area(1.0 - shown)
        whole = seen + hidden
        part = seen / ops.where(whole > 0, whole, 1.0)
        return ops.where(whole > 0, part, weight[:, None])

    def move(boxes: Tensor, start: Tensor, scale: Tensor) -> Tensor:
        return _move_boxes(boxes, start, scale, size, box_format)

    measure = _entries.Measure("boxes", 4, share, move, settings.owner)
    return _entries.mix_entries(
        entries, measure, plan=plan, size=size, min_share=settings.min_box_share
    )


def _find_edges(
    boxes: Tensor, size: Sequence[Any], box_format: str
) -> tuple[Tensor, Tensor]:
    """Returns near and far corners, float32 `(batch, n, 2)`, in pixels (y, x)."""
    ops = _backend.get_ops(boxes)
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


def _move_boxes(
    boxes: Tensor, start: Tensor, scale: Tensor, size: Sequence[Any], box_format: str
) -> Tensor:
    """Returns float32 boxes, in their own format, of a partner that is moved.

    Args:
        boxes: Shape `(batch, n, 4)`.
        start: float32 `(batch, 2)`, rows first, where the partner begins, in pixels.
        scale: float32 `(batch, 2)`, rows first.
        size: Spatial lengths of the images.
        box_format: One of Keras's.
    """
    ops = _backend.get_ops(boxes)
    corners = box_format.removeprefix("rel_")
    if corners != box_format:
        start = start / ops.cast(ops.stack(size), "float32")
    if corners.removeprefix("center_").startswith("x"):
        start, scale = ops.reverse(start, -1), ops.reverse(scale, -1)
    start, scale = start[:, None], scale[:, None]
    first, second = scale * boxes[..., :2] + start, scale * boxes[..., 2:]
    lengths = corners.removeprefix("center_") in ("xywh", "yxhw")
    return ops.concat([first, second if lengths else second + start], -1)


def _measure_coverage(low: Tensor, high: Tensor, length: Any) -> Tensor:
    """Returns how much of each pixel lies between two edges, `(batch, n, length)`."""
    ops = _backend.get_ops(low)
    start = ops.cast(ops.arange(length), "float32")
    end = ops.minimum(high[..., None], start + 1.0)
    covered = end - ops.maximum(low[..., None], start)
    return ops.maximum(covered, 0.0)
