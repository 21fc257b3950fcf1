"""SaliencyMix: each box around what draws the eye in the sample's own partner."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal, assert_equal

import keras_msda as msda
from keras_msda import masks
from keras_msda.testing import check_layer
from tests.support import layer_cases as cases
from tests.support.errors import check_error

SEED, BATCH = (1, 2), 6
SIZES = [(31,), (9, 14), (5, 6, 9), (1, 7)]
borders = pytest.mark.parametrize("border", ["inside", "clip"])


def make(**arguments):
    arguments = {
        "pairing": "roll",
        "seed": 1,
        "data_format": "channels_last",
    } | arguments
    return msda.SaliencyMixLayer(**arguments)


def labels():
    return np.eye(BATCH, dtype="float32")


def spotted(size, spots):
    """Returns saliency with one bright pixel per sample."""
    saliency = np.zeros((len(spots), *size), "float32")
    for values, spot in zip(saliency, spots, strict=True):
        values[tuple(spot)] = 1
    return saliency


def random_spots(size, seed=0):
    return np.random.default_rng(seed).integers(0, size, (BATCH, len(size)))


@pytest.mark.long
@pytest.mark.every_backend
@borders
def test_the_layer_obeys_the_laws_of_all_layers(border):
    layer = msda.SaliencyMixLayer(border=border, seed=3)
    assert check_layer(layer, sizes=[(6, 5)], worlds=["eager"])


@pytest.mark.parametrize(
    ("size", "border"),
    # Clipped sides are even, so that they leave an axis of one pixel alone.
    [(x, y) for x in SIZES for y in ("inside", "clip") if y == "inside" or 1 not in x],
    ids=str,
)
def test_the_partner_s_salient_pixel_is_shown(size, border):
    spots = random_spots(size)
    batch = {
        "images": cases.signatures(BATCH, size),
        "labels": labels(),
        "saliency": spotted(size, spots),
    }
    mixed = make(border=border).mix(batch, seed=SEED)
    images, found = cases.array(mixed["images"]), cases.array(mixed["labels"])
    first = set()
    for i in range(BATCH):
        own = images[i, ..., i]
        assert_allclose(found[i, i], own.astype("float64").mean(), rtol=0, atol=1e-6)
        if own.min() < 1:  # A box may have no pixels.
            assert_equal(images[i][tuple(spots[i - 1])][i - 1], 1)
            first.add(tuple(np.argwhere(own == 0)[0]))
    # Not one place for all samples; on a single row boxes may reach both ends.
    assert len(first) > 1 or 1 in size


def test_without_a_map_the_contrast_of_the_partner_counts():
    images = cases.images(BATCH, (9, 14))
    batch = {"images": images, "labels": labels()}
    given = batch | {"saliency": masks.contrast_saliency(images, "channels_last")}
    found, expected = (make().mix(x, seed=SEED)["images"] for x in (batch, given))
    assert_array_equal(cases.array(found), cases.array(expected))


@pytest.mark.parametrize("lam", [0, 0.4, 1])
def test_a_box_inside_covers_one_less_lambda_wherever_it_is(lam):
    size = (8, 11)
    weights = [
        make()
        .sample(
            BATCH,
            size,
            seed=SEED,
            lam=lam,
            saliency=spotted(size, random_spots(size, n)),
        )
        .weight
        for n in range(3)
    ]
    assert_array_equal(*map(cases.array, weights[:2]))
    assert_array_equal(*map(cases.array, weights[1:]))
    if lam in (0, 1):
        assert_array_equal(cases.array(weights[0]), np.full(BATCH, lam))
    weight = cases.array(make().sample(2000, size, seed=SEED, lam=lam).weight)
    # Five standard errors; a side is rounded by less than one pixel.
    bound = 5 * np.std(weight) / np.sqrt(2000) + 1e-6
    assert_allclose(weight.mean(), lam, rtol=0, atol=bound)


def test_equal_saliency_places_boxes_as_cutmix_does():
    layer, size, draws = make(border="clip", probability=1.0), (5, 6), 4000
    mask, _ = layer.sample_masks(draws, size, seed=SEED, lam=0.6)
    centers = np.array(list(np.ndindex(*size)))
    every, _ = masks.box_mask(np.full(30, 0.6, "float32"), centers, size)
    # Five standard errors of a share.
    bound = 5 * np.sqrt(0.25 / draws)
    means = cases.array(mask).mean(0), cases.array(every).mean(0)
    assert_allclose(*means, rtol=0, atol=bound)


@pytest.mark.parametrize(
    ("size", "border"), [((9, 14), "clip"), ((9, 14), "inside"), ((1, 7), "inside")]
)
def test_constant_images_are_mixed(size, border):
    images = np.broadcast_to(np.float32(0.3), (BATCH, *size, 3))
    mixed, found = make(border=border).mix((images, labels()), seed=SEED)
    assert_array_equal(cases.array(mixed), images)
    assert np.all(np.isfinite(cases.array(found)))
    assert cases.array(found).diagonal().min() < 1


def test_a_partner_with_nan_leaves_its_sample_unmixed_where_the_weight_needs_it():
    images = cases.images(BATCH, (9, 14))
    images[2, 4, 4] = np.nan
    mixed, found = make(border="clip").mix((images, labels()), seed=SEED)
    assert_array_equal(cases.array(mixed)[[2, 3]], images[[2, 3]])
    assert_array_equal(cases.array(found)[[2, 3]], np.eye(BATCH)[[2, 3]])


def test_a_partner_with_nan_is_equally_salient_where_a_loss_must_know_the_weight():
    images = cases.images(BATCH, (9, 14))
    expected = make().mix((images, labels()), seed=SEED)[1]
    images[2, 4, 4] = np.nan
    found = make().mix((images, labels()), seed=SEED)[1]
    assert_array_equal(cases.array(found), cases.array(expected))


@pytest.mark.long
def test_a_model_trains_with_a_box_inside():
    assert np.isfinite(cases.train_with(make(pairing="shuffle")))


def test_a_loss_knows_the_weights_of_boxes_inside():
    layer, images = make(pairing="shuffle"), cases.signatures(BATCH, (6, 5))
    mixed = cases.array(layer(images, training=True))
    plan = cases.arrays(layer.replay(BATCH)._replace(mask=np.zeros(1)))
    shares = np.eye(BATCH) * plan.weight[:, None]
    shares[np.arange(BATCH), plan.partner] += 1 - plan.weight
    seen = mixed.reshape(BATCH, -1, BATCH).astype("float64").mean(1)
    assert_allclose(shares, seen, rtol=0, atol=1e-6)


def test_images_alone_are_refused_where_the_weight_depends_on_them():
    with pytest.raises(ValueError, match="depend on the images"):
        make(border="clip")(cases.images(4, (6, 5)), training=True)


def test_settings_come_back_from_a_config():
    layer = msda.SaliencyMixLayer(0.4, border="clip", seed=1)
    again = msda.SaliencyMixLayer.from_config(layer.get_config())
    found = (again.border, again.alpha, again.weight_needs_images)
    assert_equal(found, ("clip", 0.4, True))


@pytest.mark.parametrize("border", ["wrap", "clip_odd", None])
def test_wrong_borders_are_refused(border):
    check_error(
        lambda: msda.SaliencyMixLayer(border=border),
        "SaliencyMixLayer",
        ValueError,
        "`border` must be",
        f"border={border!r}",
    )


def test_the_own_label_alone_is_refused():
    with pytest.raises(ValueError, match="needs 1 - M"):
        msda.SaliencyMixLayer(targets="own")
