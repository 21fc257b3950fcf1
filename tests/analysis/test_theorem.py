"""The loss theorem: its terms against explicit derivatives, and what they leave out."""

import functools
import itertools

import keras
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import keras_msda as msda
from keras_msda import analysis, masks
from keras_msda.analysis import MaskSet, _displacements
from tests.support import quadratic

SIZE = (4, 3)
SHAPE = (*SIZE, 2)
VALUES = 24
LOSSES = {"softmax": 3, "logistic": 1}
# float64, sums of thousands of terms of some 1e-3.
CLOSE = {"rtol": 1e-9, "atol": 1e-13}


pytestmark = pytest.mark.usefixtures("float64")


def nodes(copies):
    """Returns lambdas of a uniform distribution, each some times, with probabilities.

    By quadrature between the kinks of GMix: at 1/2, and at bumps of one pixel's share.
    """
    places, probabilities = np.polynomial.legendre.leggauss(4)
    ends = np.array([0, 1 / 12, 1 / 2, 11 / 12, 1])[:, None]
    half = np.diff(ends, axis=0) / 2
    lam = (ends[:-1] + half * (places + 1)).reshape(-1).astype("float32")
    probability = (half * probabilities).reshape(-1)
    return np.repeat(lam, copies), np.repeat(probability, copies) / copies


def as_set(made, probability):
    """Returns a mask and its weight, as tensors, with probabilities as a set."""
    mask, weight = (keras.ops.convert_to_numpy(x).astype(float) for x in made)
    return MaskSet(mask, weight, probability)


def bumps():
    """Returns GMix's masks on the torus around all centres."""
    centers = list(itertools.product(*map(range, SIZE)))
    lam, probability = nodes(len(centers))
    center = np.tile(centers, (16, 1)).astype("int32")
    return as_set(masks.gaussian_mask(lam, center, SIZE, border="wrap"), probability)


def fields():
    """Returns FMix's masks of two fields and all shifts of them."""
    drawn = np.random.default_rng(0).normal(size=(2, *SIZE)).astype("float32")
    shifts = itertools.product(*map(range, SIZE))
    shifted = np.concatenate([np.roll(drawn, shift, (1, 2)) for shift in shifts])
    lam, probability = nodes(len(shifted))
    return as_set(masks.fourier_mask(lam, np.tile(shifted, (16, 1, 1))), probability)


def listed(kind, **arguments):
    """Returns a function that lists the masks of a layer."""
    return lambda: analysis.mask_set(kind(**arguments), SIZE)


METHODS = {
    "mixup": listed(msda.MixUpLayer),
    "cutmix": listed(msda.CutMixLayer, border="wrap"),
    "hmix": listed(msda.HMixLayer, border="wrap"),
    "gmix": bumps,
    "fmix": fields,
}


@functools.cache
def every_mask(method):
    """Returns all masks of a method over a uniform distribution of lambda."""
    return METHODS[method]()


def problem(loss="softmax", *, scale, count=3, seed=0, **arguments):
    """Returns a network, images and class ids."""
    classes = LOSSES[loss]
    model = quadratic.Quadratic(VALUES, classes=classes, seed=seed, **arguments)
    images, ids = quadratic.draw_images(
        count, SHAPE, classes=max(classes, 2), scale=scale, seed=seed
    )
    return model, images, ids


def terms(model, images, labels, masks, **arguments):
    arguments = {"batch_size": 1024, "verbose": 0} | arguments
    return analysis.loss_terms(model, images, labels, masks, **arguments)


# What the terms should be, by explicit derivatives and an explicit matrix.


def loss_value(logits, label):
    if len(logits) == 1:
        return np.logaddexp(0, logits[0]) - label[0] * logits[0]
    return np.log(np.exp(logits).sum()) - label @ logits


def encoded(ids, classes):
    return np.eye(classes)[ids] if classes > 1 else np.array(ids, float)[:, None]


