"""Boxes and keypoints, by value: loops over pixels give the share of each that shows.

What is copied is compared bit for bit; a share is a float32 sum of few pixels.
"""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf
from numpy.testing import assert_allclose, assert_array_equal, assert_equal

import keras_msda as msda
from tests.support import dense_oracles
from tests.support import layer_cases as cases
from tests.support.errors import check_error
from tests.support.marks import parametrize

SIZE = (6, 7)
CLASSES = 4
FORMATS = list(dense_oracles.TO_PIXELS)
PIXEL_FORMATS = [name for name in FORMATS if not name.startswith("rel")]
FLOATS = ["float16", "bfloat16", "float32", "float64"]
# A float32 sum over a box, divided by its area; given weights are below 1.
SHARE = 1e-5
# Above 2^24 neighbouring integers are one number in float32.
LARGE = np.array([2**24 + 1, 2**62 + 1, -5])

formats = pytest.mark.parametrize("box_format", FORMATS)
methods = pytest.mark.parametrize("name", cases.METHODS)

#: Format -> four numbers of pixels (left, top, right, bottom) and (height, width).
FROM_PIXELS = {
    "xyxy": lambda a, b, c, d, _: (a, b, c, d),
    "yxyx": lambda a, b, c, d, _: (b, a, d, c),
    "xywh": lambda a, b, c, d, _: (a, b, c - a, d - b),
    "center_xywh": lambda a, b, c, d, _: ((a + c) / 2, (b + d) / 2, c - a, d - b),
    "center_yxhw": lambda a, b, c, d, _: ((b + d) / 2, (a + c) / 2, d - b, c - a),
    "rel_xyxy": lambda a, b, c, d, s: (a / s[1], b / s[0], c / s[1], d / s[0]),
    "rel_yxyx": lambda a, b, c, d, s: (b / s[0], a / s[1], d / s[0], c / s[1]),
    "rel_xywh": lambda a, b, c, d, s: (
        a / s[1],
        b / s[0],
        (c - a) / s[1],
        (d - b) / s[0],
    ),
    "rel_center_xywh": lambda a, b, c, d, s: (
        (a + c) / 2 / s[1],
        (b + d) / 2 / s[0],
        (c - a) / s[1],
        (d - b) / s[0],
    ),
}


def in_format(boxes, box_format, size=SIZE):
    """Returns boxes (B, N, 4) of pixels in another format."""
    flat = [FROM_PIXELS[box_format](*box, size) for box in boxes.reshape(-1, 4)]
    return np.reshape(flat, boxes.shape)


def pixel_boxes(batch, seed=0, size=SIZE):
    """Returns seven boxes a sample, in pixels, and their labels.

    Three of fractions inside; one over each border; one of no area; one beside the
    image; one around the image; a padding row in their middle.
    """
    generator = np.random.default_rng(seed)
    length = np.array([size[1], size[0]])

    def box():
        low = generator.uniform(0.1, 0.4, 2) * length
        return np.concatenate([low, low + generator.uniform(0.2, 0.5, 2) * length])

    def sample():
        over = box()
        side = generator.integers(4)
        over[side] = -1.3 if side < 2 else length[side - 2] + 1.3
        empty, beside = box(), box()
        empty[2] = empty[0]
        beside[[0, 2]] += [1.5 * length[0], 2 * length[0]]
        around = np.concatenate([[-1.5, -0.5], length + 2.0])
        return np.stack([box(), over, np.full(4, -1.0), empty, box(), beside, around])

    boxes = np.stack([sample() for _ in range(batch)])
    labels = generator.integers(0, CLASSES, boxes.shape[:2])
    labels[:, 2] = -1
    return boxes, labels


def box_case(batch, box_format="xyxy", dtype="float32", size=SIZE):
    """Returns a dictionary of boxes and labels."""
    boxes, labels = pixel_boxes(batch, size=size)
    if dtype == "int32":
        boxes = np.rint(boxes)
    boxes = tf.cast(in_format(boxes, box_format, size), dtype)
    return {"boxes": boxes, "labels": tf.constant(labels)}


def more_keys(batch, count, seed=1):
    """Returns extra entries of rows."""
    generator = np.random.default_rng(seed)
    return {
        "weights": generator.random((batch, count), np.float32),
        "scores": generator.random((batch, count)).astype(np.float16),
        "id": generator.choice(LARGE, (batch, count)),
        "crowd": generator.random((batch, count)) < 0.5,
        "pose": generator.normal(size=(batch, count, 2, 3)).astype(np.float32),
    }


def hand_plan(batch, size=SIZE, seed=0):
    """Returns a plan of shares in [0, 1] and of weights that are not their means."""
    generator = np.random.default_rng(seed)
    drawn = generator.random((batch, *size), np.float32)
    kinds = generator.integers(0, 5, drawn.shape)
    mask = np.choose(kinds, [0, 0.5, 1, drawn, drawn]).astype(np.float32)
    partner = np.roll(np.arange(batch, dtype=np.int32), 1)
    return msda.MixPlan(partner, mask, generator.random(batch, np.float32))


def constant_plan(share, batch=2, size=SIZE):
    """Returns a plan in which everybody has one share everywhere."""
    partner = np.roll(np.arange(batch, dtype=np.int32), 1)
    mask = np.full((batch, *size), share, np.float32)
    return msda.MixPlan(partner, mask, np.full(batch, share, np.float32))


def unmixed_plan(batch, size=SIZE):
    return constant_plan(1, batch, size)._replace(partner=np.arange(batch))


@functools.cache
def drawn_plan(name, batch, size=SIZE):
    return cases.arrays(cases.make(name).sample(batch, size, seed=(3, 4)))


def arrays(values):
    return {key: cases.numbers(value) for key, value in values.items()}


