"""The laws that every layer keeps: exact ends, weights, expectations, inference.

Statistical tests draw from fixed seeds and allow z = 4.5 standard errors, one failure
in 150,000 tries a comparison, or for a whole image the z of that chance shared by all
its pixels. `sample` draws what a call draws, as the contract checks.
"""

import itertools
import math

import keras
import numpy as np
import pytest
import tensorflow as tf
from numpy.testing import assert_allclose, assert_array_equal, assert_equal
from scipy import stats

import keras_msda as msda
from tests.support import layer_cases as cases
from tests.support import oracles
from tests.support.marks import parametrize

SIZE = (6, 7)
Z = 4.5
#: What 64-bit integers are: JAX has none unless it is told to.
LONG = "int32" if cases.BACKEND == "jax" else "int64"

layers = pytest.mark.parametrize("name", cases.LAYERS)
methods = pytest.mark.parametrize("name", cases.METHODS)
sizes = pytest.mark.parametrize("size", cases.SIZES, ids=str)


def every_size(argument, values):
    """Gives a test each value with each size, or one size in turn on JAX.

    JAX compiles each draw of a size for half a second and longer.
    """
    pairs = list(itertools.product(values, cases.SIZES))
    if cases.BACKEND == "jax":
        pairs = list(zip(values, itertools.cycle(cases.SIZES), strict=False))
    return pytest.mark.parametrize((argument, "size"), pairs, ids=str)


#: Modes whose weight is the mean of the mask, which is all but one.
EXACT = [name for name in cases.LAYERS if name != "cutmix-drawn"]


def draw(layer, batch, size=SIZE, seed=(1, 2), lam=None):
    return cases.arrays(cases.sample(layer, batch, size, seed, lam))


def assert_mean(values, expected, tests=1):
    """Checks a mean, or means along the first axis, within its standard errors."""
    z = stats.norm.isf(stats.norm.sf(Z) / tests)
    values = np.asarray(values, np.float64)
    error = values.std(axis=0) / math.sqrt(len(values))
    # Where all draws agree, only float32 rounding is left.
    assert_allclose((values.mean(axis=0) - expected) / (z * error + 1e-6), 0, atol=1)


def assert_share(hits, expected):
    """Checks the share of true values against a probability."""
    error = math.sqrt(expected * (1 - expected) / len(hits))
    assert_allclose(np.mean(hits), expected, rtol=0, atol=Z * error)


# Law 1: exact ends, and what is given stays.


def poisoned(batch, size):
    """Returns images of which the second is NaN and infinity in turn."""
    images = cases.images(batch, size)
    images[1, ..., 0], images[1, ..., 1] = np.nan, np.inf
    return images


@layers
def test_not_a_number_reaches_only_pixels_that_take_from_it(name):
    images = poisoned(5, SIZE)
    layer = cases.make(name)
    plan = cases.next_plan(layer, 5, SIZE)
    mixed = cases.array(layer(images, training=True))
    takes = np.zeros((5, *SIZE), bool)
    takes[1] = plan.mask[1] > 0
    takes |= (plan.partner == 1)[:, None, None] & (plan.mask < 1)
    assert_array_equal(np.isnan(mixed[..., 0]), takes)
    assert_array_equal(np.isfinite(mixed[..., 1]), ~takes)
    assert_array_equal(np.isfinite(mixed[..., 2]), True)


@pytest.mark.long
@parametrize("world", cases.worlds("graph", "compiled"))
@pytest.mark.parametrize("name", ["cutmix", "fmix", "hmix"])
def test_not_a_number_stays_where_it_is_in_compiled_code_too(name, world):
    images = poisoned(5, SIZE)
    expected = cases.array(cases.make(name)(images, training=True))
    mixed = cases.array(cases.WORLDS[world](cases.make(name), images, training=True))
    assert_array_equal(np.isfinite(mixed), np.isfinite(expected))
    assert 0 < np.isfinite(expected[..., 1]).mean() < 1


@parametrize("world", cases.worlds("eager", "compiled"))
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("name", ["cutmix", "fmix"])
def test_pixels_at_the_ends_are_copied_bit_for_bit(name, dtype, world):
    images = keras.ops.cast(1e4 * cases.images(5, SIZE), dtype)
    layer = cases.make(name, dtype=dtype)
    plan = cases.next_plan(layer, 5, SIZE)
    mixed = cases.array(cases.WORLDS[world](layer, images, training=True))
    own = cases.array(images)
    assert_array_equal(np.unique(plan.mask), [0, 1])
    shown = np.where(plan.mask[..., None] == 1, own, own[plan.partner])
    assert_array_equal(mixed, shown)


