"""Models that show by their loss whether labels belong to the images that were mixed.

Every pixel of an image is its label, and a model returns the mean of the pixels. So its
output for a mixed image is the mixed label, and a loss that is linear in the label,
`1 + sum((label - output) * output)`, is 1 for each sample if labels, partners and
weights are those of the images, and hardly ever otherwise.
"""

import math
from typing import Any

import keras
import numpy as np
from keras import ops

import keras_msda as msda
from keras_msda.layers import METHODS
from tests.fuzz import rules
from tests.fuzz.draws import Numbers

#: Where the layer is: inside a model, also with a label for each pixel; in a pipeline;
#: behind a layer drawn in each step; in a step that takes the saliency.
KINDS = ("inside", "ids", "pixels", "pipeline", "packed", "manifold", "saliency")
CLASSES, BATCH, SAMPLES = 3, 3, 8
#: Float32 sums of some numbers in [0, 1].
NEAR = 2e-5


def draw_settings(draws: Numbers) -> dict[str, Any]:
    """Returns how a model is made and trained."""
    rank = draws.choice((2, 1, 3))
    return {
        "kind": draws.choice(KINDS),
        "size": tuple(draws.integer(1, 8) for _ in range(rank)),
        "jit_compile": draws.chance(15),
        "weights": draws.chance(30),
        "steps": draws.choice((1, 1, 2)),
    }


def refuse(case: Any) -> str | None:
    """Returns why a layer cannot be used in a model in this way."""
    kind, given = case.parts["fit"]["kind"], case.arguments
    found = rules.methods(case)
    salient = all(name in rules.SALIENT for name, _ in found)
    if kind == "saliency":
        return None if salient else "the mixer uses saliency"
    if kind in ("pipeline", "packed"):
        return None
    if given.get("pairing") == "label_similarity":
        return "label_similarity needs labels in the call"
    for name, arguments in found:
        clipped = name == "saliencymix" and arguments.get("border") == "clip"
        if name == "puzzlemix" or clipped:
            return "label weights need the images"
        if kind in ("manifold", "pixels") and name in rules.SALIENT:
            return "the masks of a loss do not depend on images"
    return None


def linear_loss(labels: Any, outputs: Any) -> Any:
    """Returns a loss of each sample or pixel that is linear in the label."""
    labels = ops.cast(labels, outputs.dtype)
    return 1.0 + ops.sum((labels - outputs) * outputs, -1)


def linear_loss_of_ids(labels: Any, outputs: Any) -> Any:
    """Returns the same for class ids."""
    ids = ops.cast(ops.reshape(labels, (-1,)), "int32")
    return linear_loss(ops.one_hot(ids, CLASSES), outputs)


def make_data(case: Any) -> tuple[np.ndarray, np.ndarray]:
    """Returns images and their labels."""
    settings = case.parts["fit"]
    rng = np.random.default_rng(case.seed)
    labels = np.eye(CLASSES, dtype="float32")[rng.integers(0, CLASSES, SAMPLES)]
    if settings["kind"] not in ("ids", "saliency"):
        labels = rng.dirichlet(np.ones(CLASSES), SAMPLES).astype("float32")
    ones = (1,) * len(settings["size"])
    images = np.zeros((SAMPLES, *settings["size"], CLASSES), "float32")
    images += labels.reshape(SAMPLES, *ones, CLASSES)
    if settings["kind"] == "pixels":
        labels = images
    elif settings["kind"] == "ids":
        labels = np.argmax(labels, -1)
    return images, labels


def run(case: Any, layer: Any) -> str | None:
    """Trains a model; returns what is wrong with its losses, None if nothing is."""
    settings = case.parts["fit"]
    model = _BUILDERS[settings["kind"]](layer, settings["size"])
    loss = _LOSSES[settings["kind"]](layer, model)
    model.compile(
        keras.optimizers.SGD(0.0),
        loss,
        jit_compile=settings["jit_compile"],
        steps_per_execution=1
        if keras.config.backend() == "torch"
        else settings["steps"],
    )
    images, labels = make_data(case)
    weights = np.full(SAMPLES, 2.0, "float32") if settings["weights"] else None
    data: dict[str, Any] = {"x": images, "y": labels, "batch_size": BATCH}
    if weights is not None:
        data["sample_weight"] = weights
    if settings["kind"] in ("pipeline", "packed"):
        data = {"x": _make_pipeline(layer, images, labels, weights)}
    history = model.fit(**data, epochs=2, verbose=0).history["loss"]
    wanted = 2.0 if settings["weights"] else 1.0
    wrong = [x for x in history if not math.isclose(x, wanted, abs_tol=NEAR)]
    return f"losses {history} instead of {wanted}" if wrong else None