def check_dtypes(outputs, inputs):
    """Checks that there are weights and that all else keeps its dtype."""
    assert_equal(sorted(outputs), sorted({**inputs, "weights": None}))
    for key, value in inputs.items():
        dtype = tf.as_dtype(value.dtype) if key != "weights" else tf.float32
        assert_equal(outputs[key].dtype, dtype, err_msg=key)
    assert_equal(outputs["weights"].dtype, tf.float32)


def check_dense(outputs, inputs, expected):
    """Checks rows of a fixed number a sample against an oracle's."""
    check_dtypes(outputs, inputs)
    assert_equal(sorted(outputs), sorted(expected))
    for key, value in expected.items():
        found = cases.numbers(outputs[key])
        assert_equal(found.shape, value.shape, err_msg=key)
        if key == "weights":
            assert_allclose(found, value, rtol=0, atol=SHARE)
            assert_array_equal(found == 0, value == 0)
        else:
            assert_array_equal(found, value, err_msg=key)


def check_ragged(outputs, inputs, expected):
    """Checks rows of any number a sample against an oracle's."""
    check_dtypes(outputs, inputs)
    for key, rows in expected.items():
        found = outputs[key]
        assert_equal(type(found), tf.RaggedTensor)
        assert_array_equal(found.row_lengths(), [len(x) for x in rows], err_msg=key)
        flat = [row for sample in rows for row in sample]
        value = np.reshape(flat, found.flat_values.shape)
        atol = SHARE if key == "weights" else 0
        assert_allclose(cases.numbers(found.flat_values), value, rtol=0, atol=atol)


def check_boxes(inputs, plan, box_format="xyxy", **options):
    outputs = msda.mix_bounding_boxes(inputs, plan, box_format, **options)
    check_mixed_boxes(outputs, inputs, plan, box_format, **options)


def check_mixed_boxes(outputs, inputs, plan, box_format="xyxy", **options):
    values = arrays(inputs)
    expected = dense_oracles.mix_boxes(values, plan, box_format.lower(), **options)
    check_dense(outputs, inputs, expected)


# The oracles, by hand.

HAND_MASK = np.array([[1, 0, 0.5], [0, 1, 0]])


@pytest.mark.parametrize(
    ("box", "share"),
    [
        ((0.5, 0, 1.5, 1), 0.5),
        ((-1, -1, 1, 2), 0.5),
        ((1.25, 0.5, 3, 2), 1 / 2.625),
        ((-9, -9, 9, 9), 2.5 / 6),
        ((1, 0, 1, 2), None),
        ((3, 0, 4, 2), None),
        ((2, 0, 1, 2), None),
    ],
)
def test_the_oracle_of_shares_counts_as_by_hand(box, share):
    assert_equal(dense_oracles.box_share(HAND_MASK, box), share)


def test_the_oracle_of_boxes_mixes_as_by_hand():
    plan = msda.MixPlan([1, 0], np.stack([HAND_MASK, HAND_MASK / 2]), [0.25, 0.75])
    first = [[0, 0, 1, 1], [1, 0, 2, 1]]
    second = [[0, 0, 2, 2], [-1, -1, -1, -1]]
    boxes, labels = np.array([first, second]), np.array([[5, 6], [7, -1]])
    mixed = dense_oracles.mix_boxes({"boxes": boxes, "labels": labels}, plan, "xyxy")
    assert_array_equal(mixed["labels"], [[5, -1, 7, -1], [7, -1, 5, 6]])
    assert_array_equal(mixed["weights"], [[1, 0, 0.5, 0], [0.25, 0, 0.5, 1]])
    none = [-1, -1, -1, -1]
    assert_array_equal(mixed["boxes"][0], [first[0], none, second[0], none])
    rows = dense_oracles.mix_ragged_boxes(
        {"boxes": boxes, "labels": labels}, plan, "xyxy", min_share=0.6
    )
    assert_equal(rows["labels"], [[5], [6]])
    assert_equal(rows["weights"], [[1.0], [1.0]])


@formats
def test_the_oracle_reads_boxes_as_keras_does(box_format):
    boxes, _ = pixel_boxes(2)
    given = in_format(boxes, box_format)
    found = [
        dense_oracles.to_pixels(box, box_format, SIZE) for box in given.reshape(-1, 4)
    ]
    assert_allclose(np.reshape(found, boxes.shape), boxes, rtol=0, atol=1e-12)
    height, width = SIZE
    converted = keras.utils.bounding_boxes.convert_format(
        given.astype(np.float32), box_format, "xyxy", height, width
    )
    # Products, quotients and sums of float32 numbers up to 20.
    assert_allclose(converted, boxes, rtol=0, atol=2e-5)


def test_the_oracle_finds_the_pixel_of_a_point():
    shares = [
        dense_oracles.point_share(HAND_MASK, point)
        for point in [(0, 0), (1.9, 1.9), (2, 0.5), (3, 0), (-0.1, 0), (0, 2)]
    ]
    assert_array_equal(shares, [1, 1, 0.5, 0, 0, 0])


# Boxes of a fixed number.


@formats
@pytest.mark.parametrize("dtype", FLOATS)
def test_boxes_of_each_format_get_the_share_that_shows(box_format, dtype):
    check_boxes(box_case(3, box_format, dtype), hand_plan(3), box_format)


@pytest.mark.parametrize("dtype", ["int32", "int64"])
@pytest.mark.parametrize("box_format", PIXEL_FORMATS)
def test_boxes_may_be_whole_numbers(box_format, dtype):
    boxes = [[[1, 2, 4, 5], [0, 1, 3, 6], [-2, -1, 3, 2], [5, 4, 5, 1]]]
    boxes = tf.constant(np.concatenate([boxes, np.flip(boxes, 1)]), dtype)
    inputs = {"boxes": boxes, "labels": np.array([[0, 1, 2, 3], [3, 2, 1, 0]])}
    check_boxes(inputs, hand_plan(2), box_format)


@pytest.mark.parametrize("box_format", ["rel_xyxy", "rel_center_xywh"])
def test_relative_boxes_may_be_whole_numbers(box_format):
    boxes = np.array([[[0, 0, 1, 1]], [[1, 0, 2, 1]]])
    inputs = {"boxes": boxes, "labels": np.array([[0], [1]])}
    check_boxes(inputs, hand_plan(2), box_format)


