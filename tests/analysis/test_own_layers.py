"""Layers of a user's own, and subclasses of known ones: drawn, and right by value."""

import keras
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal, assert_array_less

import keras_msda as msda
from keras_msda import analysis, plot
from keras_msda.layers.base import MixLayer

SIZE = (6, 5)
DRAWS = 2000


class Squared(msda.CutMixLayer):
    """CutMix whose box covers 1 - lambda^2: another mask by the same arguments."""

    def sample_params(self, lam, size, *, seed):
        return super().sample_params(lam * lam, size, seed=seed)


class Choosing(msda.RandomMixLayer):
    """A choice whose members get lambda^2."""

    def sample_params(self, lam, size, *, seed):
        lam = [x * x for x in lam] if isinstance(lam, list) else lam * lam
        return super().sample_params(lam, size, seed=seed)


class Own(MixLayer):
    """A method that the package does not know; its masks are those of a known one."""

    def __init__(self, inner, **shared):
        super().__init__(**shared)
        self.inner = inner

    def sample_params(self, lam, size, *, seed):
        return self.inner.sample_params(lam, size, seed=seed)

    def mask(self, params, size):
        return self.inner.mask(params, size)

    def mask_weight(self, params, size):
        return self.inner.mask_weight(params, size)


class Unlambda(Own):
    """A method whose masks do not depend on lambda, which it does not draw."""

    draws_lam = False


def own():
    return Own(msda.HMixLayer(border="wrap"), seed=1)


def unlambda():
    return Unlambda(msda.CutMixLayer(ratio_range=(0.2, 0.8)), seed=1)


def ranged():
    return msda.CutMixLayer(ratio_range=(0.2, 0.8))


def assert_near(drawn, error, expected):
    """Compares what was drawn with what is exact, to five standard errors."""
    # Masks are float32, and a product of drawn means is off by 1 / draws.
    assert_array_less(np.abs(drawn - expected), 5 * error + 1e-3)


# A subclass may have another mask, so that nothing of its base is known of it.


def test_a_subclass_of_a_known_layer_is_drawn():
    found = analysis.mask_moments(
        Squared(border="wrap", seed=1), SIZE, lam=0.5, draws=DRAWS
    )
    assert not found.exact
    # At every pixel of a torus E[M] is the share that the mask leaves: 1/4, not 1/2.
    assert_near(found.mean, found.mean_error, 0.25)
    assert_array_equal(found.mean, found.sampled_mean)
    plain = analysis.mask_moments(
        msda.CutMixLayer(border="wrap", seed=1), SIZE, lam=0.5, draws=2
    )
    assert plain.exact
    assert_allclose(plain.mean, 0.5, rtol=0, atol=1e-6)


def test_the_coefficients_of_a_subclass_are_those_of_its_own_masks():
    layer = Squared(border="wrap", seed=1)
    found = analysis.regularization_coefficients(layer, SIZE, draws=DRAWS)
    assert not found.exact
    assert_array_less(0, found.error)
    middle = tuple(length - 1 for length in SIZE)
    # w = lambda^2 up to the rounding of sides: at offset 0, of masks of zeros and ones,
    # 2 E[w (1 - w)] = 2 (1/3 - 1/5), where CutMix has 1/3.
    expected = analysis.mask_set(layer, SIZE, draws=DRAWS, seed=7).weight
    mean = np.mean(2 * expected * (1 - expected))
    assert_allclose(mean, 4 / 15, rtol=0, atol=0.03)
    assert_near(found.second[middle], found.error[middle], mean)
    assert abs(found.second[middle] - 1 / 3) > 0.03


def test_a_subclass_of_a_random_choice_is_drawn():
    layer = Choosing([msda.MixUpLayer(), msda.MixUpLayer()], seed=1)
    found = analysis.mask_moments(layer, SIZE, draws=DRAWS)
    assert not found.exact
    assert_near(found.mean, found.mean_error, 1 / 3)
    # No lambda is this layer's own, so that the paper's form is not known.
    assert analysis.regularization_coefficients(layer, SIZE, draws=9).paper is None


def test_a_choice_that_holds_a_subclass_is_drawn():
    layer = msda.RandomMixLayer([Squared(border="wrap")], seed=1)
    found = analysis.mask_moments(layer, SIZE, lam=0.5, draws=DRAWS)
    assert not found.exact
    assert_near(found.mean, found.mean_error, 0.25)


# A method of one's own.


def test_an_own_layer_has_the_moments_of_its_masks():
    for lam in (None, 0.4):
        found = analysis.mask_moments(own(), SIZE, lam=lam, draws=DRAWS)
        known = analysis.mask_moments(own().inner, SIZE, lam=lam, draws=2)
        assert (found.exact, known.exact) == (False, True)
        assert_near(found.mean, found.mean_error, known.mean)
        assert_near(found.covariance, found.covariance_error, known.covariance)