@methods
def test_what_is_given_is_never_changed(name):
    images, ids = cases.images(5, SIZE), np.arange(5)
    weights = np.linspace(0, 2, 5, dtype=np.float32)
    copies = images.copy(), ids.copy(), weights.copy()
    layer = cases.make(name, num_classes=5)
    layer(images, ids, weights)
    layer({"images": images, "labels": ids, "sample_weight": weights})
    for given, copy in zip((images, ids, weights), copies, strict=True):
        assert_array_equal(given, copy)


# Law 2: the weight is the mean of the mask.


@pytest.mark.parametrize("per", ["sample", "pair", "batch"])
@every_size("name", EXACT)
def test_weight_is_the_mean_of_the_mask(name, per, size):
    plan = draw(cases.make(name, per=per, probability=0.8), 33, size)
    assert_allclose(plan.weight, cases.pixel_means(plan.mask), rtol=0, atol=1e-6)
    assert_array_equal(plan.mask, np.clip(plan.mask, 0, 1))


@pytest.mark.parametrize("policy", ["float16", "bfloat16", "uint8", "float64"])
@pytest.mark.parametrize("name", ["hmix", "gmix", "fmix", "random-batch"])
def test_weights_and_masks_are_float32_whatever_the_images_are(name, policy):
    plan = cases.make(name, dtype=policy).sample(33, SIZE, seed=(3, 4))
    assert_equal([cases.dtype(x) for x in plan[1:]], ["float32"] * 2)
    plan = cases.arrays(plan)
    assert_allclose(plan.weight, cases.pixel_means(plan.mask), rtol=0, atol=1e-6)


def test_a_drawn_weight_is_lambda_and_not_the_mean():
    lam = np.linspace(0, 1, 33, dtype=np.float32)
    plan = draw(cases.make("cutmix-drawn", pairing="roll"), 33, lam=lam)
    assert_array_equal(plan.weight, lam)
    exact = draw(cases.make("cutmix", pairing="roll"), 33, lam=lam)
    assert_array_equal(plan.mask, exact.mask)
    assert np.abs(plan.weight - cases.pixel_means(plan.mask)).max() > 0.1


# Law 3: expectations.


@pytest.mark.parametrize("lam", [0.07, 0.5, 0.83])
@pytest.mark.parametrize("size", [(9,), (5, 8), (3, 4, 3)], ids=str)
@pytest.mark.parametrize("name", ["mixup", "cutmix-wrap", "hmix-wrap", "gmix-wrap"])
def test_wrapped_masks_average_lambda_at_every_pixel(name, size, lam):
    plan = draw(cases.make(name, pairing="roll"), 4000, size, lam=lam)
    assert_mean(plan.mask, np.float32(lam), tests=cases.count(size))


@pytest.mark.parametrize("lam", [0.07, 0.5, 0.83])
@pytest.mark.parametrize("name", ["cutmix-wrap", "cutmix-inside", "fmix"])
def test_weights_average_lambda(name, lam):
    plan = draw(cases.make(name, pairing="roll"), 4000, (5, 7), lam=lam)
    assert_mean(plan.weight, np.float32(lam))


@pytest.mark.parametrize("lam", [0.013, 0.5, 0.97])
def test_counts_of_fmix_are_the_two_numbers_around_lambda(lam):
    plan = draw(cases.make("fmix", pairing="roll"), 4000, (5, 7), lam=lam)
    counts = plan.mask.sum((1, 2))
    low = math.floor(lam * 35)
    assert_array_equal(np.unique(counts), [low, low + 1])
    assert_share(counts > low, lam * 35 - low)


@pytest.mark.parametrize("lam", [0.2, 0.5, 0.9])
@pytest.mark.parametrize("border", ["wrap", "inside"])
def test_sides_of_boxes_are_the_two_numbers_around_their_length(border, lam):
    layer = cases.make(f"cutmix-{border}", pairing="roll")
    plan = draw(layer, 4000, (16, 5), lam=lam)
    covered = plan.mask == 0
    for axis, length in enumerate((16, 5)):
        side = covered.any(axis=2 - axis).sum(axis=1)
        side = side[covered.any(axis=(1, 2))]
        share = np.float32(1) - np.float32(lam)
        low = oracles.box_side(share, length, 2)
        chance = oracles.box_side_chance(share, length, 2)
        if low == 0:
            continue  # An empty box does not show its sides.
        assert_array_equal(np.unique(side), [low, low + 1])
        # Given that the other side is not 0, which is another axis's noise.
        assert_share(side > low, chance)


