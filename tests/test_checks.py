"""Every bad input gives one clear error, before anything is computed.

Each names its owner, the rule, what was received and the remedy.
"""

import ast
import re
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from numpy.testing import assert_array_equal, assert_equal

import keras_msda as msda
from keras_msda import _backend, _errors
from keras_msda.layers import settings
from keras_msda.layers.base import MixLayer
from keras_msda.parts import structures
from tests.support import layer_cases as cases
from tests.support.errors import check_error

# Errors come before anything is computed.
pytestmark = pytest.mark.whole

NAN, INF = float("nan"), float("inf")
SIZE = (4, 5)
SHARES = ["probability", "label_smoothing", "target_threshold", "min_box_share"]


def images(batch=3):
    return cases.images(batch, SIZE)


# Constructors.

ALPHA = "`alpha` must be a positive finite number or a pair of them."
SEVERAL = "several outputs need `num_classes` as a dictionary or tuple like the labels."
SETTINGS = [
    *(
        ({"alpha": alpha}, ValueError, ALPHA, f"alpha={alpha!r}")
        for alpha in [
            0,
            -1,
            0.0,
            NAN,
            INF,
            "1",
            None,
            True,
            (1, 0),
            (1, 2, 3),
            (1,),
            (),
        ]
    ),
    *(
        (
            {name: value},
            ValueError,
            f"`{name}` must be a number in [0, 1].",
            f"{name}={value!r}",
        )
        for name in SHARES
        for value in [-0.1, 1.5, NAN, "0.5", None, True]
    ),
    *(
        (
            {name: value},
            ValueError,
            f"`{name}` must be one of {words}",
            f"{name}={value!r}",
        )
        for name, words in [
            ("per", '"sample", "pair", "batch".'),
            (
                "pairing",
                '"shuffle", "derangement", "reverse", "roll", "label_similarity".',
            ),
            ("targets", '"soft", "pair", "own", "union".'),
            ("data_format", '"channels_last", "channels_first".'),
        ]
        for value in ["elem", "", 3, ("soft",)]
    ),
    *(
        (
            {name: value},
            ValueError,
            f"`{name}` must be a positive integer or None.",
            f"{name}={value!r}",
        )
        for name in ["groups", "num_classes"]
        for value in [0, -3, 2.5, "10", True]
    ),
    *(
        (
            {"num_classes": value},
            ValueError,
            "`num_classes` must be 2 or more",
            f"num_classes={value!r}",
        )
        for value in [1, {"a": 1}, (3, 1)]
    ),
    *(
        (
            {"seed": seed},
            ValueError,
            "`seed` must be an integer of at most 64 bits or None.",
            f"{seed!r}",
        )
        for seed in [-(2**63) - 1, 2**64, 1.5, "7", (1, 2), True]
    ),
    *(
        (
            {"per": "pair", "pairing": pairing},
            ValueError,
            '`per="pair"` needs partners in pairs',
            f"pairing={pairing!r}",
        )
        for pairing in ["derangement", "roll"]
    ),
    (
        {"label_smoothing": 0.1, "targets": "union", "num_classes": 3},
        ValueError,
        '`label_smoothing` cannot be combined with `targets="union"`',
        "label_smoothing=0.1",
    ),
    *(
        (
            {"jit_compile": value},
            ValueError,
            '`jit_compile` must be "auto", True or False.',
            f"jit_compile={value!r}",
        )
        for value in ["always", None, 1]
    ),
    *(
        (
            {"segmentation": value},
            ValueError,
            '`segmentation` must be one of "auto", "select", "blend".',
            f"segmentation={value!r}",
        )
        for value in ["paste", None, True, 2.0]
    ),
    (
        {"segmentation": 0},
        ValueError,
        "`segmentation` must be a positive integer",
        "segmentation=0",
    ),
    *(
        (
            {"bounding_box_format": value},
            ValueError,
            '`bounding_box_format` must be one of "xyxy", "yxyx",',
            f"bounding_box_format={value!r}",
        )
        for value in ["yxxy", "", 4]
    ),
    *(
        (
            {"batch_keys": value},
            ValueError,
            "`batch_keys` must hold names of other entries of a dictionary.",
            f"batch_keys={value!r}",
        )
        for value in ["second", ("images",), (1,), None]
    ),
    *(
        (
            {"num_classes": value},
            ValueError,
            "`num_classes` must be a positive integer or None.",
            "num_classes=0",
        )
        for value in [{"a": 0}, (3, 0)]
    ),
    (
        {"label_smoothing": 0.1, "targets": "pair"},
        ValueError,
        '`label_smoothing` cannot be combined with `targets="pair"`',
        "label_smoothing=0.1",
    ),
    (
        {"label_smoothing": 0.1},
        ValueError,
        "`label_smoothing` smooths integer labels and needs `num_classes`.",
        "label_smoothing=0.1, num_classes=None",
    ),
    (
        {"targets": "pair", "num_classes": 2**24 + 1},
        ValueError,
        "packs class ids as float32, exact up to 16777216.",
        "num_classes=16777217",
    ),
]


@pytest.mark.parametrize(
    ("settings", "kind", "rule", "received"), SETTINGS, ids=lambda x: str(x)[:40]
)
def test_shared_settings_are_checked(settings, kind, rule, received):
    check_error(lambda: msda.MixUpLayer(**settings), "MixUpLayer", kind, rule, received)


@pytest.mark.parametrize("name", ["CutMixLayer", "HMixLayer", "GMixLayer", "FMixLayer"])
@pytest.mark.parametrize(
    ("settings", "rule"), [({"alpha": -2}, "`alpha`"), ({"per": "x"}, "`per` must")]
)
def test_every_layer_checks_the_shared_settings_under_its_name(name, settings, rule):
    layer = getattr(msda, name)
    value = next(iter(settings.values()))
    check_error(lambda: layer(**settings), name, ValueError, rule, repr(value))


