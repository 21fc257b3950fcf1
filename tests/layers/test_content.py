"""Layers whose plans depend on the images: saliency, moved partners, similar labels."""

import numpy as np
import pytest
import tensorflow as tf
from keras import ops
from numpy.testing import assert_allclose, assert_array_equal, assert_equal

import keras_msda as msda
from keras_msda import masks, plans, sampling
from keras_msda.testing import check_layer
from tests.support import layer_cases as cases
from tests.support.brighter_layer import BrighterLayer
from tests.support.errors import refused

BATCH, SIZE = 4, (3, 5)
SEED = (1, 2)


class RolledLayer(msda.MixLayer):
    """Mixes with a partner that is moved one pixel along each axis, cyclically."""

    uniform_mask = False
    moves_partner = True
    in_one_piece = True

    def sample_params(self, lam, size, *, seed):
        return lam

    def mask(self, params, size):
        return masks.Mask(params, 0.0 * params, ())

    def move(self, params, size):
        index = np.arange(np.prod(size)).reshape(size)
        for axis in range(len(size)):
            index = np.roll(index, 1, axis)
        draws = ops.shape(params)[0]
        index = ops.broadcast_to(ops.cast(index, "int32"), (draws, *size))
        if not self.in_one_piece:
            return masks.Move(index)
        ones = ops.ones((draws, len(size)))
        return masks.Move(index, 2 * ones, 0.5 * ones)


def images(seed=0, *, channels=2, size=SIZE):
    shape = (BATCH, *size, channels)
    return np.random.default_rng(seed).random(shape, "float32")


def random_saliency(seed=1):
    return np.random.default_rng(seed).random((BATCH, *SIZE), "float32")


def soft_labels():
    return np.eye(BATCH, dtype="float32")


# Saliency.


@pytest.mark.parametrize("pairing", ["roll", "shuffle", "reverse"])
@pytest.mark.parametrize("per", ["sample", "batch"])
def test_the_saliency_of_both_images_places_the_mask(pairing, per):
    layer = BrighterLayer(pairing=pairing, per=per)
    x, s = images(), random_saliency()
    batch = {"images": x, "labels": soft_labels(), "saliency": s}
    mixed = layer.mix(batch, seed=SEED)
    partner = cases.arrays(layer.sample(BATCH, SIZE, seed=SEED)).partner
    mask = np.where(partner[:, None, None] == np.arange(BATCH)[:, None, None], 1, 0)
    mask = np.maximum(mask, s >= s[partner])
    expected = np.where(mask[..., None] > 0, x, x[partner])
    assert_array_equal(ops.convert_to_numpy(mixed["images"]), expected)
    weight = mask.mean((1, 2))[:, None]
    labels = weight * np.eye(BATCH) + (1 - weight) * np.eye(BATCH)[partner]
    assert_allclose(ops.convert_to_numpy(mixed["labels"]), labels, rtol=0, atol=1e-6)
    both = np.where(mask > 0, s, s[partner])
    assert_array_equal(ops.convert_to_numpy(mixed["saliency"]), both)


def test_saliency_is_found_in_every_form_of_a_call():
    layer = BrighterLayer(pairing="roll")
    fields = {"images": images(), "saliency": random_saliency()}
    expected = layer.mix(fields | {"labels": soft_labels()}, seed=SEED)
    mixed, labels = layer.mix((fields, soft_labels()), seed=SEED)
    for key in fields:
        assert_array_equal(*(ops.convert_to_numpy(x[key]) for x in (mixed, expected)))
    assert_array_equal(*map(ops.convert_to_numpy, (labels, expected["labels"])))


def test_without_a_map_the_contrast_of_the_images_counts():
    layer, x = BrighterLayer(pairing="roll"), images()
    found = masks.contrast_saliency(x, "channels_last")
    given = {"images": x, "labels": soft_labels(), "saliency": found}
    expected = layer.mix(given, seed=SEED)
    mixed, labels = layer.mix((x, soft_labels()), seed=SEED)
    assert_array_equal(*map(ops.convert_to_numpy, (mixed, expected["images"])))
    assert_array_equal(*map(ops.convert_to_numpy, (labels, expected["labels"])))