def test_inside_boxes_lie_anywhere_inside_alike():
    layer = cases.make("cutmix-inside", pairing="roll")
    plan = draw(layer, 8000, (8,), lam=0.5)  # Sides of 4: 5 places.
    found = np.bincount((plan.mask == 0).argmax(1), minlength=5)
    assert_array_equal((plan.mask == 0).sum(1), 4)
    # Chi-square of 5 places, a false alarm has probability 1e-5.
    assert stats.chisquare(found).pvalue > 1e-5


@pytest.mark.parametrize("border", ["clip", "wrap"])
def test_boxes_have_any_centre_alike(border):
    layer = msda.CutMixLayer(border=border, pairing="roll")
    plan = draw(layer, 9000, (9,), lam=1 - 2 / 9)  # Sides of 2: pixels c - 1 and c.
    chances = np.full(9, 2 / 9)
    if border == "clip":
        chances[8] = 1 / 9  # Pixel 8 is reached from c = 8 alone.
    for pixel, chance in enumerate(chances):
        assert_share(plan.mask[:, pixel] == 0, chance)


@sizes
def test_ranges_draw_every_side_alike_and_both_ends(size):
    low, high = 0.2, 0.8
    layer = cases.make("cutmix-range", pairing="roll")
    plan = draw(layer, 3000, size)
    ranges = [
        range(math.floor(low * n + 1e-9), math.floor(high * n + 1e-9) + 1) for n in size
    ]
    areas = [math.prod(sides) for sides in itertools.product(*ranges)]
    covered = np.rint((1 - plan.weight) * cases.count(size)).astype(int)
    values, chances = np.unique(areas, return_counts=True)
    found = np.array([(covered == value).sum() for value in values])
    assert_equal(found.sum(), len(covered))
    # Chi-square of the areas, a false alarm has probability 1e-5.
    expected = chances / chances.sum() * len(covered)
    assert len(values) == 1 or stats.chisquare(found, expected).pvalue > 1e-5


def test_ranges_draw_sides_of_axes_apart_and_places_inside():
    plan = draw(cases.make("cutmix-range", pairing="roll"), 6000, (10, 5))
    covered = plan.mask == 0
    sides = [covered.any(axis=2 - axis).sum(axis=1) for axis in (0, 1)]
    table = np.zeros((7, 4))
    np.add.at(table, (sides[0] - 2, sides[1] - 1), 1)
    # Uniform on 2..8 times 1..4; a false alarm has probability 1e-5.
    assert stats.chisquare(table.ravel()).pvalue > 1e-5
    assert_array_equal(covered.sum((1, 2)), sides[0] * sides[1])
    widest = sides[0] == 8
    starts = covered[widest].any(axis=2).argmax(axis=1)
    assert stats.chisquare(np.bincount(starts, minlength=3)).pvalue > 1e-5


@pytest.mark.parametrize("end", [0.0, 1.0])
def test_ranges_of_one_point_are_all_or_nothing(end):
    layer = msda.CutMixLayer(ratio_range=(end, end), pairing="roll")
    plan = draw(layer, 50, (5, 7))
    assert_array_equal(plan.mask, np.full((50, 5, 7), 1 - end))


# The masks are those of the papers, at some centre.


@pytest.mark.parametrize("size", [(9,), (4, 5), (2, 3, 4)], ids=str)
@pytest.mark.parametrize("border", ["clip", "wrap", "inside"])
def test_masks_of_hmix_are_the_formula_at_some_centre(size, border):
    layer = msda.HMixLayer(box_ratio=0.6, border=border, pairing="roll")
    lam = np.linspace(0.05, 0.95, 12, dtype=np.float32)
    plan = draw(layer, 12, size, lam=lam)
    spots = list(np.ndindex(*size))
    for value, mask in zip(lam, plan.mask, strict=True):
        every = oracles.floor_box_mask([value] * len(spots), spots, size, 0.6, border)
        # One float32 quotient.
        assert np.abs(every[0] - mask).reshape(len(spots), -1).max(1).min() < 2e-7


