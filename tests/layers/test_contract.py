"""Every layer in every world, by value: what comes back is what the drawn plan says.

The plan of a call is a function of the layer's seed state, so a copy of the layer draws
it eagerly first; loops then mix by it, and each world must return that.
"""

import keras
import numpy as np
import pytest
import tensorflow as tf
from numpy.testing import assert_allclose, assert_array_equal, assert_equal

import keras_msda as msda
from tests.support import layer_cases as cases
from tests.support import oracles
from tests.support.errors import refused
from tests.support.marks import parametrize

# In pipelines too: what a layer draws shows in images alone.
images_alone = pytest.mark.filterwarnings("ignore::keras_msda.MixWarning")

SIZE = (6, 7)
CLASSES = 4
IDS = np.array([3, 0, 2, 1, 3])
# Above this, neighbouring integers are one number in float32.
LARGE_IDS = np.array([2**24 + 1, -5, 2**40 + 3, 0, 2**62 + 1])
WEIGHTS = np.array([1.0, 2.0, 0.0, 0.5, 3.0], np.float32)
# One float32 product and sum of numbers in [0, 1].
BLENDED = 3e-7
# Some last bits of a float32 number in [0, 1].
ULPS = 2e-7

layers = pytest.mark.parametrize("name", cases.LAYERS)
methods = pytest.mark.parametrize("name", cases.METHODS)
worlds = parametrize("world", cases.WORLDS)


def mask_tolerance(name):
    """Returns by how much masks of one plan may differ between worlds.

    lambda is a gather, partners, centres, sides and counts are integers: no difference.
    A bump is an exponential and the level around a box a quotient, whose last bits are
    the device's. A soft edge holds quotients of ranks.
    """
    if name.startswith("gmix"):
        return 1e-6
    return ULPS if "hmix" in name or "soft" in name else 0


def weight_tolerance(name):
    """Returns by how much weights may differ: not at all where they are lambda.

    Others are a count over the pixels, which a graph multiplies by the inverse.
    """
    return 0 if name in ("mixup", "cutmix-drawn") else max(mask_tolerance(name), ULPS)


def check_signatures(outputs, plan, name=None):
    """Checks mixed signatures and packed ids, which show a plan whole.

    Bit for bit without a name, as in one world; else as far as a method's are.
    """
    mixed, packed = map(cases.array, outputs)
    size = plan.mask.shape[1:]
    batch = len(plan.partner)
    expected = oracles.mix_images(
        cases.signatures(batch, size), plan.partner, plan.mask
    )
    tolerance = mask_tolerance(name) if name else 0
    assert_allclose(mixed, expected.astype(np.float32), rtol=0, atol=tolerance)
    assert_array_equal(packed[:, :2], np.stack([np.arange(batch), plan.partner], 1))
    tolerance = weight_tolerance(name) if name else 0
    assert_allclose(packed[:, 2], plan.weight, rtol=0, atol=tolerance)


def reveal(layer, world="eager", batch=5, size=SIZE):
    """Calls a layer that packs its labels; returns its plan and what came back."""
    plan = cases.next_plan(layer, batch, size, world)
    call = cases.WORLDS[world] if isinstance(world, str) else world
    outputs = call(layer, cases.signatures(batch, size), np.arange(batch))
    return plan, outputs


# The same numbers in every world.


@pytest.mark.long
@layers
@worlds
def test_every_world_draws_and_applies_the_plan_of_the_seed(name, world):
    plan, outputs = reveal(cases.make(name, targets="pair"), world)
    check_signatures(outputs, plan, name)


