"""The box of ResizeMix and the sources of its pixels, against loops."""

import math

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal, assert_equal

from keras_msda import masks
from keras_msda.masks import box as _box
from keras_msda.masks import resize as _resize
from tests.support import layer_cases, mask_cases
from tests.support import method_oracles as oracles
from tests.support.errors import check_error

sizes = pytest.mark.parametrize("size", mask_cases.SIZES, ids=str)


def resize_mask(*arguments):
    return tuple(map(layer_cases.array, masks.resize_mask(*arguments)))


def draws(size, seed=0):
    """Returns scales, halves of pixels too, and positions, both ends too."""
    rng = np.random.default_rng(seed)
    scale = np.concatenate([[0, 1, 0.125, 0.5, 0.75, 1e-7], rng.random(20)])
    position = rng.random((len(scale), len(size)), np.float32)
    ends = np.array([0, mask_cases.JUST_UNDER_ONE, 0.5, 0.25])
    position[:4] = ends[:, None]
    return scale.astype(np.float32), position.astype(np.float32)


def extents(starts, sides):
    ops = layer_cases._backend.get_backend_ops()
    return _box.Extent(ops.convert(starts, "int32"), ops.convert(sides, "int32"))


@sizes
def test_the_box_is_that_of_the_loop(size):
    scale, position = draws(size)
    mask, _ = resize_mask(scale, position, size)
    assert_array_equal(mask, oracles.resize_mask(scale, position, size))


@sizes
def test_the_weight_is_one_less_the_area(size):
    scale, position = draws(size)
    mask, weight = resize_mask(scale, position, size)
    sides = [oracles.resized_sides(x, size) for x in scale]
    expected = [1 - math.prod(each) / math.prod(size) for each in sides]
    assert_allclose(weight, expected, rtol=0, atol=1e-6)
    assert_allclose(weight, layer_cases.pixel_means(mask), rtol=0, atol=1e-6)
    assert_equal([mask.dtype, weight.dtype], [np.float32, np.float32])


def test_the_whole_scale_replaces_everything():
    mask, weight = resize_mask([1.0], [[0.9, 0.9]], (5, 6))
    assert_array_equal(mask, np.zeros((1, 5, 6)))
    assert_array_equal(weight, [0])


def test_every_place_inside_is_equally_likely():
    position = (np.arange(60, dtype=np.float32) + 0.5)[:, None] / 60
    mask, _ = resize_mask(np.full(60, 0.4, np.float32), position, (5,))
    first = np.argmin(mask, 1)  # Of two pixels of five: four places.
    assert_array_equal(np.bincount(first), [15] * 4)


@sizes
def test_pixels_come_from_where_the_loop_takes_them(size):
    scale, position = draws(size, seed=1)
    boxes = [oracles.resized_box(*x, size) for x in zip(scale, position, strict=True)]
    found = _resize.find_sources(extents(*zip(*boxes, strict=True)), size)
    pixels = np.arange(math.prod(size)).reshape(size)
    for index, (starts, sides) in zip(layer_cases.array(found), boxes, strict=True):
        expected = oracles.paste(pixels * 0 - 1, pixels, starts, sides)
        inside = expected >= 0
        assert_array_equal(index[inside], expected[inside])
        assert_array_equal(np.clip(index, 0, pixels.size - 1), index)


@pytest.mark.parametrize("traced", [False, True])
@pytest.mark.parametrize("side", [1, 3, 32_768, 99_991, 100_000])
def test_sources_in_long_signals_are_exact(side, traced):
    ops, length = layer_cases._backend.get_backend_ops(), 100_000
    given = ops.convert(length, "int32") if traced else length
    start = ops.convert([length - side], "int32")
    found = _resize._find_sources(start, ops.convert([side], "int32"), given)
    j = np.arange(side, dtype=np.int64)
    expected = (2 * j + 1) * length // (2 * side)
    assert_array_equal(layer_cases.array(found)[0, length - side :], expected)


def test_a_smaller_image_is_symmetric_and_reaches_all_ends():
    found = _resize.find_sources(extents([[2]], [[3]]), (9,))
    # The middle of each third; beyond the box its nearest pixel.
    assert_array_equal(layer_cases.array(found)[0], [1, 1, 1, 4, 7, 7, 7, 7, 7])


@pytest.mark.parametrize(
    ("change", "rule", "received"),
    [
        ({"scale": [1.5]}, "`scale` must be in [0, 1]", "[1.5]"),
        ({"scale": [[0.5]]}, "`scale` must have the shape (draws,)", "(1, 1)"),
        ({"position": [[0.5, 1.0]]}, "`position` must be in [0, 1)", "1.0"),
        ({"position": [[0.5]]}, "(draws=1, rank=2)", "(1, 1)"),
        ({"size": (4.0, 5)}, "`size` must hold", "(4.0, 5)"),
        ({"size": (2**24 + 1, 1)}, "16,777,216 pixels at most", "16777217"),
    ],
    ids=str,
)
def test_wrong_arguments_are_refused(change, rule, received):
    arguments = {"scale": [0.5], "position": [[0.5, 0.2]], "size": (4, 5)} | change
    call = lambda: masks.resize_mask(**arguments)  # noqa: E731
    check_error(call, "resize_mask", ValueError, rule, received)
