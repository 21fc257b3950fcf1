"""Segmentation masks, by value: loops mix them by the plan, and the library must too.

A selected pixel is one of two given ones, so selection is compared bit for bit.
"""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf
from numpy.testing import assert_allclose, assert_array_equal, assert_equal

import keras_msda as msda
from tests.support import dense_oracles
from tests.support import layer_cases as cases
from tests.support.errors import check_error
from tests.support.marks import parametrize

SIZE = (6, 7)
CLASSES = 4
# No two axes alike, and a last axis of one pixel beside channels.
SIZES = [(11,), (6, 7), (3, 4, 5), (5, 1)]
#: Layout -> number of channels (None: no channel axis) and data format.
LAYOUTS = {
    "bare": (None, "channels_last"),
    "bare, channels first": (None, "channels_first"),
    "one channel last": (1, "channels_last"),
    "three channels last": (3, "channels_last"),
    "one channel first": (1, "channels_first"),
    "three channels first": (3, "channels_first"),
}
INTEGERS = ["uint8", "int32", "int64"]
#: Dtype -> half its spacing, relative, and some float32 (or float64) roundings.
FLOATS = {
    "float16": (2**-11, 1e-6),
    "bfloat16": (2**-8, 1e-6),
    "float32": (0, 1e-6),
    "float64": (0, 1e-14),
}
# One float32 sum of two numbers in [0, 1].
BLENDED = 3e-7
# Above 2^24 neighbouring integers are one number in float32, above 2^53 in float64.
LARGE = [2**24 + 1, 2**24 + 2, -5, 0, 255, 2**53 + 1, 2**62 + 1]

sizes = pytest.mark.parametrize("size", SIZES, ids=str)
layouts = pytest.mark.parametrize("layout", LAYOUTS)
methods = pytest.mark.parametrize("name", cases.METHODS)
drawn = pytest.mark.parametrize(
    ("batch", "size"), [(1, SIZE), (3, SIZE), (5, SIZE), (3, (11,)), (5, (3, 4, 5))]
)


def mask_shape(batch, size, layout):
    channels, data_format = LAYOUTS[layout]
    if channels is None:
        return (batch, *size)
    first = data_format == "channels_first"
    return (batch, channels, *size) if first else (batch, *size, channels)


def draw(dtype, shape, seed=0):
    """Returns masks of a dtype."""
    generator = np.random.default_rng(seed)
    if dtype == "bool":
        return tf.constant(generator.random(shape) < 0.5)
    if dtype == "int64":
        return tf.constant(generator.choice(LARGE, shape))
    if dtype in INTEGERS:
        return tf.constant(generator.integers(0, 256, shape).astype(dtype))
    return tf.cast(generator.normal(size=shape), dtype)


def class_masks(batch, size, dtype="uint8", ignored=255, seed=0):
    """Returns class indices, some of them of no class."""
    values = [*range(CLASSES), ignored]
    return np.random.default_rng(seed).choice(values, (batch, *size)).astype(dtype)


def hand_plan(batch, size, seed=0):
    """Returns a plan of shares in [0, 1], many of them 0, 1/2 or 1."""
    generator = np.random.default_rng(seed)
    drawn = generator.random((batch, *size), np.float32)
    kinds = generator.integers(0, 5, drawn.shape)
    mask = np.choose(kinds, [0, 0.5, 1, drawn, drawn]).astype(np.float32)
    partner = np.roll(np.arange(batch, dtype=np.int32), 1)
    return msda.MixPlan(partner, mask, cases.pixel_means(mask).astype(np.float32))


def hand_case(dtype, size, layout):
    """Returns masks of a dtype, a plan for them and their data format."""
    masks = draw(dtype, mask_shape(3, size, layout))
    return masks, hand_plan(3, size), LAYOUTS[layout][1]


@functools.cache
def drawn_plan(name, batch, size):
    return cases.arrays(cases.make(name).sample(batch, size, seed=(3, 4)))


def blends(dtype, layout):
    """Returns whether mode "auto" blends."""
    return dtype in FLOATS and LAYOUTS[layout][0] == 3


def check_blended(mixed, masks, plan, data_format="channels_last"):
    """Checks a blend, to the rounding of its dtype."""
    assert_equal(mixed.dtype.name, masks.dtype.name)
    expected = dense_oracles.blend_masks(cases.numbers(masks), plan, data_format)
    rtol, atol = FLOATS[masks.dtype.name]
    assert_allclose(cases.numbers(mixed), expected, rtol=rtol, atol=atol)