BOXES = '"clip", "wrap", "inside", "clip_odd".'
BUMPS = '"clip", "wrap".'
RANGE = "`ratio_range` must be a pair (low, high) with 0 <= low <= high <= 1."
OWN = '`targets="own"` needs 1 - M(lambda) to be distributed as M(1 - lambda)'
OWN_SETTINGS = [
    *(
        ("CutMixLayer", {"border": v}, f"one of {BOXES}", f"border={v!r}")
        for v in ["torus", 1, ""]
    ),
    *(
        ("HMixLayer", {"border": v}, f"one of {BOXES}", f"{v!r}")
        for v in ["torus", None]
    ),
    *(
        ("GMixLayer", {"border": v}, f"one of {BUMPS}", f"{v!r}")
        for v in ["torus", "inside", None]
    ),
    *(
        (
            "HMixLayer",
            {"box_ratio": v},
            "`box_ratio` must be a number in [0, 1].",
            f"{v!r}",
        )
        for v in [-0.1, 1.01, NAN, "0.5", None]
    ),
    *(
        (
            "FMixLayer",
            {"decay_power": v},
            "`decay_power` must be a finite number, not negative.",
            f"decay_power={v!r}",
        )
        for v in [-1, -0.001, NAN, INF, "3", None]
    ),
    *(
        (
            "FMixLayer",
            {"max_soft": v},
            "`max_soft` must be a number in [0, 0.5].",
            f"max_soft={v!r}",
        )
        for v in [-0.1, 0.6, NAN, "0", None]
    ),
    *(
        (
            "FMixLayer",
            {"spectrum": v},
            '`spectrum` must be one of "isotropic", "official".',
            f"spectrum={v!r}",
        )
        for v in ["pink", 3, None]
    ),
    *(
        ("CutMixLayer", {"ratio_range": v}, RANGE, f"ratio_range={v!r}")
        for v in [
            (0.8, 0.2),
            (-0.1, 0.5),
            (0.5, 1.1),
            0.5,
            (0.2,),
            ("a", "b"),
            (0, NAN),
        ]
    ),
    *(
        (
            "CutMixLayer",
            {"ratio_range": (0.2, 0.8)} | v,
            "`ratio_range` places boxes inside and draws no lambda.",
            received,
        )
        for v, received in [
            ({"border": "clip"}, "border='clip', exact_weight=True"),
            ({"border": "wrap"}, "border='wrap'"),
            ({"exact_weight": False}, "exact_weight=False"),
        ]
    ),
    ("CutMixLayer", {"targets": "own"}, OWN, "targets='own'"),
    ("HMixLayer", {"targets": "own"}, OWN, "targets='own'"),
]


@pytest.mark.parametrize(
    ("name", "settings", "rule", "received"), OWN_SETTINGS, ids=lambda x: str(x)[:40]
)
def test_own_settings_are_checked(name, settings, rule, received):
    layer = getattr(msda, name)
    check_error(lambda: layer(**settings), name, ValueError, rule, received)


def test_ranges_may_stand_with_the_border_that_they_have():
    layer = msda.CutMixLayer(ratio_range=[0.2, 0.8], border="inside")
    assert_equal((layer.border, layer.ratio_range), ("inside", (0.2, 0.8)))


@pytest.mark.parametrize("name", ["MixUpLayer", "GMixLayer", "FMixLayer"])
def test_own_targets_are_for_masks_whose_complement_has_their_distribution(name):
    assert_equal(getattr(msda, name)(targets="own").targets, "own")


# Random choices.

MEMBERS = "`layers` must be a list of mixing layers, one at least."
WEIGHTS = "`weights` must hold one number for each layer, none negative"


@pytest.mark.parametrize("layers", [[], None, msda.MixUpLayer, ["mixup"], "mixup"])
def test_a_choice_needs_layers(layers):
    check_error(
        lambda: msda.RandomMixLayer(layers),
        "RandomMixLayer",
        TypeError,
        MEMBERS,
        "layers=",
    )


@pytest.mark.parametrize(
    "weights", [[1], [1, 2, 3], [1, -1], [0, 0], [NAN, 1], [INF, 1], ["a", 1], 0.5, []]
)
def test_a_choice_needs_a_weight_a_layer(weights):
    layers = [msda.MixUpLayer(), msda.FMixLayer()]
    check_error(
        lambda: msda.RandomMixLayer(layers, weights),
        "RandomMixLayer",
        ValueError,
        WEIGHTS,
        f"2 layers with weights={weights!r}",
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("probability", 0.5),
        ("per", "pair"),
        ("pairing", "roll"),
        ("groups", 2),
        ("num_classes", 10),
        ("targets", "pair"),
        ("data_format", "channels_first"),
    ],
)
def test_members_leave_the_shared_arguments_to_the_choice(name, value):
    pairing = {"pairing": "reverse"} if name == "per" else {}
    member = msda.GMixLayer(**{name: value} | pairing)
    check_error(
        lambda: msda.RandomMixLayer([msda.MixUpLayer(), member], **pairing),
        "RandomMixLayer",
        ValueError,
        f"`{name}` is its own",
        f"GMixLayer({name}={value!r})",
    )


def test_members_may_repeat_the_arguments_of_the_choice():
    member = msda.GMixLayer(num_classes=10)
    layer = msda.RandomMixLayer([member], num_classes=10)
    assert_equal(layer.layers[0].num_classes, 10)


