"""`partner=`: indices, or a second batch, instead of drawn partners.

The oracle mixes the two batches as one of twice the length, in which the partner of
sample i is i + B, by the masks and weights that would be drawn anyway.
"""

import numpy as np
import pytest
import tensorflow as tf
from numpy.testing import assert_allclose, assert_array_equal, assert_equal

import keras_msda as msda
from keras_msda.layers import METHODS
from tests.support import dense_oracles, oracles
from tests.support import layer_cases as cases
from tests.support.errors import check_error
from tests.support.handing_off import answering, residual
from tests.support.marks import parametrize

BATCH, SIZE, CLASSES = 6, (5, 6), 4
INDICES = np.array([3, 3, 0, 3, 5, 2])  # Sample 3 is its own; 3 is that of several.
# One float32 product and sum of numbers of size 1.
CLOSE = {"rtol": 0, "atol": 1e-6}
methods = pytest.mark.parametrize("method", cases.METHODS)
kinds = pytest.mark.parametrize("kind", ["indices", "second"])


def made(method, **settings):
    return cases.make(method, pairing="derangement", **settings)


def twice(make):
    """Returns what belongs to a first and to a second batch."""
    return make(1), make(2)


def random_ids(seed):
    return np.random.default_rng(seed).integers(0, CLASSES, BATCH)


def random_soft(seed):
    return np.random.default_rng(seed).dirichlet(np.ones(3), BATCH).astype("float32")


def random_weights(seed):
    return np.random.default_rng(seed).uniform(0.5, 1.5, BATCH).astype("float32")


def random_images(seed):
    return cases.images(BATCH, SIZE, seed=seed)


def plan_of(layer, kind, world="eager"):
    """Returns the next call's plan for both batches in one."""
    drawn = cases.next_plan(layer, BATCH, SIZE, world)
    itself = np.arange(BATCH)
    mixed = drawn.partner != itself
    partner = np.where(mixed, itself + BATCH, itself)
    if kind == "indices":
        mixed &= itself != INDICES
        partner = np.where(mixed, INDICES, itself)
    mask = np.where(mixed[:, None, None], drawn.mask, np.float32(1))
    weight = np.where(mixed, drawn.weight, np.float32(1))
    return msda.MixPlan(
        np.concatenate([partner, itself + BATCH]),
        np.concatenate([mask, np.ones_like(mask)]),
        np.concatenate([weight, np.ones_like(weight)]),
    )


def given(kind, second):
    """Returns the argument `partner`."""
    return INDICES if kind == "indices" else second


def both(pair):
    return np.concatenate(pair)


def image_of(pair, plan):
    return oracles.mix_images(both(pair), plan.partner, plan.mask)[:BATCH]


def rows_of(pair, plan):
    return oracles.mix_labels(both(pair), plan.partner, plan.weight)[:BATCH]


# Values.


@parametrize("way", ["call", "mix"])
@kinds
@methods
def test_images_and_ids_are_mixed_with_given_partners(method, kind, way):
    layer = made(method, num_classes=CLASSES)
    images, ids = twice(random_images), twice(random_ids)
    partner = given(kind, (images[1], ids[1]))
    if way == "call":
        plan = plan_of(layer, kind)
        mixed, labels = layer(images[0], ids[0], partner=partner)
    else:
        mixed, labels = layer.mix((images[0], ids[0]), seed=(4, 5), partner=partner)
        fixed = cases.arrays(cases.sample(layer, BATCH, SIZE, (4, 5)))
        plan = plan_like(fixed, kind)
    assert_allclose(cases.array(mixed), image_of(images, plan), **CLOSE)
    one_hot = [oracles.one_hot(x, CLASSES) for x in ids]
    assert_allclose(cases.array(labels), rows_of(one_hot, plan), **CLOSE)


def plan_like(drawn, kind):
    """Returns the plan for both batches of a drawn one that mixes everybody."""
    itself = np.arange(BATCH)
    partner = INDICES if kind == "indices" else itself + BATCH
    mixed = partner != itself
    mask = np.where(mixed[:, None, None], drawn.mask, np.float32(1))
    return msda.MixPlan(
        np.concatenate([partner, itself + BATCH]),
        np.concatenate([mask, np.ones_like(mask)]),
        np.concatenate([np.where(mixed, drawn.weight, 1), np.ones(BATCH)]),
    )


