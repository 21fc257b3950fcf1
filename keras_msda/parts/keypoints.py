"""Keypoints of mixed images: those of both images, with the share that is left."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from keras_msda import _backend, _checks, plans
from keras_msda.parts import _entries
from keras_msda.parts._part import Context, Settings

Tensor = Any


@_backend.skip_autograph
def mix_keypoints(
    keypoints: Mapping[str, Any], plan: plans.Plan, *, min_share: float = 0.0
) -> dict[str, Tensor]:
    """Combines the keypoints of both images of a mix.

    The weight of a keypoint is the share of its own image at the pixel it lies in.

    Args:
        keypoints: "points" `(batch, n, rank)` in pixels, x first as in (x, y), and
            "labels" `(batch, n)`, optionally other entries `(batch, n, ...)`. All
            dense, with labels below 0 in rows of padding, or all ragged.
        plan: From `layer.sample`, for this batch and size.
        min_share: Keypoints with less than this share, or with none, are dropped.

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
    entries = _entries.check_entries(owner, keypoints, place="points", layout=layout)
    settings = Settings(min_box_share=min_share, owner=owner)
    return _mix_points(entries, plan, layout.size, settings)


def check(key: str, context: Context, *, owner: str) -> dict[str, Tensor]:
    """Returns keypoints as tensors that can be mixed, or raises; see `Part`."""
    _entries.check_moves(owner, "points", context.settings.moves)
    return _entries.check_entries(
        owner, context.parts[key], place="points", layout=context.layout
    )


def mix(key: str, context: Context, *, plan: plans.Plan) -> dict[str, Tensor]:
    """Returns checked keypoints as a plan mixes them; see `Part`."""
    points, size = context.parts[key], context.layout.size
    return _mix_points(points, plan, size, context.settings)


def _mix_points(
    entries: dict[str, Tensor],
    plan: plans.Plan,
    size: Sequence[Any],
    settings: Settings,
) -> dict[str, Tensor]:
    """Returns checked keypoints as a plan mixes them."""

    def share(points: Tensor, shown: Tensor, _weight: Tensor) -> Tensor:
        ops = _backend.get_ops(points)
        lengths = ops.cast(ops.stack(size), "float32")
        pixel = ops.floor(ops.reverse(ops.cast(points, "float32"), -1))
        inside = ops.all((pixel >= 0) & (pixel < lengths), -1)
        pixel = ops.truncate(ops.where(inside[..., None], pixel, 0.0))
        index = pixel[..., 0]
        for axis in range(1, len(size)):
            index = index * size[axis] + pixel[..., axis]
        flat = ops.reshape(shown, [ops.shape(shown)[0], math.prod(size)])
        return ops.where(inside, ops.take_along(flat, index), 0.0)

    def move(points: Tensor, start: Tensor, scale: Tensor) -> Tensor:
        ops = _backend.get_ops(points)
        start, scale = ops.reverse(start, -1), ops.reverse(scale, -1)
        return scale[:, None] * points + start[:, None]

    measure = _entries.Measure("points", len(size), share, move, settings.owner)
    return _entries.mix_entries(
        entries, measure, plan=plan, size=size, min_share=settings.min_box_share
    )