@pytest.mark.parametrize("size", [(9,), (4, 5), (2, 3, 4)], ids=str)
def test_clipped_masks_of_cutmix_are_the_formula_at_some_centre(size):
    lam = np.linspace(0.05, 0.95, 12, dtype=np.float32)
    plan = draw(cases.make("cutmix", pairing="roll"), 12, size, lam=lam)
    spots = list(np.ndindex(*size))
    for value, mask in zip(lam, plan.mask, strict=True):
        every, _ = oracles.box_mask([value] * len(spots), spots, size, "clip")
        assert (every == mask).reshape(len(spots), -1).all(1).any()


@pytest.mark.parametrize("size", [(9,), (4, 5), (2, 3, 4)], ids=str)
@pytest.mark.parametrize("border", ["clip", "wrap"])
def test_masks_of_gmix_are_the_formula_at_some_centre(size, border):
    lam = np.linspace(0.05, 0.95, 12, dtype=np.float32)
    plan = draw(msda.GMixLayer(border=border, pairing="roll"), 12, size, lam=lam)
    spots = list(np.ndindex(*size))
    for value, mask in zip(lam, plan.mask, strict=True):
        every, _ = oracles.gaussian_mask([value] * len(spots), spots, size, border)
        # Float32 exponentials, and a width that is bisected in float32.
        assert np.abs(every - mask).reshape(len(spots), -1).max(1).min() < 2e-6


@pytest.mark.parametrize("border", ["clip", "wrap"])
def test_bumps_have_any_centre_alike(border):
    layer = msda.GMixLayer(border=border, pairing="roll")
    plan = draw(layer, 8000, (4, 5), lam=0.3)
    peaks = plan.mask.reshape(8000, -1).argmax(1)
    # Chi-square of 20 pixels, a false alarm has probability 1e-5.
    assert stats.chisquare(np.bincount(peaks, minlength=20)).pvalue > 1e-5


def changes(mask):
    """Counts the steps between neighbours along the last axis, around the torus."""
    return (mask != np.roll(mask, 1, axis=-1)).sum(-1)


def test_official_spectrum_keeps_one_wave_along_the_last_axis():
    layer = msda.FMixLayer(spectrum="official", pairing="roll")
    plan = draw(layer, 50, (32, 32), lam=0.5)
    assert changes(plan.mask).max() <= 2
    paper = draw(msda.FMixLayer(pairing="roll"), 50, (32, 32), lam=0.5)
    assert changes(paper.mask).max() > 2


def test_decay_makes_blobs_and_no_decay_makes_noise():
    steps = {}
    for power in (0.0, 3.0):
        layer = msda.FMixLayer(decay_power=power, pairing="roll")
        plan = draw(layer, 50, (32, 32), lam=0.5)
        steps[power] = changes(plan.mask).mean() / 32
    # White noise: neighbours differ with chance 512 / 1023. Blobs: measured 0.05.
    assert_allclose(steps[0.0], 512 / 1023, atol=0.02)
    assert steps[3.0] < 0.1


def test_soft_edges_hold_values_between_and_keep_the_weight():
    lam = np.full(200, 0.4, np.float32)
    hard = draw(msda.FMixLayer(pairing="roll"), 200, (16, 16), lam=lam)
    soft = draw(msda.FMixLayer(max_soft=0.2, pairing="roll"), 200, (16, 16), lam=lam)
    assert_array_equal(soft.weight, hard.weight)
    between = (soft.mask > 0) & (soft.mask < 1)
    # A band of 2 floor(0.2 * 256) pixels, of which the two ends are 1 and 0.
    assert_array_equal(between.sum((1, 2)), 2 * 51 - 2)


# Law 4 and its neighbours: lambda exactly at the ends, tiny alpha, long sides.


@every_size("name", [n for n in cases.LAYERS if n != "cutmix-range"])
def test_lambda_of_one_shows_the_own_image(name, size):
    plan = draw(cases.make(name, pairing="roll"), 5, size, lam=1.0)
    assert_array_equal(plan.mask, np.ones((5, *size)))
    assert_array_equal(plan.weight, np.ones(5))


#: A clipped box or bump of lambda 0 is cut at the border.
COVERING = [
    "mixup",
    "cutmix-wrap",
    "cutmix-inside",
    "hmix",
    "hmix-wrap",
    "gmix",
    "fmix",
]


@pytest.mark.parametrize("name", COVERING)
@sizes
def test_lambda_of_zero_shows_the_partner(name, size):
    plan = draw(cases.make(name, pairing="roll"), 5, size, lam=0.0)
    assert_array_equal(plan.mask, np.zeros((5, *size)))
    assert_array_equal(plan.weight, np.zeros(5))
    assert_array_equal(plan.partner, [4, 0, 1, 2, 3])


