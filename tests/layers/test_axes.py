"""`mask_axes`: the mask depends on some axes and is the same along the others.

The oracle is the same layer without `mask_axes`, on images that have the mask's axes
alone: its plan of the same seed, spread over the other axes by NumPy.
"""

import warnings

import keras
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal, assert_equal

import keras_msda as msda
from tests.support import dense_oracles, oracles
from tests.support import layer_cases as cases
from tests.support.errors import check_error
from tests.support.handing_off import (
    HandedOff,
    answering,
    assert_handed_off,
    assert_step_handed_off,
    residual,
    unaware,
)
from tests.support.marks import parametrize

BATCH = 6
VIDEO = (3, 6, 7)
# One float32 product and sum of numbers of size 1.
CLOSE = {"rtol": 0, "atol": 1e-6}
#: Spatial lengths, `mask_axes`, and which of the spatial axes these are.
FORMS = {
    "video": (VIDEO, (2, 3), (1, 2)),
    "eeg": ((5, 9), (2,), (1,)),
    "spectrogram": ((5, 9), [1], (0,)),
    "negative": (VIDEO, (-3, -2), (1, 2)),
    "disordered": (VIDEO, (3, 2), (1, 2)),
    "apart": ((4, 5, 6), (3, 1), (0, 2)),
    "one of three": ((4, 5, 6), (1,), (0,)),
    "all": (VIDEO, (1, 2, 3), (0, 1, 2)),
}
methods = pytest.mark.parametrize("method", cases.METHODS)
forms = pytest.mark.parametrize("form", FORMS)


def made(method, axes, **settings):
    settings = {"pairing": "derangement", "num_classes": BATCH} | settings
    return cases.make(method, mask_axes=axes, **settings)


def expected_plan(layer, size, places, batch=BATCH, world="eager"):
    """Returns the next plan: that of a layer for the mask's axes alone, spread."""
    plain = type(layer).from_config(layer.get_config() | {"mask_axes": None})
    plain._seed_state.assign(layer._seed_state.value)
    masked = tuple(size[place] for place in places)
    plan = cases.next_plan(plain, batch, masked, world)
    lengths = [n if axis in places else 1 for axis, n in enumerate(size)]
    mask = plan.mask.reshape(batch, *lengths)
    return plan._replace(mask=np.broadcast_to(mask, (batch, *size)))


def mean(mask):
    return mask.reshape(len(mask), -1).mean(1, dtype=np.float64)


@forms
@methods
def test_masks_are_those_of_fewer_axes_the_same_along_the_others(method, form):
    size, axes, places = FORMS[form]
    layer = made(method, axes)
    plan = expected_plan(layer, size, places)
    mixed, labels = layer(cases.signatures(BATCH, size), np.arange(BATCH))
    mixed = cases.array(mixed)
    for i, j in enumerate(plan.partner):
        own = mixed[i][..., i]
        assert_array_equal(own, plan.mask[i])
        assert_array_equal(mixed[i][..., j], 1 - plan.mask[i])
        others = tuple(axis for axis in range(len(size)) if axis not in places)
        if others:
            assert_array_equal(np.ptp(own, axis=others), 0)
    assert_allclose(plan.weight, mean(plan.mask), **CLOSE)
    soft = oracles.mix_labels(np.eye(BATCH), plan.partner, mean(plan.mask))
    assert_allclose(cases.array(labels), soft, rtol=0, atol=2e-6)


@pytest.mark.long
@parametrize("world", cases.WORLDS)
@pytest.mark.parametrize("method", ["mixup", "cutmix", "gmix", "fmix"])
def test_videos_share_a_mask_in_every_world(method, world):
    layer = made(method, (2, 3))
    plan = expected_plan(layer, VIDEO, (1, 2), world=world)
    images, ids = cases.images(BATCH, VIDEO), np.arange(BATCH)
    mixed, labels = cases.WORLDS[world](layer, images, ids)
    # XLA may fuse a product and a sum.
    image = oracles.mix_images(images, plan.partner, plan.mask)
    assert_allclose(cases.array(mixed), image, **CLOSE)
    soft = oracles.mix_labels(np.eye(BATCH), plan.partner, plan.weight)
    assert_allclose(cases.array(labels), soft, rtol=0, atol=2e-6)