def check_selected(mixed, masks, plan, data_format="channels_last"):
    """Checks a selection, bit for bit."""
    assert_equal(mixed.dtype.name, masks.dtype.name)
    expected = dense_oracles.select_masks(cases.numbers(masks), plan, data_format)
    assert_array_equal(cases.numbers(mixed), expected)


def check_one_hot(mixed, masks, plan, data_format="channels_last"):
    """Checks blended one-hot rows."""
    assert_equal(mixed.dtype.name, "float32")
    expected = dense_oracles.one_hot_masks(masks, plan, CLASSES, data_format)
    assert_equal(mixed.shape, expected.shape)
    assert_allclose(mixed, expected, rtol=0, atol=BLENDED)


# The oracles, by hand.

PAIR = msda.MixPlan([1, 0], np.float32([[0.75, 0.5, 0, 1], [0.25, 1, 0.5, 0]]), None)
PAIR_MASKS = np.array([[0, 1, 2, 3], [3, 255, 1, 0]])


def test_the_oracle_selects_as_by_hand():
    selected = dense_oracles.select_masks(PAIR_MASKS, PAIR)
    assert_array_equal(selected, [[0, 255, 1, 3], [0, 255, 2, 3]])


def test_the_oracle_blends_as_by_hand():
    blended = dense_oracles.blend_masks(PAIR_MASKS, PAIR)
    assert_array_equal(blended, [[0.75, 128, 1, 3], [0.75, 255, 1.5, 3]])


def test_the_oracle_makes_one_hot_rows_as_by_hand():
    rows = dense_oracles.one_hot_masks(PAIR_MASKS, PAIR, 4)
    expected = [[0.75, 0, 0, 0.25], [0, 0.5, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1]]
    assert_array_equal(rows[0], expected)
    expected = [[0.75, 0, 0, 0.25], [0, 0, 0, 0], [0, 0.5, 0.5, 0], [0, 0, 0, 1]]
    assert_array_equal(rows[1], expected)


# Any shape and dtype.


@sizes
@layouts
@pytest.mark.parametrize("dtype", [*INTEGERS, "bool", *FLOATS])
def test_selection_takes_each_pixel_from_one_image(size, layout, dtype):
    masks, plan, data_format = hand_case(dtype, size, layout)
    mixed = msda.mix_segmentation_masks(masks, plan, data_format, mode="select")
    check_selected(mixed, masks, plan, data_format)


@sizes
@layouts
@pytest.mark.parametrize("dtype", FLOATS)
def test_blends_weigh_each_pixel_by_its_share(size, layout, dtype):
    masks, plan, data_format = hand_case(dtype, size, layout)
    mixed = msda.mix_segmentation_masks(masks, plan, data_format, mode="blend")
    check_blended(mixed, masks, plan, data_format)


@sizes
@layouts
@pytest.mark.parametrize("dtype", [*INTEGERS, "bool", *FLOATS])
def test_floats_of_several_channels_alone_are_blended_of_themselves(
    size, layout, dtype
):
    masks, plan, data_format = hand_case(dtype, size, layout)
    check = check_blended if blends(dtype, layout) else check_selected
    for mode in [{}, {"mode": "auto"}]:
        mixed = msda.mix_segmentation_masks(masks, plan, data_format, **mode)
        check(mixed, masks, plan, data_format)


@sizes
@pytest.mark.parametrize("dtype", INTEGERS)
@pytest.mark.parametrize("layout", [name for name in LAYOUTS if "three" not in name])
def test_class_indices_become_blended_one_hot_rows(size, layout, dtype):
    ignored = 255 if dtype == "uint8" else -1
    masks = class_masks(3, size, dtype, ignored).reshape(mask_shape(3, size, layout))
    plan = hand_plan(3, size)
    data_format = LAYOUTS[layout][1]
    mixed = msda.mix_segmentation_masks(masks, plan, data_format, mode=CLASSES)
    check_one_hot(mixed, masks, plan, data_format)


def test_channels_are_last_unless_keras_says_otherwise():
    plan, masks = hand_plan(3, (4, 3)), draw("float32", (3, 3, 4, 3))
    keras.config.set_image_data_format("channels_first")
    try:
        mixed = msda.mix_segmentation_masks(masks, plan)
    finally:
        keras.config.set_image_data_format("channels_last")
    check_blended(mixed, masks, plan, "channels_first")
    masks = draw("float32", (3, 4, 3, 3))
    check_blended(msda.mix_segmentation_masks(masks, plan), masks, plan)