@formats
def test_names_of_formats_may_be_in_capitals(box_format):
    check_boxes(box_case(2, box_format), hand_plan(2), box_format.upper())


@methods
@pytest.mark.parametrize("batch", [1, 3, 5])
def test_boxes_by_a_drawn_plan(name, batch):
    inputs = box_case(batch) | more_keys(batch, 7)
    check_boxes(inputs, drawn_plan(name, batch))


@pytest.mark.parametrize("labels", ["int32", "int64", "float32"])
@pytest.mark.parametrize("boxes", ["float16", "float32", "int32"])
def test_boxes_labels_and_more_keep_their_dtypes(boxes, labels):
    inputs = box_case(3, "xywh", boxes) | more_keys(3, 7)
    inputs["labels"] = tf.cast(inputs["labels"], labels)
    check_boxes(inputs, hand_plan(3), "xywh")


def test_shares_are_as_by_hand():
    # The left half is the own image's; the row of pixels from 2 to 3 is half each.
    mask = np.zeros((2, 4, 4), np.float32)
    mask[:, :, :2] = 1
    mask[:, 2] = 0.5
    plan = msda.MixPlan([1, 0], mask, np.float32([0.3, 0.9]))
    boxes = [
        [[0.5, 0, 2.5, 2], [1.5, 1.5, 2, 2.5], [-2, -2, 0.25, 9]],
        [[2, 0, 4, 2], [-3, 1, -1, 2], [0, 2.25, 4, 2.75]],
    ]
    inputs = {"boxes": np.float32(boxes), "labels": np.array([[0, 1, 2], [3, 4, 5]])}
    mixed = msda.mix_bounding_boxes(inputs, plan, "xyxy")
    expected = [[0.75, 0.75, 0.875, 1, 0.7, 0.5], [0, 0.9, 0.5, 0.25, 0.25, 0.125]]
    assert_allclose(mixed["weights"], expected, rtol=0, atol=SHARE)
    expected = [[0, 1, 2, 3, 4, 5], [-1, 4, 5, 0, 1, 2]]
    assert_array_equal(mixed["labels"], expected)


def test_the_borders_of_fractional_boxes_count_by_their_area():
    # One pixel is the own image's; the box has a tenth of it on each side.
    mask = np.zeros((1, 3, 3), np.float32)
    mask[0, 1, 1] = 1
    plan = msda.MixPlan([0], mask, np.float32([1 / 9]))
    inputs = {
        "boxes": np.float32([[[0.9, 0.9, 2.1, 2.1], [0.1, 0.1, 1.1, 1.1]]]),
        "labels": np.array([[0, 0]]),
    }
    mixed = msda.mix_bounding_boxes(inputs, plan, "xyxy")
    expected = [[1 / 1.44, 0.01, 1 - 1 / 1.44, 0.99]]
    assert_allclose(mixed["weights"], expected, rtol=0, atol=SHARE)


@pytest.mark.parametrize("box_format", ["xyxy", "rel_center_xywh"])
def test_hidden_boxes_vanish_and_whole_ones_are_whole(box_format):
    # Fractions whose float32 sums are not their products: shares are 0 or 1 still.
    generator = np.random.default_rng(2)
    corner = generator.uniform(0.1, 2.4, (2, 400, 2))
    far = np.minimum(corner + generator.uniform(0.2, 3, (2, 400, 2)), 2.95)
    boxes = in_format(np.concatenate([corner, np.maximum(far, corner)], -1), box_format)
    inputs = {"boxes": np.float32(boxes), "labels": np.zeros((2, 400), np.int64)}
    mask = np.ones((2, *SIZE), np.float32)
    mask[1] = 0
    plan = msda.MixPlan([1, 0], mask, np.float32([0.4, 0.6]))
    mixed = msda.mix_bounding_boxes(inputs, plan, box_format)
    hidden = np.full((400,), -1)
    shown = np.zeros(400)
    expected = [[*shown, *hidden], [*hidden, *shown]]
    assert_array_equal(mixed["labels"], expected)
    expected = [[*(shown + 1), *shown], [*shown, *(shown + 1)]]
    assert_allclose(mixed["weights"], expected, rtol=0, atol=SHARE)


def test_boxes_of_no_area_have_the_weight_of_the_labels():
    plan = hand_plan(2)
    boxes = [[2, 1, 2, 5], [1, 3, 4, 3], [3, 3, 3, 3], [8, 1, 9, 4], [-3, -3, 0, 0]]
    inputs = {"boxes": np.float32([boxes] * 2), "labels": np.zeros((2, 5), np.int32)}
    mixed = msda.mix_bounding_boxes(inputs, plan, "xyxy")
    expected = np.repeat(np.stack([plan.weight, 1 - plan.weight], 1), 5, axis=1)
    assert_allclose(mixed["weights"], expected, rtol=0, atol=SHARE)
    assert_array_equal(mixed["labels"], np.zeros((2, 10)))


def test_padding_stays_in_its_place_whatever_it_holds():
    inputs = box_case(3) | more_keys(3, 7)
    inputs["boxes"], inputs["labels"] = map(
        np.array, (inputs["boxes"], inputs["labels"])
    )
    inputs["boxes"][0, 2], inputs["boxes"][1, 2] = np.nan, [1, 1, 5, 5]
    inputs["weights"][0, 2] = np.nan
    inputs["labels"][:, 2] = [-1, -7, -1]
    plan = hand_plan(3)
    mixed = msda.mix_bounding_boxes(inputs, plan, "xyxy")
    check_mixed_boxes(mixed, inputs, plan)
    for key in ("weights", "scores", "id", "crowd", "pose"):
        rows = np.asarray(mixed[key])[:, [2, 9]]
        assert_array_equal(rows, np.zeros_like(rows), err_msg=key)
    assert_array_equal(np.asarray(mixed["boxes"])[:, [2, 9]], np.full((3, 2, 4), -1))
    assert_array_equal(np.asarray(mixed["labels"])[:, [2, 9]], np.full((3, 2), -1))