@pytest.mark.parametrize("value", [np.nan, np.inf, -1.0])
def test_samples_whose_saliency_is_no_number_stay_unmixed(value):
    s = random_saliency()
    s[1, 2, 3] = value
    batch = {"images": images(), "labels": soft_labels(), "saliency": s}
    mixed = BrighterLayer(pairing="roll").mix(batch, seed=SEED)
    labels = ops.convert_to_numpy(mixed["labels"])
    # Sample 1, and sample 2, whose partner it is.
    assert_array_equal(labels[1:3], np.eye(BATCH)[1:3])
    assert np.all((labels[[0, 3]].max(-1) < 1) & np.isfinite(labels[[0, 3]].sum(-1)))
    assert_array_equal(ops.convert_to_numpy(mixed["images"])[1:3], images()[1:3])


def test_a_second_batch_brings_its_own_saliency():
    layer = BrighterLayer()
    first = {
        "images": images(1),
        "labels": soft_labels(),
        "saliency": random_saliency(),
    }
    second = first | {"images": images(2), "saliency": random_saliency(2)}
    mixed = layer.mix(first, seed=SEED, partner=second)
    mask = first["saliency"] >= second["saliency"]
    expected = np.where(mask[..., None], first["images"], second["images"])
    assert_array_equal(ops.convert_to_numpy(mixed["images"]), expected)


def test_saliency_is_averaged_over_axes_without_a_mask():
    videos = np.random.default_rng(0).random((BATCH, 3, 4, 5, 1), "float32")
    s = np.random.default_rng(1).random((BATCH, 3, 4, 5), "float32")
    layer = BrighterLayer(pairing="roll", mask_axes=(2, 3))
    batch = {"images": videos, "labels": soft_labels(), "saliency": s}
    mixed = ops.convert_to_numpy(layer.mix(batch, seed=SEED)["images"])
    mean = s.mean(1)
    mask = (mean >= np.roll(mean, 1, 0))[:, None, ..., None]
    assert_array_equal(mixed, np.where(mask, videos, np.roll(videos, 1, 0)))


def test_saliency_is_a_key_of_the_user_for_other_layers():
    batch = {"images": images(), "labels": soft_labels(), "saliency": "mine"}
    assert msda.MixUpLayer()(batch)["saliency"] == "mine"
    batch["saliency"] = random_saliency()
    mixed = msda.MixUpLayer(batch_keys=["saliency"], pairing="roll")(batch)
    assert mixed["saliency"].shape == (BATCH, *SIZE)


def test_saliency_of_another_shape_is_refused():
    batch = {"images": images(), "labels": soft_labels(), "saliency": images()}
    with refused("BrighterLayer", "one number per pixel", "(4, 3, 5, 2)", "norm"):
        BrighterLayer()(batch)


def test_images_alone_are_refused_where_labels_depend_on_them():
    layer = BrighterLayer()
    with refused("BrighterLayer", "depend on the images", "SaliencyMixing"):
        layer(images(), training=True)
    with refused("BrighterLayer", "depend on the images", "SaliencyMixing"):
        layer.loss("mse")
    with refused("BrighterLayer", "depend on the images", "SaliencyMixing"):
        layer.accuracy()
    assert_array_equal(ops.convert_to_numpy(layer(images())), images())


def test_sample_takes_saliency_and_no_map_is_the_same_everywhere():
    layer = BrighterLayer(pairing="roll")
    s = random_saliency()
    plan = cases.arrays(layer.sample(BATCH, SIZE, seed=SEED, saliency=s))
    assert_array_equal(plan.mask, s >= np.roll(s, 1, 0))
    plan = cases.arrays(layer.sample(BATCH, SIZE, seed=SEED))
    assert_array_equal(plan.weight, 1)
    mask, _ = layer.sample_masks(2, SIZE, seed=SEED)
    assert_array_equal(ops.convert_to_numpy(mask), 1)
    with refused("MixUpLayer", "do not depend on saliency", "Leave"):
        msda.MixUpLayer().sample(BATCH, SIZE, seed=SEED, saliency=s)