def _make_pipeline(layer: Any, *arrays: Any) -> Any:
    import tensorflow as tf

    given = tuple(x for x in arrays if x is not None)
    return tf.data.Dataset.from_tensor_slices(given).batch(BATCH).map(layer)


def _mean(size: tuple[int, ...]) -> Any:
    """Returns a layer that takes the mean over all pixels."""
    names = {1: "1D", 2: "2D", 3: "3D"}
    return getattr(keras.layers, f"GlobalAveragePooling{names[len(size)]}")()


def _build_inside(layer: Any, size: tuple[int, ...]) -> Any:
    return keras.Sequential([keras.Input((*size, CLASSES)), layer, _mean(size)])


def _build_pixels(layer: Any, size: tuple[int, ...]) -> Any:
    return keras.Sequential([keras.Input((*size, CLASSES)), layer])


def _build_plain(layer: Any, size: tuple[int, ...]) -> Any:
    del layer
    # Something to train, which changes nothing.
    same = keras.layers.Dense(CLASSES, kernel_initializer="identity", name="same")
    return keras.Sequential([keras.Input((*size, CLASSES)), same, _mean(size)])


def _build_manifold(layer: Any, size: tuple[int, ...]) -> Any:
    return msda.ManifoldMixing(
        _build_plain(layer, size), ["input", "same"], mixer=layer
    )


def _build_saliency(layer: Any, size: tuple[int, ...]) -> Any:
    return msda.SaliencyMixing(_build_plain(layer, size), layer)


_BUILDERS = {
    "inside": _build_inside,
    "ids": _build_inside,
    "pixels": _build_pixels,
    "pipeline": _build_plain,
    "packed": _build_plain,
    "manifold": _build_manifold,
    "saliency": _build_saliency,
}
_LOSSES = {
    "inside": lambda layer, _: layer.loss(linear_loss),
    "ids": lambda layer, _: layer.loss(linear_loss_of_ids),
    "pixels": lambda layer, _: layer.loss(linear_loss),
    "pipeline": lambda _, __: linear_loss,
    "packed": lambda _, __: msda.MixedLoss(linear_loss, ids=False),
    "manifold": lambda _, model: model.mixing.loss(linear_loss),
    "saliency": lambda _, __: linear_loss,
}


def prepare(draws: Numbers, case: Any) -> Any:
    """Returns a case of the world "fit": a layer without parts of its own."""
    settings = draw_settings(draws)
    kept = ("probability", "per", "pairing", "bandwidth", "groups", "fold", "alpha")
    own = set(case.arguments) - set(_OTHERS) - set(kept)
    names = {*kept, "seed", "jit_compile", *own}
    arguments = {k: v for k, v in case.arguments.items() if k in names}
    if settings["kind"] == "packed":
        arguments["targets"] = "pair"
    if settings["kind"] == "saliency" and case.method not in rules.SALIENT:
        names = [name for name in METHODS if name in rules.SALIENT]
        case = case._replace(method=draws.choice(names), members=())
        arguments = {k: v for k, v in arguments.items() if k not in own}
    members = tuple(
        (name, {k: v for k, v in own.items() if k != "exact_weight"})
        for name, own in case.members
    )
    case = case._replace(members=members)
    parts = {"fit": settings, "images": {"dtype": "float32", "channels": CLASSES}}
    case = case._replace(arguments=arguments, form="fit", parts=parts, calls=())
    return case._replace(partner=None)


#: Shared arguments that say what becomes of labels and other parts.
_OTHERS = (
    *("targets", "target_threshold", "num_classes", "label_smoothing"),
    *("segmentation", "bounding_box_format", "min_box_share", "batch_keys"),
    *("data_format", "dtype", "mask_axes", "exact_weight"),
)