def test_an_own_layer_has_the_coefficients_of_its_masks():
    found = analysis.regularization_coefficients(own(), SIZE, draws=DRAWS)
    known = analysis.regularization_coefficients(own().inner, SIZE)
    assert (found.exact, known.exact) == (False, True)
    assert_near(found.second, found.error, known.second)
    # Drawn over lambda ~ D~, with about the errors of `second`.
    assert_near(found.paper, 1.5 * found.error, known.paper)
    assert_allclose(found.first, known.first, rtol=0, atol=0.03)


def test_a_layer_without_a_lambda_has_no_paper_form():
    found = analysis.regularization_coefficients(unlambda(), SIZE, draws=DRAWS)
    known = analysis.regularization_coefficients(ranged(), SIZE)
    assert found.paper is known.paper is None
    assert_near(found.second, found.error, known.second)
    moments = analysis.mask_moments(unlambda(), SIZE, draws=DRAWS)
    exact = analysis.mask_moments(ranged(), SIZE, draws=2)
    assert_near(moments.mean, moments.mean_error, exact.mean)


@pytest.mark.parametrize("make", [own, unlambda, Squared], ids=lambda x: x.__name__)
def test_masks_that_cannot_be_listed_are_drawn_on_request(make):
    kind = type(make()).__name__
    with pytest.raises(ValueError, match=rf"mask_set: .*type {kind}.*draws=1000"):
        analysis.mask_set(make(), SIZE)
    found = analysis.mask_set(make(), SIZE, draws=20)
    assert found.mask.shape == (20, *SIZE)
    assert_allclose(found.mask.mean((1, 2)), found.weight, rtol=0, atol=1e-6)
    assert_allclose(found.probability, 1 / 20)


def test_terms_of_an_own_layer_take_pairs():
    keras.utils.set_random_seed(1)
    model = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(3)])
    images = np.random.default_rng(0).normal(size=(3, *SIZE, 1)) / 10
    given = {"labels": [0, 1, 2], "masks": own(), "verbose": 0}
    with pytest.raises(ValueError, match=r"loss_terms: .*Own.*pairs=10000"):
        analysis.loss_terms(model, images, **given)
    found = analysis.loss_terms(model, images, pairs=50, **given)
    assert found.third == 0
    assert abs(found.remainder) < 5 * found.error + 1e-4


def test_an_own_layer_is_compared_with_others():
    keras.utils.set_random_seed(1)
    model = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(2)])
    images = np.random.default_rng(0).normal(size=(4, *SIZE, 1))
    methods = {"mine": own(), "sides": unlambda(), "MixUp": msda.MixUpLayer()}
    found = analysis.recommend(
        model, images, [0, 1, 0, 1], methods=methods, boundary=2, draws=99, verbose=0
    )
    rows = {row.name: row for row in found.methods}
    assert set(rows) == set(methods)
    assert rows["mine"].error > 0
    assert rows["MixUp"].error == 0
    assert "mine" in str(found)


# Figures.


def test_figures_show_own_layers():
    for make in (own, unlambda):
        moments = analysis.mask_moments(make(), SIZE, draws=20)
        found = analysis.regularization_coefficients(make(), SIZE, draws=20)
        figure = plot.moments_and_coefficients({"A": moments}, {"A": found})
        shown = np.asarray(figure.axes[0].images[0].get_array())
        assert_array_equal(shown, moments.mean)


def test_weights_of_own_layers_have_lambdas_line_where_there_is_a_lambda():
    figure = plot.label_histogram([own(), unlambda()], shape=SIZE, draws=50)
    names = [axes.get_title().partition("\n")[0] for axes in figure.axes]
    assert names[:2] == ["Own", "Unlambda"]
    # A histogram is two patches, and the line is a third.
    assert [len(axes.patches) for axes in figure.axes[:2]] == [3, 2]


@pytest.mark.parametrize("layout", ["rows", "columns"])
@pytest.mark.parametrize("make", [own, unlambda], ids=lambda x: x.__name__)
def test_mixes_of_own_layers_are_drawn(make, layout):
    images = np.random.default_rng(0).random((2, *SIZE, 3))
    figure = plot.mixes(images, make(), layout=layout)
    mask, mix = (-2, 2) if layout == "columns" else (2, 3)
    weight = np.asarray(figure.axes[mask].images[0].get_array()).mean()
    assert figure.axes[mix].get_title().endswith(f"weight {weight:.2f}")