# Laws.


def test_a_pixel_of_equal_shares_is_the_partners():
    just_above = np.nextafter(np.float32(0.5), np.float32(1))
    mask = np.float32([[0.5, just_above, 0.5, just_above]] * 2)
    plan = msda.MixPlan([1, 0], mask, np.float32([0.5, 0.5]))
    masks = np.array([[1, 1, 1, 1], [2, 2, 2, 2]])
    mixed = msda.mix_segmentation_masks(masks, plan)
    assert_array_equal(mixed, [[2, 1, 2, 1], [1, 2, 1, 2]])


@methods
@drawn
def test_selection_by_a_drawn_plan(name, batch, size):
    masks = tf.constant(class_masks(batch, size))
    plan = drawn_plan(name, batch, size)
    check_selected(msda.mix_segmentation_masks(masks, plan), masks, plan)


@methods
@drawn
def test_blends_by_a_drawn_plan(name, batch, size):
    masks = draw("float32", (batch, *size, 2))
    plan = drawn_plan(name, batch, size)
    check_blended(msda.mix_segmentation_masks(masks, plan), masks, plan)


@methods
@drawn
def test_one_hot_rows_by_a_drawn_plan(name, batch, size):
    masks = class_masks(batch, size)
    plan = drawn_plan(name, batch, size)
    mixed = msda.mix_segmentation_masks(masks, plan, mode=CLASSES)
    check_one_hot(mixed, masks, plan)


@methods
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_no_class_is_invented(name, dtype):
    masks = class_masks(5, SIZE, dtype)
    plan = drawn_plan(name, 5, SIZE)
    mixed = np.asarray(msda.mix_segmentation_masks(masks, plan))
    known = (mixed == masks) | (mixed == masks[plan.partner])
    assert_array_equal(known, np.ones_like(known))


@methods
def test_no_class_is_invented_in_one_hot_rows(name):
    masks = class_masks(5, SIZE)
    plan = drawn_plan(name, 5, SIZE)
    rows = np.asarray(msda.mix_segmentation_masks(masks, plan, mode=CLASSES))
    classes = np.arange(CLASSES)
    pair = (classes == masks[..., None]) | (classes == masks[plan.partner][..., None])
    assert_array_equal(rows[~pair], np.zeros((~pair).sum()))


@pytest.mark.parametrize(("dtype", "ignored"), [("uint8", 255), ("int32", -1)])
def test_an_ignored_pixel_has_no_mass(dtype, ignored):
    masks = class_masks(3, SIZE, dtype, ignored)
    plan = hand_plan(3, SIZE)
    rows = msda.mix_segmentation_masks(masks, plan, mode=CLASSES)
    own, other = masks != ignored, masks[plan.partner] != ignored
    expected = np.where(own, plan.mask, 0) + np.where(other, 1 - plan.mask, 0)
    assert_allclose(np.sum(rows, -1), expected, rtol=0, atol=BLENDED)


def test_the_first_index_past_the_classes_has_no_row():
    masks = np.array([[CLASSES, CLASSES - 1], [0, CLASSES]])
    plan = msda.MixPlan([1, 0], np.ones((2, 2), np.float32), np.ones(2, np.float32))
    rows = msda.mix_segmentation_masks(masks, plan, mode=CLASSES)
    expected = [[[0, 0, 0, 0], [0, 0, 0, 1]], [[1, 0, 0, 0], [0, 0, 0, 0]]]
    assert_array_equal(rows, expected)


@parametrize("mode", ["select", "blend"])
def test_hidden_nans_stay_hidden(mode):
    masks = np.array([[[1.0], [np.nan]], [[np.nan], [4.0]]], np.float32)
    mask = np.float32([[1, 0], [0, 1]])
    plan = msda.MixPlan([1, 0], mask, np.float32([0.5, 0.5]))
    mixed = msda.mix_segmentation_masks(masks, plan, mode=mode)
    assert_array_equal(mixed, [[[1.0], [4.0]], [[1.0], [4.0]]])


@parametrize("mode", ["auto", CLASSES])
def test_given_masks_and_plans_are_left_alone(mode):
    masks, plan = class_masks(3, SIZE), hand_plan(3, SIZE)
    msda.mix_segmentation_masks(masks, plan, mode=mode)
    assert_array_equal(masks, class_masks(3, SIZE))
    for value, again in zip(plan, hand_plan(3, SIZE), strict=True):
        assert_array_equal(value, again)