def coefficients(found):
    """Returns factors of the first order, and a_jk, by a loop over the masks."""
    pixels = np.prod(found.mask.shape[1:])
    first, second = np.zeros(pixels), np.zeros((pixels, pixels))
    for mask, weight, probability in zip(*found, strict=True):
        own, other = mask.reshape(-1), 1 - mask.reshape(-1)
        first += probability * (weight * other + (1 - weight) * own)
        second += probability * weight * np.outer(other, other)
        second += probability * (1 - weight) * np.outer(own, own)
    return first, second


def paper_coefficients(found):
    """Returns the same as if masks were symmetric: 2 E[w B], 2 E[w B_j B_k].

    For alpha 1, that is the expectation over lambda of density 2 lambda.
    """
    factors = 2 * found.probability * found.weight
    other = 1 - found.mask.reshape(len(found.mask), -1)
    return factors @ other, np.einsum("m,mj,mk->jk", factors, other, other)


def expanded(model, images, ids, first, second):
    """Returns L, R1, R2 and R3 by explicit derivatives."""
    labels = encoded(ids, len(model.offset))
    # Channels are the fastest axis of an image's values.
    first = np.repeat(first, 2)
    second = np.repeat(np.repeat(second, 2, 0), 2, 1)
    curvature = model.hessian()
    sums = np.zeros(4)
    for image, label in zip(images, labels, strict=True):
        logits, jacobian = model.logits(image), model.jacobian(image)
        if len(logits) == 1:
            share = quadratic.sigmoid(logits)
            hessian = np.diag(share * (1 - share))
        else:
            share = quadratic.softmax(logits)
            hessian = np.diag(share) - np.outer(share, share)
        steps = (images - image).reshape(len(images), -1)
        product = second * (steps.T @ steps) / len(images)
        q = share - label
        sums += [
            loss_value(logits, label),
            q @ jacobian @ (first * steps.mean(0)),
            np.einsum("cd,cj,dk,jk", hessian, jacobian, jacobian, product) / 2,
            np.einsum("c,cjk,jk", q, curvature, product) / 2,
        ]
    return sums / len(images)


def mixed_loss(model, images, ids, found):
    """Returns the loss on mixed images with mixed labels, by loops."""
    labels = encoded(ids, len(model.offset))
    total = 0.0
    for mask, weight, probability in zip(*found, strict=True):
        share = mask[..., None]
        for (x, y), (other, z) in itertools.product(
            list(zip(images, labels, strict=True)), repeat=2
        ):
            logits = model.logits(share * x + (1 - share) * other)
            total += probability * loss_value(logits, weight * y + (1 - weight) * z)
    return total / len(images) ** 2


def assert_are(found, expected):
    assert_allclose(found[:4], expected, **CLOSE)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("method", METHODS)
def test_terms_are_those_of_explicit_derivatives(method, loss):
    found = every_mask(method)
    model, images, ids = problem(loss, scale=0.2)
    terms_found = terms(model, images, ids, found, loss=loss)
    assert_are(terms_found, expanded(model, images, ids, *coefficients(found)))
    assert terms_found.evaluations == 9 * len(found.mask)
    assert terms_found.error == 0.0


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("method", ["mixup", "cutmix", "fmix"])
def test_the_measured_loss_is_that_of_mixed_images_and_labels(method, loss):
    found = every_mask(method)
    model, images, ids = problem(loss, scale=0.5)
    terms_found = terms(model, images, ids, found, loss=loss)
    assert_allclose(
        terms_found.measured, mixed_loss(model, images, ids, found), rtol=1e-10
    )
    expected = terms_found.measured - sum(terms_found[:4])
    assert_allclose(terms_found.remainder, expected, rtol=1e-12)