def test_a_random_choice_refuses_layers_that_look_at_images():
    with refused("RandomMixLayer", "neither saliency", "BrighterLayer"):
        msda.RandomMixLayer([msda.MixUpLayer(), BrighterLayer()])


# Moved partners.


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
@pytest.mark.parametrize("size", [(5,), (3, 5), (2, 3, 4)])
def test_the_partner_is_moved_before_it_is_blended(size, data_format):
    layer = RolledLayer(pairing="roll", data_format=data_format)
    x = images(size=size)
    axes = tuple(range(1, len(size) + 1))
    plan = layer.sample(BATCH, size, seed=SEED)
    assert isinstance(plan, plans.MovedMixPlan)
    share = ops.convert_to_numpy(plan.weight).reshape(-1, *[1] * (len(size) + 1))
    moved = np.roll(np.roll(x, 1, 0), 1, axes)
    expected = share * x + (1 - share) * moved
    given = x if data_format == "channels_last" else np.moveaxis(x, -1, 1)
    mixed = ops.convert_to_numpy(layer.mix((given, soft_labels()), seed=SEED)[0])
    again = ops.convert_to_numpy(msda.mix_images(given, plan, data_format))
    for found in (mixed, again):
        found = found if data_format == "channels_last" else np.moveaxis(found, 1, -1)
        assert_allclose(found, expected, rtol=0, atol=1e-6)


def test_the_own_image_may_be_moved_too_unless_it_is_unmixed():
    layer = RolledLayer(pairing="roll", probability=0.5, seed=3)
    layer.moves_own = True
    layer.move_own = lambda params, size: masks.Move(layer.move(params, size).index)
    plan = layer.sample(BATCH, SIZE, seed=(5, 2))
    partner, weight = map(ops.convert_to_numpy, (plan.partner, plan.weight))
    mixed = partner != np.arange(BATCH)
    assert 0 < mixed.sum() < BATCH
    x = images()
    moved = np.roll(x, 1, (1, 2))
    share = weight.reshape(-1, 1, 1, 1)
    expected = share * moved + (1 - share) * moved[partner]
    expected = np.where(mixed.reshape(-1, 1, 1, 1), expected, x)
    found = ops.convert_to_numpy(layer.mix((x, soft_labels()), seed=(5, 2))[0])
    assert_allclose(found, expected, rtol=0, atol=1e-6)


def test_moves_follow_the_axes_of_the_mask():
    videos = np.random.default_rng(0).random((BATCH, 3, 4, 5, 1), "float32")
    layer = RolledLayer(pairing="roll", mask_axes=(1, 3))
    mixed = ops.convert_to_numpy(layer.mix((videos, soft_labels()), seed=SEED)[0])
    plan = layer.sample(BATCH, (3, 4, 5), seed=SEED)
    share = ops.convert_to_numpy(plan.weight).reshape(-1, 1, 1, 1, 1)
    moved = np.roll(np.roll(videos, 1, 0), 1, (1, 3))
    expected = share * videos + (1 - share) * moved
    assert_allclose(mixed, expected, rtol=0, atol=1e-6)
    start, scale = (ops.convert_to_numpy(x) for x in (plan.move.start, plan.move.scale))
    assert_array_equal(start, [[2, 0, 2]] * BATCH)
    assert_array_equal(scale, [[0.5, 1, 0.5]] * BATCH)


@pytest.mark.parametrize("per", ["sample", "batch", "pair"])
def test_moves_are_shared_as_masks_are(per):
    layer = RolledLayer(pairing="reverse", per=per)
    mixed = ops.convert_to_numpy(layer.mix((images(), soft_labels()), seed=SEED)[0])
    weight = ops.convert_to_numpy(layer.sample(BATCH, SIZE, seed=SEED).weight)
    share = weight.reshape(-1, 1, 1, 1)
    moved = np.roll(images()[::-1], 1, (1, 2))
    expected = share * images() + (1 - share) * moved
    assert_allclose(mixed, expected, rtol=0, atol=1e-6)


