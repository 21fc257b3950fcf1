"""The distribution of timm's arguments, against a transcription of what it draws."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats

import keras_msda as msda
from keras_msda.layers import _planning
from tests.support import layer_cases as cases
from tests.support import oracles
from tests.support.errors import check_error

SIZE = (8, 8)
DRAWS = 4000
# Of a share p estimated from n draws: sqrt(p (1 - p) / n) <= 0.008. Five of them.
SHARE = 0.04


def timm_weights(rng, mixup, cutmix, prob, switch):
    """Draws label weights as timm does, batch by batch, on images of `SIZE`."""
    weights = []
    for _ in range(DRAWS):
        if rng.random() >= prob:
            weights.append(1.0)
            continue
        use_cutmix = bool(cutmix) and (not mixup or rng.random() < switch)
        if use_cutmix:
            weights.extend(oracles.timm_weights(rng, 1, SIZE, cutmix))
        else:
            weights.append(rng.beta(mixup, mixup))
    return np.array(weights)


def drawn(layer, batch=2 * DRAWS):
    plan = layer.sample(batch, SIZE, seed=(3, 4))
    return plan, np.asarray(plan.weight)


CASES = {
    "mixup": {"mixup_alpha": 0.4},
    "cutmix": {"mixup_alpha": 0.0, "cutmix_alpha": 1.0},
    "both": {"mixup_alpha": 0.8, "cutmix_alpha": 1.0, "switch_prob": 0.3},
    "seldom": {"mixup_alpha": 0.8, "cutmix_alpha": 1.0, "prob": 0.4},
}


@pytest.mark.parametrize("name", CASES)
def test_weights_are_distributed_as_those_of_timm(name):
    given = CASES[name]
    # "elem": as many draws as samples; a draw has the same distribution in all modes.
    layer = msda.mix_from_timm(**given, mode="elem", num_classes=10, seed=1)
    _, weights = drawn(layer)
    expected = timm_weights(
        np.random.default_rng(0),
        given["mixup_alpha"],
        given.get("cutmix_alpha", 0.0),
        given.get("prob", 1.0),
        given.get("switch_prob", 0.5),
    )
    grid = np.linspace(0, 1, 41)
    cdfs = [(x[:, None] <= grid + 1e-6).mean(0) for x in (weights, expected)]
    assert_allclose(cdfs[0], cdfs[1], rtol=0, atol=SHARE)


@pytest.mark.parametrize(("mode", "units"), [("batch", 1), ("pair", 4), ("elem", 8)])
def test_modes_share_draws_as_in_timm(mode, units):
    layer = msda.mix_from_timm(mode=mode, num_classes=10, seed=1)
    plan = layer.sample(8, SIZE, seed=(1, 2))
    assert_array_equal(plan.partner, np.arange(8)[::-1])
    assert len(np.unique(plan.weight)) == units
    if mode == "pair":
        assert_array_equal(plan.weight, np.asarray(plan.weight)[::-1])


def test_labels_are_smoothed_as_in_timm():
    layer = msda.mix_from_timm(label_smoothing=0.1, num_classes=5, seed=1)
    images, ids = np.zeros((2, *SIZE, 1), np.float32), np.array([1, 3])
    weight = float(layer.sample(2, SIZE, seed=(1, 2), lam=0.7).weight[0])
    assert weight == pytest.approx(0.7)
    _, labels = layer(images, ids)
    off = 0.1 / 5
    rest = np.asarray(labels)[:, [0, 2, 4]]
    assert_allclose(rest, off, rtol=0, atol=1e-6)
    assert_allclose(np.sum(labels, 1), 1, rtol=0, atol=1e-6)


def test_the_range_of_sides_turns_cutmix_on():
    layer = msda.mix_from_timm(
        mixup_alpha=0.0, cutmix_minmax=(0.25, 0.5), num_classes=10, mode="elem", seed=1
    )
    assert isinstance(layer, msda.CutMixLayer)
    _, weights = drawn(layer, 500)
    # Sides of 2 or 3 of 8 pixels, and not of 4.
    areas = {a * b / 64 for a in (2, 3) for b in (2, 3)}
    assert {round(1 - w, 6) for w in weights.tolist()} == areas


@pytest.mark.parametrize("length", [8, 32, 224])
@pytest.mark.parametrize("minmax", [None, (0.2, 0.8)])
def test_weights_of_cutmix_follow_timm_s_at_every_size(length, minmax):
    size, draws = (length, length), 20_000
    layer = msda.mix_from_timm(0.0, 1.0, minmax, mode="elem", seed=1)
    weights = _planning.draw_plan(layer, draws, size, seed=(3, 4), masked=False).weight
    rng = np.random.default_rng(0)
    expected = oracles.timm_weights(rng, draws, size, minmax=minmax)
    # In whole pixels, so that equal weights are equal.
    counts = [
        np.rint(np.asarray(x, np.float64) * length**2) for x in (weights, expected)
    ]
    # With even sides, or the upper side too, the first sizes have p < 1e-9.
    assert stats.ks_2samp(*counts).pvalue > 1e-3


def test_arguments_have_the_order_of_timm():
    given = (0.8, 1.0, (0.2, 0.8), 0.9, 0.3, "elem", True, 0.2, 7, False)
    layer = msda.mix_from_timm(*given, seed=1)
    mixup, cutmix = layer.layers
    assert (mixup.alpha, cutmix.ratio_range) == (0.8, (0.2, 0.8))
    assert_allclose(layer.weights_of_layers, [0.7, 0.3])
    found = (layer.probability, layer.per, layer.label_smoothing, layer.num_classes)
    assert found == (0.9, "sample", 0.2, 7)
    assert not cutmix.ratio_endpoint
    assert not msda.mix_from_timm(0.0, 1.0, None, 1.0, 0.5, "batch", False).exact_weight


@pytest.mark.parametrize("given", [{"num_classes": None}, {"multi_label": True}])
def test_soft_labels_are_mixed_as_they_are(given):
    layer = msda.mix_from_timm(0.8, mode="elem", seed=1, **given)
    labels = np.float32([[1, 1, 0], [0, 1, 0], [0, 0, 1], [1, 0, 0]])
    plan = cases.next_plan(layer, 4, SIZE)
    _, found = layer(np.zeros((4, *SIZE, 1), np.float32), labels)
    weight = np.asarray(plan.weight)[:, None]
    expected = weight * labels + (1 - weight) * labels[::-1]
    assert_allclose(found, expected, rtol=0, atol=1e-6)


def test_the_weight_need_not_be_that_of_the_clipped_box():
    given = {"mixup_alpha": 0.0, "cutmix_alpha": 1.0, "mode": "elem", "seed": 1}
    plan, weights = drawn(msda.mix_from_timm(correct_lam=False, **given), 200)
    means = np.asarray(plan.mask).mean((1, 2))
    assert np.abs(weights - means).max() > 0.1
    plan, weights = drawn(msda.mix_from_timm(**given), 200)
    assert_allclose(weights, np.asarray(plan.mask).mean((1, 2)), rtol=0, atol=1e-6)


def test_the_defaults_are_those_of_timm():
    layer = msda.mix_from_timm()
    assert isinstance(layer, msda.MixUpLayer)
    config = layer.get_config()
    expected = {
        "alpha": 1.0,
        "probability": 1.0,
        "per": "batch",
        "pairing": "reverse",
        "num_classes": 1000,
        "label_smoothing": 0.1,
    }
    assert {name: config[name] for name in expected} == expected


def test_further_arguments_reach_the_layer():
    layer = msda.mix_from_timm(
        cutmix_alpha=1.0, label_smoothing=0.0, targets="pair", name="mine", seed=5
    )
    assert (layer.name, layer.seed, layer.targets) == ("mine", 5, "pair")


@pytest.mark.parametrize(
    ("given", "rule", "received"),
    [
        (
            {"multi_label": True, "label_smoothing": 0.1},
            "`label_smoothing` smooths class ids",
            "label_smoothing=0.1",
        ),
        ({"mode": "half"}, 'the mode "half"', "mode='half'"),
        ({"mode": "sample"}, '`mode` must be one of "batch"', "mode='sample'"),
        (
            {"mixup_alpha": 0.0},
            "one of MixUp and CutMix must be on.",
            "mixup_alpha=0.0",
        ),
        (
            {"cutmix_alpha": -1.0},
            "`cutmix_alpha` must be a finite number, not negative.",
            "cutmix_alpha=-1.0",
        ),
        (
            {"cutmix_alpha": 1.0, "switch_prob": 2},
            "`switch_prob` must be a number in [0, 1].",
            "switch_prob=2",
        ),
    ],
)
def test_what_has_no_distribution_is_refused(given, rule, received):
    check_error(
        lambda: msda.mix_from_timm(**given),
        "mix_from_timm",
        ValueError,
        rule,
        received,
    )