@pytest.mark.long
@parametrize("world", cases.WORLDS)
@kinds
@pytest.mark.parametrize("method", ["mixup", "cutmix", "gmix", "fmix"])
def test_partners_can_be_given_in_every_world(method, kind, world):
    layer = made(method, num_classes=CLASSES)
    images, ids = twice(random_images), twice(random_ids)
    plan = plan_of(layer, kind, world)
    # Worlds give each argument as a tensor, and call `mixing` with all of them.
    second = (INDICES,) if kind == "indices" else (images[1], ids[1])

    class Call:
        """The layer, as the worlds call it: partners come as tensors too."""

        def __init__(self):
            self.built = layer.built

        def __call__(self, x, y, *rest, **options):
            partner = rest[0] if kind == "indices" else rest
            return layer(x, y, partner=partner, **options)

    if world == "compiled" and cases.BACKEND == "jax":
        mixed, labels = jitted(layer, images[0], ids[0], second, kind)
    else:
        call = Call()
        if world == "compiled" and cases.BACKEND == "torch":
            call = dynamo_call(layer, kind)
        mixed, labels = cases.WORLDS[world](call, images[0], ids[0], *second)
    assert_allclose(cases.array(mixed), image_of(images, plan), **CLOSE)
    one_hot = [oracles.one_hot(x, CLASSES) for x in ids]
    assert_allclose(cases.array(labels), rows_of(one_hot, plan), **CLOSE)


def jitted(layer, images, ids, second, kind):
    """Calls a layer of JAX inside `jax.jit`."""
    import jax

    layer.build(images.shape)
    layer.built = True

    @jax.jit
    def step(state, x, y, *rest):
        partner = rest[0] if kind == "indices" else rest
        return layer.stateless_call([], state, x, y, partner=partner)

    state = [variable.value for variable in layer.non_trainable_variables]
    return step(state, images, ids, *second)[0]


def dynamo_call(layer, kind):
    """Returns a call as `cases.dynamo` traces it."""

    def call(x, y, *rest, **options):
        partner = rest[0] if kind == "indices" else rest
        return layer(x, y, partner=partner, **options)

    return call


@kinds
def test_several_outputs_and_sample_weights_follow(kind):
    layer = made("cutmix", num_classes={"ids": CLASSES, "soft": None})
    images, weights = twice(random_images), twice(random_weights)
    labels = twice(lambda seed: {"ids": random_ids(seed), "soft": random_soft(seed)})
    plan = plan_of(layer, kind)
    partner = given(kind, (images[1], labels[1], weights[1]))
    mixed, found, shares = layer(images[0], labels[0], weights[0], partner=partner)
    assert_allclose(cases.array(mixed), image_of(images, plan), **CLOSE)
    ids = [oracles.one_hot(x["ids"], CLASSES) for x in labels]
    for key, pair in (("ids", ids), ("soft", [x["soft"] for x in labels])):
        soft, total = oracles.mix_sample_weights(
            both(weights), both(pair), plan.partner, plan.weight
        )
        value = cases.array(found[key])
        assert_allclose(value, soft[:BATCH], rtol=0, atol=2e-6, err_msg=key)
    assert_allclose(cases.array(shares), total[:BATCH], **CLOSE)


@kinds
def test_packed_labels_hold_both(kind):
    layer = made("gmix", targets="pair")
    images, ids = twice(random_images), twice(random_ids)
    plan = plan_of(layer, kind)
    partner = given(kind, (images[1], ids[1]))
    _, packed = layer(images[0], ids[0], partner=partner)
    expected = oracles.pack_labels(both(ids), plan.partner, plan.weight)[:BATCH]
    assert_allclose(cases.array(packed), expected, **CLOSE)


@kinds
def test_own_labels_stay_and_images_are_mixed(kind):
    layer = made("mixup", targets="own")
    images, ids = twice(random_images), twice(random_ids)
    plan = plan_of(layer, kind)
    partner = given(kind, (images[1], ids[1]))
    mixed, labels = layer(images[0], ids[0], partner=partner)
    assert_allclose(cases.array(mixed), image_of(images, plan), **CLOSE)
    assert_array_equal(np.ravel(cases.array(labels)), ids[0])


