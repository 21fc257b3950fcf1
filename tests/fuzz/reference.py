"""The whole call in NumPy, from the plan that a layer has drawn.

Written from the documents: docs/, the docstrings, MATH.md and DESIGN.md.
"""

import math
from typing import Any, NamedTuple

import numpy as np

from tests.fuzz import objects, targets
from tests.fuzz.contents import (
    Contents,
    channels_first,
    move_channels,
)
from tests.fuzz.expected import STEP, Expected, Same
from tests.fuzz.rules import SALIENT, coarse_length, methods


class Plan(NamedTuple):
    """A plan as arrays; moves are indices of pixels, or None.

    Attributes:
        partner: Index of each sample's partner.
        mask: Share of the own image at each pixel.
        weight: Share of the own label.
        index: Pixel of the partner that is shown at each pixel.
        own_index: The same of the own image.
        start: Where the partner's corner comes to, in pixels.
        scale: How much smaller the partner becomes.
    """

    partner: np.ndarray
    mask: np.ndarray
    weight: np.ndarray
    index: np.ndarray | None = None
    own_index: np.ndarray | None = None
    start: np.ndarray | None = None
    scale: np.ndarray | None = None


def no_plan(batch: int, size: tuple[int, ...]) -> Plan:
    """Returns the plan that changes nothing."""
    ones = np.ones((batch, *size), np.float32)
    return Plan(np.arange(batch), ones, np.ones(batch, np.float32))


def beside(plan: Plan) -> Plan:
    """Returns the plan of a batch and of a second one that holds its partners.

    Together they are one batch, whose second half is not mixed.
    """
    batch, *size = plan.mask.shape
    partner = np.arange(batch) + batch
    ones = np.ones_like(plan.mask), np.ones_like(plan.weight)
    pixels = np.broadcast_to(np.arange(math.prod(size)).reshape(size), plan.mask.shape)

    def follow(values: np.ndarray | None, more: np.ndarray) -> np.ndarray | None:
        return None if values is None else np.concatenate([values, more])

    def stay(index: np.ndarray | None) -> np.ndarray | None:
        return None if index is None else follow(index, pixels.reshape(index.shape))

    start, scale = (
        x if x is None else follow(x, np.full_like(x, value))
        for x, value in ((plan.start, 0), (plan.scale, 1))
    )
    return Plan(
        np.concatenate([partner, partner]),
        np.concatenate([plan.mask, ones[0]]),
        np.concatenate([plan.weight, ones[1]]),
        stay(plan.index),
        stay(plan.own_index),
        start,
        scale,
    )


def expect(case: Any, contents: Contents, plan: Plan, mixed: bool) -> Contents:
    """Returns what each part of a batch should become.

    Args:
        case: The layer and the form of its batches.
        contents: The parts of a batch, with channels where the layer has them.
        plan: Drawn by the layer, or `no_plan`.
        mixed: Whether the call is one that mixes.
    """
    found: Contents = dict(contents)
    found["images"] = _expect_pixels(
        case, contents["images"], plan, compute_dtype(case)
    )
    if "saliency" in contents:
        found["saliency"] = _expect_saliency(case, contents["saliency"], plan, mixed)
    found |= targets.expect(case, contents, plan, mixed)
    if "segmentation_masks" in contents:
        masks = contents["segmentation_masks"]
        found["segmentation_masks"] = _expect_masks(case, masks, plan)
    for key in ("bounding_boxes", "keypoints"):
        if key in contents:
            found[key] = objects.expect(case, key, contents[key], plan)
    for number, spec in enumerate(case.parts.get("extra", ())):
        key = f"extra{number}"
        found[key] = _expect_extra(case, spec["kind"], contents[key], plan, mixed)
    for key in ("id", "count"):
        if key in contents:
            found[key] = Same(contents[key])
    return found


def compute_dtype(case: Any) -> str:
    """Returns the name of the dtype in which images come out."""
    policy = case.arguments.get("dtype", "float32")
    return policy.removeprefix("mixed_")  # type: ignore[no-any-return]


# Pixels.


def take(values: np.ndarray, plan: Plan) -> tuple[np.ndarray, np.ndarray]:
    """Returns own and partner's pixels, `(batch, *size, channels)`, moved."""
    own, other = values, values[plan.partner]
    return _move(own, plan.own_index), _move(other, plan.index)


def _move(values: np.ndarray, index: np.ndarray | None) -> np.ndarray:
    if index is None:
        return values
    pixels = math.prod(values.shape[1:-1])
    flat = values.reshape(len(values), pixels, values.shape[-1])
    index = index.reshape(len(values), pixels, 1)
    return np.take_along_axis(flat, index, 1).reshape(values.shape)