def test_a_refused_choice_leaves_its_members_as_they_were():
    members = [msda.MixUpLayer(), msda.FMixLayer(probability=0.5)]
    with pytest.raises(ValueError, match="`probability` is its own"):
        msda.RandomMixLayer(members, targets="own")
    assert_equal([member.targets for member in members], ["soft", "soft"])


def test_a_choice_has_no_lambda_of_its_own():
    check_error(
        lambda: msda.RandomMixLayer([msda.MixUpLayer()], alpha=2.0),
        "RandomMixLayer",
        ValueError,
        "`alpha` belongs to each of its layers.",
        "alpha=2.0",
    )


def test_a_choice_with_a_box_has_no_own_targets():
    layers = [msda.MixUpLayer(), msda.CutMixLayer()]
    check_error(
        lambda: msda.RandomMixLayer(layers, targets="own"),
        "RandomMixLayer",
        ValueError,
        OWN,
        "targets='own'",
    )


def test_a_choice_within_a_choice_hides_no_box_from_own_targets():
    inner = msda.RandomMixLayer([msda.MixUpLayer(), msda.CutMixLayer()])
    check_error(
        lambda: msda.RandomMixLayer([inner], targets="own"),
        "RandomMixLayer",
        ValueError,
        OWN,
        "targets='own'",
    )


# Calls. Nothing may have been drawn when one is refused.