# In a layer.

#: Mode -> masks of a batch, and what checks the result.
MODES = {
    "auto": (lambda batch: tf.constant(class_masks(batch, SIZE)), check_selected),
    "select": (lambda batch: draw("float16", (batch, *SIZE, 2)), check_selected),
    "blend": (lambda batch: draw("float32", (batch, *SIZE, 2)), check_blended),
    CLASSES: (lambda batch: tf.constant(class_masks(batch, SIZE)), check_one_hot),
}
modes = parametrize("mode", MODES)


def inputs_of(batch, mode):
    """Returns a dictionary of images, ids, masks and something else."""
    return {
        "images": cases.images(batch, SIZE),
        "labels": np.arange(batch) % CLASSES,
        "segmentation_masks": MODES[mode][0](batch),
        "id": np.array(LARGE[:batch]),
    }


def check_outputs(outputs, inputs, plan, mode):
    """Checks all that comes back for a dictionary of inputs."""
    cases.check_common(outputs, inputs, plan, CLASSES)
    MODES[mode][1](outputs["segmentation_masks"], inputs["segmentation_masks"], plan)


def mask_layer(name, mode, **arguments):
    return cases.make(name, num_classes=CLASSES, segmentation=mode, **arguments)


@modes
@methods
def test_layers_mix_masks_in_each_mode(name, mode):
    layer = mask_layer(name, mode)
    inputs = inputs_of(5, mode)
    plan = cases.next_plan(layer, 5, SIZE)
    check_outputs(layer(inputs), inputs, plan, mode)


# Every method is called in every world beside boxes.
WORLDS_AND_MODES = [
    *(("graph", mode) for mode in MODES),
    *(("mapped", mode) for mode in ("auto", "blend")),
    ("compiled", "blend"),
]


@parametrize(("world", "mode"), WORLDS_AND_MODES)
def test_each_world_has_each_mode(world, mode):
    layer = mask_layer("hmix", mode)
    inputs = inputs_of(5, mode)
    plan = cases.next_plan(layer, 5, SIZE)
    check_outputs(cases.WORLDS[world](layer, inputs), inputs, plan, mode)


def test_layers_select_and_blend_of_themselves():
    plan_of = {}
    for mode in ("select", "blend"):
        layer = cases.make("mixup", num_classes=CLASSES)
        inputs = inputs_of(5, mode)
        if mode == "select":
            inputs["segmentation_masks"] = draw("float16", (5, *SIZE, 1))
        plan_of[mode] = cases.next_plan(layer, 5, SIZE)
        check_outputs(layer(inputs), inputs, plan_of[mode], mode)
    assert_array_equal(plan_of["select"].mask, plan_of["blend"].mask)


@parametrize("world", ["eager", "graph", "mapped"])
def test_masks_need_no_labels(world):
    layer = mask_layer("cutmix", "auto")
    inputs = inputs_of(5, "auto")
    del inputs["labels"]
    plan = cases.next_plan(layer, 5, SIZE)
    outputs = cases.WORLDS[world](layer, inputs)
    check_outputs(outputs, inputs, plan, "auto")


@modes
@parametrize("world", ["eager", "graph"])
def test_masks_keep_their_form_outside_training(world, mode):
    layer = mask_layer("mixup", mode)
    inputs = inputs_of(5, mode)
    ones = np.ones((5, *SIZE), np.float32)
    plan = msda.MixPlan(np.arange(5), ones, np.ones(5, np.float32))
    outputs = cases.WORLDS[world](layer, inputs, training=False)
    check_outputs(outputs, inputs, plan, mode)
    if mode != CLASSES:
        assert_array_equal(
            cases.numbers(outputs["segmentation_masks"]),
            cases.numbers(inputs["segmentation_masks"]),
        )


def test_a_partial_last_batch_of_a_pipeline_is_mixed():
    layer = mask_layer("cutmix", CLASSES)
    inputs = inputs_of(8, CLASSES) | {"id": np.arange(8)}
    batches = tf.data.Dataset.from_tensor_slices(inputs).batch(5)
    plans = cases.next_plans(layer, [5, 3], SIZE)
    for start, plan, outputs in zip([0, 5], plans, batches.map(layer), strict=True):
        part = {key: value[start : start + 5] for key, value in inputs.items()}
        check_outputs(outputs, part, plan, CLASSES)