# XLA divides by a constant n by multiplying by 1 / n, and n * (1 / n) is less than 1
# for 41 and 49, among others; with its 1 - n / n in one step, 31 is off too.
@pytest.mark.parametrize("size", [(31,), (41,), (7, 7)], ids=str)
@pytest.mark.parametrize("name", [*COVERING, "gmix-wrap", "fmix-soft"])
@pytest.mark.tensorflow
@pytest.mark.xla
def test_ends_of_lambda_are_exact_under_xla(name, size):
    lam = np.array([0, 1, 0, 1], np.float32)
    layer = cases.make(name, pairing="roll")
    call = tf.function(
        lambda seed: layer.sample(4, size, seed=seed, lam=lam), jit_compile=True
    )
    plan = cases.arrays(call(tf.constant([1, 2])))
    assert_array_equal(plan.weight, lam)
    expected = lam.reshape(4, *[1] * len(size)) * np.ones((4, *size))
    assert_array_equal(plan.mask, expected)


@layers
def test_tiny_alpha_gives_numbers(name):
    shared = {"pairing": "roll"}
    if name.startswith("random"):
        parts = [msda.MixUpLayer(0.01), msda.CutMixLayer(0.01), msda.FMixLayer(0.01)]
        layer = msda.RandomMixLayer(parts, per=name.removeprefix("random-"), **shared)
    else:
        layer = cases.make(name, alpha=0.01, **shared)
    plan = draw(layer, 500)
    assert_array_equal(plan.mask, np.clip(plan.mask, 0, 1))
    if name != "cutmix-drawn":
        assert_allclose(plan.weight, cases.pixel_means(plan.mask), rtol=0, atol=1e-6)


def test_tiny_alpha_chooses_one_of_the_two_images():
    plan = draw(msda.MixUpLayer(0.01, pairing="roll"), 4000)
    # P(lam > 1 - 1e-6) = 0.4359 for Beta(.01, .01), by SciPy; those are exactly 1.
    assert_share(plan.weight == 1, stats.beta.sf(1 - 1e-6, 0.01, 0.01))
    assert_share(plan.weight < 1e-6, stats.beta.cdf(1e-6, 0.01, 0.01))


@every_size("border", ["clip", "wrap", "inside"])
def test_no_box_ratio_is_mixup_of_the_same_lambda(size, border):
    hmix = msda.HMixLayer(0.7, box_ratio=0.0, border=border, pairing="roll")
    plan = draw(hmix, 20, size)
    expected = np.broadcast_to(
        plan.weight.reshape(20, *[1] * len(size)), plan.mask.shape
    )
    assert_array_equal(plan.mask, expected)
    lam = np.linspace(0, 1, 20, dtype=np.float32)
    mixup = draw(msda.MixUpLayer(pairing="roll"), 20, size, lam=lam)
    assert_array_equal(draw(hmix, 20, size, lam=lam).mask, mixup.mask)


@pytest.mark.parametrize("side", [0, 1, 5, 8])
def test_full_box_ratio_is_cutmix_where_sides_are_whole(side):
    lam = 1 - (side / 8) ** 2
    hmix = msda.HMixLayer(box_ratio=1.0, border="wrap", pairing="roll")
    plan = draw(hmix, 200, (8, 8), lam=lam)
    assert_array_equal(np.unique(plan.mask), np.unique([side < 8, side == 0]))
    covered = plan.mask == 0
    assert_array_equal(covered.sum((1, 2)), side**2)
    assert_array_equal(covered.any(axis=2).sum(axis=1), side)
    spots = list(np.ndindex(8, 8))
    boxes, _ = oracles.box_mask([lam] * 64, spots, (8, 8), "wrap")
    boxes = {mask.tobytes() for mask in boxes.astype(np.float32)}
    assert {mask.tobytes() for mask in plan.mask} <= boxes


def test_clipped_gmix_has_no_label_weight_near_a_half():
    plan = draw(msda.GMixLayer(pairing="roll"), 20_000, (32, 32))
    assert not ((plan.weight > 0.4266) & (plan.weight < 0.5734)).any()
    # The hole is no wider: of 10,000 weights on each side some are 0.01 from its end.
    assert plan.weight[plan.weight < 0.5].max() > 0.4166
    assert plan.weight[plan.weight > 0.5].min() < 0.5834