RAGGED_IMAGES = tf.ragged.constant([[[[1.0]]], [[[1.0]], [[2.0]]]])
IDS = np.array([0, 1, 2])
BOXES = {
    "boxes": np.ones((3, 2, 4), np.float32),
    "labels": np.ones((3, 2), np.int32),
}
RANK = "images must have shape (batch, *spatial, channels), rank 3 to 5."
UNBATCHED = "Batch first, as in `dataset.batch(128).map(layer)`."
MEAN = "integer labels cannot be averaged; set `num_classes` to one-hot encode them."
#: Rule -> settings of the layer, arguments of the call, kind, rule, received.
CALLS = {
    "one row": ({}, (np.ones(4), np.ones(4)), ValueError, RANK, "shape (4,)"),
    "four axes": (
        {},
        (np.ones((2, 1, 1, 1, 1, 3)), np.ones(2)),
        ValueError,
        RANK,
        "shape (2, 1, 1, 1, 1, 3)",
    ),
    "one number a label": (
        {},
        (images(), np.float32(1)),
        ValueError,
        "labels must have a batch axis.",
        "a scalar",
    ),
    "one id": (
        {"num_classes": 3},
        (images(), np.int64(1)),
        ValueError,
        "labels must have a batch axis.",
        "a scalar",
    ),
    "ragged images": (
        {"num_classes": 3},
        (RAGGED_IMAGES, IDS[:2]),
        TypeError,
        "images of one batch must have the same size.",
        "a ragged tensor of shape (2, None, None, None)",
    ),
    "ragged labels": (
        {},
        (images(), tf.ragged.constant([[1.0], [], [2.0]])),
        TypeError,
        "labels of one batch must have the same size.",
        "a ragged tensor of shape (3, None)",
    ),
    "other batch": (
        {},
        (images(), np.ones((4, 2))),
        ValueError,
        "labels must have the same batch size as the images, 3.",
        "shape (4, 2)",
    ),
    "other batch of ids": (
        {"targets": "pair"},
        (images(), np.arange(4)),
        ValueError,
        "labels must have the same batch size as the images, 3.",
        "shape (4,)",
    ),
    "other batch of weights": (
        {"num_classes": 3},
        (images(), IDS, np.ones(2)),
        ValueError,
        "sample_weight must have the same batch size as the images, 3.",
        "shape (2,)",
    ),
    "weights of pixels": (
        {"num_classes": 3},
        (images(), IDS, np.ones((3, 4))),
        ValueError,
        "sample weights must have shape (batch,) or (batch, 1).",
        "shape (3, 4)",
    ),
    "ids without classes": (
        {},
        (images(), IDS),
        ValueError,
        MEAN,
        "labels of dtype int",
    ),
    "bytes without classes": (
        {},
        (images(), IDS.astype("uint8")),
        ValueError,
        MEAN,
        "labels of dtype uint8",
    ),
    "classes of soft labels": (
        {"num_classes": 3},
        (images(), np.ones((3, 3), np.float32)),
        ValueError,
        "`num_classes` turns class ids into soft labels, and these are soft.",
        "num_classes=3 with labels of shape (3, 3) and dtype float32",
    ),
    "floats between ids": (
        {"num_classes": 3},
        (images(), np.array([0, 1.5, 2], np.float32)),
        ValueError,
        "class ids must be whole numbers in [0, num_classes=3).",
        "labels that hold 1.5",
    ),
    "a float id too high": (
        {"num_classes": {"a": 3}},
        (images(), {"a": np.array([[0.0], [1.0], [3.0]])}),
        ValueError,
        "class ids must be whole numbers in [0, num_classes=3).",
        'labels["a"] that hold 3',
    ),
    "ids that half precision rounds": (
        {"num_classes": 2050},
        (images(), np.zeros(3, np.float16)),
        ValueError,
        "class ids of dtype float16 are exact up to 2048.",
        "labels of dtype float16 with num_classes=2050",
    ),
    "ids of pixels": (
        {"num_classes": 3},
        (images(), np.ones((3, 4), int)),
        ValueError,
        "integer labels are class ids, of shape (batch,) or (batch, 1).",
        "shape (3, 4)",
    ),
    "rows of integers without classes": (
        {},
        (images(), np.ones((3, 4), int)),
        ValueError,
        "integer labels are class ids, of shape (batch,) or (batch, 1).",
        "labels of shape (3, 4)",
    ),
    "masks as labels": (
        {},
        (images(), np.ones((3, *SIZE), int)),
        ValueError,
        "labels of the images' size are mixed pixel by pixel",
        "labels of shape (3, 4, 5) for images of size (4, 5)",
    ),
    "masks with a channel as labels": (
        {"num_classes": 3},
        (images(), {"a": np.ones((3, *SIZE, 1), np.uint8)}),
        ValueError,
        SEVERAL,
        "num_classes=3",
    ),
    "masks with a channel as labels of one output": (
        {"num_classes": {"a": 3}},
        (images(), {"a": np.ones((3, *SIZE, 1), np.uint8)}),
        ValueError,
        "labels of the images' size are mixed pixel by pixel",
        'labels["a"] of shape (3, 4, 5, 1) for images of size (4, 5)',
    ),
    "names of classes": (
        {"num_classes": 3},
        (images(), tf.constant(["a", "b", "c"])),
        ValueError,
        "labels must hold real numbers.",
        "dtype string",
    ),
    "names of classes of one output": (
        {},
        (images(), {"a": np.ones(3), "b": tf.constant(["a", "b", "c"])}),
        ValueError,
        'labels["b"] must hold real numbers.',
        "dtype string",
    ),
    "complex labels": (
        {"targets": "pair"},
        (images(), np.ones((3, 2), np.complex64)),
        ValueError,
        "labels must hold real numbers.",
        "dtype complex64",
    ),
    "weights in words": (
        {},
        (images(), np.ones(3), tf.constant(["1", "2", "3"])),
        ValueError,
        "sample_weight must hold real numbers.",
        "dtype string",
    ),
    "words under a key": (
        {"batch_keys": ("second",)},
        ({"images": images(), "second": tf.constant(["a", "b", "c"])},),
        ValueError,
        '"second" must hold real numbers.',
        "dtype string",
    ),
    "names of classes of boxes": (
        {"bounding_box_format": "xyxy"},
        (
            {
                "images": images(),
                "bounding_boxes": BOXES | {"labels": tf.fill([3, 2], "cat")},
            },
        ),
        ValueError,
        'bounding_boxes["labels"] must hold real numbers.',
        "dtype string",
    ),
    "id too high": (
        {"num_classes": 3},
        (images(), np.array([0, 3, 1])),
        ValueError,
        "class ids must be in [0, num_classes=3).",
        "ids from 0 to 3",
    ),
    "id below zero": (
        {"num_classes": 3},
        (images(), np.array([0, -1, 2])),
        ValueError,
        "class ids must be in [0, num_classes=3).",
        "ids from -1 to 2",
    ),
    "id that packing rounds": (
        {"targets": "pair"},
        (images(), np.array([0, 2**24 + 1, 2])),
        ValueError,
        "packs class ids as float32, exact up to 16777216.",
        "the id 16777217",
    ),
    "nothing to mix": (
        {},
        ({"images": images(), "id": IDS},),
        ValueError,
        "a dictionary must hold something that is mixed with the images",
        "keys ['id', 'images']",
    ),
    "no images": (
        {},
        ({"labels": np.ones(3), "id": IDS},),
        ValueError,
        'a dictionary must hold "images".',
        "keys ['id', 'labels']",
    ),
    "one tensor too many": (
        {},
        ((images(), np.ones(3), np.ones(3), np.ones(3)),),
        ValueError,
        "a tuple must hold images, labels and perhaps sample weights.",
        "4 entries",
    ),
    "masks of another size": (
        {},
        ({"images": images(), "segmentation_masks": np.ones((3, 5, 4), int)},),
        ValueError,
        "segmentation masks must have the batch size and the spatial size of the "
        "images, (3, 4, 5)",
        "shape (3, 5, 4)",
    ),
    "masks of another batch": (
        {},
        ({"images": images(), "segmentation_masks": np.ones((2, 4, 5), int)},),
        ValueError,
        "segmentation masks must have the batch size and the spatial size of the "
        "images, (3, 4, 5)",
        "shape (2, 4, 5)",
    ),
    "boxes without a format": (
        {},
        ({"images": images(), "bounding_boxes": BOXES},),
        ValueError,
        '"bounding_boxes" need `bounding_box_format`.',
        "bounding_box_format=None",
    ),
    "boxes of another batch": (
        {"bounding_box_format": "xyxy"},
        ({"images": images(4), "bounding_boxes": BOXES},),
        ValueError,
        '"boxes" must have shape (batch, n, 4)',
        "shape (3, 2, 4)",
    ),
    "boxes alone": (
        {"bounding_box_format": "xyxy"},
        ({"images": images(), "bounding_boxes": BOXES["boxes"]},),
        ValueError,
        'boxes must be a dictionary that holds "boxes" and "labels".',
        "Tensor",
    ),
    "unsigned labels of boxes": (
        {"bounding_box_format": "xyxy"},
        (
            {
                "images": images(),
                "bounding_boxes": BOXES | {"labels": np.ones((3, 2), np.uint8)},
            },
        ),
        ValueError,
        "labels of boxes and keypoints must be able to hold -1, for padding.",
        "labels of dtype uint8",
    ),
    "unsigned coordinates of boxes": (
        {"bounding_box_format": "xyxy"},
        (
            {
                "images": images(),
                "bounding_boxes": BOXES | {"boxes": np.ones((3, 2, 4), np.uint16)},
            },
        ),
        ValueError,
        "boxes must be able to hold -1, for padding.",
        "boxes of dtype uint16",
    ),
    "points of another rank": (
        {},
        (
            {
                "images": images(),
                "keypoints": {
                    "points": np.ones((3, 2, 3), np.float32),
                    "labels": np.ones((3, 2), int),
                },
            },
        ),
        ValueError,
        '"points" must have shape (batch, n, 2)',
        "shape (3, 2, 3)",
    ),
    "no such key": (
        {"batch_keys": ("second",)},
        ({"images": images(), "labels": np.ones(3)},),
        ValueError,
        'the dictionary must hold "second", one of `batch_keys`.',
        "keys ['images', 'labels']",
    ),
    "a key of another batch": (
        {"batch_keys": ("second",)},
        ({"images": images(), "second": images(2)},),
        ValueError,
        '"second" must have the same batch size as the images, 3.',
        "shape (2, 4, 5, 3)",
    ),
    "a key of another grid": (
        {"batch_keys": ("second",)},
        ({"images": images(), "second": np.ones((3, 3, 5, 1), np.float32)},),
        ValueError,
        'the spatial lengths of "second" must divide those of the images, (4, 5).',
        "lengths (3, 5)",
    ),
    "integers under a key": (
        {"batch_keys": ("second",)},
        ({"images": images(), "second": np.ones((3, 7), int)},),
        ValueError,
        'integers cannot be averaged, and "second" does not have the size of the',
        "dtype int64",
    ),
    "one number of classes for several outputs": (
        {"num_classes": 3},
        (images(), {"a": IDS, "b": np.ones(3)}),
        ValueError,
        SEVERAL,
        "num_classes=3 for the outputs ['a', 'b']",
    ),
    "classes of an output that is not there": (
        {"num_classes": {"c": 3}},
        (images(), {"a": IDS, "b": np.ones(3)}),
        ValueError,
        SEVERAL,
        "for the outputs ['a', 'b']",
    ),
    "several numbers of classes for one output": (
        {"num_classes": {"a": 3}},
        (images(), IDS),
        ValueError,
        "`num_classes` is for several outputs, the labels are for one.",
        "num_classes=",
    ),
    "weights of an output that is not there": (
        {},
        (images(), (np.ones(3), np.ones(3)), (np.ones(3),)),
        ValueError,
        "several outputs need `sample_weight` as a dictionary or tuple",
        "for the outputs 2",
    ),
    "ids of one output of several": (
        {},
        (images(), {"a": IDS, "b": np.ones(3)}),
        ValueError,
        "integer labels cannot be averaged; set `num_classes` to one-hot encode them.",
        'labels["a"] of dtype int64',
    ),
}
calls = pytest.mark.parametrize("name", CALLS)


