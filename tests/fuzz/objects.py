"""Bounding boxes and keypoints of a mixed batch, in NumPy."""

from typing import Any

import numpy as np

from tests.fuzz.contents import Rows
from tests.fuzz.expected import Expected
from tests.fuzz.ragged import ExpectedRows

#: Shares this near to a bound may fall on either side of it.
NEAR = 1e-5


def expect(case: Any, key: str, rows: dict[str, Any], plan: Any) -> dict[str, Any]:
    """Returns the rows of both images, with the share that each one has left."""
    if not isinstance(rows["labels"], Rows):
        return _expect_rows(case, key, rows, plan)[0]
    lengths = rows["labels"].lengths
    dense = {entry: values.values for entry, values in rows.items()}
    beyond = np.arange(dense["labels"].shape[1]) >= lengths[:, None]
    dense["labels"] = np.where(beyond, -1, dense["labels"]).astype(rows["labels"].dtype)
    found, kept, unsure = _expect_rows(case, key, dense, plan)
    return {entry: ExpectedRows(x, kept, unsure) for entry, x in found.items()}


def _expect_rows(
    case: Any, key: str, rows: dict[str, np.ndarray], plan: Any
) -> tuple[dict[str, Any], np.ndarray, np.ndarray]:
    """Returns dense rows, which of them are kept, and where that is not sure."""
    name = "boxes" if key == "bounding_boxes" else "points"
    places = rows[name]
    partner = {entry: values[plan.partner] for entry, values in rows.items()}
    own_share, _ = _shares(case, name, places, plan, own=True)
    other_share, moved = _shares(case, name, partner[name], plan, own=False)
    share = np.concatenate([own_share, other_share], 1)
    labels = np.concatenate([rows["labels"], partner["labels"]], 1)
    least = case.arguments.get("min_box_share", 0.0)
    real = labels.astype("float64") >= 0
    kept = real & (share > 0) & (share >= least)
    unsure = (np.abs(share - least) < NEAR) | (share < NEAR) & (share > 0)
    if name == "points" and moved is not None:
        # A moved point this near to the next pixel may lie in either.
        edges = np.abs(moved - np.round(moved)) <= _slack(moved)
        unsure[:, places.shape[1] :] |= edges.any(-1)
    unsure &= real
    given = np.ones(share.shape)
    found: dict[str, Any] = {}
    for entry, values in rows.items():
        both = np.concatenate([values, partner[entry]], 1).astype("float64")
        if entry == "weights":
            given = both
            continue
        slack = np.zeros(both.shape)
        if entry == name and moved is not None:
            both = np.concatenate([places.astype("float64"), moved], 1)
            slack[:, places.shape[1] :] = _slack(moved)
        fill = -1.0 if entry in (name, "labels") else 0.0
        shape = kept.shape + (1,) * (both.ndim - 2)
        both = np.where(kept.reshape(shape), both, fill)
        free = np.broadcast_to(unsure.reshape(shape), both.shape)
        found[entry] = Expected(both, values.dtype.name, slack, free)
    weights = np.where(kept, share * given, 0.0)
    slack = np.where(kept, 1e-5 * np.abs(given), 0.0)
    found["weights"] = Expected(weights, "float32", slack, unsure)
    return found, kept, unsure


def _shares(
    case: Any, name: str, places: np.ndarray, plan: Any, *, own: bool
) -> tuple[np.ndarray, np.ndarray | None]:
    """Returns the visible share of each row, and places that were moved."""
    mask = plan.mask.astype("float64")
    mask = mask if own else 1 - mask
    size = mask.shape[1:]
    places = places.astype("float64")
    moved = None
    if name == "points":
        if not own and plan.start is not None:
            places = moved = _move(places, plan)
        return _look_up(places, mask), moved
    form = case.arguments["bounding_box_format"]
    corners = to_corners(places, form, size)
    if not own and plan.start is not None:
        ends = [_move(corners[..., x], plan) for x in ((0, 1), (2, 3))]
        corners = np.concatenate(ends, -1)
        moved = from_corners(corners, form, size)
    shares = np.zeros(places.shape[:2])
    for i, row in np.ndindex(shares.shape):
        share = _visible(corners[i, row], mask[i])
        # A box without a pixel in the image has the weight of the label.
        alone = plan.weight[i] if own else 1.0 - plan.weight[i]
        shares[i, row] = alone if share is None else share
    return shares, moved


def _slack(moved: np.ndarray) -> np.ndarray:
    """Returns how far moved points may be from those in exact arithmetic."""
    return 1e-5 * (1 + np.abs(moved))


def _move(points: np.ndarray, plan: Any) -> np.ndarray:
    """Returns points, x first, where a smaller partner shows them."""
    start, scale = (
        x[:, None, ::-1].astype("float64") for x in (plan.start, plan.scale)
    )
    return start + scale * points


def _look_up(points: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Returns the mask at the pixels in which points lie, 0 beyond the image."""
    found = np.zeros(points.shape[:2])
    for i, row in np.ndindex(found.shape):
        pixel = tuple(int(x) for x in np.floor(points[i, row, ::-1]))
        if all(
            0 <= x < length for x, length in zip(pixel, mask.shape[1:], strict=True)
        ):
            found[i, row] = mask[(i, *pixel)]
    return found


def _visible(box: np.ndarray, mask: np.ndarray) -> float | None:
    """Returns the mean of a mask over a box (x, y, x, y) within the image."""
    height, width = mask.shape
    columns = _cover(box[0], box[2], width)
    rows = _cover(box[1], box[3], height)
    area = rows.sum() * columns.sum()
    return float(rows @ mask @ columns / area) if area > 0 else None


def _cover(start: float, end: float, length: int) -> np.ndarray:
    """Returns how much of each pixel of an axis lies between two coordinates."""
    pixels = np.arange(length)
    return np.clip(np.minimum(end, pixels + 1) - np.maximum(start, pixels), 0, 1)


def to_corners(boxes: np.ndarray, form: str, size: tuple[int, ...]) -> np.ndarray:
    """Returns boxes of any format as left, top, right, bottom, in pixels."""
    relative = form.startswith("rel_")
    form = form.removeprefix("rel_")
    a, b, c, d = np.moveaxis(boxes, -1, 0)
    if form in ("yxyx", "center_yxhw"):
        a, b, c, d = b, a, d, c
    if form.startswith("center"):
        a, b = a - c / 2, b - d / 2
    if form in ("xywh", "center_xywh", "center_yxhw"):
        c, d = a + c, b + d
    found = np.stack([a, b, c, d], -1)
    return found * np.array([size[1], size[0]] * 2) if relative else found


def from_corners(corners: np.ndarray, form: str, size: tuple[int, ...]) -> np.ndarray:
    """Returns boxes in a format."""
    if form.startswith("rel_"):
        corners = corners / np.array([size[1], size[0]] * 2)
    form = form.removeprefix("rel_")
    a, b, c, d = np.moveaxis(corners, -1, 0)
    if form in ("xywh", "center_xywh", "center_yxhw"):
        c, d = c - a, d - b
    if form.startswith("center"):
        a, b = a + c / 2, b + d / 2
    if form in ("yxyx", "center_yxhw"):
        a, b, c, d = b, a, d, c
    return np.stack([a, b, c, d], -1)
