"""Slow, plain float64 counterparts of what mixes masks, boxes and keypoints.

Loops over samples, pixels and rows. They share no code with the library, take a plan's
numbers as the float32 they are given and read every box as pixels left, top, right and
bottom.
"""

import itertools

import numpy as np

from tests.support.oracles import blend, pixels

# Segmentation masks


def _place(pixel, masks, share, data_format):
    """Returns where the values of a pixel are in one sample's mask."""
    channels = np.ndim(masks) > np.ndim(share)
    first = channels and data_format == "channels_first"
    return (slice(None), *pixel) if first else pixel


def select_masks(masks, plan, data_format="channels_last"):
    """Takes each pixel from its image where the share is above a half, else partner."""
    masks, share = np.asarray(masks), np.asarray(plan.mask, np.float64)
    selected = np.empty_like(masks)
    for i, pixel in itertools.product(range(len(masks)), pixels(share.shape[1:])):
        source = i if share[(i, *pixel)] > 0.5 else int(plan.partner[i])
        place = _place(pixel, masks, share, data_format)
        selected[i][place] = masks[source][place]
    return selected


def blend_masks(masks, plan, data_format="channels_last"):
    """Mixes each pixel's values with the partner's by the share."""
    masks, share = np.asarray(masks, np.float64), np.asarray(plan.mask, np.float64)
    blended = np.empty_like(masks)
    for i, pixel in itertools.product(range(len(masks)), pixels(share.shape[1:])):
        place = _place(pixel, masks, share, data_format)
        own, other = masks[i][place], masks[int(plan.partner[i])][place]
        blended[i][place] = blend(own, other, share[(i, *pixel)])
    return blended


def one_hot_masks(masks, plan, num_classes, data_format="channels_last"):
    """Mixes one-hot rows of class indices; an index of no class is a row of zeros."""
    share = np.asarray(plan.mask, np.float64)
    indices = np.asarray(masks).reshape(share.shape)  # Without an axis of one channel.
    rows = np.zeros((*share.shape, num_classes))
    for i, pixel in itertools.product(range(len(share)), pixels(share.shape[1:])):
        own = int(indices[(i, *pixel)])
        other = int(indices[(int(plan.partner[i]), *pixel)])
        if 0 <= own < num_classes:
            rows[(i, *pixel, own)] += share[(i, *pixel)]
        if 0 <= other < num_classes:
            rows[(i, *pixel, other)] += 1 - share[(i, *pixel)]
    return np.moveaxis(rows, -1, 1) if data_format == "channels_first" else rows


# Boxes


def _centered(x, y, width, height):
    return x - width / 2, y - height / 2, x + width / 2, y + height / 2


def _scaled(box, size):
    left, top, right, bottom = box
    height, width = size
    return left * width, top * height, right * width, bottom * height


#: Format -> pixels (left, top, right, bottom) of four numbers and (height, width).
TO_PIXELS = {
    "xyxy": lambda a, b, c, d, _: (a, b, c, d),
    "yxyx": lambda a, b, c, d, _: (b, a, d, c),
    "xywh": lambda a, b, c, d, _: (a, b, a + c, b + d),
    "center_xywh": lambda a, b, c, d, _: _centered(a, b, c, d),
    "center_yxhw": lambda a, b, c, d, _: _centered(b, a, d, c),
    "rel_xyxy": lambda a, b, c, d, size: _scaled((a, b, c, d), size),
    "rel_yxyx": lambda a, b, c, d, size: _scaled((b, a, d, c), size),
    "rel_xywh": lambda a, b, c, d, size: _scaled((a, b, a + c, b + d), size),
    "rel_center_xywh": lambda a, b, c, d, size: _scaled(_centered(a, b, c, d), size),
}


def to_pixels(box, box_format, size):
    """Returns a box as pixels (left, top, right, bottom)."""
    return TO_PIXELS[box_format](*(float(number) for number in box), size)


def box_share(mask, box):
    """Averages a mask over the part of a box in the image; None if that has no area."""
    left, top, right, bottom = box
    total = area = 0.0
    for row, column in pixels(np.shape(mask)):
        height = max(min(bottom, row + 1) - max(top, row), 0.0)
        width = max(min(right, column + 1) - max(left, column), 0.0)
        total += height * width * float(mask[row][column])
        area += height * width
    return total / area if area > 0 else None


