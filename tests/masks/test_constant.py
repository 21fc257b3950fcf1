"""Constant masks against their definition."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal, assert_equal

from keras_msda import masks
from tests.support import mask_cases as cases
from tests.support import oracles

sizes = pytest.mark.parametrize("size", cases.SIZES, ids=str)


@sizes
def test_every_pixel_is_lam(size):
    lam = cases.lattice_shares(size)
    mask, _ = masks.constant_mask(lam, size)
    assert_array_equal(np.asarray(mask), oracles.constant_mask(lam, size)[0])


@sizes
def test_weight_is_lam_itself(size):
    lam = cases.lattice_shares(size)
    assert_array_equal(np.asarray(masks.constant_mask(lam, size)[1]), lam)


@sizes
def test_mask_and_weight_are_float32(size):
    found = [np.asarray(part) for part in masks.constant_mask(cases.shares(), size)]
    assert_equal([part.dtype for part in found], [np.float32, np.float32])