@pytest.mark.parametrize("batch", [1, 3])
@methods
def test_layers_mix_masks_of_any_batch(name, batch):
    layer = mask_layer(name, "auto", probability=0.5)
    inputs = inputs_of(batch, "auto")
    plan = cases.next_plan(layer, batch, SIZE)
    check_outputs(layer(inputs), inputs, plan, "auto")


@pytest.mark.parametrize("size", [(11,), (3, 4, 5)], ids=str)
@methods
def test_layers_mix_masks_of_one_and_three_axes(name, size):
    layer = cases.make(name)
    masks = tf.constant(class_masks(5, size))
    plan = cases.next_plan(layer, 5, size)
    inputs = {"images": cases.images(5, size), "segmentation_masks": masks}
    check_selected(layer(inputs)["segmentation_masks"], masks, plan)


@parametrize("world", ["eager", "graph"])
def test_channels_of_masks_come_first_as_the_images_do(world):
    images = np.moveaxis(cases.images(5, SIZE), -1, 1)
    masks = draw("float32", (5, 2, *SIZE))
    layer = cases.make("hmix", data_format="channels_first")
    plan = cases.next_plan(layer, 5, SIZE)
    inputs = {"images": images, "segmentation_masks": masks}
    outputs = cases.WORLDS[world](layer, inputs)
    check_blended(outputs["segmentation_masks"], masks, plan, "channels_first")
    layer = cases.make("hmix", data_format="channels_first", segmentation=CLASSES)
    masks = class_masks(5, SIZE)
    for given in (masks, masks[:, None]):
        plan = cases.next_plan(layer, 5, SIZE)
        outputs = cases.WORLDS[world](layer, inputs | {"segmentation_masks": given})
        check_one_hot(outputs["segmentation_masks"], masks, plan, "channels_first")


@pytest.mark.tensorflow
@pytest.mark.parametrize(("size", "form"), [((7,), 2), (SIZE, 3), ((3, 4, 5), 4)])
def test_masks_of_unknown_rank_are_refused_with_the_shape_to_set(size, form):
    plan = cases.next_plan(cases.make("mixup"), 5, size)
    call = tf.function(
        lambda masks: msda.mix_segmentation_masks(masks, plan),
        input_signature=[tf.TensorSpec(None, "uint8")],
    )
    with pytest.raises(ValueError, match="segmentation masks") as caught:
        call.get_concrete_function()
    assert f"({', '.join(['None'] * form)})" in str(caught.value)


@pytest.mark.parametrize("policy", ["mixed_float16", "bfloat16", "uint8"])
def test_masks_keep_their_dtype_whatever_the_images_are(policy):
    layer = cases.make("mixup", dtype=policy)
    masks = draw("float32", (5, *SIZE, 2))
    plan = cases.next_plan(layer, 5, SIZE)
    inputs = {"images": cases.images(5, SIZE), "segmentation_masks": masks}
    outputs = layer(inputs)
    assert_equal(outputs["images"].dtype.name, policy.removeprefix("mixed_"))
    check_blended(outputs["segmentation_masks"], masks, plan)


def test_masks_go_with_pairs_and_sample_weights():
    layer = mask_layer("hmix", "auto", targets="pair")
    weights = np.array([1.0, 2.0, 0.0, 0.5, 3.0], np.float32)
    inputs = inputs_of(5, "auto") | {"sample_weight": weights}
    plan = cases.next_plan(layer, 5, SIZE)
    outputs = layer(inputs)
    check_selected(outputs["segmentation_masks"], inputs["segmentation_masks"], plan)
    pairs = np.stack([inputs["labels"], inputs["labels"][plan.partner]], 1)
    assert_array_equal(outputs["labels"][:, :2], pairs)


@pytest.mark.long
def test_graphs_need_not_know_batch_or_size():
    layer = cases.make("gmix", segmentation=CLASSES)
    signature = {
        "images": tf.TensorSpec([None, None, None, 3], "float32"),
        "segmentation_masks": tf.TensorSpec([None, None, None], "uint8"),
    }
    call = tf.function(layer.__call__, input_signature=[signature])
    for batch, size in [(5, (4, 9)), (3, (7, 5))]:  # One trace, two sizes.
        masks = class_masks(batch, size)
        plan = cases.next_plan(layer, batch, size)
        images = cases.images(batch, size)
        outputs = call({"images": images, "segmentation_masks": tf.constant(masks)})
        check_one_hot(outputs["segmentation_masks"], masks, plan)