@pytest.mark.parametrize("border", ["clip", "wrap"])
def test_weights_of_gmix_are_distributed_around_a_half_alike(border):
    layer = msda.GMixLayer(0.6, border=border, pairing="roll")
    first = draw(layer, 5000, (8, 8), seed=(1, 2)).weight
    second = draw(layer, 5000, (8, 8), seed=(3, 4)).weight
    # Two-sample Kolmogorov-Smirnov, a false alarm has probability 1e-5.
    assert stats.ks_2samp(first, 1 - second).pvalue > 1e-5


# Law 5: labels keep their sum.


@layers
def test_rows_of_soft_labels_keep_their_sum(name):
    layer = cases.make(name, num_classes=7, label_smoothing=0.2)
    _, labels = layer(cases.images(33, SIZE), np.arange(33) % 7)
    assert_allclose(cases.array(labels).sum(1), np.ones(33), rtol=0, atol=1e-6)
    soft = np.random.default_rng(1).dirichlet(np.ones(7), 33).astype(np.float32)
    _, labels = cases.make(name)(cases.images(33, SIZE), 3 * soft)
    assert_allclose(cases.array(labels).sum(1), 3 * np.ones(33), rtol=0, atol=3e-6)


@methods
def test_one_hot_labels_mix_to_two_entries_at_most(name):
    layer = cases.make(name, num_classes=9)
    _, labels = layer(cases.images(9, SIZE), np.arange(9))
    found = np.sort((np.asarray(labels) > 0).sum(1))
    assert set(found) <= {1, 2}
    assert found[-1] == 2


# Law 6: inference is what it is without the layer.


@layers
@pytest.mark.parametrize("dtype", ["float32", "uint8", "float16"])
def test_images_are_kept_outside_training(name, dtype):
    images = keras.ops.cast(200 * cases.images(5, SIZE), dtype)
    layer = cases.make(name)
    before = cases.array(layer._seed_state.value).copy()
    for training in (False, None):
        kept = layer(images, training=training)
        assert_equal(cases.dtype(kept), "float32")
        assert_array_equal(kept, keras.ops.cast(images, "float32"))
    kept, _ = layer(images, np.ones(5, np.float32), training=False)
    assert_array_equal(kept, keras.ops.cast(images, "float32"))
    assert_array_equal(cases.array(layer._seed_state.value), before)


@pytest.mark.long
@methods
@parametrize("world", cases.worlds("eager", "graph", "mapped"))
def test_labels_outside_training_have_the_form_of_training(name, world):
    images, ids = cases.images(4, SIZE), np.array([2, 0, 1, 2])
    weights = np.array([1, 2, 0, 4], np.float32)
    for targets, width in [("soft", 3), ("pair", 3)]:
        layer = cases.make(
            name, num_classes=3 if targets == "soft" else None, targets=targets
        )
        trained = cases.WORLDS[world](layer, images, ids, weights)
        kept = cases.WORLDS[world](layer, images, ids, weights, training=False)
        for one, other in zip(trained, kept, strict=True):
            assert_equal((one.dtype, one.shape), (other.dtype, other.shape))
        ones = np.ones(4)
        pair = np.stack([ids, ids, ones], 1)
        expected = oracles.one_hot(ids, width) if targets == "soft" else pair
        assert_array_equal(kept[0], images)
        assert_array_equal(kept[1], expected)
        assert_array_equal(kept[2], weights)


def test_smoothing_is_left_out_outside_training():
    layer = cases.make("gmix", num_classes=3, label_smoothing=0.3)
    _, labels = layer(cases.images(3, SIZE), np.arange(3), training=False)
    assert_array_equal(labels, np.eye(3))


def test_unmixed_samples_are_smoothed_in_training_as_mixed_ones_are():
    layer = cases.make("gmix", num_classes=3, label_smoothing=0.3, probability=0.0)
    _, labels = layer(cases.images(3, SIZE), np.arange(3))
    expected = oracles.one_hot(np.arange(3), 3, 0.3)
    assert_allclose(labels, expected, rtol=0, atol=1e-7)


def test_own_labels_outside_training_are_the_given_ones():
    layer = cases.make("fmix", targets="own")
    ids = np.array([2**24 + 1, 7, 1])
    for training in (True, False):
        _, labels = layer(cases.images(3, SIZE), ids, training=training)
        assert_array_equal(labels, ids)
        assert_equal(cases.dtype(labels), LONG)


@methods
def test_dictionaries_are_kept_outside_training(name):
    images = cases.images(4, SIZE)
    batch = {"images": images, "labels": np.arange(4), "id": np.arange(4)}
    layer = cases.make(name, num_classes=4)
    kept = layer(batch, training=False)
    assert_array_equal(kept["images"], images)
    assert_array_equal(kept["labels"], np.eye(4))


