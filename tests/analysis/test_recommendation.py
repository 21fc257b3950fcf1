"""Recommendations for models whose gradients are known."""

import keras
import numpy as np
import pytest

import keras_msda as msda
from keras_msda import analysis

SIZE = 16
LABELS = np.arange(6) % 2
IMAGES = np.random.default_rng(5).normal(size=(6, SIZE, SIZE, 1)).astype("float32")


def linear(weights):
    """Returns a model whose gradient by the image is what is given, everywhere."""
    model = keras.Sequential(
        [
            keras.Input((*weights.shape, 1)),
            keras.layers.Flatten(),
            keras.layers.Dense(2),
        ]
    )
    column = weights.reshape(-1, 1)
    model.layers[-1].set_weights([np.hstack([column, -column]), np.zeros(2)])
    return model


def near_weights():
    """A patch of three by three pixels: no product reaches farther than 2.9 pixels."""
    weights = np.zeros((SIZE, SIZE))
    weights[6:9, 6:9] = 1
    return weights


def far_weights():
    """Pixels half a length apart: far in the plane and on the torus."""
    weights = np.zeros((SIZE, SIZE))
    weights[[4, 4, 12, 12], [4, 12, 4, 12]] = 1
    return weights


def recommend(model, **settings):
    settings = {"draws": 200, "verbose": 0} | settings
    return analysis.recommend(model, IMAGES, LABELS, **settings)


@pytest.fixture(scope="module")
def near():
    # FMix's strength is 9 % below CutMix's: two errors are 5 % at 1,000 draws.
    return recommend(linear(near_weights()), draws=1000)


@pytest.fixture(scope="module")
def far():
    return recommend(linear(far_weights()))


def test_near_products_are_cutmixs(near):
    assert near.methods[0].name == "CutMix"
    assert near.methods[-1].name == "MixUp"
    assert near.decided
    assert near.half_distance <= 2


def test_far_products_are_mixups_before_cutmixs(far):
    order = [row.name for row in far.methods]
    assert order[0] == "MixUp"
    assert order.index("MixUp") < order.index("HMix") < order.index("CutMix")
    assert far.half_distance >= SIZE / 2


def test_strengths_are_means_of_coefficients_over_the_models_products(near, far):
    for found, weights in ((near, near_weights()), (far, far_weights())):
        places = np.argwhere(weights)
        offsets = [b - a for a in places for b in places if (a != b).any()]
        for row in found.methods:
            if row.name in ("FMix", "GridMix"):  # Drawn, here and there.
                continue
            layer = getattr(msda, f"{row.name}Layer")()
            second = analysis.regularization_coefficients(layer, (SIZE, SIZE)).second
            values = [second[tuple(d + SIZE - 1)] for d in offsets]
            # Products come from float32 gradients and a Fourier transform.
            np.testing.assert_allclose(row.strength, np.mean(values), rtol=1e-5)


def test_shares_of_near_products(near, far):
    np.testing.assert_allclose(near.near_share, 1, rtol=0, atol=1e-6)
    np.testing.assert_allclose(far.near_share, 0, rtol=0, atol=1e-6)
    even = recommend(linear(np.ones((SIZE, SIZE))))
    np.testing.assert_allclose(even.near_share, even.even_share, rtol=0, atol=1e-5)


def test_even_products_are_not_decided():
    methods = {
        "mixup": msda.MixUpLayer(),
        "cutmix": msda.CutMixLayer(border="wrap"),
        "hmix": msda.HMixLayer(),
    }
    found = recommend(linear(np.ones((SIZE, SIZE))), methods=methods)
    assert not found.decided
    assert "too little" in str(found)


def test_near_and_far_are_named_by_coefficients(near):
    assert (near.near, near.far) == ("CutMix", "MixUp")
    rows = {row.name: row for row in near.methods}
    assert rows["CutMix"].near > rows["HMix"].near > rows["MixUp"].near
    assert rows["CutMix"].far < rows["HMix"].far < rows["MixUp"].far
    np.testing.assert_allclose(rows["MixUp"].far, 1 / 6, rtol=0, atol=1e-9)


def test_the_boundary_is_where_cutmix_falls_below_mixup(near):
    curve = analysis.by_distance(
        analysis.regularization_coefficients(
            msda.CutMixLayer(border="wrap"), (SIZE, SIZE)
        ).second
    )
    at = int(near.boundary)
    assert curve.value[at] < 1 / 6 < curve.value[at - 1]


def test_the_report_has_every_method_its_numbers_and_the_limits(near):
    text = str(near)
    for row in near.methods:
        assert f"{row.strength:.4f}" in text
        assert row.name in text
    assert "not whether that makes it more accurate" in text
    assert "CutMix regularises them most" in text


def test_a_trained_convolution_on_one_axis_works():
    model = keras.Sequential(
        [
            keras.Input((24, 1)),
            keras.layers.Conv1D(4, 3, activation="tanh"),
            keras.layers.GlobalAveragePooling1D(),
            keras.layers.Dense(2),
        ]
    )
    images = np.random.default_rng(1).normal(size=(4, 24, 1))
    found = analysis.recommend(model, images, [0, 1, 0, 1], draws=20, verbose=0)
    assert len(found.methods) == 6
    assert 0 < found.near_share < 1


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"methods": {"mixup": msda.MixUpLayer()}}, "two mixing layers or more"),
        ({"methods": {"a": msda.MixUpLayer(), "b": 3}}, "two mixing layers or more"),
        ({"boundary": 1000}, "boundary=1000"),
        ({"boundary": 1}, "boundary=1"),
        ({"draws": 1}, "draws=1"),
    ],
    ids=["one", "number", "outside", "none-near", "draws"],
)
def test_wrong_arguments_are_named(settings, words):
    with pytest.raises(ValueError, match=words):
        recommend(linear(near_weights()), **settings)