def test_segmentation_masks_follow_the_partner():
    classes = np.random.default_rng(3).integers(0, 5, (BATCH, *SIZE))
    layer = RolledLayer(pairing="roll", data_format="channels_last")
    batch = {"images": images(), "segmentation_masks": classes}
    mixed = ops.convert_to_numpy(layer.mix(batch, seed=SEED)["segmentation_masks"])
    weight = ops.convert_to_numpy(layer.sample(BATCH, SIZE, seed=SEED).weight)
    moved = np.roll(np.roll(classes, 1, 0), 1, (1, 2))
    own = weight.reshape(-1, 1, 1) > 0.5
    assert_array_equal(mixed, np.where(own, classes, moved))


# The partner's pixels (y, x) come to 2 + (y, x) / 2 in images of 3 rows and 5 columns.
BOXES = {
    "xyxy": ([1, 0, 4, 2], [2.5, 2, 4, 3]),
    "yxyx": ([0, 1, 2, 4], [2, 2.5, 3, 4]),
    "xywh": ([1, 0, 3, 2], [2.5, 2, 1.5, 1]),
    "center_xywh": ([2.5, 1, 3, 2], [3.25, 2.5, 1.5, 1]),
    "center_yxhw": ([1, 2.5, 2, 3], [2.5, 3.25, 1, 1.5]),
    "rel_xyxy": ([0.2, 0, 0.8, 2 / 3], [0.5, 2 / 3, 0.8, 1]),
    "rel_yxyx": ([0, 0.2, 2 / 3, 0.8], [2 / 3, 0.5, 1, 0.8]),
    "rel_xywh": ([0.2, 0, 0.6, 2 / 3], [0.5, 2 / 3, 0.3, 1 / 3]),
    "rel_center_xywh": ([0.5, 1 / 3, 0.6, 2 / 3], [0.65, 5 / 6, 0.3, 1 / 3]),
}


@pytest.mark.whole
@pytest.mark.parametrize("box_format", BOXES)
def test_boxes_follow_the_partner(box_format):
    own, moved = (np.array(row, "float32") for row in BOXES[box_format])
    boxes = np.broadcast_to(own, (BATCH, 1, 4))
    labels = np.arange(BATCH)[:, None]
    layer = RolledLayer(pairing="roll", bounding_box_format=box_format)
    batch = {"images": images(), "bounding_boxes": {"boxes": boxes, "labels": labels}}
    mixed = layer.mix(batch, seed=SEED)["bounding_boxes"]
    found = ops.convert_to_numpy(mixed["boxes"])
    assert_array_equal(found[:, 0], boxes[:, 0])
    assert_allclose(found[:, 1], np.broadcast_to(moved, (BATCH, 4)), rtol=0, atol=1e-6)
    expected = np.stack([np.arange(BATCH), np.roll(np.arange(BATCH), 1)], 1)
    assert_array_equal(ops.convert_to_numpy(mixed["labels"]), expected)
    share = ops.convert_to_numpy(mixed["weights"])
    weight = ops.convert_to_numpy(layer.sample(BATCH, SIZE, seed=SEED).weight)
    assert_allclose(share, np.stack([weight, 1 - weight], 1), rtol=0, atol=1e-6)


def test_integer_boxes_are_weighed_before_they_are_rounded():
    boxes = {"boxes": np.array([[[1, 0, 4, 3]]] * BATCH), "labels": [[1]] * BATCH}
    layer = msda.ResizeMixLayer(pairing="roll", bounding_box_format="xyxy")
    batch = {"images": images(), "bounding_boxes": boxes}
    for seed in range(5):
        mixed = layer.mix(batch, seed=(seed, 0))["bounding_boxes"]
        # The partner is all shown, so each of its boxes is.
        share = ops.convert_to_numpy(mixed["weights"])[:, 1]
        plan = layer.sample(BATCH, SIZE, seed=(seed, 0))
        alone = ops.convert_to_numpy(plan.weight) == 1
        assert_allclose(share, np.where(alone, 0, 1), rtol=0, atol=1e-6)
        assert "int" in cases.dtype(mixed["boxes"])


def test_keypoints_follow_the_partner():
    points = np.broadcast_to(np.array([4.0, 1.0], "float32"), (BATCH, 1, 2))  # x, y
    keypoints = {"points": points, "labels": np.ones((BATCH, 1), "int32")}
    layer = RolledLayer(pairing="roll")
    batch = {"images": images(), "keypoints": keypoints}
    found = ops.convert_to_numpy(layer.mix(batch, seed=SEED)["keypoints"]["points"])
    assert_array_equal(found, [[[4, 1], [4, 2.5]]] * BATCH)