@pytest.mark.parametrize("split", [0, 2048], ids=["by-mask", "by-eigenvector"])
@pytest.mark.parametrize("method", ["mixup", "cutmix", "gmix"])
def test_displacements_may_be_split_or_not(method, split, monkeypatch):
    monkeypatch.setattr(_displacements, "_SPLIT", split)
    found = every_mask(method)
    # Fewer masks than pixels, too: their matrix is split the other way round.
    some = MaskSet(found.mask[:5], found.weight[:5], np.full(5, 0.2))
    model, images, ids = problem(scale=0.2)
    for chosen in (found, some):
        expected = expanded(model, images, ids, *coefficients(chosen))
        assert_are(terms(model, images, ids, chosen), expected)


def test_mixup_goes_along_one_direction():
    directions = _displacements.find_directions(every_mask("mixup"))
    # The mean, of first order, and one eigenvector.
    assert len(directions.field) == 2


@pytest.mark.parametrize(
    ("method", "kind"),
    [
        ("cutmix", msda.CutMixLayer),
        ("hmix", msda.HMixLayer),
        ("gmix", msda.GMixLayer),
    ],
)
def test_coefficients_are_those_of_the_layer(method, kind):
    layer = kind(border="wrap")
    found = analysis.regularization_coefficients(layer, SIZE)
    first, second = coefficients(every_mask(method))
    places = np.array(list(itertools.product(*map(range, SIZE))))
    offsets = places[None] - places[:, None] + np.array(SIZE) - 1
    # lambda by another quadrature, which tells for GMix on so few pixels.
    by_pair = found.second[tuple(np.moveaxis(offsets, -1, 0))]
    assert_allclose(second, by_pair, rtol=0, atol=5e-5)
    assert_allclose(first, found.first.reshape(-1), rtol=0, atol=5e-5)


def test_mixup_has_its_closed_form():
    model, images, ids = problem(scale=0.3)
    found = terms(model, images, ids, msda.MixUpLayer(alpha=2.0))
    # E[2 lambda (1 - lambda)] and E[lambda (1 - lambda)] of Beta(2, 2).
    first, second = np.full(12, 2 / 5), np.full((12, 12), 1 / 5)
    # Masks are made in float32.
    expected = expanded(model, images, ids, first, second)
    assert_allclose(found[:4], expected, rtol=1e-7)


# The order of what is left out.


def ratio(method, loss, residual):
    """Returns by how much half the input scale divides the residual, over 8 seeds."""
    found = every_mask(method)
    sizes = [
        np.sqrt(
            np.mean(
                [
                    residual(*problem(loss, scale=scale, seed=seed), found) ** 2
                    for seed in range(8)
                ]
            )
        )
        for scale in (0.0125, 0.00625)
    ]
    return sizes[0] / sizes[1]


@pytest.mark.long
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("method", METHODS)
def test_half_the_input_scale_divides_the_remainder_by_sixteen(method, loss):
    def remainder(model, images, ids, found):
        return terms(model, images, ids, found, loss=loss).remainder

    assert 12 < ratio(method, loss, remainder) < 20


@pytest.mark.parametrize(
    ("method", "low", "high"),
    [("mixup", 12, 20), ("cutmix", 3.5, 4.5), ("hmix", 3.5, 4.5)],
)
def test_the_papers_coefficients_leave_out_second_order_of_boxes(method, low, high):
    def residual(model, images, ids, found):
        measured = mixed_loss_at_once(model, images, ids, found)
        expected = expanded(model, images, ids, *paper_coefficients(found))
        return measured - expected.sum()

    assert low < ratio(method, "logistic", residual) < high


def mixed_loss_at_once(model, images, ids, found):
    """Returns `mixed_loss` of one logit, of all combinations at once."""
    share = found.mask[:, None, None, ..., None]
    mixed = share * images[:, None] + (1 - share) * images
    flat = mixed.reshape(*mixed.shape[:3], -1)
    square, slope = model.square[0], model.slope[0]
    logits = ((flat @ square) * flat).sum(-1) + flat @ slope + model.offset[0]
    weight, ids = found.weight[:, None, None], np.asarray(ids, float)
    labels = weight * ids[:, None] + (1 - weight) * ids
    losses = np.logaddexp(0, logits) - labels * logits
    return found.probability @ losses.mean((1, 2))