def _mixed_rows(values, plan, share, min_share):
    """Lists for each sample its rows and its partner's, as (source, row, share).

    The share of a row that is not kept is None.
    """
    samples = []
    for i, partner in enumerate(plan.partner):
        rows = []
        for source, own in ((i, True), (int(partner), False)):
            for n, label in enumerate(values["labels"][source]):
                visible = share(i, source, n, own)
                kept = label >= 0 and visible > 0 and visible >= min_share
                rows.append((source, n, visible if kept else None))
        samples.append(rows)
    return samples


def _weights(values, source, n, share):
    return share * float(values["weights"][source][n]) if "weights" in values else share


def _padded(values, samples, padding):
    """Returns arrays in which rows that are not kept hold the padding."""
    arrays = {key: np.asarray(value) for key, value in values.items()}
    batch, count = arrays["labels"].shape
    shapes = {key: (batch, 2 * count, *x.shape[2:]) for key, x in arrays.items()}
    mixed = {
        key: np.full(shapes[key], padding.get(key, 0), x.dtype)
        for key, x in arrays.items()
    }
    mixed["weights"] = np.zeros((batch, 2 * count))
    for i, rows in enumerate(samples):
        for place, (source, n, share) in enumerate(rows):
            if share is None:
                continue
            for key, x in arrays.items():
                mixed[key][i, place] = x[source, n]
            mixed["weights"][i, place] = _weights(values, source, n, share)
    return mixed


def _compact(values, samples):
    """Returns for each key and sample the list of the kept rows."""
    kept = [[row for row in rows if row[2] is not None] for rows in samples]
    mixed = {
        key: [[x[source][n] for source, n, _ in rows] for rows in kept]
        for key, x in values.items()
    }
    mixed["weights"] = [[_weights(values, *row) for row in rows] for rows in kept]
    return mixed


def _box_rows(values, plan, box_format, min_share):
    masks = np.asarray(plan.mask, np.float64)
    size = masks.shape[1:]

    def share(i, source, n, own):
        box = to_pixels(values["boxes"][source][n], box_format, size)
        weight = float(plan.weight[i])
        found = box_share(masks[i] if own else 1 - masks[i], box)
        if found is None:
            return weight if own else 1 - weight
        return found

    return _mixed_rows(values, plan, share, min_share)


def mix_boxes(values, plan, box_format, min_share=0.0):
    """Mixes dense boxes: own rows, then the partner's, padding where not kept.

    Args:
        values: Arrays (B, N, ...): "boxes", "labels" and more.
        plan: Partners, masks and weights as NumPy arrays.
        box_format: A key of `TO_PIXELS`.
        min_share: Least share of a row that is kept.

    Returns:
        Arrays (B, 2N, ...), in the given dtypes; "weights" in float64.
    """
    rows = _box_rows(values, plan, box_format, min_share)
    return _padded(values, rows, {"boxes": -1, "labels": -1})


def mix_ragged_boxes(values, plan, box_format, min_share=0.0):
    """Mixes boxes of any number a sample; key -> for each sample the kept rows."""
    return _compact(values, _box_rows(values, plan, box_format, min_share))


# Keypoints


def point_share(mask, point):
    """Returns the mask at the pixel of a point (x, y, z), 0 outside the image."""
    pixel = [int(np.floor(float(x))) for x in reversed(list(point))]
    inside = all(0 <= k < n for k, n in zip(pixel, np.shape(mask), strict=True))
    return float(mask[tuple(pixel)]) if inside else 0.0


def _point_rows(values, plan, min_share):
    masks = np.asarray(plan.mask, np.float64)

    def share(i, source, n, own):
        if values["labels"][source][n] < 0:
            return 0.0  # Padding need not hold numbers.
        mask = masks[i] if own else 1 - masks[i]
        return point_share(mask, values["points"][source][n])

    return _mixed_rows(values, plan, share, min_share)


def mix_keypoints(values, plan, min_share=0.0):
    """Mixes dense keypoints, "points" and "labels" and more, as `mix_boxes` does."""
    rows = _point_rows(values, plan, min_share)
    return _padded(values, rows, {"points": -1, "labels": -1})


def mix_ragged_keypoints(values, plan, min_share=0.0):
    """Mixes keypoints of any number a sample, as `mix_ragged_boxes` does."""
    return _compact(values, _point_rows(values, plan, min_share))