def test_boxes_of_no_weight_are_kept_while_they_show():
    inputs = box_case(2)
    inputs["weights"] = np.zeros((2, 7), np.float32)
    plan = constant_plan(0.5)
    mixed = msda.mix_bounding_boxes(inputs, plan, "xyxy", min_share=0.4)
    labels = np.asarray(inputs["labels"])
    assert_array_equal(mixed["labels"], np.concatenate([labels, labels[::-1]], 1))
    assert_array_equal(mixed["weights"], np.zeros((2, 14)))


@pytest.mark.parametrize("min_share", [0.0, 0.1, 0.45, 0.8, 1.0])
def test_boxes_that_show_too_little_become_padding(min_share):
    inputs = box_case(3) | more_keys(3, 7)
    check_boxes(inputs, hand_plan(3), min_share=min_share)
    check_boxes(inputs, drawn_plan("cutmix", 3), min_share=min_share)


def test_the_least_share_is_enough():
    boxes = np.float32([[[1, 1, 4, 3]], [[0, 2, 2, 6]]])
    inputs = {"boxes": boxes, "labels": np.array([[1], [2]])}
    for min_share, labels in [(0.5, [[1, 2], [2, 1]]), (0.501, [[-1, -1]] * 2)]:
        mixed = msda.mix_bounding_boxes(
            inputs, constant_plan(0.5), "xyxy", min_share=min_share
        )
        assert_array_equal(mixed["labels"], labels)


def test_unmixed_samples_keep_their_boxes_alone():
    inputs = box_case(3) | more_keys(3, 7)
    outputs = msda.mix_bounding_boxes(inputs, unmixed_plan(3), "xyxy")
    check_mixed_boxes(outputs, inputs, unmixed_plan(3))
    assert_array_equal(outputs["boxes"][:, :7], inputs["boxes"])
    assert_array_equal(outputs["labels"][:, :7], inputs["labels"])
    assert_array_equal(outputs["labels"][:, 7:], np.full((3, 7), -1))


@pytest.mark.parametrize("batch", [1, 3])
def test_there_may_be_no_boxes(batch):
    inputs = {
        "boxes": np.zeros((batch, 0, 4), np.float32),
        "labels": np.zeros((batch, 0), np.int64),
        "scores": np.zeros((batch, 0), np.float32),
    }
    check_boxes(inputs, hand_plan(batch))


@pytest.mark.parametrize("size", [(1, 7), (9, 1), (12, 5)], ids=str)
@formats
def test_boxes_in_images_of_other_sizes(box_format, size):
    check_boxes(box_case(2, box_format, size=size), hand_plan(2, size), box_format)


# Boxes of any number a sample.


def as_ragged(values, lengths):
    """Returns the first rows of each sample, and the same as a ragged tensor."""
    rows = {
        key: [x[:n] for x, n in zip(cases.numbers(value), lengths, strict=True)]
        for key, value in values.items()
    }
    tensors = {
        key: tf.RaggedTensor.from_row_lengths(
            tf.concat([x[:n] for x, n in zip(value, lengths, strict=True)], 0), lengths
        )
        for key, value in values.items()
    }
    return rows, tensors


def check_ragged_boxes(outputs, rows, inputs, plan, box_format="xyxy", **options):
    expected = dense_oracles.mix_ragged_boxes(rows, plan, box_format, **options)
    check_ragged(outputs, inputs, expected)


@methods
@pytest.mark.parametrize("lengths", [[7], [2, 0, 7], [1, 5, 0, 0, 3], [0, 0]], ids=str)
def test_ragged_boxes_keep_what_shows_alone(name, lengths):
    batch = len(lengths)
    rows, inputs = as_ragged(box_case(batch) | more_keys(batch, 7), lengths)
    plan = drawn_plan(name, batch)
    outputs = msda.mix_bounding_boxes(inputs, plan, "xyxy")
    check_ragged_boxes(outputs, rows, inputs, plan)
    for value in outputs.values():
        assert_equal(value.shape[0], batch)


@formats
def test_ragged_boxes_have_each_format(box_format):
    rows, inputs = as_ragged(box_case(3, box_format), [7, 2, 5])
    plan = hand_plan(3)
    outputs = msda.mix_bounding_boxes(inputs, plan, box_format, min_share=0.3)
    check_ragged_boxes(outputs, rows, inputs, plan, box_format, min_share=0.3)


@pytest.mark.parametrize("labels", ["int32", "int64", "float32"])
@pytest.mark.parametrize("boxes", ["float16", "float32", "int32"])
def test_ragged_boxes_keep_their_dtypes(boxes, labels):
    values = box_case(3, dtype=boxes)
    values["labels"] = tf.cast(values["labels"], labels)
    rows, inputs = as_ragged(values, [3, 7, 1])
    plan = hand_plan(3)
    check_ragged_boxes(
        msda.mix_bounding_boxes(inputs, plan, "xyxy"), rows, inputs, plan
    )


# Keypoints.


def point_case(batch, size=SIZE, dtype="float32", seed=0):
    """Returns eight points a sample: in pixels, on borders, outside and padding."""
    generator = np.random.default_rng(seed)
    lengths = np.array(size[::-1], np.float64)
    points = generator.uniform(0, 1, (batch, 8, len(size))) * lengths
    points[:, 1] = np.floor(points[:, 1])
    points[:, 2] = 0
    points[:, 3] = lengths  # The first pixel beyond each axis.
    points[:, 4, -1] = -0.25
    points[:, 5] = lengths - 0.5
    points[:, 6, 0] = 6e4 if dtype == "float16" else 3e9  # Beyond int32.
    labels = generator.integers(0, CLASSES, (batch, 8))
    labels[:, 7] = -1
    if "int" in dtype:
        points = np.clip(np.floor(points), -9, 99)
    return {"points": tf.cast(points, dtype), "labels": tf.constant(labels)}