class Cubic(quadratic.Quadratic):
    """With third derivatives, too."""

    def call(self, x):
        cubes = keras.ops.sum(x**3, (1, 2, 3))
        return super().call(x) + cubes[:, None]


def test_third_derivatives_leave_out_third_order():
    def remainder(_, images, ids, found):
        model = Cubic(VALUES, classes=1)
        model.square, model.slope = 0 * model.square, 0 * model.slope
        model.offset = model.offset * 0
        return terms(model, images, ids, found, loss="logistic").remainder

    assert 7 < ratio("mixup", "logistic", remainder) < 9


# Drawn pairs.


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("method", ["cutmix", "gmix"])
def test_drawn_pairs_agree_with_all_within_their_error(method, loss):
    model, images, ids = problem(loss, scale=0.3, count=4)
    found = every_mask(method)
    exact = terms(model, images, ids, found, loss=loss)
    drawn = terms(model, images, ids, found, loss=loss, pairs=4000)
    assert drawn.evaluations == 8000
    assert 0 < drawn.error < abs(exact.remainder)
    assert abs(drawn.remainder - exact.remainder) < 4 * drawn.error
    # They vary by far more than the remainder; it is enough that none is missed.
    assert_allclose(drawn[:5], exact[:5], rtol=0.2, atol=0.01)


@pytest.mark.long
def test_the_standard_error_is_that_of_other_seeds():
    model, images, ids = problem(scale=0.3, count=4)
    found = every_mask("hmix")
    exact = terms(model, images, ids, found).remainder
    runs = [
        terms(model, images, ids, found, pairs=200, seed=seed) for seed in range(60)
    ]
    scores = [(run.remainder - exact) / run.error for run in runs]
    # Of chi-squared with 60 degrees of freedom, 99.9 % lie between.
    assert 30.3 < np.square(scores).sum() < 99.6


def test_one_seed_draws_the_same_pairs():
    model, images, ids = problem(scale=0.3)
    found = every_mask("cutmix")
    one, same, other = (
        terms(model, images, ids, found, pairs=50, seed=seed) for seed in (1, 1, 2)
    )
    assert_array_equal(one, same)
    assert one.remainder != other.remainder


def test_terms_of_drawn_pairs_are_those_of_explicit_derivatives():
    model, images, ids = problem(scale=0.2, count=2)
    mask = np.random.default_rng(0).random((1, *SIZE))
    found = MaskSet(mask, np.array([0.3]), np.ones(1))
    drawn = terms(model, images, ids, found, pairs=64, seed=3)
    # With two images and one mask every pair of two different ones has equal terms.
    exact = expanded(model, images, ids, *coefficients(found))
    apart = np.subtract(*np.random.default_rng(3).integers(0, 2, (2, 64))) != 0
    assert_allclose(drawn[1:4], exact[1:] * 2 * apart.mean(), **CLOSE)


# What it is given.


def test_a_layer_stands_for_all_its_masks_of_mixed_samples():
    model, images, ids = problem(scale=0.2)
    layer = msda.CutMixLayer(border="wrap", probability=0.5)
    assert_array_equal(
        terms(model, images, ids, layer),
        terms(model, images, ids, every_mask("cutmix")),
    )


def test_a_layer_that_cannot_be_listed_is_drawn():
    model, images, ids = problem(scale=0.02)
    found = terms(model, images, ids, msda.FMixLayer(), pairs=500)
    assert abs(found.remainder) < 1e-4 < found.second
    assert found.error > 0