@pytest.mark.parametrize("axes", [(3, 4), (-2, -1)])
@methods
def test_axes_count_the_channels_where_they_come_first(method, axes):
    layer = made(method, axes, data_format="channels_first")
    plan = expected_plan(layer, VIDEO, (1, 2))
    images = np.moveaxis(cases.images(BATCH, VIDEO), -1, 1)
    mixed, _ = layer(images, np.arange(BATCH))
    image = oracles.mix_images(images, plan.partner, plan.mask, "channels_first")
    assert_allclose(cases.array(mixed), image, **CLOSE)


@pytest.mark.parametrize("setting", ["batch", "pair", "wrap", "chance"])
def test_other_settings_hold_beside_it(setting):
    settings = {
        "batch": {"per": "batch"},
        "pair": {"per": "pair", "pairing": "shuffle"},
        "wrap": {"border": "wrap"},
        "chance": {"probability": 0.5},
    }[setting]
    layer = made("cutmix", (2, 3), **settings)
    plan = expected_plan(layer, VIDEO, (1, 2))
    images = cases.images(BATCH, VIDEO)
    mixed, _ = layer(images, np.arange(BATCH))
    image = oracles.mix_images(images, plan.partner, plan.mask)
    assert_allclose(cases.array(mixed), image, **CLOSE)
    if setting == "chance":
        assert 0 < np.sum(plan.partner == np.arange(BATCH)) < BATCH


@methods
def test_sampled_masks_are_those_of_fewer_axes(method):
    layer, plain = made(method, (2,)), made(method, None)
    plan = cases.arrays(cases.sample(layer, BATCH, (4, 9), (1, 2)))
    narrow = cases.arrays(cases.sample(plain, BATCH, (9,), (1, 2)))
    assert_array_equal(plan.partner, narrow.partner)
    assert_array_equal(plan.weight, narrow.weight)
    assert_array_equal(plan.mask, np.repeat(narrow.mask[:, None], 4, axis=1))


def test_masks_alone_are_those_of_fewer_axes():
    layer, plain = made("gmix", (1,)), made("gmix", None)
    mask, weight = map(cases.array, layer.sample_masks(5, (8, 3), seed=(3, 4)))
    narrow, share = map(cases.array, plain.sample_masks(5, (8,), seed=(3, 4)))
    assert_array_equal(mask, np.repeat(narrow[:, :, None], 3, axis=2))
    assert_array_equal(weight, share)


# What is mixed beside images.


@methods
def test_segmentation_masks_show_what_the_images_show(method):
    layer = made(method, (2, 3), segmentation="select")
    plan = expected_plan(layer, VIDEO, (1, 2))
    images = cases.images(BATCH, VIDEO)
    masks = np.random.default_rng(2).integers(0, 5, (BATCH, *VIDEO, 1))
    mixed = layer({"images": images, "segmentation_masks": masks})
    expected = dense_oracles.select_masks(masks, plan)
    assert_array_equal(cases.array(mixed["segmentation_masks"]), expected)