def check_points(inputs, plan, **options):
    outputs = msda.mix_keypoints(inputs, plan, **options)
    check_mixed_points(outputs, inputs, plan, **options)


def check_mixed_points(outputs, inputs, plan, **options):
    expected = dense_oracles.mix_keypoints(arrays(inputs), plan, **options)
    check_dense(outputs, inputs, expected)


@pytest.mark.parametrize("size", [(11,), (6, 7), (3, 4, 5), (1, 7)], ids=str)
@pytest.mark.parametrize("dtype", [*FLOATS, "int32", "int64"])
def test_points_get_the_share_of_their_pixel(size, dtype):
    check_points(point_case(3, size, dtype), hand_plan(3, size))


@methods
@pytest.mark.parametrize("batch", [1, 3, 5])
def test_points_by_a_drawn_plan(name, batch):
    inputs = point_case(batch) | more_keys(batch, 8)
    check_points(inputs, drawn_plan(name, batch))


def test_points_are_as_by_hand():
    mask = np.zeros((2, 2, 3), np.float32)
    mask[:, 0, 2] = [0.25, 0.75]  # The pixel at x = 2, y = 0.
    plan = msda.MixPlan([1, 0], mask, np.float32([0.5, 0.5]))
    points = [[[2.9, 0.9], [0, 1]], [[2, 0], [3, 0]]]
    inputs = {"points": np.float32(points), "labels": np.array([[1, 2], [3, 4]])}
    mixed = msda.mix_keypoints(inputs, plan)
    assert_array_equal(mixed["labels"], [[1, -1, 3, -1], [3, -1, 1, 2]])
    assert_array_equal(mixed["weights"], [[0.25, 0, 0.75, 0], [0.75, 0, 0.25, 1]])
    none = [-1, -1]
    assert_array_equal(mixed["points"][0], np.float32([[2.9, 0.9], none, [2, 0], none]))


@pytest.mark.parametrize("labels", ["int32", "int64", "float32"])
def test_points_and_labels_keep_their_dtypes(labels):
    inputs = point_case(3, dtype="float16") | more_keys(3, 8)
    inputs["labels"] = tf.cast(inputs["labels"], labels)
    check_points(inputs, hand_plan(3))


@pytest.mark.parametrize("min_share", [0.1, 0.45, 0.5, 1.0])
def test_points_that_show_too_little_become_padding(min_share):
    check_points(point_case(5), hand_plan(5), min_share=min_share)


def test_padding_points_need_not_be_numbers():
    inputs = point_case(2)
    inputs["points"] = np.array(inputs["points"])
    inputs["points"][:, 7] = [[np.nan, np.nan], [np.inf, -np.inf]]
    check_points(inputs, hand_plan(2))


def test_unmixed_samples_keep_their_points_alone():
    inputs = point_case(3)
    mixed = msda.mix_keypoints(inputs, unmixed_plan(3))
    check_mixed_points(mixed, inputs, unmixed_plan(3))
    assert_array_equal(mixed["labels"][:, 8:], np.full((3, 8), -1))


def test_there_may_be_no_points():
    inputs = {
        "points": np.zeros((3, 0, 2), np.float32),
        "labels": np.zeros((3, 0), np.int64),
    }
    check_points(inputs, hand_plan(3))


@pytest.mark.parametrize("size", [(11,), (6, 7), (3, 4, 5)], ids=str)
@pytest.mark.parametrize("lengths", [[8], [2, 0, 8], [0, 0]], ids=str)
def test_ragged_points_keep_what_shows_alone(size, lengths):
    batch = len(lengths)
    rows, inputs = as_ragged(point_case(batch, size) | more_keys(batch, 8), lengths)
    plan = hand_plan(batch, size)
    outputs = msda.mix_keypoints(inputs, plan)
    check_ragged(outputs, inputs, dense_oracles.mix_ragged_keypoints(rows, plan))


# What is given.


@pytest.mark.parametrize("kind", ["boxes", "points"])
def test_given_rows_are_left_alone(kind):
    def given():
        case = box_case(3) if kind == "boxes" else point_case(3)
        count = 7 if kind == "boxes" else 8
        case |= {"scores": np.ones((3, count), np.float32)}
        return {key: np.array(value) for key, value in case.items()}

    inputs, plan = given(), hand_plan(3)
    if kind == "boxes":
        msda.mix_bounding_boxes(inputs, plan, "xyxy")
    else:
        msda.mix_keypoints(inputs, plan)
    assert_equal(list(inputs), list(given()))
    for key, value in given().items():
        assert_array_equal(inputs[key], value)
    for value, again in zip(plan, hand_plan(3), strict=True):
        assert_array_equal(value, again)


# In a layer.


def layer_of(name, box_format="xyxy", **arguments):
    arguments = {"bounding_box_format": box_format} | arguments
    return cases.make(name, num_classes=CLASSES, **arguments)


def inputs_of(batch, box_format="xyxy"):
    """Returns a dictionary of images, ids, boxes, keypoints and something else."""
    return {
        "images": cases.images(batch, SIZE),
        "labels": np.arange(batch) % CLASSES,
        "bounding_boxes": box_case(batch, box_format) | more_keys(batch, 7),
        "keypoints": point_case(batch),
        "id": np.resize(LARGE, batch),
    }


def check_outputs(outputs, inputs, plan, box_format="xyxy", min_share=0.0):
    """Checks all that comes back for a dictionary of dense inputs."""
    cases.check_common(outputs, inputs, plan, CLASSES)
    boxes, points = inputs["bounding_boxes"], inputs["keypoints"]
    mixed = outputs["bounding_boxes"]
    check_mixed_boxes(mixed, boxes, plan, box_format, min_share=min_share)
    check_mixed_points(outputs["keypoints"], points, plan, min_share=min_share)


