"""Maps of input gradients against loops over images and pairs of pixels."""

import itertools

import keras
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from keras_msda import _backend
from keras_msda.analysis import gradients
from tests.support import quadratic

# float64, and a transform of Fourier's over a few hundred pixels.
CLOSE = {"rtol": 1e-9, "atol": 1e-12}
SIZES = {
    "1-d": (7,),
    "odd": (5, 3),
    "even": (4, 6),
    "one-row": (1, 5),
    "3-d": (2, 3, 4),
}


pytestmark = pytest.mark.usefixtures("float64")


def measured(model, images, labels, **arguments):
    return gradients.input_gradient_map(model, images, labels, verbose=0, **arguments)


def looped(norms):
    """Returns largest and mean product by offset, of `(images, *shape)`."""
    shape = norms.shape[1:]
    maximum, total, pairs = np.zeros((3, *(2 * n - 1 for n in shape)))
    pixels = list(itertools.product(*map(range, shape)))
    for image in norms:
        for v, u in itertools.product(pixels, pixels):
            place = tuple(n - 1 + b - a for a, b, n in zip(v, u, shape, strict=True))
            product = image[v] * image[u]
            maximum[place] = max(maximum[place], product)
            total[place] += product
            pairs[place] += 1
    return maximum, total / pairs


def expected_norms(model, images, ids, of):
    """Returns the gradients' norms over channels, by the explicit derivatives."""
    found = []
    for image, label in zip(images, ids, strict=True):
        logits, jacobian = model.logits(image), model.jacobian(image)
        if len(logits) == 1:
            factor = quadratic.sigmoid(logits) - label if of == "loss" else [1.0]
        else:
            own = np.arange(len(logits)) == label
            factor = quadratic.softmax(logits) - own if of == "loss" else own
        gradient = (np.asarray(factor) @ jacobian).reshape(image.shape)
        found.append(np.sqrt((gradient**2).sum(-1)))
    return np.array(found)