def state_of(layer):
    return [np.array(weight.numpy()) for weight in layer.weights]


def check_call(call, layer, error):
    before = state_of(layer)
    check_error(call, "MixUpLayer", *error)
    for weight, kept in zip(state_of(layer), before, strict=True):
        assert_array_equal(weight, kept)


@calls
def test_calls_are_checked_before_anything_is_drawn(name):
    settings, inputs, *error = CALLS[name]
    layer = msda.MixUpLayer(**settings)
    check_call(lambda: layer(*inputs), layer, error)


@calls
def test_calls_outside_training_are_checked_too(name):
    settings, inputs, *error = CALLS[name]
    layer = msda.MixUpLayer(**settings)
    check_call(lambda: layer(*inputs, training=False), layer, error)


#: What values alone show, a graph cannot tell.
VALUES = ["id too high", "id below zero", "id that packing rounds"]
VALUES += ["floats between ids", "a float id too high"]


@pytest.mark.parametrize("name", [name for name in CALLS if name not in VALUES])
def test_pipelines_are_checked_when_they_are_made(name):
    settings, inputs, *error = CALLS[name]
    layer = msda.MixUpLayer(**settings)
    dataset = tf.data.Dataset.from_tensors(inputs)
    check_call(lambda: dataset.map(lambda *args: layer(*args)), layer, error)


def test_an_unbatched_dataset_is_told_to_batch_first():
    dataset = tf.data.Dataset.from_tensor_slices((images()[..., 0], IDS))
    layer = msda.MixUpLayer(num_classes=3)
    with pytest.raises(ValueError, match=r"Batch first, as in `dataset\.batch\(128\)"):
        dataset.map(layer)
    volumes = tf.data.Dataset.from_tensor_slices((images(), IDS))
    with pytest.raises(ValueError, match="labels must have a batch axis"):
        volumes.map(layer)


def test_images_of_rank_one_are_told_to_batch_first():
    with pytest.raises(ValueError, match=re.escape(UNBATCHED)):
        msda.MixUpLayer()(np.ones(4), training=True)


@pytest.mark.parametrize("training", [False, True])
def test_rows_are_told_to_get_an_axis_of_channels(training):
    check_error(
        lambda: msda.CutMixLayer()(np.ones((3, 4)), np.ones(3), training=training),
        "CutMixLayer",
        ValueError,
        RANK,
        "shape (3, 4)",
    )
    with pytest.raises(ValueError, match=re.escape("`x[..., None]`")):
        msda.CutMixLayer()(np.ones((3, 4)), np.ones(3))


@pytest.mark.long
def test_images_of_unknown_rank_are_not_mixed_by_a_plan():
    plan = msda.CutMixLayer().sample(3, (4,), seed=(1, 2))
    call = tf.function(lambda x: msda.mix_images(x, plan))
    with pytest.raises(ValueError, match="rank 3 to 5"):
        call.get_concrete_function(tf.TensorSpec(None))