@methods
def test_training_left_open_mixes_only_what_comes_with_labels(name):
    images = cases.signatures(5, SIZE)
    layer = cases.make(name, num_classes=5, pairing="roll")
    assert_array_equal(layer(images), images)
    assert (cases.array(layer(images, np.arange(5))[0]) != images).any()
    batch = {"images": images, "labels": np.arange(5)}
    assert (cases.array(layer(batch)["images"]) != images).any()
    assert (cases.array(layer(images, training=True)) != images).any()


def model_with(layer):
    """Returns one small model with the layer first and one without."""
    keras.utils.set_random_seed(3)
    inputs = keras.Input((*SIZE, 3))
    body = keras.Sequential(
        [keras.layers.Flatten(), keras.layers.Dense(4, activation="softmax")]
    )
    plain = keras.Model(inputs, body(inputs))
    mixing = keras.Model(inputs, body(layer(inputs)))
    return mixing, plain


@pytest.mark.long
@methods
def test_predictions_are_those_of_the_model_without_the_layer(name):
    mixing, plain = model_with(cases.make(name))
    images = cases.images(6, SIZE)
    assert_array_equal(
        mixing.predict(images, batch_size=4, verbose=0),
        plain.predict(images, batch_size=4, verbose=0),
    )
    expected = cases.array(plain(images))
    assert_array_equal(cases.array(mixing(images)), expected)
    assert_array_equal(cases.array(mixing(images, training=False)), expected)
    assert (cases.array(mixing(images, training=True)) != expected).any()


@pytest.mark.long
@methods
def test_evaluation_is_that_of_the_model_without_the_layer(name):
    layer = cases.make(name)
    mixing, plain = model_with(layer)
    loss = "sparse_categorical_crossentropy"
    mixing.compile(loss=layer.loss(loss), metrics=[layer.accuracy()])
    plain.compile(loss=loss, metrics=["accuracy"])
    images, ids = cases.images(6, SIZE), np.arange(6) % 4
    found = mixing.evaluate(images, ids, batch_size=3, verbose=0)
    expected = plain.evaluate(images, ids, batch_size=3, verbose=0)
    # Means of six float32 losses, added in another order.
    assert_allclose(found, expected, rtol=1e-6)


# Samples that are not mixed.


@layers
@pytest.mark.parametrize("per", ["sample", "pair", "batch"])
def test_unmixed_samples_have_themselves_with_weight_and_mask_of_one(name, per):
    plan = draw(cases.make(name, per=per, probability=0.4, groups=2), 41)
    alone = plan.partner == np.arange(41)
    assert_array_equal(plan.weight[alone], 1)
    assert_array_equal(plan.mask[alone], 1)


@pytest.mark.parametrize("name", ["mixup", "fmix", "random-sample"])
def test_probability_of_zero_mixes_nobody(name):
    plan = draw(cases.make(name, probability=0.0), 50)
    assert_array_equal(plan.partner, np.arange(50))
    assert_array_equal(plan.weight, 1)
    assert_array_equal(plan.mask, 1)


@layers
@pytest.mark.parametrize("probability", [0.2, 0.9])
def test_probability_is_applied_once_a_sample(name, probability):
    layer = cases.make(name, per="sample", pairing="roll", probability=probability)
    plan = draw(layer, 4000, (3,))
    assert_share(plan.partner != np.arange(4000), probability)


def test_probability_is_applied_once_a_pair():
    layer = msda.HMixLayer(per="pair", pairing="reverse", probability=0.3)
    plan = draw(layer, 6000, (3,))
    mixed = plan.partner != np.arange(6000)
    assert_array_equal(mixed, mixed[::-1])
    assert_share(mixed[:3000], 0.3)


@pytest.mark.long
@pytest.mark.parametrize("name", ["mixup", "random-batch"])
def test_probability_is_applied_once_a_batch(name):
    layer = cases.make(name, per="batch", pairing="roll", probability=0.3)
    mixed = []
    for seed in range(300):
        plan = draw(layer, 3, (2,), seed=(seed, 5))
        mixed.append(set(plan.partner != np.arange(3)))
    assert all(len(found) == 1 for found in mixed)
    assert_share([found == {True} for found in mixed], 0.3)


# Sharing.