@kinds
def test_the_union_is_of_both(kind):
    layer = made("mixup", targets="union", num_classes=CLASSES)
    images, ids = twice(random_images), twice(random_ids)
    plan = plan_of(layer, kind)
    partner = given(kind, (images[1], ids[1]))
    _, labels = layer(images[0], ids[0], partner=partner)
    one_hot = [oracles.one_hot(x, CLASSES) for x in ids]
    expected = rows_of(one_hot, plan) > 0
    assert_array_equal(cases.array(labels), expected.astype("float32"))


@kinds
@pytest.mark.parametrize("method", ["cutmix", "hmix", "fmix"])
def test_masks_boxes_points_and_further_keys_follow(method, kind):
    layer = made(method, bounding_box_format="rel_xyxy", batch_keys=("view", "table"))

    def batch(seed):
        rng = np.random.default_rng(seed)
        corner = rng.uniform(0, 0.5, (BATCH, 2, 2)).astype("float32")
        points = rng.uniform(0, 5, (BATCH, 3, 2)).astype("float32")
        return {
            "images": random_images(seed),
            "labels": random_soft(seed),
            "segmentation_masks": rng.integers(0, 5, (BATCH, *SIZE, 1)),
            "bounding_boxes": {
                "boxes": np.concatenate([corner, corner + 0.4], -1),
                "labels": rng.integers(0, 3, (BATCH, 2)),
            },
            "keypoints": {"points": points, "labels": rng.integers(0, 3, (BATCH, 3))},
            "view": cases.images(BATCH, SIZE, channels=1, seed=seed + 5),
            "table": rng.random((BATCH, 2), "float32"),
        }

    first, second = twice(batch)
    plan = plan_of(layer, kind)
    mixed = layer(first, partner=given(kind, second))
    for key in ("images", "view"):
        expected = image_of((first[key], second[key]), plan)
        assert_allclose(cases.array(mixed[key]), expected, **CLOSE, err_msg=key)
    for key in ("labels", "table"):
        expected = rows_of((first[key], second[key]), plan)
        assert_allclose(cases.array(mixed[key]), expected, **CLOSE, err_msg=key)
    masks = both((first["segmentation_masks"], second["segmentation_masks"]))
    expected = dense_oracles.select_masks(masks, plan)[:BATCH]
    assert_array_equal(cases.array(mixed["segmentation_masks"]), expected)
    for key, mix in {
        "bounding_boxes": lambda x: dense_oracles.mix_boxes(x, plan, "rel_xyxy"),
        "keypoints": lambda x: dense_oracles.mix_keypoints(x, plan),
    }.items():
        joined = {k: both((first[key][k], second[key][k])) for k in first[key]}
        for part, value in mix(joined).items():
            found = cases.array(mixed[key][part])
            message = f"{key} {part}"
            assert_allclose(found, value[:BATCH], rtol=0, atol=1e-5, err_msg=message)


@kinds
@pytest.mark.parametrize("settings", [{"per": "batch"}, {"probability": 0.5}], ids=str)
def test_who_shares_a_draw_and_who_is_mixed_stay_as_drawn(settings, kind):
    layer = made("cutmix", num_classes=CLASSES, **settings)
    images, ids = twice(random_images), twice(random_ids)
    one_hot = [oracles.one_hot(x, CLASSES) for x in ids]
    counts = []
    for _ in range(2):
        plan = plan_of(layer, kind)
        partner = given(kind, (images[1], ids[1]))
        mixed, labels = layer(images[0], ids[0], partner=partner)
        assert_allclose(cases.array(mixed), image_of(images, plan), **CLOSE)
        assert_allclose(cases.array(labels), rows_of(one_hot, plan), **CLOSE)
        counts.append(np.sum(plan.partner[:BATCH] == np.arange(BATCH)))
    if "probability" in settings:
        assert 0 < np.sum(counts) < 2 * BATCH


@kinds
def test_bytes_are_rounded(kind):
    layer = made("gmix", num_classes=CLASSES, dtype="uint8")
    images = twice(lambda seed: (255 * random_images(seed)).astype("uint8"))
    ids = twice(random_ids)
    plan = plan_of(layer, kind)
    partner = given(kind, (images[1], ids[1]))
    mixed, _ = layer(images[0], ids[0], partner=partner)
    assert_equal(cases.dtype(mixed), "uint8")
    # Half to even, up to a sum in float32.
    distance = np.abs(cases.array(mixed) - image_of(images, plan))
    assert np.max(distance) <= 0.5 + 1e-4