#: Keys of other libraries -> the line that renames them.
OTHERS = {
    ("image", "label"): '{"images": d["image"], "labels": d["label"]}',
    ("pixel_values", "labels"): '{"images": d["pixel_values"], "labels": d["labels"]}',
    (
        "img",
        "fine_label",
        7,
    ): '{"images": d["img"], "labels": d["fine_label"], 7: d[7]}',
    ("images", "classes"): '{"images": d["images"], "labels": d["classes"]}',
    ("images", "label", "id"): (
        '{"images": d["images"], "labels": d["label"], "id": d["id"]}'
    ),
    ("image", "mask"): '{"images": d["image"], "segmentation_masks": d["mask"]}',
    ("x", "y", "weights"): '{"images": d["x"], "labels": d["y"], '
    '"sample_weight": d["weights"]}',
    ("inputs", "targets", "weight"): '{"images": d["inputs"], '
    '"labels": d["targets"], "sample_weight": d["weight"]}',
    ("images", "target", "sample_weights"): '{"images": d["images"], '
    '"labels": d["target"], "sample_weight": d["sample_weights"]}',
    ("image", "class", "masks"): '{"images": d["image"], "labels": d["class"], '
    '"segmentation_masks": d["masks"]}',
    ("image", "annotation"): (
        '{"images": d["image"], "segmentation_masks": d["annotation"]}'
    ),
    ("image", "segmentation"): (
        '{"images": d["image"], "segmentation_masks": d["segmentation"]}'
    ),
    ("image", "segmentation_mask"): (
        '{"images": d["image"], "segmentation_masks": d["segmentation_mask"]}'
    ),
}


@pytest.mark.whole
@pytest.mark.parametrize("keys", OTHERS, ids=str)
def test_keys_of_other_libraries_are_renamed_by_the_line_in_the_error(keys):
    batch = dict.fromkeys(keys, np.ones(3)) | {keys[0]: images()}
    with pytest.raises(ValueError, match="Rename the keys first") as caught:
        msda.MixUpLayer().mix(batch, seed=(1, 2))
    line = f"`dataset.map(lambda d: {OTHERS[keys]})`."
    assert line in str(caught.value)
    # As it stands there, it makes what the layer takes.
    renamed = eval(OTHERS[keys], {"d": batch})
    structures._check_keys("MixUpLayer", renamed, (), None)


def test_keys_that_nobody_knows_are_not_renamed():
    with pytest.raises(ValueError, match='Add "images", or give'):
        msda.MixUpLayer().mix({"left": images(), "right": images()}, seed=(1, 2))


@pytest.mark.parametrize(
    "key", ["images", "labels", "segmentation_masks", "bounding_boxes", "second"]
)
def test_nothing_is_no_value_of_a_key_that_is_mixed(key):
    batch = {"images": images(), "labels": np.ones(3), "second": images(), key: None}
    check_error(
        lambda: structures._check_keys("MixUpLayer", batch, ("second",), "xyxy"),
        "MixUpLayer",
        ValueError,
        f'"{key}" of a dictionary must not be None.',
        f'{{"{key}": None}}',
    )


def test_no_sample_weights_may_be_given_as_none():
    batch = {"images": images(), "labels": np.ones(3), "sample_weight": None}
    structures._check_keys("MixUpLayer", batch, (), None)


@pytest.mark.parametrize("key", ["bounding_boxes", "keypoints", "second"])
def test_layers_refuse_nothing_under_a_key(key):
    settings = {"bounding_box_format": "xyxy", "batch_keys": ("second",)}
    layer = msda.CutMixLayer(**settings)
    batch = {"images": images(), "second": images(), key: None}
    with pytest.raises(ValueError, match=f'"{key}" of a dictionary must not be None'):
        layer.mix(batch, seed=(1, 2))


def test_the_classes_of_boxes_are_renamed_by_the_line_in_the_error():
    boxes = {"boxes": BOXES["boxes"], "classes": BOXES["labels"]}
    layer = msda.CutMixLayer(bounding_box_format="xyxy")
    with pytest.raises(ValueError, match="Rename them") as caught:
        layer.mix({"images": images(), "bounding_boxes": boxes}, seed=(1, 2))
    assert '`{"boxes": d["boxes"], "labels": d["classes"]}`' in str(caught.value)


@pytest.mark.parametrize(
    ("labels", "remedy"),
    [
        (np.ones((3, 4), int), "multi-hot rows, to float32"),
        (np.ones((3, *SIZE), int), '"segmentation_masks": y'),
        (np.ones((3, 2, 2), int), 'under the key "segmentation_masks"'),
        (np.array(["a", "b", "c"]), "`keras.layers.StringLookup("),
    ],
    ids=["rows", "masks", "others", "strings"],
)
@pytest.mark.parametrize("settings", [{}, {"num_classes": 4}, {"targets": "pair"}])
def test_labels_get_the_right_remedy_the_first_time(settings, labels, remedy):
    layer = msda.MixUpLayer(**settings)
    with pytest.raises(ValueError, match=re.escape(remedy)):
        layer.mix((images(), labels), seed=(1, 2))


def test_integer_labels_of_unknown_width_are_told_to_set_it():
    call = tf.function(lambda x, y: msda.MixUpLayer(num_classes=3)(x, y))
    with pytest.raises(ValueError, match=r"ensure_shape\(x, \(None, 1\)\)"):
        call.get_concrete_function(images(), tf.TensorSpec([None, None], "int32"))


def test_one_class_is_told_of_the_labels_of_one_output():
    with pytest.raises(ValueError, match=r"float32 column of shape \(batch, 1\)"):
        msda.MixUpLayer(num_classes=1)


def test_sample_weights_without_labels_are_refused():
    layer = msda.MixUpLayer()
    check_call(
        lambda: layer(images(), sample_weight=np.ones(3), training=True),
        layer,
        (
            ValueError,
            "sample weights can only be mixed together with labels.",
            "without labels",
        ),
    )