def blend(
    own: np.ndarray, other: np.ndarray, share: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the weighted mean in float64, and how far float32 may be off."""
    share = np.broadcast_to(share.astype("float64"), own.shape)
    own, other = own.astype("float64"), other.astype("float64")
    with np.errstate(all="ignore"):
        mean = share * own + (1 - share) * other
        slack = 4 * STEP * (np.abs(own) + np.abs(other))
    # Exact at the ends, also where the other one is no number.
    mean = np.where(share == 1, own, np.where(share == 0, other, mean))
    exact = (share == 1) | (share == 0)
    # Few bits: no order of the operations rounds.
    whole = (np.rint(own) == own) & (np.rint(other) == other)
    whole &= (np.abs(own) < 2**15) & (np.abs(other) < 2**15)
    exact |= whole & (np.rint(share * 256) == share * 256)
    slack = np.where(np.isfinite(slack), slack + 1e-30, 1.0)
    return mean, np.where(exact, 0.0, slack)


def _expect_pixels(
    case: Any, values: np.ndarray, plan: Plan, dtype: str | None
) -> Expected:
    """Returns images mixed by the mask; without a dtype they keep their own."""
    last = np.moveaxis(values, 1, -1) if channels_first(case) else values
    own, other = take(last, plan)
    mean, slack = blend(own, other, plan.mask[..., None])
    name = dtype or values.dtype.name
    # Two roundings, by float32, are as good as one.
    twice = mean.astype("float32").astype("float64")
    arrays = (move_channels(case, x) for x in (mean, slack, twice))
    mean, slack, twice = arrays
    return Expected(mean, name, slack, also=twice if name != "float64" else None)


def _expect_saliency(case: Any, values: np.ndarray, plan: Plan, mixed: bool) -> Any:
    """Returns saliency: a key like any other for methods that do not use it."""
    if not any(name in SALIENT for name, _ in methods(case)) or not mixed:
        return Same(values)
    own, other = take(values[..., None], plan)
    mean, slack = blend(own, other, plan.mask[..., None])
    return Expected(mean[..., 0], "float32", slack[..., 0])


def _expect_masks(case: Any, values: np.ndarray, plan: Plan) -> Any:
    spec, mode = case.parts["segmentation_masks"], case.arguments["segmentation"]
    channels = spec["channels"]
    last = values[..., None] if channels is None else values
    if channels is not None and channels_first(case):
        last = np.moveaxis(values, 1, -1)
    if isinstance(mode, int):
        own = np.equal(last, np.arange(mode)).astype("float64")
        mean, slack = blend(*take(own, plan), plan.mask[..., None])
        return Expected(
            move_channels(case, mean), "float32", move_channels(case, slack)
        )
    if mode == "auto":
        floats = "float" in spec["dtype"] and channels == 3
        mode = "blend" if floats else "select"
    own, other = take(last, plan)
    share = plan.mask[..., None].astype("float64")
    mean, slack = blend(own, other, plan.mask[..., None])
    also = None
    if mode == "select":
        mean, slack = np.where(share >= 0.5, own, other), np.zeros(own.shape)
        tied = np.abs(share - 0.5) < 1e-6
        also = np.where(tied, other, mean)
    arrays = [
        x if x is None else _unstack(case, channels, x) for x in (mean, slack, also)
    ]
    return Expected(arrays[0], spec["dtype"], arrays[1], also=arrays[2])


def _unstack(case: Any, channels: int | None, values: np.ndarray) -> np.ndarray:
    if channels is None:
        return values[..., 0]  # type: ignore[no-any-return]
    return move_channels(case, values)


# Other tensors.


def _expect_extra(
    case: Any, kind: str, values: np.ndarray, plan: Plan, mixed: bool
) -> Any:
    size = plan.mask.shape[1:]
    if kind == "view" or (kind == "coarse" and tuple(map(coarse_length, size)) == size):
        integers = values.dtype.kind in "iu"
        return _expect_pixels(
            case, values, plan, compute_dtype(case) if integers else None
        )
    if not mixed:
        return Same(values)
    if kind == "coarse":
        last = np.moveaxis(values, 1, -1) if channels_first(case) else values
        share = pool(plan.mask, last.shape[1:-1])[..., None]
        mean, slack = blend(last, last[plan.partner], share)
        slack = slack + 1e-6 * np.abs(last).max(initial=0) * (slack > 0)
        arrays = [move_channels(case, x) for x in (mean, slack)]
        return Expected(arrays[0], values.dtype.name, arrays[1])
    share = plan.weight.reshape(len(values), *[1] * (values.ndim - 1))
    mean, slack = blend(values, values[plan.partner], share)
    return Expected(mean, values.dtype.name, slack)


def pool(mask: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
    """Returns the mean of a mask over the cells of a coarser grid."""
    mask = mask.astype("float64")
    for axis, length in enumerate(size, 1):
        cell = mask.shape[axis] // length
        shape = (*mask.shape[:axis], length, cell, *mask.shape[axis + 1 :])
        mask = mask.reshape(shape).mean(axis + 1)
    return mask