def block_means(mask, lengths):
    """Averages masks over the blocks of a coarser grid."""
    coarse = np.empty((len(mask), *lengths))
    factors = [n // m for n, m in zip(mask.shape[1:], lengths, strict=True)]
    for i, *place in np.ndindex(coarse.shape):
        block = tuple(
            slice(factor * at, factor * (at + 1))
            for factor, at in zip(factors, place, strict=True)
        )
        coarse[(i, *place)] = mask[i][block].mean(dtype=np.float64)
    return coarse


@methods
def test_further_keys_are_mixed_by_the_shared_mask(method):
    layer = made(method, (2, 3), batch_keys=("coarse", "like", "table"))
    plan = expected_plan(layer, (4, 6, 8), (1, 2))
    rng = np.random.default_rng(4)
    inputs = {
        "images": cases.images(BATCH, (4, 6, 8)),
        "coarse": rng.random((BATCH, 2, 3, 4, 2), "float32"),
        "like": rng.random((BATCH, 4, 6, 8, 1), "float32"),
        "table": rng.random((BATCH, 5), "float32"),
    }
    mixed = layer(inputs)
    masks = {"images": plan.mask, "like": plan.mask}
    masks["coarse"] = block_means(plan.mask, (2, 3, 4))
    for key, mask in masks.items():
        expected = oracles.mix_images(inputs[key], plan.partner, mask)
        assert_allclose(cases.array(mixed[key]), expected, **CLOSE, err_msg=key)
    table = oracles.mix_labels(inputs["table"], plan.partner, plan.weight)
    assert_allclose(cases.array(mixed["table"]), table, **CLOSE)


@pytest.mark.parametrize("method", ["cutmix", "gmix", "fmix"])
def test_boxes_of_stripes_keep_the_share_that_is_seen(method):
    layer = made(method, (2,), bounding_box_format="rel_xyxy")
    plan = expected_plan(layer, (6, 8), (1,))
    rng = np.random.default_rng(6)
    corner = rng.uniform(0, 0.5, (BATCH, 2, 2)).astype("float32")
    boxes = np.concatenate([corner, corner + 0.4], -1)
    values = {"boxes": boxes, "labels": rng.integers(0, 3, (BATCH, 2))}
    images = cases.images(BATCH, (6, 8))
    mixed = layer({"images": images, "bounding_boxes": values})["bounding_boxes"]
    expected = dense_oracles.mix_boxes(values, plan, "rel_xyxy")
    for key in expected:
        found = cases.array(mixed[key])
        assert_allclose(found, expected[key], rtol=0, atol=1e-5, err_msg=key)


# Inside a model.


@methods
def test_the_loss_of_a_layer_in_a_model_knows_the_weight(method):
    images, labels, weights = answering(16, size=(3, 8, 8))
    layer = made(method, (2, 3), num_classes=None)
    assert_step_handed_off(layer, images, labels, weights)


def video_model(layer, size):
    """Returns a model whose outputs are the means of the mixed videos."""
    inputs = keras.Input((*size, 2))
    means = keras.layers.GlobalAveragePooling3D()(layer(inputs))
    outputs = keras.layers.Dense(2, use_bias=False, kernel_initializer="identity")
    return keras.Model(inputs, outputs(means))


@pytest.mark.long
@pytest.mark.every_backend
@pytest.mark.parametrize("size", [(2, 4, 4), (None, None, None)], ids=str)
def test_a_fitted_model_of_videos_hands_off_exactly(size):
    images, labels, weights = answering(32, size=(2, 4, 4))
    layer = made("cutmix", (2, 3), num_classes=None)
    model = video_model(layer, size)
    model.compile(keras.optimizers.SGD(0.0), HandedOff(layer), metrics=[unaware])
    fit = model.fit(images, labels, 16, verbose=0, sample_weight=weights)
    assert_handed_off(fit.history)


def test_the_replayed_plan_has_the_masks_of_the_images():
    layer = made("fmix", (2, 3))
    mixed = cases.array(layer(cases.signatures(BATCH, VIDEO), training=True))
    plan = cases.arrays(layer.replay(BATCH, VIDEO))
    for i in range(BATCH):
        assert_array_equal(mixed[i][..., i], plan.mask[i])


@pytest.mark.parametrize("axes", [(2, 3), (-3, -2)])
def test_a_saved_layer_goes_on(axes, tmp_path):
    layer = made("gmix", axes, num_classes=None)
    model = video_model(layer, VIDEO)
    images = cases.images(BATCH, VIDEO, channels=2)
    layer(images, training=True)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras").layers[1]
    assert_equal(again.get_config()["mask_axes"], axes)
    plan = expected_plan(layer, VIDEO, (1, 2))
    for own in (layer, again):
        mixed = cases.array(own(images, training=True))
        expected = oracles.mix_images(images, plan.partner, plan.mask)
        assert_allclose(mixed, expected, **CLOSE)


# Errors.


@pytest.mark.parametrize(
    "axes", [(), (1, 2, 3, 4), 2, "ab", (2.0,), (0,), (0, 2), {2, 3}, (None,)], ids=str
)
def test_what_names_no_axes_is_refused_at_once(axes):
    check_error(
        lambda: made("cutmix", axes),
        "CutMixLayer",
        ValueError,
        "`mask_axes` must hold one to three axes of the images, without the batch.",
        f"mask_axes={axes!r}",
    )


@pytest.mark.parametrize(
    ("axes", "data_format"),
    [
        ((4,), "channels_last"),
        ((-1,), "channels_last"),
        ((-5,), "channels_last"),
        ((2, 5), "channels_last"),
        ((2, -6), "channels_last"),
        ((2, 2), "channels_last"),
        ((2, -3), "channels_last"),
        ((1,), "channels_first"),
        ((-4,), "channels_first"),
    ],
)
@pytest.mark.parametrize("alone", [False, True])
def test_axes_that_images_do_not_have_are_refused(axes, data_format, alone):
    layer = made("cutmix", axes, data_format=data_format)
    images, ids = cases.images(BATCH, VIDEO), np.arange(BATCH)
    check_error(
        lambda: layer(images, training=True) if alone else layer(images, ids),
        "CutMixLayer",
        ValueError,
        "`mask_axes` must be different spatial axes of the images.",
        f"mask_axes={axes} for images with 3 spatial axes",
    )


# Rows: no spatial axis at all.

ROWS = pytest.mark.parametrize(
    "layer",
    [
        lambda **kw: msda.MixUpLayer(0.8, seed=3, **kw),
        lambda **kw: msda.RandomMixLayer(
            [msda.MixUpLayer(0.4), msda.MixUpLayer(2.0)], seed=3, **kw
        ),
    ],
    ids=["mixup", "random"],
)


@parametrize("world", cases.WORLDS)
@ROWS
def test_rows_are_mixed_by_lambda(layer, world):
    layer = layer(pairing="roll", num_classes=3, per="sample")
    rows = np.random.default_rng(1).normal(size=(BATCH, 5)).astype("float32")
    ids = np.array([0, 1, 2, 2, 1, 0])
    weights = np.linspace(0.5, 1.5, BATCH, dtype="float32")
    narrow = cases.next_plan(layer, BATCH, (1,), world)
    mixed, labels, shares = cases.WORLDS[world](layer, rows, ids, weights)
    expected = oracles.mix_labels(rows, narrow.partner, narrow.weight)
    # Sums of two products of numbers up to 4.
    assert_allclose(cases.array(mixed), expected, rtol=0, atol=2e-6)
    soft, total = oracles.mix_sample_weights(
        weights, oracles.one_hot(ids, 3), narrow.partner, narrow.weight
    )
    assert_allclose(cases.array(labels), soft, rtol=0, atol=2e-6)
    assert_allclose(cases.array(shares), total, **CLOSE)


def answering_rows(count=16):
    """Returns rows that carry the answer, labels and weights; see test_handoff."""
    images, labels, weights = answering(count)
    return np.ascontiguousarray(images[:, 0, 0]), labels, weights


@ROWS
def test_a_loss_of_mixed_rows_knows_the_weight(layer):
    rows, labels, weights = answering_rows()
    assert_step_handed_off(layer(), rows[:, None], labels, weights)
    layer = layer()
    loss = layer.loss(residual, reduction="none")
    for _ in range(3):
        outputs = layer(rows, training=True)
        values = cases.array(loss(labels, outputs, weights))
        assert_allclose(values, np.zeros(len(rows)), rtol=0, atol=5e-6)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_outputs_of_mixed_rows_are_one_a_sample(smoothing):
    rows = np.random.default_rng(7).normal(size=(8, 4)).astype("float32")
    ids = np.arange(8) % 4
    layer = msda.MixUpLayer(seed=1)
    crossentropy = keras.losses.CategoricalCrossentropy(label_smoothing=smoothing)
    loss = layer.loss(crossentropy, reduction="none")
    layer(rows, training=True)
    plan = cases.arrays(layer.replay(8))
    scores = np.random.default_rng(8).dirichlet(np.ones(4), 8).astype("float32")
    values = cases.array(loss(np.eye(4, dtype="float32")[ids], scores))
    soft = oracles.one_hot(ids, 4, smoothing)
    soft = oracles.mix_labels(soft, plan.partner, plan.weight)
    expected = oracles.cross_entropy(soft, scores.astype("float64"))
    assert values.shape == (8,)
    # Float32 logarithms.
    assert_allclose(values, expected, rtol=1e-5)


@pytest.mark.long
def test_rows_behind_a_dense_layer_hand_off_exactly():
    rows, labels, weights = answering_rows(32)
    layer = msda.MixUpLayer(seed=1)
    same = {"use_bias": False, "kernel_initializer": "identity"}
    model = keras.Sequential(
        [
            keras.Input((2,)),
            keras.layers.Dense(2, **same),
            layer,
            keras.layers.Dense(2, **same),
        ]
    )
    model.compile(keras.optimizers.SGD(0.0), HandedOff(layer), metrics=[unaware])
    fit = model.fit(rows, labels, 16, verbose=0, sample_weight=weights)
    assert_handed_off(fit.history)
    assert_array_equal(model.predict(rows, verbose=0), rows)


@pytest.mark.parametrize("method", cases.METHODS[1:])
def test_rows_have_no_axes_for_other_methods(method):
    layer = cases.make(method)
    check_error(
        lambda: layer(np.zeros((4, 8), "float32"), np.eye(4, dtype="float32")),
        type(layer).__name__,
        ValueError,
        "images must have shape (batch, *spatial, channels), rank 3 to 5.",
        "shape (4, 8)",
    )


# Signals that may be grey images.


@pytest.mark.whole
@pytest.mark.parametrize(
    ("method", "alone", "side"),
    [("mixup", False, 28), ("mixup", True, 16), ("cutmix", False, 16)],
)
def test_signals_that_look_like_grey_images_warn_once(method, alone, side):
    layer = cases.make(method)
    images, labels = np.zeros((4, side, side), "float32"), np.eye(4, dtype="float32")

    def call_twice():
        for _ in range(2):
            layer(images, training=True) if alone else layer(images, labels)

    with pytest.warns(msda.MixWarning, match=r"images\[\.\.\., None\]") as caught:
        call_twice()
    assert len(caught) == 1


@pytest.mark.whole
@pytest.mark.parametrize(
    ("shape", "settings"),
    [
        ((4, 28, 28), {"mask_axes": (1,)}),
        ((4, 28, 28), {"data_format": "channels_first"}),
        ((4, 28, 27), {}),
        ((4, 15, 15), {}),
        ((4, 28, 28, 1), {}),
        ((4, 1, 28, 28), {}),
    ],
)
def test_other_shapes_do_not_warn(shape, settings):
    layer = cases.make("cutmix", **settings)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", msda.MixWarning)
        layer(np.zeros(shape, "float32"), np.eye(4, dtype="float32"))
    assert [x for x in caught if issubclass(x.category, msda.MixWarning)] == []