def test_own_labels_alone_have_the_weight_one():
    model, images, ids = problem("logistic", scale=0.2)
    layer = msda.MixUpLayer(targets="own")
    found = terms(model, images, ids, layer, loss="logistic")
    listed = analysis.mask_set(layer, SIZE)
    listed = listed._replace(weight=np.ones_like(listed.weight))
    measured = mixed_loss(model, images, ids, listed)
    assert_allclose(found.measured, measured, rtol=1e-10)
    first, second = np.full(12, 1 / 3), np.full((12, 12), 1 / 6)
    # Masks are made in float32.
    expected = expanded(model, images, ids, first, second)
    assert_allclose(found[:4], expected, rtol=1e-7)


def test_labels_may_be_ids_or_one_hot_and_logits_of_rank_one():
    found = every_mask("mixup")
    model, images, ids = problem(scale=0.2)
    expected = terms(model, images, ids, found)
    for labels in (list(ids), ids[:, None], np.eye(3)[ids].astype("float32")):
        assert_array_equal(terms(model, images, labels, found), expected)
    model, images, ids = problem("logistic", scale=0.2)
    expected = terms(model, images, ids, found, loss="logistic")
    flat, _, _ = problem("logistic", scale=0.2, flat=True)
    for labels in (ids, ids[:, None].astype(float)):
        one = terms(flat, images, labels, found, loss="logistic")
        assert_allclose(one, expected, **CLOSE)


def test_soft_labels_count_with_their_shares():
    model, images, _ = problem(scale=0.2)
    found = every_mask("mixup")
    by_class = [terms(model, images, [c] * 3, found).plain for c in range(3)]
    soft = np.tile([0.5, 0.2, 0.3], (3, 1))
    expected = np.array([0.5, 0.2, 0.3]) @ by_class
    assert_allclose(terms(model, images, soft, found).plain, expected, rtol=1e-12)


def test_channels_may_come_first():
    model, images, ids = problem(scale=0.2)
    model(images)  # Builds it outside of a trace.

    def turned(x):
        return model(keras.ops.transpose(x, (0, 2, 3, 1)))

    turned.variable_dtype = "float64"
    found = every_mask("cutmix")
    first = np.moveaxis(images, -1, 1)
    assert_allclose(
        terms(turned, first, ids, found, data_format="channels_first"),
        terms(model, images, ids, found),
        **CLOSE,
    )


@pytest.mark.parametrize("batch_size", [1, 7])
def test_the_size_of_batches_changes_nothing(batch_size):
    model, images, ids = problem(scale=0.2)
    found = MaskSet(*(part[:4] for part in every_mask("cutmix")))
    found = found._replace(probability=np.full(4, 0.25))
    assert_allclose(
        terms(model, images, ids, found, batch_size=batch_size),
        terms(model, images, ids, found),
        **CLOSE,
    )


def test_float32_models_agree_to_their_precision():
    model, images, ids = problem(scale=0.2)
    rough, _, _ = problem(scale=0.2, dtype="float32")
    found = every_mask("cutmix")
    # Logits are some 5, of errors of some 1e-6.
    assert_allclose(
        terms(rough, images, ids, found), terms(model, images, ids, found), atol=1e-5
    )


def test_a_mixing_layer_inside_the_model_does_not_mix():
    inner = quadratic.Quadratic(VALUES, classes=3)
    layer = msda.CutMixLayer(dtype="float64")
    model = keras.Sequential([layer, inner], name="with_layer")
    model.dtype_policy = keras.DTypePolicy("float64")
    _, images, ids = problem(scale=0.2)
    found = every_mask("mixup")
    assert_allclose(
        terms(model, images, ids, found), terms(inner, images, ids, found), rtol=1e-5
    )


def test_the_layers_of_a_network_may_be_any_that_have_derivatives():
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.layers.Conv2D(4, 2, activation="tanh"),
            keras.layers.BatchNormalization(),
            keras.layers.Dropout(0.5),
            keras.layers.AveragePooling2D(2),
            keras.layers.Flatten(),
            keras.layers.Dense(8, activation="gelu"),
            keras.layers.Dense(3),
        ]
    )
    _, images, ids = problem(scale=0.03)
    found = terms(model, images, ids, every_mask("cutmix"))
    # The rest is of third order in images of values of some 0.03, and float32's.
    assert abs(found.third) > 1e-6
    assert abs(found.remainder) < 1e-6