@pytest.mark.parametrize("key", ["bounding_boxes", "keypoints"])
def test_what_cannot_follow_a_partner_in_pieces_is_refused(key):
    place = "boxes" if key == "bounding_boxes" else "points"
    width = 4 if place == "boxes" else 2
    layer = RolledLayer(bounding_box_format="xyxy")
    layer.in_one_piece = False
    rows = {place: np.ones((BATCH, 1, width)), "labels": np.ones((BATCH, 1), int)}
    with refused("RolledLayer", place, "one by one", "Leave them out"):
        layer({"images": images(), key: rows})


def test_a_coarser_grid_cannot_follow_a_moved_partner():
    layer = RolledLayer(batch_keys=["tokens"])
    batch = {"images": images(size=(4, 4)), "tokens": np.ones((BATCH, 2, 2, 3))}
    with refused("RolledLayer", '"tokens"', "pixel by pixel", "Resize"):
        layer(batch)


def test_a_moved_partner_trains_inside_a_model():
    assert np.isfinite(cases.train_with(RolledLayer(seed=1)))


# Partners with similar labels.


def draw_partners(labels, bandwidth, *, draws=400, groups=1):
    """Returns partners, `(draws, batch)`: each draw is some groups of one batch."""
    labels = np.asarray(labels, "float32")
    batch = len(labels)
    found = sampling.sample_similar_partners(
        ops.convert_to_tensor(np.tile(labels, (draws, 1))),
        bandwidth,
        per="sample",
        groups=draws * groups,
        seed=ops.convert_to_tensor(SEED, "int32"),
    )
    first = batch * np.arange(draws)[:, None]
    return ops.convert_to_numpy(found.partner).reshape(draws, batch) - first


@pytest.mark.long
def test_the_probability_of_a_partner_falls_with_the_distance_of_the_labels():
    labels = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 2.0], [-3.0, 1.0], [0.5, 0.5]])
    distance = ((labels[:, None] - labels[None]) ** 2).sum(-1)
    expected = np.exp(-distance / (2 * 1.3**2))
    expected /= expected.sum(1, keepdims=True)
    draws = 800
    partner = draw_partners(labels, 1.3, draws=draws)
    found = (partner[..., None] == np.arange(5)).mean(0)
    # Five standard errors of a share.
    bound = 5 * np.sqrt(expected * (1 - expected) / draws) + 1e-6
    assert np.all(np.abs(found - expected) < bound)


def test_a_wide_bandwidth_draws_uniformly_and_a_narrow_one_near_labels_alone():
    labels = np.arange(6.0)[:, None]
    wide = draw_partners(labels, 1e4, draws=600)
    found = (wide[..., None] == np.arange(6)).mean(0)
    assert np.all(np.abs(found - 1 / 6) < 5 * np.sqrt(5 / 36 / 600))
    labels[3] = labels[5] = 0.0
    narrow = draw_partners(labels, 1e-3, draws=100)
    assert_equal(narrow[:, [1, 2, 4]], np.broadcast_to([1, 2, 4], (100, 3)))
    assert set(np.unique(narrow[:, [0, 3, 5]])) == {0, 3, 5}


def test_partners_stay_in_groups_and_labels_that_are_nan_alone():
    labels = np.array([[0.0], [np.nan], [0.0], [0.0], [0.0], [np.inf]])
    with np.errstate(invalid="ignore"):
        partner = draw_partners(labels, 1.0, draws=60, groups=2)
    assert_equal(partner[:, [1, 5]], np.broadcast_to([1, 5], (60, 2)))
    assert set(np.unique(partner[:, [0, 2]])) == {0, 2}
    assert set(np.unique(partner[:, [3, 4]])) == {3, 4}


def similar(**settings):
    settings = {"pairing": "label_similarity", "bandwidth": 1e-3} | settings
    return msda.MixUpLayer(**settings)