def test_a_given_dictionary_is_left_alone():
    layer = mask_layer("mixup", "blend")
    inputs = inputs_of(5, "blend")
    inputs["segmentation_masks"] = inputs["segmentation_masks"].numpy()
    copies = {key: value.copy() for key, value in inputs.items()}
    layer(inputs)
    assert_equal(list(inputs), list(copies))
    for key, value in copies.items():
        assert_array_equal(inputs[key], value)


@parametrize("mode", ["select", "blend", CLASSES])
@methods
def test_the_mode_comes_back_from_the_config(name, mode):
    layer = mask_layer(name, mode)
    copy = type(layer).from_config(layer.get_config())
    assert_equal(copy.segmentation, mode)


# Errors.

OWNER = "mix_segmentation_masks"
#: Case -> masks, mode; the plan is of three masks of 6 by 7.
REFUSED = {
    "a mean of uint8": (np.zeros((3, *SIZE), np.uint8), "blend"),
    "a mean of int64": (np.zeros((3, *SIZE, 2), np.int64), "blend"),
    "a mean of bool": (np.zeros((3, *SIZE), bool), "blend"),
    "classes of floats": (np.zeros((3, *SIZE), np.float32), 3),
    "classes of several channels": (np.zeros((3, *SIZE, 2), np.uint8), 3),
    "an unknown mode": (np.zeros((3, *SIZE), np.uint8), "mean"),
    "no mode": (np.zeros((3, *SIZE), np.uint8), None),
    "no classes": (np.zeros((3, *SIZE), np.uint8), 0),
    "fewer than no classes": (np.zeros((3, *SIZE), np.uint8), -2),
    "half a class": (np.zeros((3, *SIZE), np.uint8), 2.5),
    "another size": (np.zeros((3, 7, 6), np.uint8), "auto"),
    "another size with channels": (np.zeros((3, 7, 6, 1), np.uint8), "auto"),
    "another batch": (np.zeros((4, *SIZE), np.uint8), "auto"),
    "too few axes": (np.zeros((3, 6), np.uint8), "auto"),
    "too many axes": (np.zeros((3, *SIZE, 2, 2), np.uint8), "auto"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_masks_that_do_not_fit_are_refused(case):
    masks, mode = REFUSED[case]
    plan = hand_plan(3, SIZE)
    check_error(
        lambda: msda.mix_segmentation_masks(masks, plan, mode=mode),
        OWNER,
        ValueError,
        "",
        "",
    )


def test_channels_first_masks_are_measured_behind_their_channels():
    masks, plan = np.zeros((3, *SIZE, 2), np.uint8), hand_plan(3, SIZE)
    check_error(
        lambda: msda.mix_segmentation_masks(masks, plan, "channels_first"),
        OWNER,
        ValueError,
        "",
        "",
    )


def test_an_unknown_data_format_is_refused():
    masks, plan = np.zeros((3, *SIZE), np.uint8), hand_plan(3, SIZE)
    with pytest.raises(ValueError, match=rf"^{OWNER}: `data_format`"):
        msda.mix_segmentation_masks(masks, plan, "channels_middle")


@parametrize("mode", ["mean", None, 0, -2, 2.5, True])
def test_layers_know_the_modes(mode):
    check_error(
        lambda: msda.CutMixLayer(segmentation=mode),
        "CutMixLayer",
        ValueError,
        "`segmentation`",
        repr(mode),
    )


@parametrize(
    ("mode", "masks"),
    [
        ("auto", np.zeros((4, *SIZE), np.uint8)),
        ("auto", np.zeros((5, 7, 6), np.uint8)),
        ("blend", np.zeros((5, *SIZE), np.uint8)),
        (3, np.zeros((5, *SIZE), np.float32)),
    ],
    ids=["another batch", "another size", "a mean of ids", "classes of floats"],
)
def test_layers_refuse_masks_that_do_not_fit(mode, masks):
    layer = mask_layer("cutmix", mode)
    inputs = inputs_of(5, "auto") | {"segmentation_masks": masks}
    check_error(lambda: layer(inputs), "CutMixLayer", ValueError, "", "")


def test_a_dictionary_of_images_alone_is_refused():
    layer = cases.make("cutmix", segmentation="auto")
    with pytest.raises(ValueError, match="CutMixLayer"):
        layer({"images": cases.images(5, SIZE)})