@images_alone
@methods
@parametrize("world", cases.worlds("eager", "graph", "mapped"))
def test_images_alone_are_mixed_in_training(name, world):
    images = cases.images(5, SIZE)
    layer = cases.make(name)
    plan = cases.next_plan(layer, 5, SIZE, world)
    mixed = cases.WORLDS[world](layer, images, training=True)
    expected = oracles.mix_images(images, plan.partner, plan.mask)
    assert_allclose(mixed, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("border", ["clip", "wrap"])
@parametrize("world", cases.worlds("graph", "compiled", "mapped"))
def test_bumps_have_the_eager_centres(border, world):
    layer = msda.GMixLayer(border=border, targets="pair", seed=5)
    plan, (mixed, _) = reveal(layer, world, size=(31,))
    own = np.einsum("i...i->i...", cases.array(mixed))
    light = (plan.weight < 0.5)[:, None]  # There the bump is a peak, else a trough.
    found = np.where(light, own, -own).argmax(1)
    expected = np.where(light, plan.mask, -plan.mask).argmax(1)
    assert_array_equal(found, expected)


@parametrize("world", cases.worlds("graph", "compiled", "mapped"))
def test_drawn_lambdas_are_bit_for_bit_the_eager_ones(world):
    layer = msda.CutMixLayer(0.3, exact_weight=False, targets="pair", seed=2)
    batch = 64
    plan = cases.next_plan(layer, batch, (3,), world)
    images = np.zeros((batch, 3, 1), np.float32)
    _, packed = cases.WORLDS[world](layer, images, np.arange(batch))
    assert_array_equal(cases.array(packed)[:, 2], plan.weight)


@pytest.mark.long
@worlds
def test_each_call_draws_the_next_plan(world):
    layer = msda.HMixLayer(targets="pair", seed=3)
    inputs = cases.signatures(5, SIZE), np.arange(5)
    plans = cases.next_plans(layer, [5, 5, 5], SIZE, world)
    if world == "mapped":
        dataset = tf.data.Dataset.from_tensors(inputs).repeat(3).map(layer)
        outputs = list(dataset)
    elif world == "eager" or cases.BACKEND != "tensorflow":
        outputs = [cases.WORLDS[world](layer, *inputs) for _ in range(3)]
    else:
        call = tf.function(layer.__call__, jit_compile=world == "compiled")
        outputs = [call(*(tf.constant(x) for x in inputs)) for _ in range(3)]
    assert len({plan.weight.tobytes() for plan in plans}) == 3
    for plan, output in zip(plans, outputs, strict=True):
        check_signatures(output, plan, "hmix")


# What a layer is called with.


def encoded(plan, smoothing=0.1):
    labels = oracles.one_hot(IDS, CLASSES, smoothing)
    return oracles.mix_labels(labels, plan.partner, plan.weight)


def soft_case(plan):
    return {"labels": encoded(plan)}


def weighted_case(plan):
    labels = oracles.one_hot(IDS, CLASSES, 0.1)
    mixed = oracles.mix_sample_weights(WEIGHTS, labels, plan.partner, plan.weight)
    return {"labels": mixed[0], "sample_weight": mixed[1]}


SMOOTH = {"num_classes": CLASSES, "label_smoothing": 0.1}
#: Form -> arguments of the layer, labels, sample weights, what is expected.
FORMS = {
    "ids": (SMOOTH, IDS, None, soft_case),
    "ids in a column": (SMOOTH, IDS[:, None].astype("uint8"), None, soft_case),
    "soft": ({}, oracles.one_hot(IDS, CLASSES, 0.1), None, soft_case),
    "weighted": (SMOOTH, IDS, WEIGHTS, weighted_case),
}


def call_form(world, layer, labels, weights, keys):
    """Calls a layer with a tuple or a dictionary; returns a dictionary."""
    images = cases.images(5, SIZE)
    names = ["images", "labels", "sample_weight"]
    values = [x for x in (images, labels, weights) if x is not None]
    inputs = dict(zip(names, values, strict=False))
    if keys:
        return cases.WORLDS[world](layer, inputs)
    outputs = cases.WORLDS[world](layer, *inputs.values())
    return dict(zip(names, outputs, strict=False))


WORLDS_AND_FORMS = [
    (world, form)
    for world in cases.WORLDS
    for form in FORMS
    if world != "compiled" or form in ("ids in a column", "weighted")
]


@parametrize(("world", "form"), WORLDS_AND_FORMS)
def test_labels_and_weights_are_mixed_like_the_images(world, form):
    arguments, labels, weights, expect = FORMS[form]
    layer = cases.make("hmix", **arguments)
    plan = cases.next_plan(layer, 5, SIZE, world)
    outputs = call_form(world, layer, labels, weights, keys=False)
    mixed = oracles.mix_images(cases.images(5, SIZE), plan.partner, plan.mask)
    expected = {"images": mixed} | expect(plan)
    assert_equal(sorted(outputs), sorted(expected))
    for key, value in expected.items():
        # Sample weights up to 3 enter a quotient: a few more roundings.
        tolerance = 1e-6 if weights is not None else BLENDED
        assert_allclose(outputs[key], value, rtol=0, atol=tolerance, err_msg=key)


@pytest.mark.long
@parametrize("world", cases.worlds("eager", "graph", "mapped"))
@pytest.mark.parametrize("form", FORMS)
def test_dictionaries_come_back_as_tuples_do(world, form):
    arguments, labels, weights, _ = FORMS[form]
    first, second = (cases.make("hmix", **arguments) for _ in range(2))
    expected = call_form(world, first, labels, weights, keys=False)
    outputs = call_form(world, second, labels, weights, keys=True)
    assert_equal(sorted(outputs), sorted(expected))
    for key, value in expected.items():
        assert_array_equal(outputs[key], value, err_msg=key)


@parametrize("world", cases.worlds("eager", "graph", "mapped"))
@methods
def test_other_keys_keep_value_and_dtype(name, world):
    boxes = tf.ragged.constant([[1.5], [], [2.5, 3.5], [], [4.5]])
    names = tf.constant(["a", "bc", "", "d", "e"])
    others = {"id": tf.constant(LARGE_IDS), "name": names, "boxes": boxes}
    batch = {"images": cases.images(5, SIZE), "labels": IDS} | others
    layer = cases.make(name, num_classes=CLASSES)
    outputs = cases.WORLDS[world](layer, batch)
    assert_equal(sorted(outputs), sorted(batch))
    assert_array_equal(outputs["id"], LARGE_IDS)
    assert_equal(outputs["id"].dtype, tf.int64)
    assert_array_equal(outputs["name"], names)
    assert_equal(outputs["boxes"].dtype, boxes.dtype)
    assert_equal(outputs["boxes"].to_list(), boxes.to_list())


@pytest.mark.tensorflow
@pytest.mark.xla
def test_compiled_dictionaries_keep_large_ids():
    batch = {"images": cases.images(5, SIZE), "labels": IDS, "id": LARGE_IDS}
    layer = cases.make("mixup", num_classes=CLASSES)
    plan = cases.next_plan(layer, 5, SIZE)
    outputs = cases.WORLDS["compiled"](layer, batch)
    assert_array_equal(outputs["id"], LARGE_IDS)
    assert_equal(outputs["id"].dtype, tf.int64)
    expected = encoded(plan, smoothing=0.0)
    assert_allclose(outputs["labels"], expected, rtol=0, atol=BLENDED)


@worlds
def test_soft_pairs_carry_both_rows_and_the_weight_of_the_label(world):
    soft = np.random.default_rng(4).random((5, CLASSES), np.float32)
    layer = cases.make("cutmix", targets="pair")
    plan = cases.next_plan(layer, 5, SIZE, world)
    _, packed = cases.WORLDS[world](layer, cases.images(5, SIZE), soft)
    packed = cases.array(packed)
    rows = np.concatenate([soft, soft[plan.partner]], 1)
    assert_array_equal(packed[:, :-1], rows)
    assert_allclose(packed[:, -1], plan.weight, rtol=0, atol=ULPS)


def test_pairs_with_sample_weights_keep_the_loss_of_each_label():
    layer = cases.make("hmix", targets="pair")
    plan = cases.next_plan(layer, 5, SIZE)
    _, packed, weights = layer(cases.images(5, SIZE), IDS, WEIGHTS)
    first = np.asarray(weights) * cases.array(packed)[:, 2]
    second = np.asarray(weights) * (1 - cases.array(packed)[:, 2])
    # Two products and a quotient of float32 numbers up to 3.
    assert_allclose(first, WEIGHTS * plan.weight, rtol=0, atol=1e-6)
    expected = WEIGHTS[plan.partner] * (1 - plan.weight)
    assert_allclose(second, expected, rtol=0, atol=1e-6)


def test_own_targets_keep_the_own_labels_and_weights():
    layer = cases.make("fmix", targets="own", **SMOOTH)
    plan = cases.next_plan(layer, 5, SIZE)
    images = cases.images(5, SIZE)
    mixed, labels, weights = layer(images, IDS, WEIGHTS)
    expected = oracles.mix_images(images, plan.partner, plan.mask)
    assert_allclose(mixed, expected, rtol=0, atol=BLENDED)
    assert_allclose(labels, oracles.one_hot(IDS, CLASSES, 0.1), rtol=0, atol=BLENDED)
    assert_array_equal(weights, WEIGHTS)


def test_regression_targets_of_any_shape_are_mixed():
    targets = np.random.default_rng(6).normal(size=(5, 2, 3)).astype(np.float32)
    layer = cases.make("gmix")
    plan = cases.next_plan(layer, 5, SIZE)
    _, labels = layer(cases.images(5, SIZE), targets)
    expected = oracles.mix_labels(targets, plan.partner, plan.weight)
    assert_allclose(labels, expected, rtol=0, atol=1e-6)


def test_float64_labels_stay_float64():
    targets = np.random.default_rng(6).normal(size=5)
    layer = cases.make("mixup")
    plan = cases.next_plan(layer, 5, SIZE)
    _, labels = layer(cases.images(5, SIZE), targets)
    expected = oracles.mix_labels(targets, plan.partner, plan.weight)
    # In float32 it would be off by 1e-8 and more, as it is on JAX, which lacks float64.
    atol = 1e-6 if cases.BACKEND == "jax" else 1e-14
    assert_allclose(labels, expected, rtol=0, atol=atol)


# Dtypes. Values up to 255, so one float32 rounding is 255 * 2**-24.

#: Compute dtype -> half its spacing, relative, and absolute.
ROUNDING = {
    "float64": (0, 1e-12),
    "float32": (0, 1e-4),
    "float16": (2**-11, 1e-4),
    "bfloat16": (2**-8, 1e-4),
    "uint8": (0, 0.5 + 1e-4),
}


def typed_images(dtype, size=SIZE):
    values = 255 * cases.images(5, size, seed=8)
    return keras.ops.cast(values, dtype)


def check_rounded(mixed, images, plan, dtype):
    if cases.BACKEND == "jax" and dtype == "float64":
        dtype = "float32"  # JAX has no other unless it is told to.
    assert_equal(cases.dtype(mixed), dtype)
    expected = oracles.mix_images(cases.array(images), plan.partner, plan.mask)
    rtol, atol = ROUNDING[dtype]
    mixed = cases.array(mixed).astype("float64")
    assert_allclose(mixed, expected, rtol=rtol, atol=atol)


@methods
@pytest.mark.parametrize("given", ["float32", "float16", "bfloat16", "uint8"])
@pytest.mark.parametrize(
    "policy",
    ["float32", "mixed_float16", "mixed_bfloat16", "bfloat16", "uint8", "float64"],
)
def test_images_of_any_dtype_come_out_in_the_compute_dtype(name, given, policy):
    layer = cases.make(name, dtype=policy)
    plan = cases.next_plan(layer, 5, SIZE)
    images = typed_images(given)
    mixed = layer(images, training=True)
    check_rounded(mixed, images, plan, policy.removeprefix("mixed_"))


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("dtype", ["complex64", "str"])
def test_images_that_are_no_real_numbers_are_refused(dtype, training):
    images = np.ones((2, 4, 4, 1)).astype(dtype)
    layer = cases.make("cutmix", num_classes=CLASSES)
    data = tf.data.Dataset.from_tensors((images, IDS[:2]))
    with refused("CutMixLayer", "images must hold real numbers", "Decode"):
        data.map(lambda *batch: layer(*batch, training=training))
    if dtype == "str" and cases.BACKEND != "tensorflow":
        return  # The backend has no strings.
    with refused("CutMixLayer", "images must hold real numbers", "both parts"):
        layer(images, IDS[:2], training=training)


# In float32 and on two axes they are compiled above.
@methods
@pytest.mark.parametrize(
    ("policy", "size"), [("mixed_float16", (11,)), ("mixed_bfloat16", (3, 4, 5))]
)
@pytest.mark.xla
def test_layers_compile_in_half_precision_on_any_rank(name, policy, size):
    dtype = policy.removeprefix("mixed_")
    layer = cases.make(name, dtype=policy)
    plan = cases.next_plan(layer, 5, size)
    images = typed_images(dtype, size)
    mixed = cases.WORLDS["compiled"](layer, images, training=True)
    check_rounded(mixed, images, plan, dtype)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16", "uint8"])
@methods
def test_labels_stay_float32_whatever_the_images_are(name, policy):
    layer = cases.make(name, dtype=policy, num_classes=CLASSES)
    plan = cases.next_plan(layer, 5, SIZE)
    _, labels = layer(typed_images("uint8"), IDS)
    assert_equal(cases.dtype(labels), "float32")
    assert_allclose(labels, encoded(plan, 0.0), rtol=0, atol=BLENDED)


@images_alone
@worlds
def test_uint8_rounds_half_to_even(world):
    # A box selects, so every value is some image's and a half stays one.
    layer = cases.make("cutmix", dtype="uint8")
    plan = cases.next_plan(layer, 5, SIZE, world)
    halves = np.random.default_rng(9).integers(0, 254, (5, *SIZE, 2)) + np.float32(0.5)
    mixed = cases.WORLDS[world](layer, halves, training=True)
    expected = np.rint(oracles.mix_images(halves, plan.partner, plan.mask))
    assert_array_equal(mixed, expected)


@pytest.mark.tensorflow
@pytest.mark.whole
@pytest.mark.parametrize("dtype", ["int32", "uint32", "int64", "uint64"])
def test_shown_integers_beyond_float32_are_kept(dtype):
    # Neighbours that are one number in float32.
    images = (2**31 - np.arange(1, 5)).astype(dtype)[:, None, None]
    mask = np.array([1, 0, 1, 0], np.float32)[:, None]
    plan = msda.MixPlan([1, 2, 3, 0], mask, mask[:, 0])
    mixed = cases.array(msda.mix_images(images, plan))
    assert_array_equal(mixed, images[[0, 2, 2, 0]])


def test_a_blend_in_uint8_rounds_half_to_even():
    images = np.array([[[0]], [[1]], [[4]], [[7]]], np.uint8)
    plan = msda.MixPlan([1, 2, 3, 0], np.full((4, 1), 0.5), np.full(4, 0.5))
    mixed = msda.mix_images(images, plan)
    assert_equal(cases.dtype(mixed), "uint8")
    assert_array_equal(
        np.ravel(cases.array(mixed)), [0, 2, 6, 4]
    )  # Of 0.5, 2.5, 5.5 and 3.5.


@pytest.mark.tensorflow
@pytest.mark.whole
@pytest.mark.parametrize("size", [(5,), (4, 5), (3, 4, 5)], ids=str)
def test_a_graph_of_known_shapes_mixes_what_eager_code_mixes(size):
    # On a CPU it joins the last axis of pixels and the channels.
    layer, images = cases.make("cutmix"), cases.images(6, size)
    mix = tf.function(lambda: layer.mix(images, seed=(1, 2)), autograph=False)
    expected = layer.mix(images, seed=(1, 2))
    assert np.any(cases.array(expected) != images)
    assert_array_equal(cases.array(mix()), cases.array(expected))


@images_alone
@pytest.mark.parametrize("jit_compile", [False, "auto"])
@pytest.mark.parametrize("length", [None, 8])
def test_pipelines_round_bytes_once(length, jit_compile):
    # Grappler reorders sums: each product of a blend was rounded by itself.
    layer = cases.make("mixup", dtype="uint8", jit_compile=jit_compile)
    images = np.random.default_rng(4).integers(0, 256, (5, 8, 8, 3)).astype("uint8")
    plan = cases.next_plan(layer, 5, (8, 8), "mapped")
    signature = tf.TensorSpec((None, length, length, 3), "uint8")
    data = tf.data.Dataset.from_generator(
        lambda: iter([images]), output_signature=signature
    )
    (mixed,) = list(data.map(lambda x: layer(x, training=True)))
    expected = oracles.mix_images(images, plan.partner, plan.mask)
    assert_allclose(mixed.numpy(), expected, rtol=0, atol=0.5 + 1e-4)


# Shapes.


@layers
@pytest.mark.parametrize("size", cases.SIZES, ids=str)
def test_images_of_one_to_three_axes_are_mixed(name, size):
    plan, outputs = reveal(cases.make(name, targets="pair"), size=size)
    check_signatures(outputs, plan, name)


@methods
@pytest.mark.parametrize("size", cases.SIZES, ids=str)
def test_channels_may_come_first(name, size):
    images = np.moveaxis(cases.images(5, size), -1, 1)
    layer = cases.make(name, data_format="channels_first")
    plan = cases.next_plan(layer, 5, size)
    mixed = layer(images, training=True)
    expected = oracles.mix_images(images, plan.partner, plan.mask, "channels_first")
    assert_allclose(mixed, expected, rtol=0, atol=BLENDED)


@images_alone
@parametrize("world", cases.worlds("graph", "compiled", "mapped"))
def test_channels_may_come_first_in_every_world(world):
    images = np.moveaxis(cases.images(5, (5, 6, 9)), -1, 1)
    layer = cases.make("hmix", data_format="channels_first")
    plan = cases.next_plan(layer, 5, (5, 6, 9), world)
    mixed = cases.WORLDS[world](layer, images, training=True)
    expected = oracles.mix_images(images, plan.partner, plan.mask, "channels_first")
    assert_allclose(mixed, expected, rtol=0, atol=BLENDED)


@methods
@pytest.mark.parametrize("batch", [0, 1, 2, 7])
@pytest.mark.parametrize("per", ["sample", "pair", "batch"])
def test_any_batch_is_mixed(name, batch, per):
    layer = cases.make(name, per=per, targets="pair")
    plan = cases.next_plan(layer, batch, SIZE)
    images = cases.images(batch, SIZE)
    mixed, packed = layer(images, np.arange(batch))
    expected = oracles.mix_images(images, plan.partner, plan.mask)
    assert_allclose(mixed, expected, rtol=0, atol=BLENDED)
    assert_equal(packed.shape, (batch, 3))
    expected = [np.arange(batch), plan.partner, plan.weight]
    assert_array_equal(cases.array(packed).T, expected)


@pytest.mark.parametrize(("name", "batch"), [("hmix", 0), ("hmix", 1), ("fmix", 0)])
@pytest.mark.xla
def test_batches_that_cannot_be_mixed_compile(name, batch):
    images = cases.images(batch, SIZE)
    mixed = cases.WORLDS["compiled"](cases.make(name), images, training=True)
    assert_array_equal(mixed, images)


def unknown(rank):
    """Returns signatures of batches of any number and size, five channels."""
    images = tf.TensorSpec([None, *[None] * rank, 5], "float32")
    return images, tf.TensorSpec([None], "int64")


@pytest.mark.parametrize("per", ["sample", "pair", "batch"])
@methods
@pytest.mark.tensorflow
def test_graphs_need_not_know_batch_or_size(name, per):
    layer = cases.make(name, per=per, targets="pair")
    call = tf.function(layer.__call__, input_signature=unknown(2))
    for size in [(4, 9), (7, 5)]:  # One trace, two sizes.
        plan, outputs = reveal(layer, lambda _, *inputs: call(*inputs), size=size)
        check_signatures(outputs, plan, name)


@pytest.mark.long
@pytest.mark.parametrize("name", sorted(set(cases.LAYERS) - set(cases.METHODS)))
@pytest.mark.tensorflow
def test_graphs_of_every_mode_need_not_know_batch_or_size(name):
    layer = cases.make(name, targets="pair")
    call = tf.function(layer.__call__, input_signature=unknown(2))
    plan, outputs = reveal(layer, lambda _, *inputs: call(*inputs), size=(4, 9))
    check_signatures(outputs, plan, name)


@pytest.mark.long
@pytest.mark.tensorflow
@pytest.mark.parametrize("choice", ["auto", False])
def test_graphs_of_fmix_may_know_the_batch_alone(choice):
    layer = msda.FMixLayer(jit_compile=choice, seed=1)
    given = tf.TensorSpec([4, None, None, 1])
    mix = tf.function(lambda x: layer(x, training=True), input_signature=[given])
    x = np.random.default_rng(0).random((4, 5, 7, 1), np.float32)
    plan = cases.next_plan(layer, 4, (5, 7))
    mask = plan.mask[..., None]
    expected = mask * x + (1 - mask) * x[plan.partner]
    assert_allclose(mix(x).numpy(), expected, rtol=0, atol=1e-6)


@pytest.mark.long
@pytest.mark.tensorflow
def test_graphs_of_a_choice_for_the_batch_need_not_know_batch_or_size():
    layer = cases.make("random-sample", per="batch", targets="pair")
    call = tf.function(layer.__call__, input_signature=unknown(2))
    plan, outputs = reveal(layer, lambda _, *inputs: call(*inputs), size=(4, 9))
    check_signatures(outputs, plan, "random-sample")


@pytest.mark.long
@pytest.mark.parametrize(
    ("name", "size"),
    [
        *((name, (31,)) for name in cases.METHODS),
        ("gmix", (3, 6, 5)),
        ("fmix", (3, 6, 5)),
    ],
)
def test_pipelines_need_not_know_batch_or_size(name, size):
    layer = cases.make(name, per="sample", targets="pair")
    batches = [(cases.signatures(5, size), np.arange(5)) for _ in range(2)]
    dataset = tf.data.Dataset.from_generator(
        lambda: iter(batches), output_signature=unknown(len(size))
    )
    plans = cases.next_plans(layer, [5, 5], size, "mapped")
    for plan, outputs in zip(plans, dataset.map(layer), strict=True):
        check_signatures(outputs, plan, name)


@pytest.mark.parametrize("name", ["hmix", "gmix-wrap", "fmix-soft"])
@pytest.mark.tensorflow
@pytest.mark.xla
def test_compiled_functions_need_not_know_batch_or_size(name):
    layer = cases.make(name, targets="pair")
    call = tf.function(layer.__call__, input_signature=unknown(2), jit_compile=True)
    plan, outputs = reveal(layer, lambda _, *inputs: call(*inputs), size=(4, 9))
    check_signatures(outputs, plan, name)


@pytest.mark.long
def test_a_partial_last_batch_of_a_pipeline_is_mixed():
    layer = cases.make("hmix", targets="pair")
    images = cases.images(8, SIZE)
    batches = tf.data.Dataset.from_tensor_slices((images, np.arange(8))).batch(5)
    plans = cases.next_plans(layer, [5, 3], SIZE, "mapped")
    for start, plan, outputs in zip([0, 5], plans, batches.map(layer), strict=True):
        part = images[start : start + 5]
        expected = oracles.mix_images(part, plan.partner, plan.mask)
        assert_allclose(outputs[0], expected, rtol=0, atol=BLENDED)
        assert_array_equal(outputs[1][:, 1], plan.partner + start)


# Who shares what.

PAIRINGS = ["shuffle", "derangement", "reverse", "roll"]
SHARING = [
    (per, pairing)
    for per in ("sample", "pair", "batch")
    for pairing in PAIRINGS
    if per != "pair" or pairing in ("shuffle", "reverse")
]


def sharing(per, pairing, groups, probability):
    arguments = {"per": per, "pairing": pairing, "groups": groups}
    return cases.make("hmix", probability=probability, targets="pair", **arguments)


@pytest.mark.parametrize("probability", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("groups", [None, 2, 4])  # 4 parts of 7: 2, 2, 2 and 1.
@pytest.mark.parametrize(("per", "pairing"), SHARING)
def test_shared_arguments_reach_every_sample(per, pairing, groups, probability):
    layer = sharing(per, pairing, groups, probability)
    plan, outputs = reveal(layer, batch=7, size=(5,))
    check_signatures(outputs, plan)


@pytest.mark.parametrize(("per", "pairing"), SHARING)
@pytest.mark.tensorflow
def test_shared_arguments_reach_every_sample_of_a_graph(per, pairing):
    layer = sharing(per, pairing, groups=4, probability=0.5)
    plan, outputs = reveal(layer, cases.graph, batch=7, size=(5,))
    check_signatures(outputs, plan, "hmix")


# Saved and made again.


def model_of(layer, size=SIZE, channels=5):
    return keras.Sequential([keras.Input((*size, channels)), layer])


@layers
def test_a_model_reloaded_from_a_file_goes_on_as_the_saved_one(name, tmp_path):
    model = model_of(cases.make(name))
    images = cases.signatures(5, SIZE)
    model(images, training=True)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    (layer,) = loaded.layers
    plan = cases.next_plan(layer, 5, SIZE)
    mixed = cases.array(loaded(images, training=True))
    expected = oracles.mix_images(images, plan.partner, plan.mask)
    # One world, one machine: the same bits, except for the rounding of 1 - M.
    assert_array_equal(mixed, expected.astype(np.float32))
    assert_array_equal(mixed, model(images, training=True))


@layers
def test_from_config_starts_the_same_sequence_again(name):
    layer = cases.make(name, targets="pair", probability=0.9)
    first = reveal(layer)
    reveal(layer)
    copy = type(layer).from_config(layer.get_config())
    assert_equal(copy.get_config(), layer.get_config())
    again = reveal(copy)
    check_signatures(again[1], first[0])


@methods
def test_a_drawn_seed_is_part_of_the_config(name):
    layer = cases.make(name, seed=None, targets="pair")
    copy = type(layer).from_config(layer.get_config())
    check_signatures(reveal(copy)[1], reveal(layer)[0])
    other = cases.make(name, seed=None, targets="pair")
    assert other.seed != layer.seed


def test_every_argument_comes_back_from_the_config():
    arguments = {
        "alpha": (0.5, 2.0),
        "probability": 0.25,
        "per": "pair",
        "pairing": "reverse",
        "groups": 3,
        "num_classes": 9,
        "label_smoothing": 0.125,
        "targets": "soft",
        "data_format": "channels_first",
        "seed": 77,
        "name": "mixer",
    }
    layer = msda.MixUpLayer(dtype="mixed_bfloat16", **arguments)
    copy = msda.MixUpLayer.from_config(layer.get_config())
    found = {name: getattr(copy, name) for name in arguments}
    assert_equal(found, arguments)
    assert_equal(copy.compute_dtype, "bfloat16")
