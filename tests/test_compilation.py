"""What of a layer TensorFlow's graphs compile, and how often they are traced."""

import sys

import numpy as np
import pytest
import tensorflow as tf
from numpy.testing import assert_allclose, assert_array_equal, assert_equal

import keras_msda as msda
from tests.support import layer_cases as cases

CHOICES = ["auto", True, False]
KNOWN, UNKNOWN = (4, 6, 8, 1), (None, None, None, 1)


def batch(shape=KNOWN, masks=False):
    rng = np.random.default_rng(1)
    parts = {"images": rng.random(shape, "float32"), "labels": np.eye(shape[0], 5)}
    if masks:
        parts["segmentation_masks"] = rng.integers(0, 3, shape).astype("int32")
    return parts


def programs(layer, shape, masks=False):
    """Returns how many compiled functions the graph of a call holds."""
    specs = {"images": tf.TensorSpec(shape), "labels": tf.TensorSpec([shape[0], 5])}
    if masks:
        specs["segmentation_masks"] = tf.TensorSpec(shape, "int32")
    return count(tf.function(layer).get_concrete_function(specs))


def count(traced):
    functions = traced.graph.as_graph_def().library.function
    return sum(function.attr["_XlaMustCompile"].b for function in functions)


@pytest.mark.long
@pytest.mark.parametrize(
    ("name", "masks", "passes", "more"),
    [
        ("mixup", False, 1, 0),
        # Its fields are compiled only for sizes known when traced.
        ("fmix", False, 2, 1),
        ("hmix", True, 2, 0),
        ("random-sample", False, 2, 1),
    ],
)
@pytest.mark.parametrize("choice", CHOICES)
def test_passes_become_programs_where_the_choice_says(
    name, masks, passes, more, choice
):
    layer = cases.make(name, jit_compile=choice)
    known, unknown = {"auto": (1, 0), True: (1, 1), False: (0, 0)}[choice]
    assert_equal(programs(layer, KNOWN, masks), known * (passes + more))
    assert_equal(programs(layer, UNKNOWN, masks), unknown * passes)


@pytest.mark.xla
@pytest.mark.slow
@pytest.mark.parametrize("choice", CHOICES)
def test_plans_and_what_they_are_applied_to_follow_the_choice(choice):
    plan = cases.make("mixup").sample(4, KNOWN[1:3], seed=(1, 2))
    mix = tf.function(lambda x: msda.mix_images(x, plan, jit_compile=choice))
    traced = mix.get_concrete_function(tf.TensorSpec(KNOWN))
    assert_equal(count(traced), int(choice is not False))
    layer = cases.make("fmix", jit_compile=choice)
    sample = tf.function(lambda seed: layer.sample(4, KNOWN[1:3], seed=seed))
    traced = sample.get_concrete_function(tf.TensorSpec([2], "int64"))
    # The field and the threshold.
    assert_equal(count(traced), 2 * int(choice is not False))


@pytest.mark.parametrize("choice", CHOICES)
@pytest.mark.parametrize(("classes", "programs_of_labels"), [(255, 0), (256, 1)])
def test_wide_labels_are_one_program_from_ids_on(choice, classes, programs_of_labels):
    layer = cases.make("mixup", jit_compile=choice, num_classes=classes)
    specs = tf.TensorSpec(KNOWN), tf.TensorSpec([KNOWN[0]], "int32")
    expected = 0 if choice is False else 1 + programs_of_labels
    assert_equal(count(tf.function(layer).get_concrete_function(*specs)), expected)


@pytest.mark.parametrize("targets", ["soft", "union", "own"])
def test_wide_labels_are_those_of_eager_calls(targets):
    settings = {"num_classes": 300, "label_smoothing": 0.1, "targets": targets}
    settings |= {"label_smoothing": 0.0} if targets == "union" else {}
    layer = cases.make("mixup", **settings)
    images, ids = np.ones(KNOWN, "float32"), np.array([0, 299, 7, 300], "int32")
    mix = tf.function(lambda *given: layer.mix(given, seed=(1, 2)))
    _, labels = mix(images, ids)
    ids[3] = 5
    _, expected = layer.mix((images, ids), seed=(1, 2))
    own = layer.sample(4, KNOWN[1:3], seed=(1, 2)).partner.numpy()
    known = ids != 5 if targets == "own" else (ids != 5) & (own != 3)
    # An id out of range shows in a graph as NaN alone.
    assert_array_equal(np.isnan(labels).all(1), ~known)
    assert_allclose(labels[known], expected[known], rtol=0, atol=1e-6)


def test_the_choice_of_one_layer_is_not_that_of_the_next():
    cases.make("fmix", jit_compile=False).mix(batch()["images"], seed=(1, 2))
    assert_equal(programs(cases.make("mixup"), KNOWN), 1)
    with pytest.raises(ValueError, match="labels"):
        programs(cases.make("mixup", jit_compile=False, num_classes=3), KNOWN)
    assert_equal(programs(cases.make("mixup"), KNOWN), 1)