@layers
@pytest.mark.parametrize("pairing", ["shuffle", "reverse"])
@pytest.mark.parametrize("groups", [None, 3])
def test_pairs_are_mutual_with_equal_masks_and_weights(name, pairing, groups):
    layer = cases.make(
        name, per="pair", pairing=pairing, groups=groups, probability=0.8
    )
    plan = draw(layer, 23)
    index = np.arange(23)
    assert_array_equal(plan.partner[plan.partner], index)
    assert_array_equal(plan.mask, plan.mask[plan.partner])
    assert_array_equal(plan.weight, plan.weight[plan.partner])
    assert 2 < (plan.partner != index).sum() < 23


@pytest.mark.parametrize("name", sorted(set(cases.LAYERS) - {"random-batch"}))
def test_pairs_and_samples_differ_in_their_draws(name):
    for per in ("pair", "sample"):
        layer = cases.make(name, per=per, pairing="reverse")
        plan = draw(layer, 20, (9, 14))
        # Twenty draws, or ten; two may agree by chance, so half of them suffice.
        kinds = len({mask.tobytes() for mask in plan.mask})
        assert kinds > (10 if per == "sample" else 5)
        assert kinds <= (20 if per == "sample" else 10)


@layers
def test_batches_share_one_draw(name):
    plan = draw(cases.make(name, per="batch", pairing="roll"), 20, seed=(7, 1))
    assert_array_equal(plan.mask, np.broadcast_to(plan.mask[:1], plan.mask.shape))
    assert_array_equal(plan.weight, np.broadcast_to(plan.weight[:1], 20))


# Random choices.


def choices(weights, per, seeds, batch):
    """Draws which of three methods of alien masks was chosen, by its mask."""
    parts = [
        msda.MixUpLayer(),
        msda.CutMixLayer(ratio_range=(0.5, 0.5)),
        msda.CutMixLayer(ratio_range=(0.25, 0.25)),
    ]
    layer = msda.RandomMixLayer(parts, weights, per, pairing="roll")
    found = []
    for seed in range(seeds):
        plan = draw(layer, batch, (4,), seed=(seed, 9))
        zeros = (plan.mask == 0).sum(1)
        found.append(np.select([zeros == 2, zeros == 1], [1, 2], 0))
    return np.array(found)


@pytest.mark.parametrize("weights", [None, [1, 2, 5], [0.5, 0.0, 0.5]])
def test_samples_choose_methods_by_their_weights(weights):
    (found,) = choices(weights, "sample", 1, 6000)
    chances = np.array(weights or [1, 1, 1]) / np.sum(weights or [1, 1, 1])
    for method, chance in enumerate(chances):
        assert_share(found == method, chance)


@pytest.mark.long
def test_batches_choose_one_method_by_its_weight():
    found = choices([1, 2, 5], "batch", 300, 3)
    assert_array_equal(found, np.broadcast_to(found[:, :1], found.shape))
    for method, chance in enumerate([1 / 8, 2 / 8, 5 / 8]):
        assert_share(found[:, 0] == method, chance)


def test_a_choice_may_hold_a_choice():
    box = msda.CutMixLayer(ratio_range=(0.5, 0.5))
    inner = msda.RandomMixLayer([msda.MixUpLayer(), box], [1, 3], per="sample")
    arguments = {"per": "sample", "pairing": "roll"}
    layer = msda.RandomMixLayer([msda.MixUpLayer(), inner], **arguments)
    for lam in (None, 0.3):
        plan = draw(layer, 4000, (4,), lam=lam)
        assert_allclose(plan.weight, cases.pixel_means(plan.mask), rtol=0, atol=1e-6)
        assert_share((plan.mask == 0).any(1), 3 / 8)


def test_a_choice_of_one_method_has_its_law():
    alone = msda.RandomMixLayer([msda.MixUpLayer(0.3)], per="sample", pairing="roll")
    weight = draw(alone, 5000, (2,)).weight.astype(np.float64)
    # Kolmogorov-Smirnov, a false alarm has probability 1e-5; 65,536 atoms are many.
    assert stats.kstest(weight, stats.beta(0.3, 0.3).cdf).pvalue > 1e-5


def test_members_of_a_choice_of_own_labels_draw_reweighted_lambda():
    parts = [msda.MixUpLayer(2.0), msda.FMixLayer(2.0)]
    layer = msda.RandomMixLayer(parts, per="sample", targets="own", pairing="roll")
    weight = draw(layer, 6000, (8,)).weight
    assert_mean(weight, 3 / 5)  # The mean of Beta(3, 2).
