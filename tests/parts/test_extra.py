"""Extra tensors of a batch, mixed by the plan of its images, against loops."""

import numpy as np
import pytest
import tensorflow as tf
from numpy.testing import assert_allclose, assert_array_equal, assert_equal

import keras_msda as msda
from tests.support import layer_cases as cases
from tests.support import oracles
from tests.support.marks import parametrize

SIZE = (6, 8)
BATCH = 5
# Two float32 products of numbers in [0, 1], and a mean over some pixels.
CLOSE = {"rtol": 0, "atol": 1e-6}
KEYS = ("view", "bytes", "tokens", "coarse", "vector", "number", "sequence")


def tensors(batch=BATCH):
    rng = np.random.default_rng(1)
    shapes = {
        "view": (*SIZE, 2),
        "tokens": (3, 4, 5),
        "coarse": (1, 1, 2),
        "vector": (7,),
        "number": (),
        "sequence": (9, 2),
    }
    made = {key: rng.random((batch, *s)).astype("f") for key, s in shapes.items()}
    return made | {"bytes": rng.integers(0, 256, (batch, *SIZE, 1)).astype("uint8")}


def block_means(mask, lengths):
    """Returns the means of masks over the blocks of a coarser grid, by loops."""
    batch, (rows, columns) = len(mask), lengths
    high, wide = SIZE[0] // rows, SIZE[1] // columns
    means = np.empty((batch, rows, columns))
    for i, row, column in np.ndindex(means.shape):
        y, x = row * high, column * wide
        means[i, row, column] = np.mean(mask[i, y : y + high, x : x + wide], dtype="d")
    return means


def expected(values, plan):
    mixed = {}
    for key, x in values.items():
        if x.ndim == 4:
            mask = block_means(plan.mask, x.shape[1:3])
            mixed[key] = oracles.mix_images(x, plan.partner, mask)
        else:
            mixed[key] = oracles.mix_labels(x, plan.partner, plan.weight)
    return mixed


@pytest.mark.long
@parametrize("world", cases.WORLDS)
@pytest.mark.parametrize("method", cases.METHODS)
def test_extra_tensors_follow_the_plan_of_the_images(method, world):
    layer = cases.make(method, batch_keys=KEYS)
    plan = cases.next_plan(layer, BATCH, SIZE)
    values = tensors()
    images = cases.images(BATCH, SIZE)
    outputs = cases.WORLDS[world](layer, {"images": images} | values)
    assert_equal(sorted(outputs), sorted(["images", *KEYS]))
    mixed = oracles.mix_images(images, plan.partner, plan.mask)
    assert_allclose(outputs["images"], mixed, **CLOSE)
    for key, value in expected(values, plan).items():
        scale = 255 if key == "bytes" else 1
        assert_allclose(outputs[key] / scale, value / scale, **CLOSE, err_msg=key)


@pytest.mark.parametrize("policy", ["float32", "mixed_float16", "mixed_bfloat16"])
def test_floats_keep_their_dtype_and_integers_take_that_of_images(policy):
    layer = cases.make("hmix", batch_keys=KEYS, dtype=policy)
    values = {"images": cases.images(BATCH, SIZE)} | tensors()
    outputs = layer(values)
    dtype = policy.removeprefix("mixed_")
    assert_equal(outputs["images"].dtype.name, dtype)
    assert_equal(outputs["bytes"].dtype.name, dtype)
    for key in set(KEYS) - {"bytes"}:
        assert_equal(outputs[key].dtype.name, "float32")
    values["view"] = values["view"].astype("float64")
    assert_equal(layer(values)["view"].dtype.name, "float64")


def test_channels_may_come_first():
    rng = np.random.default_rng(2)
    views = rng.random((BATCH, 3, *SIZE)).astype("f")
    tokens = rng.random((BATCH, 2, 3, 4)).astype("f")
    settings = {"data_format": "channels_first", "batch_keys": ("view", "tokens")}
    layer = cases.make("cutmix", **settings)
    plan = cases.next_plan(layer, BATCH, SIZE)
    outputs = layer({"images": views, "view": views, "tokens": tokens})
    for key, x in {"view": views, "tokens": tokens}.items():
        mask = block_means(plan.mask, x.shape[2:])
        mixed = oracles.mix_images(x, plan.partner, mask, "channels_first")
        assert_allclose(outputs[key], mixed, **CLOSE, err_msg=key)