@pytest.mark.long
@pytest.mark.parametrize("name", ["mixup", "cutmix", "hmix", "gmix", "fmix"])
@pytest.mark.parametrize("shape", [KNOWN, UNKNOWN], ids=["known", "unknown"])
def test_every_choice_gives_the_same(name, shape):
    given = batch(masks=True)
    specs = {
        "images": tf.TensorSpec(shape),
        "labels": tf.TensorSpec([shape[0], 5]),
        "segmentation_masks": tf.TensorSpec(shape, "int32"),
    }
    eager = cases.make(name).mix(given, seed=(1, 2))
    for choice in CHOICES:
        layer = cases.make(name, jit_compile=choice)
        mixed = tf.function(
            lambda given, layer=layer: layer.mix(given, seed=(1, 2)),
            input_signature=[specs],
        )(given)
        # Compilers contract products and sums: an ulp of values up to 1.
        assert_allclose(mixed["images"], eager["images"], rtol=0, atol=3e-7)
        assert_allclose(mixed["labels"], eager["labels"], rtol=0, atol=3e-7)
        assert_array_equal(mixed["segmentation_masks"], eager["segmentation_masks"])


@pytest.mark.parametrize("name", ["mixup", "cutmix", "hmix", "gmix", "fmix"])
@pytest.mark.parametrize("choice", CHOICES)
def test_gradients_pass_to_what_is_mixed(name, choice):
    features, upstream = np.random.default_rng(1).random((2, *KNOWN), "float32")
    layer = cases.make(name, jit_compile=choice)

    def gradient(given):
        with tf.GradientTape() as tape:
            tape.watch(given)
            total = tf.reduce_sum(layer.mix(given, seed=(1, 2)) * upstream)
        return tape.gradient(total, given)

    found = tf.function(gradient)(tf.constant(features))
    plan = layer.sample(KNOWN[0], KNOWN[1:3], seed=(1, 2))
    mask, partner = np.asarray(plan.mask)[..., None], np.asarray(plan.partner)
    expected = mask * upstream
    np.add.at(expected, partner, (1 - mask) * upstream)
    assert_allclose(found, expected, rtol=0, atol=1e-6)


@pytest.mark.long
@pytest.mark.parametrize("shape", [KNOWN, UNKNOWN], ids=["known", "unknown"])
@pytest.mark.parametrize("name", ["mixup", "cutmix", "hmix", "gmix", "fmix"])
def test_what_is_not_shown_may_be_nan(name, shape):
    layer = cases.make(name, pairing="roll")
    images = np.ones(KNOWN, "float32")
    images[1, 2, 3] = np.nan
    mix = tf.function(lambda given: layer.mix(given, seed=(1, 2)))
    mixed = mix.get_concrete_function(tf.TensorSpec(shape))(tf.constant(images))
    mask = np.asarray(layer.sample(KNOWN[0], KNOWN[1:3], seed=(1, 2)).mask)[:, 2, 3]
    shown = np.zeros(KNOWN[:3], bool)
    shown[1, 2, 3], shown[2, 2, 3] = mask[1] > 0, mask[2] < 1
    assert_array_equal(np.isnan(mixed)[..., 0], shown)


@pytest.mark.xla
@pytest.mark.slow
@pytest.mark.parametrize("choice", CHOICES)
def test_new_lengths_of_batch_and_images_do_not_trace_without_end(choice):
    layer = cases.make("fmix", jit_compile=choice)
    mix = tf.function(layer, reduce_retracing=True)
    for length in range(2, 12):
        images, _ = mix(np.ones((length, 6, 8, 1), "float32"), np.eye(length, 5))
        assert_equal(images.shape, (length, 6, 8, 1))
    # The first length, then any.
    assert_equal(mix.experimental_get_tracing_count(), 2)
    for length in range(9, 19):
        images, _ = mix(np.ones((4, length, 8, 1), "float32"), np.eye(4, 5))
        assert_equal(images.shape, (4, length, 8, 1))
    assert_equal(mix.experimental_get_tracing_count(), 3)


def test_a_pipeline_with_a_last_batch_of_its_own_is_traced_once():
    traces = []

    class Counting(msda.CutMixLayer):
        def mask(self, *arguments):
            traces.append(arguments)
            return super().mask(*arguments)

    data = tf.data.Dataset.from_tensor_slices((np.ones((10, 6, 8, 1)), np.eye(10, 5)))
    data = data.batch(4).map(Counting(seed=1)).repeat(2)
    assert_equal([len(images) for images, _ in data], [4, 4, 2, 4, 4, 2])
    assert_equal(len(traces), 1)


@pytest.mark.parametrize("name", ["layer", "mix", "sample", "sample_masks", "plan"])
def test_autograph_rewrites_nothing_of_the_library(name):
    layer, parts = msda.MixUpLayer(), batch()
    plan = layer.sample(4, KNOWN[1:3], seed=(1, 2))
    points = {"points": np.ones((4, 2, 2), "float32"), "labels": np.zeros((4, 2))}
    boxes = {"boxes": np.ones((4, 2, 4), "float32"), "labels": np.zeros((4, 2))}

    def step():
        if name == "layer":
            layer(parts)
        elif name == "mix":
            layer.mix(parts, seed=(1, 2))
        elif name == "sample":
            layer.sample(4, KNOWN[1:3], seed=(1, 2))
        elif name == "sample_masks":
            layer.sample_masks(4, KNOWN[1:3], seed=(1, 2))
        else:
            msda.mix_images(parts["images"], plan)
            msda.mix_labels(parts["labels"], plan)
            msda.mix_segmentation_masks(np.zeros(KNOWN[:3], "int32"), plan)
            msda.mix_bounding_boxes(boxes, plan, "xyxy")
            msda.mix_keypoints(points, plan)

    rewritten = set()

    def note(frame, event, _):
        # AutoGraph puts this before the name of what it writes.
        if event == "call" and frame.f_code.co_name.startswith("tf__"):
            rewritten.add(frame.f_code.co_name)

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        tf.function(step).get_concrete_function()
    finally:
        sys.setprofile(before)
    assert rewritten == {"tf__step"}