def test_a_layer_mixes_samples_with_similar_labels():
    labels = np.array([[1.0], [5.0], [1.0], [5.0]], "float32")
    rows = np.random.default_rng(0).random((4, 7), "float32")
    mixed, targets = similar(seed=2).mix((rows, labels), seed=SEED)
    assert_allclose(ops.convert_to_numpy(targets), labels, rtol=0, atol=1e-6)
    partner = similar().sample(4, (7,), seed=SEED, labels=labels).partner
    assert set(map(tuple, np.stack([np.arange(4), partner], 1) % 2)) <= {(0, 0), (1, 1)}
    assert mixed.shape == rows.shape


def test_classes_are_equally_far_from_each_other():
    ids = np.array([0, 7, 0, 3, 7, 3])
    layer = similar(num_classes=8, bandwidth=0.05)
    for seed in range(5):
        partner = layer.sample(6, (7,), seed=(seed, 1), labels=ids).partner
        assert_array_equal(ids[ops.convert_to_numpy(partner)], ids)


@pytest.mark.parametrize("per", ["sample", "batch"])
def test_an_empty_batch_has_no_similar_labels(per):
    layer = similar(per=per, seed=2)
    mixed, targets = layer.mix((images()[:0], np.zeros((0, 1), "float32")), seed=SEED)
    assert_equal((len(mixed), tuple(targets.shape)), (0, (0, 1)))


def test_a_pipeline_mixes_samples_with_similar_labels():
    labels = np.array([1.0, 5.0, 1.0, 5.0], "float32")
    data = tf.data.Dataset.from_tensor_slices((images(size=(4, 4)), labels)).batch(4)
    for _, targets in data.map(similar(seed=2)):
        assert_allclose(targets.numpy(), labels, rtol=0, atol=1e-6)


def test_similar_labels_must_be_given():
    layer = similar()
    with refused("MixUpLayer", "needs labels", "dataset.map"):
        layer(images(), training=True)
    with refused("MixUpLayer", "needs labels in the call", "dataset.map"):
        layer.loss("mse")
    with refused("MixUpLayer", "one array", "no labels"):
        layer.sample(4, SIZE, seed=SEED)
    both = {"a": np.ones(4, "float32"), "b": np.ones(4, "float32")}
    with refused("MixUpLayer", "one array", "labels in a dict"):
        layer(images(), both)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"pairing": "label_similarity"}, "needs it"),
        ({"bandwidth": 1.0}, "needs it"),
        ({"pairing": "label_similarity", "bandwidth": -1}, "positive"),
        ({"pairing": "label_similarity", "bandwidth": "wide"}, "positive"),
        ({"pairing": "label_similarity", "bandwidth": 1.0, "per": "pair"}, "in pairs"),
    ],
)
def test_settings_of_similar_labels_are_checked(settings, words):
    with refused("MixUpLayer", words):
        msda.MixUpLayer(**settings)


def test_given_partners_need_no_similar_labels():
    labels = np.array([1.0, 5.0, 1.0, 5.0], "float32")
    mixed = similar()(images(), labels, partner=np.array([1, 0, 3, 2]))
    assert mixed[0].shape == images().shape


# The laws of all layers.


@pytest.mark.long
@pytest.mark.every_backend
@pytest.mark.parametrize(
    "make",
    [BrighterLayer, RolledLayer, lambda: similar(bandwidth=2.0)],
    ids=["saliency", "moved", "similar"],
)
def test_the_laws_hold(make):
    worlds = ["pipeline"] if cases.BACKEND == "tensorflow" else []
    checked = check_layer(make(), sizes=[(4, 5)], worlds=worlds)
    assert ("blend", "eager") in checked


@pytest.mark.parametrize(
    ("hook", "attribute"),
    [("place", "uses_saliency"), ("move", "moves_partner"), ("move_own", "moves_own")],
)
def test_a_hook_that_is_declared_must_be_there(hook, attribute):
    class Missing(RolledLayer):
        pass

    setattr(Missing, attribute, True)
    if hook != "place":
        setattr(Missing, hook, getattr(msda.MixLayer, hook))
    with refused("Missing", attribute, f"`{hook}`", kind=NotImplementedError):
        Missing().sample(BATCH, SIZE, seed=SEED)