def assert_is(found, norms):
    maximum, mean = looped(norms)
    centre = tuple(n // 2 for n in maximum.shape)
    assert_allclose(found.maximum_scale, maximum[centre], **CLOSE)
    assert_allclose(found.mean_scale, mean[centre], **CLOSE)
    assert_allclose(found.maximum, maximum / maximum[centre], **CLOSE)
    assert_allclose(found.mean, mean / mean[centre], **CLOSE)


@pytest.mark.parametrize("of", ["logit", "loss"])
@pytest.mark.parametrize("classes", [1, 3])
@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
def test_maps_are_those_of_loops(size, classes, of):
    shape = (*size, 2)
    images, ids = quadratic.draw_images(5, shape, classes=max(classes, 2), scale=0.2)
    model = quadratic.Quadratic(np.prod(shape), classes=classes)
    found = measured(model, images, ids, of=of, batch_size=2)
    assert_is(found, expected_norms(model, images, ids, of))
    assert found.images == 5


def linear(weights):
    """Returns a model of one logit whose gradient is the weights at every image."""
    values = np.asarray(weights, "float32")

    def model(images):
        axes = tuple(range(1, values.ndim + 1))
        return keras.ops.sum(images * keras.ops.convert_to_tensor(values), axes)

    return model


def test_the_gradient_of_a_linear_model_are_its_weights():
    weights = np.array([[3.0, 4.0], [0.0, -2.0], [1.0, 0.0]])
    images, labels = np.ones((4, 3, 2)), [0, 1, 1, 0]
    found = measured(linear(weights), images, labels)
    # Norms 5, 2, 1: products by offset 0, 1, 2.
    assert_allclose(found.maximum[2:] * found.maximum_scale, [25, 10, 5], rtol=1e-6)
    assert_allclose(found.mean[2:] * found.mean_scale, [10, 6, 5], rtol=1e-6)


def test_scales_grow_with_the_square_of_the_gradient_and_maps_do_not():
    weights = np.random.default_rng(0).normal(size=(4, 5, 1))
    images = np.ones((2, 4, 5, 1))
    one, three = (measured(linear(f * weights), images, [0, 1]) for f in (1, 3))
    assert_allclose(three.maximum_scale, 9 * one.maximum_scale, rtol=1e-5)
    assert_allclose(three.mean_scale, 9 * one.mean_scale, rtol=1e-5)
    assert_allclose(three.maximum, one.maximum, rtol=1e-5)
    assert_allclose(three.mean, one.mean, rtol=1e-5)


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
def test_maps_are_symmetric_with_their_largest_value_in_the_middle(size):
    shape = (*size, 1)
    images, ids = quadratic.draw_images(3, shape, classes=2)
    model = quadratic.Quadratic(np.prod(shape), classes=2)
    found = measured(model, images, ids)
    for values in (found.maximum, found.mean):
        assert_array_equal(values, np.flip(values))
        assert_allclose(values[tuple(n - 1 for n in size)], 1.0, rtol=1e-12)
    assert found.maximum.max() == 1.0
    assert found.mean.min() >= 0


def test_far_offsets_are_left_out_of_the_maximum_alone():
    images, ids = quadratic.draw_images(3, (4, 5, 1), classes=2)
    model = quadratic.Quadratic(20, classes=2)
    whole = measured(model, images, ids)
    near = measured(model, images, ids, max_offset=2)
    assert_array_equal(near.maximum[1:-1, 2:-2], whole.maximum[1:-1, 2:-2])
    kept = np.zeros((7, 9), bool)
    kept[1:-1, 2:-2] = True
    assert_array_equal(np.isnan(near.maximum), ~kept)
    assert_array_equal(near.mean, whole.mean)


@pytest.mark.parametrize("batch_size", [1, 2, 5, 64])
def test_the_size_of_batches_changes_nothing(batch_size):
    images, ids = quadratic.draw_images(5, (6, 1), classes=3)
    model = quadratic.Quadratic(6, classes=3)
    found = measured(model, images, ids, batch_size=batch_size)
    assert_is(found, expected_norms(model, images, ids, "logit"))


def test_many_images_are_taken_in_several_passes(monkeypatch):
    monkeypatch.setattr(gradients, "_PASS", 12)
    images, ids = quadratic.draw_images(7, (6, 1), classes=3)
    model = quadratic.Quadratic(6, classes=3)
    found = measured(model, images, ids)
    assert_is(found, expected_norms(model, images, ids, "logit"))


def test_ids_one_hot_labels_and_tensors_are_the_same():
    images, ids = quadratic.draw_images(4, (5, 1), classes=3)
    model = quadratic.Quadratic(5, classes=3)
    expected = expected_norms(model, images, ids, "logit")
    for labels in (ids[:, None], list(ids), np.eye(3)[ids]):
        assert_is(measured(model, images, labels), expected)
    tensors = map(keras.ops.convert_to_tensor, (images, ids))
    assert_is(measured(model, *tensors), expected)


def test_channels_may_come_first():
    images, ids = quadratic.draw_images(4, (3, 4, 2), classes=2)
    model = quadratic.Quadratic(24, classes=2)
    turned = np.moveaxis(images, -1, 1)

    def back(x):
        return model(keras.ops.transpose(x, (0, 2, 3, 1)))

    model(images)  # Builds it outside of a trace.
    back.variable_dtype = "float64"
    found = measured(back, turned, ids, data_format="channels_first")
    assert_is(found, expected_norms(model, images, ids, "logit"))


def test_a_keras_model_is_called_for_inference():
    model = keras.Sequential(
        [
            keras.layers.Dropout(0.5),
            keras.layers.BatchNormalization(),
            keras.layers.Flatten(),
            keras.layers.Dense(2, use_bias=False),
        ]
    )
    images = np.random.default_rng(0).normal(size=(3, 4, 1)).astype("float32")
    model(images)
    found = measured(model, images, [0, 0, 0])
    kernel = keras.ops.convert_to_numpy(model.layers[-1].kernel)
    maximum, _ = looped(np.abs(kernel[None, :, 0]))
    # The fresh normalisation divides by sqrt(1 + 1e-3).
    scale = found.maximum_scale * 1.001
    assert_allclose(found.maximum * scale, maximum, rtol=1e-5, atol=1e-7)


def test_a_model_may_gather_along_the_batch():
    def model(images):
        same = keras.ops.take(images, keras.ops.arange(images.shape[0]), axis=0)
        return keras.ops.sum(same * same, (1, 2))

    images = np.arange(1.0, 4.0).reshape(1, 3, 1)
    found = measured(model, images, [1])
    # The gradient is 2, 4, 6.
    assert_allclose(found.maximum[2:] * found.maximum_scale, [36, 24, 12], rtol=1e-6)


def test_uint8_images_are_taken_as_they_are():
    images = np.random.default_rng(0).integers(0, 256, (3, 5, 1), dtype=np.uint8)
    model = quadratic.Quadratic(5, classes=2)
    assert_is(
        measured(model, images, [0, 1, 1]),
        expected_norms(model, images.astype(float), [0, 1, 1], "logit"),
    )


@pytest.mark.parametrize("verbose", [0, 1])
def test_a_progress_bar_is_shown_unless_told_otherwise(verbose, capsys):
    gradients.input_gradient_map(
        linear(np.ones((4, 1))), np.ones((3, 4, 1)), [0, 1, 0], verbose=verbose
    )
    assert ("3/3" in capsys.readouterr().out) == bool(verbose)


def test_what_a_function_gets_otherwise_is_constant():
    library = _backend.get_backend_ops()
    x = library.convert(np.array([2.0, 3.0]), "float32")
    (first,) = library.gradients(lambda y: x * y, x)
    assert_array_equal(keras.ops.convert_to_numpy(first), [2, 3])
    # d/dy (y^3)' = 6 y, and nothing of it by z.
    second, other = library.gradients(
        lambda y, _: library.gradients(lambda z: z**3, y)[0], x, x
    )
    assert_array_equal(keras.ops.convert_to_numpy(second), [12, 18])
    assert_array_equal(keras.ops.convert_to_numpy(other), [0, 0])


# Errors


def rounded(images):
    return keras.ops.sum(keras.ops.round(images), (1, 2))


def with_numpy(images):
    return keras.ops.convert_to_tensor(np.asarray(images).sum((1, 2)))


def saturated(images):
    return 1e4 + keras.ops.sum(images, (1, 2))


def infinite(images):
    return keras.ops.sum(keras.ops.sqrt(images - 1), (1, 2))


def two_outputs(images):
    return {"logits": images[:, 0], "other": images[:, 0]}


def image_outputs(images):
    return images


def shares(images):
    return keras.ops.softmax(images[..., 0])


def ended(activation):
    return keras.Sequential(
        [keras.layers.Flatten(), keras.layers.Dense(1, activation=activation)]
    )


def scores(images):
    return images[..., 0]


FOUR = np.ones((3, 4, 1), "float32")
ERRORS = {
    "rounded": (rounded, FOUR, [0, 1, 1], {}, "gradients of the logit are 0"),
    "numpy": (with_numpy, FOUR, [0, 1, 1], {}, "with respect to its inputs"),
    "saturated": (saturated, FOUR, [1, 1, 1], {"of": "loss"}, "of the loss are 0"),
    "infinite": (infinite, FOUR, [0, 1, 1], {}, "must be finite.*NaN"),
    "two outputs": (two_outputs, FOUR, [0, 1, 1], {}, "must return floats.*dict"),
    "images": (image_outputs, FOUR, [0, 1, 1], {}, r"shape \(1, 4, 1\)"),
    "softmax": (shares, FOUR, [0, 1, 1], {}, "logits and not prob.*have the sum 1"),
    "sigmoid": (ended("sigmoid"), FOUR, [0, 1, 1], {}, "not prob.*'sigmoid'"),
    "no model": ("model", FOUR, [0, 1, 1], {}, "must be a Keras model.*type str"),
    "high id": (scores, FOUR, [0, 1, 4], {}, r"in \[0, num_classes=4\).*0 to 4"),
    "low id": (scores, FOUR, [0, -1, 1], {}, r"ids from -1 to 1"),
    "float id": (scores, FOUR, [0.0, 1.0, 1.0], {}, "class ids, integers.*float64"),
    "soft": (scores, FOUR, np.full((3, 4), 0.25), {}, "one class per image.*0.25"),
    "not a sum": (scores, FOUR, np.ones((3, 4)), {}, "have the sum 1.*from 1"),
    "classes": (scores, FOUR, np.ones((3, 3)), {}, r"classes=4\)\.* .*shape \(3, 3\)"),
    "count": (
        scores,
        FOUR,
        [0, 1],
        {},
        r"same batch size as the images, 3.*shape \(2,\)",
    ),
    "one logit": (rounded, FOUR, [0, 1, 2], {}, r"numbers in \[0, 1\].*0 to 2"),
    "no images": (scores, FOUR[:0], [], {}, r"1 images or more.*\(0, 4, 1\)"),
    "rank": (scores, FOUR[..., 0], [0, 1, 1], {}, r"rank 3 to 5.*\(3, 4\)"),
    "text": (scores, FOUR.astype(str), [0, 1, 1], {}, "real numbers.*dtype <U"),
    "of": (scores, FOUR, [0, 1, 1], {"of": "output"}, "`of` must be.*'output'"),
    "batch size": (scores, FOUR, [0, 1, 1], {"batch_size": 0}, "batch_size=0"),
    "offset": (scores, FOUR, [0, 1, 1], {"max_offset": -1}, "max_offset=-1"),
}


@pytest.mark.parametrize("case", ERRORS.values(), ids=ERRORS)
def test_what_cannot_be_computed_is_refused(case):
    model, images, labels, arguments, message = case
    with pytest.raises((TypeError, ValueError), match=f"(?s)input_grad.*{message}"):
        measured(model, images, labels, **arguments)


def test_a_maximum_that_would_take_long_is_refused_and_a_near_one_offered():
    images = np.zeros((40, 224, 224, 1), "uint8")
    message = r"products of two pixels.*5.0e\+10 .*\(224, 224\).*max_offset=16"
    with pytest.raises(ValueError, match=message):
        measured(scores, images, np.zeros(40, int))


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
@pytest.mark.parametrize("max_offset", [None, 0, 2])
def test_the_work_is_estimated_right(size, max_offset):
    offsets = list(gradients._half_of_offsets(gradients._reach(size, max_offset)))
    pairs = (gradients._inside(offset, size) for offset in offsets)
    products = sum(np.zeros(size)[where].size for where in pairs)
    # The offset 0 is no half, and all of it is taken.
    estimate = gradients._products(size, max_offset) + np.prod(size) / 2
    assert_allclose(products, estimate)
