"""ResizeMix: the whole partner, small, with all that belongs to it."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal, assert_equal

import keras_msda as msda
from keras_msda import plans
from keras_msda.testing import check_layer
from tests.support import layer_cases as cases
from tests.support import method_oracles as oracles
from tests.support.errors import check_error

SEED, BATCH = (1, 2), 5
sizes = pytest.mark.parametrize("size", [(31,), (9, 14), (5, 6, 9), (1, 7)], ids=str)


def boxes_of(plan):
    """Returns starts and sides of the boxes, int `(batch, rank)`."""
    found = []
    for mask in cases.array(plan.mask):
        rows = np.argwhere(mask == 0)
        found.append((rows.min(0), np.ptp(rows, 0) + 1))
    return found


def make(**arguments):
    arguments = {
        "pairing": "roll",
        "seed": 1,
        "data_format": "channels_last",
    } | arguments
    return msda.ResizeMixLayer(**arguments)


@pytest.mark.slow
def test_the_layer_obeys_the_laws_of_all_layers():
    layer = msda.ResizeMixLayer(seed=3)
    assert check_layer(layer, sizes=[(6, 5)], worlds=["eager"])


@sizes
def test_images_are_pasted_as_by_the_loop(size):
    layer, x = make(), cases.images(BATCH, size)
    plan = layer.sample(BATCH, size, seed=SEED)
    mixed, labels = layer.mix((x, np.eye(BATCH, dtype="float32")), seed=SEED)
    for i, (starts, sides) in enumerate(boxes_of(plan)):
        expected = oracles.paste(x[i], x[i - 1], starts, sides)
        assert_array_equal(cases.array(mixed)[i], expected)
        share = 1 - np.prod(sides) / np.prod(size)
        assert_allclose(cases.array(labels)[i, i], share, rtol=0, atol=1e-6)
        assert_allclose(cases.array(labels)[i, i - 1], 1 - share, rtol=0, atol=1e-6)


def test_what_is_hidden_may_be_nan():
    x = cases.images(BATCH, (8, 8))
    layer = make(scale_range=(1, 1))
    x[2] = np.nan
    mixed, labels = layer.mix((x, np.eye(BATCH, dtype="float32")), seed=SEED)
    assert_array_equal(cases.array(mixed), np.roll(x, 1, 0))
    assert_array_equal(cases.array(labels), np.roll(np.eye(BATCH), 1, 0))


def test_a_constant_partner_gives_a_constant_box():
    x = np.broadcast_to(
        np.arange(BATCH, dtype="float32")[:, None, None, None], (5, 7, 9, 1)
    )
    layer = make()
    mixed = cases.array(layer.mix((x, np.eye(BATCH)), seed=SEED)[0])[..., 0]
    mask = cases.array(layer.sample(BATCH, (7, 9), seed=SEED).mask)
    assert_array_equal(mixed, np.where(mask == 1, x[..., 0], np.roll(x, 1, 0)[..., 0]))


def test_each_corner_of_the_partner_is_shown():
    layer, size = make(scale_range=(0.5, 0.5)), (8, 12)
    x = np.zeros((BATCH, *size, 1), "float32")
    # Blocks of two by two at the corners: half of each length is left.
    for row, column, value in [(0, 0, 1), (0, 10, 2), (6, 0, 3), (6, 10, 4)]:
        x[:, row : row + 2, column : column + 2] = value
    mixed = cases.array(layer.mix((x, np.eye(BATCH)), seed=SEED)[0])
    plan = layer.sample(BATCH, size, seed=SEED)
    for image, (start, side) in zip(mixed, boxes_of(plan), strict=True):
        (top, left), (bottom, right) = start, start + side - 1
        corners = [image[y, x, 0] for y in (top, bottom) for x in (left, right)]
        assert_array_equal(corners, [1, 2, 3, 4])


def test_sides_are_uniform_in_their_range():
    layer = msda.ResizeMixLayer(scale_range=(0.25, 0.75))
    mask, _ = layer.sample_masks(3000, (16, 32), seed=SEED)
    hidden = cases.array(mask) == 0
    rows = hidden.any(2).sum(1)
    columns = hidden.any(1).sum(1)
    assert_array_equal(np.unique(rows), np.arange(4, 13))
    # One scale for both axes.
    assert np.all(np.abs(columns - 2 * rows) <= 1)
    # Half a share for the sides at the ends; five standard errors.
    expected = np.array([0.5, 1, 1, 1, 1, 1, 1, 1, 0.5]) / 8
    bound = 5 * np.sqrt(expected / 3000)
    assert np.all(np.abs(np.bincount(rows)[4:] / 3000 - expected) < bound)


@pytest.mark.parametrize("per", ["batch", "pair"])
def test_moves_are_shared_as_masks_are(per):
    layer = make(per=per, pairing="reverse")
    x = cases.images(4, (8, 8))
    plan = layer.sample(4, (8, 8), seed=SEED)
    assert isinstance(plan, plans.MovedMixPlan)
    mixed = cases.array(layer.mix((x, np.eye(4)), seed=SEED)[0])
    for i, (starts, sides) in enumerate(boxes_of(plan)):
        assert_array_equal(mixed[i], oracles.paste(x[i], x[3 - i], starts, sides))


def test_channels_may_come_first():
    x = cases.images(BATCH, (6, 9))
    given = np.moveaxis(x, -1, 1)
    last = cases.array(make().mix((x, np.eye(BATCH)), seed=SEED)[0])
    layer = make(data_format="channels_first")
    first = cases.array(layer.mix((given, np.eye(BATCH)), seed=SEED)[0])
    assert_array_equal(np.moveaxis(first, 1, -1), last)


def test_all_frames_of_a_video_can_have_one_box():
    x = cases.images(BATCH, (3, 8, 10))
    layer = make(mask_axes=(2, 3))
    mixed = cases.array(layer.mix((x, np.eye(BATCH)), seed=SEED)[0])
    plan = layer.sample(BATCH, (3, 8, 10), seed=SEED)
    for i, (starts, sides) in enumerate(boxes_of(plan)):
        assert_equal((starts[0], sides[0]), (0, 3))
        assert_array_equal(mixed[i], oracles.paste(x[i], x[i - 1], starts, sides))


def test_segmentation_masks_move_with_the_partner():
    classes = np.random.default_rng(0).integers(0, 9, (BATCH, 7, 9))
    layer, x = make(), cases.images(BATCH, (7, 9))
    batch = {"images": x, "segmentation_masks": classes}
    found = cases.array(layer.mix(batch, seed=SEED)["segmentation_masks"])
    plan = layer.sample(BATCH, (7, 9), seed=SEED)
    for i, (starts, sides) in enumerate(boxes_of(plan)):
        expected = oracles.paste(classes[i], classes[i - 1], starts, sides)
        assert_array_equal(found[i], expected)


def test_boxes_and_keypoints_move_with_the_partner():
    size = (8, 10)
    layer = make(bounding_box_format="xyxy")
    boxes = np.array([[[1, 2, 7, 6]]] * BATCH, "float32")
    points = np.array([[[4.0, 3.0]]] * BATCH, "float32")
    ids = np.arange(BATCH)[:, None]
    batch = {
        "images": cases.images(BATCH, size),
        "bounding_boxes": {"boxes": boxes, "labels": ids},
        "keypoints": {"points": points, "labels": ids},
    }
    mixed = layer.mix(batch, seed=SEED)
    plan = layer.sample(BATCH, size, seed=SEED)
    found = cases.array(mixed["bounding_boxes"]["boxes"])
    shown = cases.array(mixed["keypoints"]["points"])
    names = cases.array(mixed["bounding_boxes"]["labels"])
    for i, ((top, left), (height, width)) in enumerate(boxes_of(plan)):
        start = np.array([left, top])
        scale = np.array([width / 10, height / 8])
        expected = [*(start + scale * [1, 2]), *(start + scale * [7, 6])]
        # Of the partner's box, which is whole; the own one may be hidden.
        row = list(names[i]).index((i - 1) % BATCH)
        assert_allclose(found[i, row], expected, rtol=0, atol=1e-5)
        point = start + scale * [4, 3]
        assert np.any(np.all(np.abs(shown[i] - point) < 1e-5, -1))


@pytest.mark.long
def test_a_model_trains_with_labels_of_the_same_draws():
    assert np.isfinite(cases.train_with(make(pairing="shuffle")))


def test_settings_come_back_from_a_config():
    layer = msda.ResizeMixLayer(scale_range=(0.3, 0.4), seed=1)
    again = msda.ResizeMixLayer.from_config(layer.get_config())
    assert_equal(again.scale_range, (0.3, 0.4))


@pytest.mark.parametrize("value", [(0.5, 0.2), (-0.1, 0.5), (0.1, 1.5), 0.3, None])
def test_wrong_ranges_are_refused(value):
    check_error(
        lambda: msda.ResizeMixLayer(scale_range=value),
        "ResizeMixLayer",
        ValueError,
        "`scale_range` must be a pair (low, high) with 0 <= low <= high <= 1",
        f"scale_range={value!r}",
    )


def test_axes_that_are_too_long_are_refused():
    with pytest.raises(ValueError, match="ResizeMixLayer: an axis of images"):
        make().sample(2, (2**24 + 1,), seed=SEED)
