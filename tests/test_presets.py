"""The law of timm's arguments, against a transcription of what it draws."""

import math

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import keras_msda as msda
from tests.test_checks import check_error

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
        alpha = cutmix if use_cutmix else mixup
        lam = rng.beta(alpha, alpha)
        weights.append(clipped(rng, lam) if use_cutmix else lam)
    return np.array(weights)


def clipped(rng, lam):
    """Returns the share outside a box that is cut at the border."""
    half = [int(n * math.sqrt(1 - lam)) // 2 for n in SIZE]
    centers = [rng.integers(n) for n in SIZE]
    sides = [
        min(c + h, n) - max(c - h, 0)
        for c, h, n in zip(centers, half, SIZE, strict=True)
    ]
    return 1 - math.prod(sides) / math.prod(SIZE)


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
def test_weights_follow_the_law_of_timm(name):
    given = CASES[name]
    # "elem": as many draws as samples; the law of one draw is that of all modes.
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
    # Sides of 2, 3 or 4 of 8 pixels.
    areas = {a * b / 64 for a in (2, 3, 4) for b in (2, 3, 4)}
    assert {round(1 - w, 6) for w in weights.tolist()} == areas


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
def test_what_has_no_law_is_refused(given, rule, received):
    check_error(
        lambda: msda.mix_from_timm(**given),
        "mix_from_timm",
        ValueError,
        rule,
        received,
    )