@pytest.mark.parametrize("ids", [[0, 3, 1], [0, -1, 1]])
def test_ids_out_of_range_are_rows_of_nan_in_a_graph(ids):
    layer = msda.MixUpLayer(num_classes=3, probability=0.0)
    _, labels = tf.function(layer)(images(), tf.constant(ids))
    assert_array_equal(np.isnan(labels).all(1), [False, True, False])
    assert_array_equal(labels[0], [1, 0, 0])


@pytest.mark.parametrize("last", [16_777_215, 16_777_216])
def test_the_last_ids_that_float32_holds_are_packed_exactly(last):
    layer = msda.MixUpLayer(targets="pair", pairing="roll")
    _, packed = layer(images(), np.array([last, 1, 2]))
    assert_array_equal(np.asarray(packed)[:, :2], [[last, 2], [1, last], [2, 1]])


def test_the_most_classes_that_packing_holds_are_accepted():
    layer = msda.MixUpLayer(targets="pair", num_classes=2**24)
    assert_equal(layer.num_classes, 16_777_216)


def test_a_layer_in_a_model_keeps_its_rank():
    layer = msda.MixUpLayer()
    layer(images(), training=True)
    check_call(
        lambda: layer(np.ones((3, 4, 1)), training=True),
        layer,
        (ValueError, "the layer was built for images of rank 4.", "shape (3, 4, 1)"),
    )


# Plans and losses.


@pytest.mark.parametrize("size", [(), (1, 2, 3, 4), 5, None, "ab"])
def test_plans_need_a_size(size):
    check_error(
        lambda: msda.GMixLayer().sample(3, size, seed=(1, 2)),
        "GMixLayer",
        ValueError,
        "`size` must hold one to three spatial lengths, positive integers, without "
        "channels.",
        f"size={size!r}",
    )


@pytest.mark.parametrize("value", [0, 4, np.int64(4), np.uint8(3), tf.constant(4)])
def test_a_number_of_draws_is_an_integer_of_any_kind(value):
    found = settings.check_draw_count("MixUpLayer", "batch", value)
    assert int(found) == int(value)
    assert isinstance(found, int) or found is value


@pytest.mark.parametrize("value", [-1, np.int64(-3), 2.0, True, "4", None, [4]])
def test_a_number_of_draws_is_not_negative(value):
    check_error(
        lambda: settings.check_draw_count("MixUpLayer", "batch", value),
        "MixUpLayer",
        ValueError,
        "`batch` must be an integer, not negative.",
        f"batch={value!r}",
    )


def test_an_end_is_left_out_of_a_range_alone():
    check_error(
        lambda: msda.CutMixLayer(ratio_endpoint=False),
        "CutMixLayer",
        ValueError,
        "`ratio_endpoint` belongs to `ratio_range`.",
        "ratio_endpoint=False",
    )


@pytest.mark.parametrize("lam", [-0.1, 1.5, NAN])
def test_plans_need_a_lambda_in_range(lam):
    check_error(
        lambda: msda.FMixLayer().sample(3, (4,), seed=(1, 2), lam=lam),
        "FMixLayer",
        ValueError,
        "`lam` must be in [0, 1].",
        f"lam={lam!r}",
    )


@pytest.mark.parametrize(
    "lam", [[0.5, 1.5, 0.5], np.float32(1.5), np.array([-1.0] * 3)]
)
def test_lambdas_of_each_draw_are_checked_too(lam):
    with pytest.raises(ValueError, match=r"`lam` must be in \[0, 1\]"):
        msda.FMixLayer().sample(3, (4,), seed=(1, 2), lam=lam)


PLAN = "the plan must be for these images, masks of shape"


@pytest.mark.parametrize(
    ("batch", "size", "received"),
    [
        (3, (5, 4), "masks of shape (3, 5, 4)"),
        (3, (4,), "masks of shape (3, 4)"),
        (4, (4, 5), "masks of shape (4, 4, 5)"),
        (3, (4, 5, 3), "masks of shape (3, 4, 5, 3)"),
        (3, (1, 5), "masks of shape (3, 1, 5)"),
    ],
)
def test_plans_of_other_images_are_refused(batch, size, received):
    plan = msda.CutMixLayer().sample(batch, size, seed=(1, 2))
    check_error(
        lambda: msda.mix_images(images(), plan),
        "mix_images",
        ValueError,
        PLAN,
        received,
    )


def test_a_plan_may_have_one_mask_for_all_images():
    plan = msda.CutMixLayer().sample(3, (4, 5), seed=(1, 2))
    mask = np.asarray(plan.mask)[:1]
    found = msda.mix_images(images(), plan._replace(mask=mask))
    repeated = plan._replace(mask=np.repeat(mask, 3, 0))
    np.testing.assert_array_equal(found, msda.mix_images(images(), repeated))


@pytest.mark.parametrize("kind", [dict, tuple])
def test_errors_name_the_weights_of_an_output(kind):
    labels, weights = ({"a": np.ones(3), "b": np.ones(x)} for x in (3, 4))
    if kind is tuple:
        labels, weights = tuple(labels.values()), tuple(weights.values())
    name = "sample_weight[1]" if kind is tuple else 'sample_weight["b"]'
    with pytest.raises(ValueError, match=re.escape(name)):
        msda.MixUpLayer()(images(), labels, weights)