#: Method -> format, least share and mode of masks; others are called eagerly alone.
SETTINGS = {
    "mixup": ("rel_yxyx", 0.3, "auto"),
    "cutmix": ("xyxy", 0.0, CLASSES),
    "hmix": ("center_yxhw", 0.3, CLASSES),
    "gmix": ("yxyx", 0.0, CLASSES),
    "fmix": ("rel_center_xywh", 0.0, "auto"),
    "random-batch": ("xywh", 0.3, "auto"),
}


# A pipeline traces each method; a graph is another way to run what that makes.
NAMES_AND_WORLDS = [
    (name, world)
    for name in cases.METHODS
    for world in cases.WORLDS
    if world != "graph" or name in ("cutmix", "gmix", "random-batch")
]


@parametrize(("name", "world"), NAMES_AND_WORLDS)
def test_layers_mix_all_keys_by_the_plan_of_the_images(name, world):
    box_format, min_share, mode = SETTINGS[name]
    layer = layer_of(name, box_format, min_box_share=min_share, segmentation=mode)
    masks = np.random.default_rng(0).integers(0, CLASSES + 1, (5, *SIZE), np.uint8)
    inputs = inputs_of(5, box_format) | {"segmentation_masks": masks}
    for key in ("scores", "crowd", "pose"):  # Each takes its time to compile.
        del inputs["bounding_boxes"][key]
    plan = cases.next_plan(layer, 5, SIZE)
    outputs = cases.WORLDS[world](layer, inputs)
    check_outputs(outputs, inputs, plan, box_format, min_share)
    expected = dense_oracles.one_hot_masks(masks, plan, CLASSES)
    if mode == "auto":
        expected = dense_oracles.select_masks(masks, plan)
    # One float32 sum of two numbers in [0, 1], of shares some last bits apart.
    assert_allclose(outputs["segmentation_masks"], expected, rtol=0, atol=1e-6)


@formats
@pytest.mark.parametrize("case", [str.lower, str.upper], ids=["lower", "upper"])
def test_layers_know_each_format(box_format, case):
    layer = layer_of("cutmix", case(box_format))
    inputs = inputs_of(5, box_format)
    plan = cases.next_plan(layer, 5, SIZE)
    check_outputs(layer(inputs), inputs, plan, box_format)


@methods
@pytest.mark.parametrize(("batch", "probability"), [(1, 1.0), (3, 1.0), (5, 0.5)])
def test_layers_leave_out_what_does_not_show(name, batch, probability):
    layer = layer_of(name, probability=probability, min_box_share=0.2)
    inputs = inputs_of(batch)
    plan = cases.next_plan(layer, batch, SIZE)
    outputs = layer(inputs)
    check_outputs(outputs, inputs, plan, min_share=0.2)
    alone = plan.partner == np.arange(batch)
    for key, count in [("bounding_boxes", 7), ("keypoints", 8)]:
        labels = np.asarray(outputs[key]["labels"])[alone, count:]
        assert_array_equal(labels, np.full_like(labels, -1))


def test_half_of_the_samples_may_stay_unmixed():
    plan = cases.next_plan(layer_of("cutmix", probability=0.5), 5, SIZE)
    alone = (plan.partner == np.arange(5)).sum()
    assert 0 < alone < 5


def test_a_drawn_weight_serves_boxes_of_no_area():
    layer = layer_of("cutmix-drawn")
    inputs = inputs_of(5)
    plan = cases.next_plan(layer, 5, SIZE)
    assert not np.allclose(plan.weight, cases.pixel_means(plan.mask))
    check_outputs(layer(inputs), inputs, plan)


@parametrize("world", ["eager", "graph", "mapped"])
@pytest.mark.parametrize("key", ["bounding_boxes", "keypoints"])
def test_rows_need_no_labels_of_the_images(world, key):
    layer = layer_of("cutmix")
    inputs = {name: inputs_of(5)[name] for name in ("images", key, "id")}
    plan = cases.next_plan(layer, 5, SIZE)
    outputs = cases.WORLDS[world](layer, inputs)
    cases.check_common(outputs, inputs, plan, CLASSES)
    check = check_mixed_boxes if key == "bounding_boxes" else check_mixed_points
    check(outputs[key], inputs[key], plan)


@parametrize("world", ["eager", "graph"])
def test_rows_keep_their_form_outside_training(world):
    layer = layer_of("mixup")
    inputs = inputs_of(3)
    outputs = cases.WORLDS[world](layer, inputs, training=False)
    check_outputs(outputs, inputs, unmixed_plan(3))


@pytest.mark.long
def test_a_partial_last_batch_of_a_pipeline_is_mixed():
    layer = layer_of("hmix")
    inputs = inputs_of(8)
    batches = tf.data.Dataset.from_tensor_slices(inputs).batch(5)
    plans = cases.next_plans(layer, [5, 3], SIZE)
    for start, plan, outputs in zip([0, 5], plans, batches.map(layer), strict=True):
        part = tf.nest.map_structure(lambda x, s=start: x[s : s + 5], inputs)
        check_outputs(outputs, part, plan)


def test_relative_boxes_are_of_the_image_whose_channels_come_first():
    layer = layer_of("cutmix", "rel_xywh", data_format="channels_first")
    boxes = box_case(5, "rel_xywh")
    plan = cases.next_plan(layer, 5, SIZE)
    images = np.moveaxis(cases.images(5, SIZE), -1, 1)
    outputs = layer({"images": images, "bounding_boxes": boxes})
    check_mixed_boxes(outputs["bounding_boxes"], boxes, plan, "rel_xywh")


@pytest.mark.parametrize("size", [(11,), (3, 4, 5)], ids=str)
@methods
def test_layers_mix_points_of_one_and_three_axes(name, size):
    layer, points = cases.make(name), point_case(5, size)
    plan = cases.next_plan(layer, 5, size)
    outputs = layer({"images": cases.images(5, size), "keypoints": points})
    check_mixed_points(outputs["keypoints"], points, plan)


