"""SmoothMix: a bump of the own image, and a label weight that belongs to it."""

import math

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_equal

import keras_msda as msda
from keras_msda.testing import check_layer
from tests.support import layer_cases as cases
from tests.support.errors import check_error

SEED = (1, 2)
sizes = pytest.mark.parametrize("size", [(31,), (9, 14), (5, 6, 9), (1, 7)], ids=str)


@pytest.mark.long
@pytest.mark.every_backend
def test_the_layer_obeys_the_laws_of_all_layers():
    layer = msda.SmoothMixLayer(seed=3)
    assert check_layer(layer, sizes=[(6, 5)], worlds=["eager"])


@sizes
def test_the_own_label_weighs_what_is_seen_of_the_own_image(size):
    layer = msda.SmoothMixLayer(pairing="roll", seed=1)
    own = cases.signatures(4, size)
    mixed, labels = layer.mix((own, np.eye(4, dtype="float32")), seed=SEED)
    seen = cases.array(mixed).reshape(4, -1, 4).astype(np.float64).mean(1)
    # The mean of float32 pixels.
    assert_allclose(cases.array(labels), seen, rtol=0, atol=1e-6)


@sizes
def test_the_own_image_has_its_peak_at_one_pixel(size):
    mask, _ = msda.SmoothMixLayer().sample_masks(50, size, seed=SEED)
    peaks = cases.array(mask).reshape(50, -1)
    assert_equal((peaks == 1).sum(1), np.ones(50))
    # Every place at some time: each of a few pixels is missed with probability e^-7.
    if math.prod(size) == 7:
        assert_equal(np.unique(peaks.argmax(1)), np.arange(7))


def test_widths_are_uniform_in_their_range():
    layer = msda.SmoothMixLayer(sigma_range=(0.2, 0.6))
    mask, _ = layer.sample_masks(1000, (1, 64), seed=SEED)
    rows = cases.array(mask)[:, 0].astype(np.float64)
    peak = rows.argmax(1)
    # exp(-d^2 / (2 (64 sigma)^2)) at the farther end.
    far = np.where(peak < 32, 63, 0)
    value = rows[np.arange(1000), far]
    sigma = np.abs(far - peak) / 64 / np.sqrt(-2 * np.log(value))
    assert_allclose([sigma.min(), sigma.max()], [0.2, 0.6], rtol=0, atol=0.01)
    assert np.all((sigma > 0.2 - 1e-4) & (sigma < 0.6 + 1e-4))
    # Five standard errors of a uniform mean.
    assert_allclose(sigma.mean(), 0.4, rtol=0, atol=5 * 0.4 / math.sqrt(12_000))


def test_settings_come_back_from_a_config():
    layer = msda.SmoothMixLayer(sigma_range=(0.1, 0.2), seed=1)
    again = msda.SmoothMixLayer.from_config(layer.get_config())
    assert_equal(again.sigma_range, (0.1, 0.2))


@pytest.mark.parametrize(
    "value", [(0.5, 0.2), (-0.1, 0.5), (0.1, 1.5), 0.3, (0.1,), ("a", 1), None]
)
def test_wrong_ranges_are_refused(value):
    check_error(
        lambda: msda.SmoothMixLayer(sigma_range=value),
        "SmoothMixLayer",
        ValueError,
        "`sigma_range` must be a pair (low, high) with 0 <= low <= high <= 1",
        f"sigma_range={value!r}",
    )


@pytest.mark.parametrize("kind", [msda.SmoothMixLayer, msda.ResizeMixLayer])
@pytest.mark.parametrize(
    ("arguments", "received"),
    [({"alpha": 0.4}, "alpha=0.4"), ({"fold": True}, "fold=True")],
)
def test_there_is_no_lambda(kind, arguments, received):
    rule = "do not depend on lambda"
    owner = kind.__name__
    check_error(lambda: kind(**arguments), owner, ValueError, rule, received)
    with pytest.raises(ValueError, match="Leave `lam` out"):
        kind().sample(2, (4, 4), seed=SEED, lam=0.5)