@pytest.mark.parametrize("verbose", [0, 1])
def test_progress_bars_are_shown_unless_told_otherwise(verbose, capsys):
    model, images, ids = problem(scale=0.2)
    terms(model, images, ids, every_mask("mixup"), verbose=verbose)
    count = 9 * len(every_mask("mixup").mask)
    assert (f"{count}/{count}" in capsys.readouterr().out) == bool(verbose)


# Errors


def scores(images):
    return images[:, 0, 0]


def one_score(images):
    return keras.ops.sum(images, (1, 2, 3))


def rounded(images):
    return keras.ops.round(scores(images))


def with_numpy(images):
    return keras.ops.convert_to_tensor(np.asarray(images)[:, 0, 0])


TWO = np.random.default_rng(0).normal(size=(2, 4, 3, 2)).astype("float32")
MIXUP = MaskSet(np.full((1, 4, 3), 0.5), np.full(1, 0.5), np.ones(1))
OTHER = MaskSet(np.full((1, 3, 4), 0.5), np.full(1, 0.5), np.ones(1))
UNION = {"targets": "union", "num_classes": 2}
ERRORS = {
    "rounded": (rounded, TWO, MIXUP, {}, "must have gradients.*all gradients are 0"),
    "numpy": (with_numpy, TWO, MIXUP, {}, "with respect to its inputs"),
    "size": (scores, TWO, OTHER, {}, r"images, \(4, 3\).*size \(3, 4\)"),
    "no masks": (scores, TWO, "mixup", {}, "must be a mixing layer.*type str"),
    "union": (scores, TWO, msda.MixUpLayer(**UNION), {}, "targets='union'"),
    "listed": (scores, TWO, msda.FMixLayer(), {}, "FMixLayer.*`pairs=10000`"),
    "one image": (scores, TWO[:1], MIXUP, {}, r"2 images or more.*\(1, 4, 3, 2\)"),
    "logistic": (scores, TWO, MIXUP, {"loss": "logistic"}, '2 cl.*loss="softmax"'),
    "softmax": (one_score, TWO, MIXUP, {}, '1 classes.*`loss="logistic"`'),
    "loss": (scores, TWO, MIXUP, {"loss": "mse"}, "`loss` must be.*'mse'"),
    "no pairs": (scores, TWO, MIXUP, {"pairs": 0}, "pairs=0"),
    "one pair": (scores, TWO, MIXUP, {"pairs": 1}, "2 or more.*pairs=1"),
}


@pytest.mark.parametrize("case", ERRORS.values(), ids=ERRORS)
def test_what_cannot_be_computed_is_refused(case):
    model, images, masks, arguments, message = case
    with pytest.raises((TypeError, ValueError), match=f"(?s)loss_terms.*{message}"):
        terms(model, images, np.arange(len(images)), masks, **arguments)


def test_a_model_of_probabilities_is_refused():
    model = keras.Sequential(
        [keras.layers.Flatten(), keras.layers.Dense(3, activation="softmax")]
    )
    outer = keras.Sequential([model, keras.layers.Softmax()])
    for given in (model, outer):
        with pytest.raises(ValueError, match=r"probabilities.*'softmax'.*activation"):
            terms(given, TWO, [0, 1], MIXUP)


def test_too_many_combinations_are_refused_and_pairs_offered():
    images = np.zeros((1500, 4, 3, 2), "float32")
    message = "1500 images and 1 masks, 2,250,000 combinations.*pairs=10000"
    with pytest.raises(ValueError, match=message):
        terms(scores, images, np.zeros(1500, int), MIXUP)