@pytest.mark.parametrize("policy", ["mixed_float16", "bfloat16", "uint8"])
def test_rows_keep_their_dtype_whatever_the_images_are(policy):
    layer = layer_of("mixup", dtype=policy)
    inputs = inputs_of(5)
    plan = cases.next_plan(layer, 5, SIZE)
    outputs = layer(inputs)
    assert_equal(outputs["images"].dtype.name, policy.removeprefix("mixed_"))
    check_mixed_boxes(outputs["bounding_boxes"], inputs["bounding_boxes"], plan)
    check_mixed_points(outputs["keypoints"], inputs["keypoints"], plan)


def test_rows_go_with_masks_pairs_and_sample_weights():
    layer = layer_of("cutmix", targets="pair")
    weights = np.array([1.0, 2.0, 0.0, 0.5, 3.0], np.float32)
    masks = np.random.default_rng(0).integers(0, 256, (5, *SIZE), np.uint8)
    inputs = inputs_of(5) | {"sample_weight": weights, "segmentation_masks": masks}
    plan = cases.next_plan(layer, 5, SIZE)
    outputs = layer(inputs)
    assert_equal(sorted(outputs), sorted(inputs))
    check_mixed_boxes(outputs["bounding_boxes"], inputs["bounding_boxes"], plan)
    check_mixed_points(outputs["keypoints"], inputs["keypoints"], plan)
    selected = dense_oracles.select_masks(masks, plan)
    assert_array_equal(outputs["segmentation_masks"], selected)


@pytest.mark.long
def test_graphs_need_not_know_batch_number_or_size():
    layer = cases.make("gmix", bounding_box_format="rel_xyxy")
    signature = {
        "images": tf.TensorSpec([None, None, None, 3], "float32"),
        "bounding_boxes": {
            "boxes": tf.TensorSpec([None, None, 4], "float32"),
            "labels": tf.TensorSpec([None, None], "int64"),
        },
        "keypoints": {
            "points": tf.TensorSpec([None, None, 2], "float32"),
            "labels": tf.TensorSpec([None, None], "int64"),
        },
    }
    call = tf.function(layer.__call__, input_signature=[signature])
    for batch, size in [(5, (4, 9)), (3, (7, 5))]:  # One trace, two sizes.
        boxes = box_case(batch, "rel_xyxy", size=size)
        points = point_case(batch, size)
        plan = cases.next_plan(layer, batch, size)
        images = tf.constant(cases.images(batch, size))
        outputs = call({"images": images, "bounding_boxes": boxes, "keypoints": points})
        check_mixed_boxes(outputs["bounding_boxes"], boxes, plan, "rel_xyxy")
        check_mixed_points(outputs["keypoints"], points, plan)


def test_a_given_dictionary_is_left_alone():
    def given():
        return tf.nest.map_structure(np.array, inputs_of(3))

    inputs = given()
    layer_of("hmix")(inputs)
    assert_equal(inputs, given())


@methods
def test_the_arguments_come_back_from_the_config(name):
    layer = layer_of(name, "center_yxhw", min_box_share=0.25)
    copy = type(layer).from_config(layer.get_config())
    found = (copy.bounding_box_format, copy.min_box_share)
    assert_equal(found, ("center_yxhw", 0.25))
    plain = cases.make(name)
    assert_equal((plain.bounding_box_format, plain.min_box_share), (None, 0.0))


# Ragged rows in a layer.

LENGTHS = [3, 0, 7, 1, 5]


def ragged_inputs(lengths=LENGTHS):
    """Returns rows of each sample, and a dictionary with the same as ragged tensors."""
    inputs = inputs_of(len(lengths))
    rows = {}
    for key in ("bounding_boxes", "keypoints"):
        rows[key], inputs[key] = as_ragged(inputs[key], lengths)
    return rows, inputs


def check_ragged_outputs(outputs, rows, inputs, plan):
    cases.check_common(outputs, inputs, plan, CLASSES)
    expected = dense_oracles.mix_ragged_boxes(rows["bounding_boxes"], plan, "xyxy")
    check_ragged(outputs["bounding_boxes"], inputs["bounding_boxes"], expected)
    expected = dense_oracles.mix_ragged_keypoints(rows["keypoints"], plan)
    check_ragged(outputs["keypoints"], inputs["keypoints"], expected)


RAGGED_WORLDS = [
    *((name, "eager") for name in cases.METHODS),
    ("hmix", "graph"),
    *((name, "mapped") for name in ("cutmix", "fmix")),
]


@pytest.mark.long
@parametrize(("name", "world"), RAGGED_WORLDS)
def test_layers_mix_ragged_rows(name, world):
    layer = layer_of(name)
    rows, inputs = ragged_inputs()
    plan = cases.next_plan(layer, 5, SIZE)
    outputs = cases.WORLDS[world](layer, inputs)
    check_ragged_outputs(outputs, rows, inputs, plan)


@pytest.mark.parametrize("lengths", [[4], [0], [0, 0, 0]], ids=str)
def test_layers_mix_ragged_rows_of_small_batches(lengths):
    layer = layer_of("cutmix")
    rows, inputs = ragged_inputs(lengths)
    plan = cases.next_plan(layer, len(lengths), SIZE)
    check_ragged_outputs(layer(inputs), rows, inputs, plan)


def test_ragged_rows_stay_outside_training():
    rows, inputs = ragged_inputs()
    outputs = layer_of("cutmix")(inputs, training=False)
    check_ragged_outputs(outputs, rows, inputs, unmixed_plan(5))


@pytest.mark.long
def test_pipelines_batch_and_mix_ragged_rows():
    lengths = [3, 0, 7, 1, 5, 2, 0, 4]
    rows, inputs = ragged_inputs(lengths)
    batches = tf.data.Dataset.from_tensor_slices(inputs).ragged_batch(5)
    layer = layer_of("hmix")
    plans = cases.next_plans(layer, [5, 3], SIZE)
    for start, plan, outputs in zip([0, 5], plans, batches.map(layer), strict=True):
        boxes = inputs["bounding_boxes"]
        part = {key: x[start : start + 5] for key, x in rows["bounding_boxes"].items()}
        expected = dense_oracles.mix_ragged_boxes(part, plan, "xyxy")
        check_ragged(outputs["bounding_boxes"], boxes, expected)