def test_plans_of_the_other_data_format_are_refused():
    plan = msda.CutMixLayer().sample(3, (4, 5), seed=(1, 2))
    check_error(
        lambda: msda.mix_images(images(), plan, "channels_first"),
        "mix_images",
        ValueError,
        f"{PLAN} (3, 5, 3)",
        "masks of shape (3, 4, 5)",
    )
    check_error(
        lambda: msda.mix_images(images(), plan, "last"),
        "mix_images",
        ValueError,
        '`data_format` must be one of "channels_last", "channels_first".',
        "data_format='last'",
    )


def test_images_of_low_rank_are_not_mixed_by_a_plan():
    plan = msda.CutMixLayer().sample(3, (4,), seed=(1, 2))
    check_error(
        lambda: msda.mix_images(np.ones((3, 4)), plan),
        "mix_images",
        ValueError,
        RANK,
        "shape (3, 4)",
    )


def test_labels_that_do_not_fit_a_plan_are_refused():
    plan = msda.CutMixLayer().sample(3, (4,), seed=(1, 2))
    check_error(
        lambda: msda.mix_labels(IDS, plan),
        "mix_labels",
        ValueError,
        MEAN,
        "dtype int64",
    )
    check_error(
        lambda: msda.mix_labels(np.ones((2, 4)), plan),
        "mix_labels",
        ValueError,
        "labels must have the same batch size as the images, 3.",
        "shape (2, 4)",
    )


UNPACKED = "without a layer the labels must be packed pairs, "


@pytest.mark.parametrize(
    ("loss", "shape"),
    [
        ("sparse_categorical_crossentropy", (3,)),
        ("sparse_categorical_crossentropy", (3, 1)),
        ("categorical_crossentropy", (3, 5)),
    ],
)
def test_a_loss_without_a_layer_needs_packed_labels(loss, shape):
    outputs = np.full((3, 4), 0.25, np.float32)
    check_error(
        lambda: msda.MixedLoss(loss)(np.ones(shape, np.float32), outputs),
        "MixedLoss",
        ValueError,
        UNPACKED,
        f"labels of shape {shape} with outputs of shape (3, 4)",
    )


def test_an_accuracy_without_a_layer_needs_packed_labels():
    outputs = np.full((3, 4), 0.25, np.float32)
    check_error(
        lambda: msda.MixedAccuracy().update_state(np.ones(3, np.float32), outputs),
        "MixedAccuracy",
        ValueError,
        UNPACKED,
        "labels of shape (3,) with outputs of shape (3, 4)",
    )


SIMPLE = np.array([0.5], np.float32)
MASKS = [
    (
        "box_mask",
        (SIMPLE, [[1]], (4, 4, 4, 4)),
        "`size` must hold",
        "size=(4, 4, 4, 4)",
    ),
    ("box_mask", (SIMPLE, [[1]], (4,), "torus"), "`border` must be", "border='torus'"),
    ("floor_box_mask", (SIMPLE, [[1]], (4,), 2.0), "`box_ratio` must", "box_ratio=2.0"),
    ("floor_box_mask", (SIMPLE, [[1]], 4), "`size` must hold", "size=4"),
    ("gaussian_mask", (SIMPLE, [[1]], (4,), "inside"), "`border` must", "'inside'"),
    ("constant_mask", (SIMPLE, ()), "`size` must hold", "size=()"),
    ("fourier_mask", (SIMPLE, np.ones((1, 4), "float32"), 0.7), "`max_soft`", "0.7"),
    ("fourier_field", (np.ones((1, 3, 2)), (4,), -1.0), "`decay_power`", "-1.0"),
    ("fourier_field", (np.ones((1, 3, 2)), (4,), 1.0, "pink"), "`spectrum`", "'pink'"),
]


@pytest.mark.parametrize(("name", "inputs", "rule", "received"), MASKS)
def test_masks_check_their_settings(name, inputs, rule, received):
    function = getattr(msda.masks, name)
    check_error(lambda: function(*inputs), name, ValueError, rule, received)


def test_another_backend_is_refused_with_the_way_out():
    check_error(
        lambda: _backend._check_backend("openvino"),
        "keras_msda",
        ValueError,
        "the Keras backend must be one of tensorflow, jax, torch.",
        "KERAS_BACKEND=openvino",
    )


# The house's form, of every message that there is.


def words_of(node):
    """Returns the text of a string or f-string, or None."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(
            getattr(part, "value", "{}") if isinstance(part, ast.Constant) else "{}"
            for part in node.values
        )
    return None


def messages():
    """Lists place, rule, received and remedy of each error of the source."""
    for path in sorted(Path(msda.__file__).parent.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and len(node.args) > 3:
                name = ast.unparse(node.func).rpartition(".")[2]
                if name in ("fail", "warn"):
                    words = [words_of(argument) for argument in node.args[1:4]]
                    yield f"{path.name}:{node.lineno}", *words


@pytest.mark.long
def test_all_messages_are_found():
    assert len(list(messages())) > 100


@pytest.mark.long
def test_messages_are_sentences_with_what_was_received():
    # Some rules, received values and remedies are variables: None here.
    for place, rule, received, remedy in messages():
        assert rule is None or rule.endswith("."), (place, rule)
        assert received is None or not received.endswith("."), (place, received)
        if remedy is not None:
            assert re.fullmatch(r"(?s)[A-Z0-9`].*\.", remedy), (place, remedy)


def test_errors_put_owner_rule_received_and_remedy_together():
    with pytest.raises(TypeError) as caught:
        _errors.fail("Owner", "the rule.", "x=1", "Do this.", TypeError)
    assert_equal(caught.value.args, ("Owner: the rule. Received: x=1. Do this.",))


def test_the_base_of_the_layers_cannot_be_made():
    with pytest.raises(TypeError, match="abstract class MixLayer"):
        MixLayer()