# Whether it is training.


@kinds
def test_without_training_the_first_batch_comes_out(kind):
    layer = made("cutmix", num_classes=CLASSES)
    images, ids = twice(random_images), twice(random_ids)
    partner = given(kind, (images[1], ids[1]))
    mixed, labels = layer(images[0], ids[0], training=False, partner=partner)
    assert_array_equal(cases.array(mixed), images[0])
    assert_array_equal(cases.array(labels), oracles.one_hot(ids[0], CLASSES))


@pytest.mark.tensorflow
@parametrize("jit", [False, True])
@kinds
def test_training_may_be_a_traced_tensor(kind, jit):
    layer = made("cutmix", num_classes=CLASSES)
    images, ids = twice(random_images), twice(random_ids)
    partner = given(kind, (images[1], ids[1]))

    @tf.function(jit_compile=jit)
    def call(flag):
        return layer(images[0], ids[0], training=flag, partner=partner)

    mixed, _ = call(tf.constant(False))
    assert_array_equal(mixed, images[0])
    plan = plan_of(layer, kind)
    mixed, _ = call(tf.constant(True))
    assert_allclose(mixed, image_of(images, plan), **CLOSE)


@pytest.mark.tensorflow
@kinds
def test_a_traced_tensor_without_training_packs_each_label_twice(kind):
    layer = made("cutmix", targets="pair", num_classes=CLASSES)
    images, ids = twice(random_images), twice(random_ids)
    wrong = ids[1].copy()
    wrong[1] = CLASSES  # It is no class, and nobody is mixed with it.
    partner = given(kind, (images[1], wrong))
    call = tf.function(
        lambda flag: layer(images[0], ids[0], training=flag, partner=partner)
    )
    _, packed = call(tf.constant(False))
    assert_array_equal(packed, np.stack([ids[0], ids[0], np.ones(BATCH)], 1))


@pytest.mark.tensorflow
def test_an_index_outside_the_batch_matters_in_training_alone():
    layer = made("mixup", num_classes=CLASSES)
    images, ids = random_images(0), random_ids(0)
    partner = np.where(np.arange(BATCH) == 2, BATCH, INDICES)
    call = tf.function(lambda flag: layer(images, ids, training=flag, partner=partner))
    _, labels = call(tf.constant(False))
    assert_array_equal(labels, oracles.one_hot(ids, CLASSES))
    _, labels = call(tf.constant(True))
    assert_array_equal(np.isnan(labels).any(1), np.arange(BATCH) == 2)


def test_images_alone_with_partners_are_mixed_in_training_alone():
    layer = made("cutmix")
    images = twice(random_images)
    for partner in (INDICES, images[1]):
        for training in (None, False):
            mixed = layer(images[0], training=training, partner=partner)
            assert_array_equal(cases.array(mixed), images[0])
        kind = "indices" if partner is INDICES else "second"
        plan = plan_of(layer, kind)
        mixed = layer(images[0], training=True, partner=partner)
        assert_allclose(cases.array(mixed), image_of(images, plan), **CLOSE)


def test_a_loss_cannot_know_given_partners():
    images, labels, weights = answering(8)
    layer = msda.HMixLayer(seed=1)
    loss = layer.loss(residual, reduction="none")
    for partner in (np.arange(8)[::-1].copy(), images[::-1].copy()):
        outputs = cases.array(layer(images, training=True)).mean((1, 2))
        assert np.all(np.isfinite(cases.array(loss(labels, outputs, weights))))
        outputs = cases.array(layer(images, training=True, partner=partner))
        values = cases.array(loss(labels, outputs.mean((1, 2)), weights))
        assert np.all(np.isnan(values))


# Pipelines.


def test_zipped_pipelines_mix_sample_by_sample():
    layer = made("cutmix", num_classes=CLASSES)
    plan = plan_of(layer, "second", "mapped")
    images, ids = twice(random_images), twice(random_ids)
    first, second = (
        tf.data.Dataset.from_tensor_slices((x, y)).batch(BATCH)
        for x, y in zip(images, ids, strict=True)
    )
    dataset = tf.data.Dataset.zip(first, second)
    dataset = dataset.map(lambda own, other: layer(*own, partner=other))
    mixed, labels = next(iter(dataset))
    assert_allclose(mixed, image_of(images, plan), **CLOSE)
    one_hot = [oracles.one_hot(x, CLASSES) for x in ids]
    assert_allclose(labels, rows_of(one_hot, plan), **CLOSE)