# Errors.


def changed(case, **changes):
    """Returns a dictionary of rows with keys changed, or left out for None."""
    values = {**case, **changes}
    return {key: value for key, value in values.items() if value is not None}


ROWS = box_case(3)
#: Case -> boxes, format, shape of the plan's masks.
REFUSED_BOXES = {
    "no labels": (changed(ROWS, labels=None), "xyxy", SIZE),
    "no boxes": (changed(ROWS, boxes=None), "xyxy", SIZE),
    "an unknown format": (ROWS, "xxyy", SIZE),
    "a relative center_yxhw": (ROWS, "rel_center_yxhw", SIZE),
    "no format": (ROWS, None, SIZE),
    "five numbers": (
        changed(ROWS, boxes=np.zeros((3, 7, 5), np.float32)),
        "xyxy",
        SIZE,
    ),
    "boxes of no rows": (changed(ROWS, boxes=np.zeros((3, 4))), "xyxy", SIZE),
    "images of one axis": (ROWS, "xyxy", (11,)),
    "images of three axes": (ROWS, "xyxy", (3, 4, 5)),
    "another batch": (box_case(4), "xyxy", SIZE),
    "other labels": (changed(ROWS, labels=np.zeros((3, 6), int)), "xyxy", SIZE),
    "labels of another batch": (
        changed(ROWS, labels=np.zeros((4, 7), int)),
        "xyxy",
        SIZE,
    ),
}


@pytest.mark.parametrize("case", REFUSED_BOXES)
def test_boxes_that_do_not_fit_are_refused(case):
    boxes, box_format, size = REFUSED_BOXES[case]
    check_error(
        lambda: msda.mix_bounding_boxes(boxes, hand_plan(3, size), box_format),
        "mix_bounding_boxes",
        ValueError,
        "",
        "",
    )


@pytest.mark.parametrize("dense", ["boxes", "labels"])
def test_ragged_and_dense_rows_do_not_go_together(dense):
    values = box_case(3)
    _, ragged = as_ragged(values, [7, 7, 7])
    boxes = ragged | {dense: values[dense]}
    with pytest.raises((TypeError, ValueError), match="mix_bounding_boxes: "):
        msda.mix_bounding_boxes(boxes, hand_plan(3), "xyxy")


@pytest.mark.parametrize("min_share", [-0.1, 1.5, float("nan"), "0.5", None])
def test_the_least_share_is_a_share(min_share):
    for owner, call in [
        (
            "mix_bounding_boxes",
            lambda: msda.mix_bounding_boxes(
                ROWS, hand_plan(3), "xyxy", min_share=min_share
            ),
        ),
        (
            "mix_keypoints",
            lambda: msda.mix_keypoints(
                point_case(3), hand_plan(3), min_share=min_share
            ),
        ),
    ]:
        check_error(call, owner, ValueError, "`min_share`", repr(min_share))


POINTS = point_case(3)
REFUSED_POINTS = {
    "no labels": changed(POINTS, labels=None),
    "no points": changed(POINTS, points=None),
    "three numbers": changed(POINTS, points=np.zeros((3, 8, 3), np.float32)),
    "points of no rows": changed(POINTS, points=np.zeros((3, 2), np.float32)),
    "another batch": point_case(4),
    "other labels": changed(POINTS, labels=np.zeros((3, 6), int)),
}


@pytest.mark.parametrize("case", REFUSED_POINTS)
def test_points_that_do_not_fit_are_refused(case):
    points, plan = REFUSED_POINTS[case], hand_plan(3)
    check_error(
        lambda: msda.mix_keypoints(points, plan), "mix_keypoints", ValueError, "", ""
    )


@pytest.mark.parametrize(
    ("settings", "rule"),
    [
        ({"bounding_box_format": "xxyy"}, "`bounding_box_format`"),
        ({"bounding_box_format": 3}, "`bounding_box_format`"),
        ({"min_box_share": -0.5}, "`min_box_share`"),
        ({"min_box_share": 1.5}, "`min_box_share`"),
        ({"min_box_share": None}, "`min_box_share`"),
    ],
    ids=str,
)
def test_layers_check_what_rows_need(settings, rule):
    (value,) = settings.values()
    check_error(
        lambda: msda.CutMixLayer(**settings),
        "CutMixLayer",
        ValueError,
        rule,
        repr(value),
    )


#: Case -> format of the layer, images, boxes.
REFUSED_CALLS = {
    "no format": (None, cases.images(3, SIZE), ROWS),
    "no labels": ("xyxy", cases.images(3, SIZE), changed(ROWS, labels=None)),
    "five numbers": (
        "xyxy",
        cases.images(3, SIZE),
        changed(ROWS, boxes=np.zeros((3, 7, 5), np.float32)),
    ),
    "images of one axis": ("xyxy", cases.images(3, (11,)), ROWS),
    "another batch": ("xyxy", cases.images(3, SIZE), box_case(4)),
}


@pytest.mark.parametrize("case", REFUSED_CALLS)
def test_layers_refuse_boxes_that_do_not_fit(case):
    box_format, images, boxes = REFUSED_CALLS[case]
    layer = layer_of("cutmix", box_format)
    inputs = {"images": images, "labels": np.zeros(3, int), "bounding_boxes": boxes}
    check_error(lambda: layer(inputs), "CutMixLayer", ValueError, "", "")


def test_layers_refuse_points_that_do_not_fit():
    layer = layer_of("cutmix")
    inputs = {"images": cases.images(3, (11,)), "keypoints": POINTS}
    check_error(lambda: layer(inputs), "CutMixLayer", ValueError, "", "")