@pytest.mark.parametrize("size", [(8,), (4, 6, 2)])
def test_grids_of_any_rank_are_averaged(size):
    lengths = tuple(n // 2 for n in size)
    tokens = np.random.default_rng(3).random((BATCH, *lengths, 2)).astype("f")
    layer = cases.make("fmix", batch_keys=("tokens",))
    plan = cases.next_plan(layer, BATCH, size)
    outputs = layer({"images": cases.images(BATCH, size), "tokens": tokens})
    blocks = [BATCH, *(n for length in lengths for n in (length, 2))]
    mask = plan.mask.reshape(blocks).mean(tuple(range(2, len(blocks), 2)))
    mixed = oracles.mix_images(tokens, plan.partner, mask)
    assert_allclose(outputs["tokens"], mixed, **CLOSE)


@pytest.mark.long
def test_pipelines_of_unknown_sizes_mix_them_too():
    layer = cases.make("gmix", batch_keys=KEYS)
    values = {"images": cases.images(BATCH, SIZE)} | tensors()
    signature = {
        key: tf.TensorSpec([None] * x.ndim, x.dtype) for key, x in values.items()
    }
    plan = cases.next_plan(layer, BATCH, SIZE)
    data = tf.data.Dataset.from_generator(
        lambda: iter([values]), output_signature=signature
    )
    (outputs,) = list(data.map(layer))
    values.pop("images")
    for key, value in expected(values, plan).items():
        scale = 255 if key == "bytes" else 1
        assert_allclose(outputs[key] / scale, value / scale, **CLOSE, err_msg=key)


@pytest.mark.slow
@pytest.mark.parametrize("method", [msda.ResizeMixLayer, msda.PuzzleMixLayer])
def test_views_of_unknown_size_move_with_the_partner(method):
    settings = {"probability": 1.0, "pairing": "roll", "seed": 1}
    layer = method(batch_keys=("view",), **settings)
    x = cases.images(3, (4, 6), 2)

    def mix(view, shape):
        data = tf.data.Dataset.from_generator(
            lambda: iter([{"images": x, "view": view}]),
            output_signature={
                "images": tf.TensorSpec(shape, "float32"),
                "view": tf.TensorSpec(shape, "float32"),
            },
        )
        (found,) = list(data.map(lambda batch: layer.mix(batch, seed=(1, 2))))
        return found

    for shape in ([None] * 4, (None, None, None, 2)):
        found = mix(x, shape)
        assert_allclose(found["view"], found["images"], **CLOSE)
        # A coarser grid cannot be told when it is traced.
        with pytest.raises(tf.errors.InvalidArgumentError, match="reshape"):
            mix(x[:, ::2, ::2], shape)


def test_integers_on_a_coarser_grid_of_unknown_size_are_not_averaged():
    layer = cases.make("fmix", batch_keys=("ids",), pairing="roll")
    x = cases.images(3, (4, 6), 2)

    def mix(ids):
        data = tf.data.Dataset.from_generator(
            lambda: iter([{"images": x, "ids": ids}]),
            output_signature={
                "images": tf.TensorSpec([None] * 4, "float32"),
                "ids": tf.TensorSpec([None] * 4, "int32"),
            },
        )
        (found,) = list(data.map(lambda batch: layer.mix(batch, seed=(1, 2))))
        return found["ids"]

    plan = cases.arrays(layer.sample(3, (4, 6), seed=(1, 2)))
    ids = np.arange(72, dtype="int32").reshape(3, 4, 6, 1)
    mixed = oracles.mix_images(ids, plan.partner, plan.mask)
    assert_allclose(mix(ids), mixed, rtol=1e-6)
    with pytest.raises(tf.errors.InvalidArgumentError, match="reshape"):
        mix(ids[:, ::2, ::2])


def test_unmixed_batches_keep_them():
    layer = cases.make("hmix", batch_keys=KEYS)
    values = tensors()
    images = cases.images(BATCH, SIZE)
    outputs = layer({"images": images} | values, training=False)
    for key, value in values.items():
        assert_array_equal(outputs[key], value, err_msg=key)


def test_two_views_of_a_uint8_layer_stay_bytes():
    layer = cases.make("mixup", batch_keys=("view",), dtype="uint8")
    views = tensors()["bytes"]
    outputs = layer({"images": views, "view": views})
    assert_equal(outputs["view"].dtype.name, "uint8")
    assert_array_equal(outputs["view"], outputs["images"])
