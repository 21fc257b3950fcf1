"""`fold=True`: lambda is max(lambda, 1 - lambda) of what would be drawn without."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import keras_msda as msda
from tests.support import layer_cases as cases
from tests.support import oracles
from tests.support.errors import check_error
from tests.support.handing_off import answering, assert_step_handed_off
from tests.support.marks import parametrize

BATCH, SIZE, SEED = 32, (4, 5), (5, 6)
# One float32 product and sum of numbers of size 1.
CLOSE = {"rtol": 0, "atol": 1e-6}
ALPHAS = pytest.mark.parametrize("alpha", [0.3, 1.0, (0.5, 2.0)], ids=str)


def plans(make, seed=SEED, lam=None):
    """Returns the plans of a seed without folding and with it."""
    return [
        cases.arrays(cases.sample(make(fold=fold), BATCH, SIZE, seed, lam))
        for fold in (False, True)
    ]


def folded(lam):
    return np.maximum(lam, np.float32(1) - lam)


def mixup(alpha, **settings):
    return lambda **kw: msda.MixUpLayer(
        alpha, seed=1, pairing="derangement", **settings, **kw
    )


@ALPHAS
def test_weights_of_mixup_are_the_larger_shares_of_the_same_draw(alpha):
    plain, fold = plans(mixup(alpha))
    assert_array_equal(fold.weight, folded(plain.weight))
    assert_array_equal(fold.partner, plain.partner)
    assert np.min(plain.weight) < 0.5 <= np.min(fold.weight)


@pytest.mark.parametrize("per", ["pair", "batch"])
def test_shared_draws_are_folded_too(per):
    for seed in [(1, 2), (3, 4), (5, 6)]:
        plain, fold = plans(
            lambda **kw: msda.MixUpLayer(0.5, per=per, seed=1, **kw), seed=seed
        )
        assert_array_equal(fold.weight, folded(plain.weight))
        assert_array_equal(fold.partner, plain.partner)


@pytest.mark.parametrize("method", ["cutmix-drawn", "hmix", "gmix", "fmix"])
def test_masks_of_other_methods_are_those_of_the_folded_lambda(method):
    # Beside MixUp's, which shows lambda, the numbers of a seed are the same.
    lam = plans(mixup(0.7))[0].weight
    given = cases.make(method, alpha=0.7, pairing="derangement")
    expected = cases.arrays(cases.sample(given, BATCH, SIZE, SEED, folded(lam)))
    layer = cases.make(method, alpha=0.7, pairing="derangement", fold=True)
    plan = cases.arrays(cases.sample(layer, BATCH, SIZE, SEED))
    assert_allclose(plan.mask, expected.mask, **CLOSE)
    assert_allclose(plan.weight, expected.weight, **CLOSE)
    if method == "cutmix-drawn":
        assert_array_equal(plan.weight, folded(lam))


def test_boxes_of_cutmix_are_the_smaller_ones():
    lam = folded(plans(mixup(1.0))[0].weight)
    layer = cases.make("cutmix", pairing="derangement", fold=True)
    plan = cases.arrays(cases.sample(layer, BATCH, SIZE, SEED))
    boxes = [
        {
            oracles.box_mask(lam[i : i + 1], [center], SIZE)[0].tobytes()
            for center in oracles.pixels(SIZE)
        }
        for i in range(BATCH)
    ]
    for mask, allowed in zip(plan.mask, boxes, strict=True):
        assert mask[None].astype("float64").tobytes() in allowed


@pytest.mark.parametrize("per", ["batch", "sample"])
def test_a_random_choice_folds_for_each_of_its_layers(per):
    def make(**settings):
        members = [msda.MixUpLayer(0.4), msda.MixUpLayer((0.5, 3.0))]
        return msda.RandomMixLayer(
            members, per=per, pairing="derangement", seed=1, **settings
        )

    for seed in [(1, 2), (3, 4), (5, 6)]:
        plain, fold = plans(make, seed=seed)
        assert_array_equal(fold.weight, folded(plain.weight))


def test_packed_labels_hold_the_folded_weight():
    ids, images = np.arange(BATCH), cases.images(BATCH, SIZE)
    found = [
        cases.array(mixup(0.5, targets="pair")(fold=fold)(images, ids)[1])
        for fold in (False, True)
    ]
    assert_array_equal(found[1][:, 2], folded(found[0][:, 2]))
    assert_array_equal(found[1][:, :2], found[0][:, :2])


@parametrize("world", cases.WORLDS)
def test_mixed_batches_use_the_folded_lambda(world):
    layer = mixup(0.5, num_classes=BATCH)(fold=True)
    plain = mixup(0.5, num_classes=BATCH)()
    plan = cases.next_plan(plain, BATCH, SIZE, world)
    images = cases.images(BATCH, SIZE)
    mixed, labels = cases.WORLDS[world](layer, images, np.arange(BATCH))
    weight = folded(plan.weight)
    mask = np.broadcast_to(weight[:, None, None], (BATCH, *SIZE))
    expected = oracles.mix_images(images, plan.partner, mask)
    assert_allclose(cases.array(mixed), expected, **CLOSE)
    soft = oracles.mix_labels(np.eye(BATCH), plan.partner, weight)
    assert_allclose(cases.array(labels), soft, **CLOSE)


@pytest.mark.parametrize("method", cases.METHODS)
def test_the_loss_of_a_layer_that_folds_hands_off_exactly(method):
    layer = cases.make(method, fold=True, pairing="derangement")
    assert_step_handed_off(layer, *answering(16), steps=2)


def test_a_given_lambda_is_not_folded():
    for plan in plans(mixup(1.0), lam=0.25):
        assert_array_equal(plan.weight, np.full(BATCH, 0.25, "float32"))


def test_the_configuration_holds_it():
    layer = mixup(1.0)(fold=True)
    assert msda.MixUpLayer.from_config(layer.get_config()).fold is True
    assert mixup(1.0)().fold is False


@pytest.mark.parametrize("method", ["mixup", "gmix", "fmix"])
def test_own_labels_cannot_be_folded(method):
    check_error(
        lambda: cases.make(method, fold=True, targets="own"),
        type(cases.make(method)).__name__,
        ValueError,
        '`fold` cannot be combined with `targets="own"`',
        "fold=True, targets='own'",
    )


def test_a_range_of_sides_has_no_lambda_to_fold():
    check_error(
        lambda: msda.CutMixLayer(ratio_range=(0.2, 0.8), fold=True),
        "CutMixLayer",
        ValueError,
        "`ratio_range` places boxes inside and draws no lambda.",
        "border=None, exact_weight=True, fold=True",
    )
    msda.CutMixLayer(ratio_range=(0.2, 0.8))


@pytest.mark.parametrize("fold", [1, "yes", None, 0.5])
def test_fold_is_a_truth_value(fold):
    check_error(
        lambda: msda.MixUpLayer(fold=fold),
        "MixUpLayer",
        ValueError,
        "`fold` must be True or False.",
        f"fold={fold!r}",
    )