@pytest.mark.tensorflow
def test_a_second_batch_has_coarser_grids_and_ragged_boxes_too():
    layer = made("cutmix", bounding_box_format="xyxy", batch_keys=("coarse",))

    def batch(seed):
        rng = np.random.default_rng(seed)
        lengths = rng.integers(0, 3, BATCH)
        boxes = rng.random((BATCH, 2, 4)) * 3
        labels = rng.integers(0, 9, (BATCH, 2))
        return {
            "images": random_images(seed),
            "bounding_boxes": {
                "boxes": tf.RaggedTensor.from_tensor(boxes, lengths),
                "labels": tf.RaggedTensor.from_tensor(labels, lengths),
            },
            "coarse": cases.images(BATCH, (SIZE[0], 1), seed=seed),
        }

    first, second = twice(batch)
    plan = plan_of(layer, "second")
    mixed = tf.function(lambda: layer(first, partner=second))()
    coarse = [np.broadcast_to(x["coarse"], (BATCH, *SIZE, 3)) for x in (first, second)]
    expected = image_of(coarse, plan).mean(2, keepdims=True)
    assert_allclose(mixed["coarse"], expected, **CLOSE)
    found = mixed["bounding_boxes"]["labels"]
    for i, share in enumerate(plan.weight[:BATCH]):
        own, other = (x["bounding_boxes"]["labels"][i].numpy() for x in (first, second))
        assert set(found[i].numpy()) <= {*own, *other}
        if share == 1:
            assert_array_equal(found[i], own)


# Faults.


@pytest.mark.parametrize("method", ["mixup", "saliencymix"])
@pytest.mark.parametrize("wrong", [-1, BATCH, 2**20])
def test_partners_out_of_range_make_nan_rows(wrong, method):
    layer = METHODS[method].layer(num_classes=CLASSES, pairing="derangement")
    indices = INDICES.copy()
    indices[1] = wrong
    _, labels = layer(random_images(1), random_ids(1), partner=indices)
    nan = np.isnan(cases.array(labels))
    assert_array_equal(nan, (np.arange(BATCH) == 1)[:, None] | np.zeros_like(nan))


def test_a_partner_of_ones_own_leaves_the_sample():
    layer = made("fmix", num_classes=CLASSES)
    images, ids = random_images(1), random_ids(1)
    mixed, labels = layer(images, ids, partner=np.arange(BATCH))
    assert_array_equal(cases.array(mixed), images)
    assert_array_equal(cases.array(labels), oracles.one_hot(ids, CLASSES))


SHAPES = "a second batch must have the shapes of the first."
FORM = "`partner` must be integers of shape (batch,), or a second batch."
HOLD = "a second batch must hold what the first one holds."
WRONG = {
    "size": ((np.zeros((BATCH, 4, 6, 3), "float32"), random_ids(2)), SHAPES, "4, 6"),
    "channels": ((np.zeros((BATCH, *SIZE, 1), "float32"), random_ids(2)), SHAPES, "1)"),
    "no labels": (random_images(2), HOLD, "['images'] beside"),
    "short": (np.zeros(3, "int32"), FORM, "shape (3,) and dtype int32"),
    "column": (np.zeros((BATCH, 1), "int32"), HOLD, "['images'] beside"),
    "floats": (np.zeros(BATCH, "float32"), "`partner`", "float32"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_no_partner_is_refused(case):
    partner, rule, received = WRONG[case]
    layer = made("cutmix", num_classes=CLASSES)
    check_error(
        lambda: layer(random_images(1), random_ids(1), partner=partner),
        "CutMixLayer",
        ValueError,
        rule,
        received,
    )


@pytest.mark.parametrize(
    ("settings", "received"),
    [({"per": "pair"}, "per='pair'"), ({"groups": 2}, "groups=2")],
)
@kinds
def test_settings_of_drawn_partners_are_refused_beside_it(kind, settings, received):
    layer = cases.make("cutmix", num_classes=CLASSES, **settings)
    partner = given(kind, (random_images(2), random_ids(2)))
    check_error(
        lambda: layer(random_images(1), random_ids(1), partner=partner),
        "CutMixLayer",
        ValueError,
        '`partner` cannot be combined with `per="pair"` or `groups`',
        received,
    )
