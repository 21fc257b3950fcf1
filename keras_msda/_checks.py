"""Every check of an argument, and the wording of every error.

A message names its owner, the rule, what was received and the remedy. Nothing here
computes anything; checks read settings, dtypes and static shapes, and run before work.
"""

import math
import numbers
import operator
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

import keras
import numpy as np

BACKENDS = ("tensorflow", "jax", "torch")
PER = ("sample", "pair", "batch")
PAIRINGS = ("shuffle", "derangement", "reverse", "roll")
TARGETS = ("soft", "pair", "own", "union")
BORDERS = ("clip", "wrap", "inside", "clip_odd")
DATA_FORMATS = ("channels_last", "channels_first")
SEGMENTATION = ("auto", "select", "blend")
BOX_FORMATS = (
    "xyxy",
    "yxyx",
    "xywh",
    "center_xywh",
    "center_yxhw",
    "rel_xyxy",
    "rel_yxyx",
    "rel_xywh",
    "rel_center_xywh",
)
#: Keys of a dictionary of inputs that have a meaning; all others are the user's.
KEYS = (
    "images",
    "labels",
    "sample_weight",
    "segmentation_masks",
    "bounding_boxes",
    "keypoints",
)
#: What other libraries call them: TensorFlow Datasets, Hugging Face, torchvision.
OTHER_KEYS = {
    "images": ("image", "pixel_values", "img", "x", "inputs"),
    "labels": ("label", "classes", "class", "target", "targets", "y", "fine_label"),
    "sample_weight": ("sample_weights", "weight", "weights"),
    "segmentation_masks": (
        "segmentation_mask",
        "segmentation",
        "masks",
        "mask",
        "annotation",
    ),
    "bounding_boxes": ("bounding_box",),
}
#: Whole numbers up to this one are exact in float32.
LARGEST_ID = 2**24
#: Beyond, SciPy's distribution function is not exact enough to integrate with.
LARGEST_EXACT_ALPHA = 1e9


def fail(
    owner: str,
    rule: str,
    received: str,
    remedy: str,
    kind: type[Exception] = ValueError,
) -> NoReturn:
    """Raises an error in the house's form."""
    raise kind(f"{owner}: {rule} Received: {received}. {remedy}")


class MixWarning(UserWarning):
    """A use of mixing that trains on labels that do not match the images.

    Turn it off, where it is meant, by
    `warnings.filterwarnings("ignore", category=keras_msda.MixWarning)`.
    """


def warn(owner: str, rule: str, received: str, remedy: str) -> None:
    """Warns in the form of the errors."""
    text = f"{owner}: {rule} Received: {received}. {remedy}"
    warnings.warn(text, MixWarning, stacklevel=2)


def check_backend(name: str) -> None:
    """Checks that Keras computes with a library that keras_msda knows."""
    if name not in BACKENDS:
        fail(
            "keras_msda",
            f"the Keras backend must be one of {', '.join(BACKENDS)}.",
            f"KERAS_BACKEND={name}",
            'Set the environment variable KERAS_BACKEND, for example to "jax", before '
            "importing Keras.",
        )


def fail_no_tensorflow() -> NoReturn:
    """Says that a pipeline needs TensorFlow."""
    fail(
        "keras_msda",
        "a tf.data pipeline computes with TensorFlow under every Keras backend.",
        "a Python without TensorFlow",
        "Install it by `pip install tensorflow`.",
        ImportError,
    )


def fail_no_matplotlib() -> NoReturn:
    """Says that figures need Matplotlib."""
    fail(
        "keras_msda.plot",
        "figures are drawn by Matplotlib.",
        "a Python without Matplotlib",
        "Install it by `pip install 'keras_msda[demo]'`.",
        ImportError,
    )


def fail_leak(weight: str) -> NoReturn:
    """Says that a call inside `jax.jit` would lose the state of its draws."""
    fail(
        weight,
        "inside `jax.jit` a mixing layer must be given its state, or it would draw the "
        "same numbers at each step.",
        "a call of the layer itself",
        "Call `layer.stateless_call(trainable, non_trainable, images, training=True)`, "
        "and pass on the non-trainable values that it returns.",
    )


def fail_no_state(variable: str) -> NoReturn:
    """Says that a loss has no state to go by, as Keras's trainer on JAX has it."""
    fail(
        variable,
        "in a `train_step` of JAX the loss must be given the layer's state.",
        "a loss outside of a stateless call",
        "Compute it by `self.stateless_compute_loss(trainable_variables, "
        "non_trainable_variables, metrics_variables, x=x, y=y, y_pred=y_pred)`, with "
        "the values that `stateless_call` returns.",
    )


def fail_other_layer(owner: str, layer: str, called: Sequence[str]) -> NoReturn:
    """Raises the error for the loss of a layer that the model does not call."""
    fail(
        owner,
        "a loss must listen to the mixing layer that the model calls.",
        f"the loss of the layer {layer!r}, where {', '.join(map(repr, called))} mixes",
        "Compile the model with the `loss` of the layer inside it: `layer.loss(...)`.",
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def check_alpha(owner: str, alpha: Any) -> tuple[float, float]:
    """Returns the two parameters of the Beta distribution."""
    pair = alpha if isinstance(alpha, (tuple, list)) else (alpha, alpha)
    valid = len(pair) == 2 and all(
        _is_number(a) and math.isfinite(a) and a > 0 for a in pair
    )
    if not valid:
        fail(
            owner,
            "`alpha` must be a positive finite number or a pair of them.",
            f"alpha={alpha!r}",
            "Use `alpha=1.0` for uniform mixing, and `probability=0.0` for none.",
        )
    return float(pair[0]), float(pair[1])


def check_share(owner: str, name: str, value: Any, remedy: str) -> float:
    """Returns a number in [0, 1]."""
    if not (_is_number(value) and 0 <= value <= 1):
        fail(
            owner,
            f"`{name}` must be a number in [0, 1].",
            f"{name}={value!r}",
            remedy,
        )
    return float(value)


def check_choice(owner: str, name: str, value: Any, choices: Sequence[str]) -> str:
    """Returns one of some words."""
    if not isinstance(value, str) or value not in choices:
        words = ", ".join(f'"{choice}"' for choice in choices)
        fail(
            owner,
            f"`{name}` must be one of {words}.",
            f"{name}={value!r}",
            f'The default is "{choices[0]}".',
        )
    return value


def check_jit_compile(owner: str, value: Any) -> bool | str:
    """Returns whether passes over images are compiled: a truth value or "auto"."""
    if value != "auto" and not isinstance(value, bool):
        fail(
            owner,
            '`jit_compile` must be "auto", True or False.',
            f"jit_compile={value!r}",
            'The default, "auto", compiles where image sizes are known.',
        )
    return value  # type: ignore[no-any-return]


def check_data_format(owner: str, value: Any) -> str:
    """Returns a data format, Keras's own where none is given."""
    if value is None:
        return str(keras.config.image_data_format())
    return check_choice(owner, "data_format", value, DATA_FORMATS)


def check_count(owner: str, name: str, value: Any) -> int:
    """Returns a positive integer."""
    whole = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    if not (whole and value > 0):
        fail(
            owner,
            f"`{name}` must be a positive integer or None.",
            f"{name}={value!r}",
            f"Leave `{name}` out for its default.",
        )
    return int(value)


def check_optional_count(owner: str, name: str, value: Any) -> int | None:
    """Returns a positive integer or None."""
    return None if value is None else check_count(owner, name, value)


def check_pairs(owner: str, per: str, pairing: str) -> None:
    """Checks that `per="pair"` is given pairs."""
    if per == "pair" and pairing in ("derangement", "roll"):
        fail(
            owner,
            '`per="pair"` needs partners in pairs, which are "shuffle" or "reverse".',
            f"pairing={pairing!r}",
            'Use `pairing="shuffle"` or `per="sample"`.',
        )


def check_targets(
    owner: str, targets: str, label_smoothing: float, num_classes: Any
) -> None:
    """Checks that the label arguments hold together."""
    if label_smoothing and targets == "pair":
        fail(
            owner,
            '`label_smoothing` does not go with `targets="pair"`, whose labels stay as '
            "they are.",
            f"label_smoothing={label_smoothing!r}",
            "Give the smoothing to the loss: "
            "`MixedLoss(keras.losses.CategoricalCrossentropy(label_smoothing=...))`.",
        )
    if label_smoothing and targets == "union":
        fail(
            owner,
            '`label_smoothing` does not go with `targets="union"`, whose labels are 0 '
            "or 1.",
            f"label_smoothing={label_smoothing!r}",
            "Give the smoothing to the loss: "
            "`keras.losses.BinaryCrossentropy(label_smoothing=...)`.",
        )
    if label_smoothing and num_classes is None:
        fail(
            owner,
            "`label_smoothing` smooths integer labels and needs `num_classes`.",
            f"label_smoothing={label_smoothing!r}, num_classes=None",
            "Give `num_classes`, or smooth soft labels before this layer.",
        )
    for count in keras.tree.flatten(num_classes):
        if targets == "pair" and count is not None and count > LARGEST_ID:
            fail_ids(owner, f"num_classes={num_classes}")


def check_num_classes(owner: str, value: Any) -> Any:
    """Returns a number of classes, or a dictionary or tuple of them, one an output."""

    def check(count: Any) -> int | None:
        if count == 1 and not isinstance(count, bool):
            fail_one_class(owner, value)
        return check_optional_count(owner, "num_classes", count)

    if isinstance(value, Mapping):
        return {key: check(count) for key, count in value.items()}
    if isinstance(value, (tuple, list)):
        return tuple(check(count) for count in value)
    return check(value)


def fail_one_class(owner: str, received: Any) -> NoReturn:
    """Raises the error for one class, which is one output of a model and not of ids."""
    fail(
        owner,
        "`num_classes` must be 2 or more: one class leaves nothing to tell apart.",
        f"num_classes={received!r}",
        "For a model with one sigmoid output leave `num_classes` out, and give labels "
        "0 and 1 as a float32 column of shape (batch, 1); see docs/binary.md.",
    )


def fail_ids(owner: str, received: str) -> NoReturn:
    """Raises the error for class ids that packing would round."""
    fail(
        owner,
        f'`targets="pair"` packs class ids as float32, exact up to {LARGEST_ID}.',
        received,
        'Use `targets="soft"` with `num_classes`, or a layer inside the model, where '
        "labels stay integers.",
    )


def fail_own(owner: str) -> NoReturn:
    """Raises the error for own labels where the mask's complement has another law."""
    fail(
        owner,
        '`targets="own"` needs 1 - M(lambda) to be distributed as M(1 - lambda), which '
        "holds for MixUp, GMix and FMix; the complement of a box is no box.",
        "targets='own'",
        'Use `targets="soft"` or `targets="pair"`.',
    )


def check_ratio_range(owner: str, value: Any) -> tuple[float, float]:
    """Returns the two ends of a range of relative sides."""
    valid = (
        isinstance(value, (tuple, list))
        and len(value) == 2
        and all(_is_number(v) for v in value)
        and 0 <= value[0] <= value[1] <= 1
    )
    if not valid:
        fail(
            owner,
            "`ratio_range` must be a pair (low, high) with 0 <= low <= high <= 1.",
            f"ratio_range={value!r}",
            "Use for example `ratio_range=(0.2, 0.8)`.",
        )
    return float(value[0]), float(value[1])


def check_ratio_settings(
    owner: str, border: Any, exact_weight: Any, fold: bool
) -> None:
    """Checks what can be combined with a range of relative sides."""
    if border not in (None, "inside") or not exact_weight or fold:
        fail(
            owner,
            "`ratio_range` places boxes inside and draws no lambda.",
            f"border={border!r}, exact_weight={exact_weight!r}, fold={fold!r}",
            "Leave `border`, `exact_weight` and `fold` out.",
        )


def check_ratio_endpoint(owner: str, endpoint: Any) -> None:
    """Checks that an end is left out of a range alone."""
    if not endpoint:
        fail(
            owner,
            "`ratio_endpoint` belongs to `ratio_range`.",
            f"ratio_endpoint={endpoint!r}, ratio_range=None",
            "Leave it out, or give `ratio_range=(0.2, 0.8)`.",
        )


def check_decay_power(owner: str, value: Any) -> float:
    """Returns a number that is not negative."""
    if not (_is_number(value) and math.isfinite(value) and value >= 0):
        fail(
            owner,
            "`decay_power` must be a finite number, not negative.",
            f"decay_power={value!r}",
            "The paper uses 3.0; 0.0 is white noise.",
        )
    return float(value)


def check_max_soft(owner: str, value: Any) -> float:
    """Returns a number in [0, 0.5]."""
    if not (_is_number(value) and 0 <= value <= 0.5):
        fail(
            owner,
            "`max_soft` must be a number in [0, 0.5].",
            f"max_soft={value!r}",
            "Use 0.0 for hard edges.",
        )
    return float(value)


def check_spectrum(owner: str, value: Any) -> Any:
    """Returns the name of a spectrum, or a function."""
    if callable(value):
        return value
    return check_choice(owner, "spectrum", value, ("isotropic", "official"))


def check_noise(owner: str, shape: Any, whole: Sequence[Any], fewer: bool) -> None:
    """Checks the shape of the normals that a field is made from.

    Args:
        owner: Name that the error starts with.
        shape: Their static shape.
        whole: Their shape, without the draws, with all frequencies.
        fewer: Whether the highest frequencies may be missing.
    """
    if getattr(shape, "rank", 0) is None:
        return
    lengths = list(shape)[1:]

    def fits(given: Any, most: Any) -> bool:
        if given is None or not isinstance(most, int):
            return True
        return bool(given == most or (fewer and 0 < given < most))

    valid = len(lengths) == len(whole) and lengths[-1] in (None, 2)
    if not valid or not all(map(fits, lengths, whole)):
        fail(
            owner,
            f"`noise` must have the shape (draws, {', '.join(map(str, whole))})"
            f"{', or fewer frequencies' if fewer else ''}.",
            f"shape {_show(shape)}",
            "Give real and imaginary parts on the last axis, of the half spectrum.",
        )


def check_amplitude_shape(owner: str, values: Any, shape: tuple[int, ...]) -> None:
    """Checks that a spectrum returns a real number for each frequency."""
    fits = values.dtype.kind in "biuf" and values.ndim <= len(shape)
    pairs = zip(values.shape[::-1], shape[::-1], strict=False)
    if not fits or any(n not in (1, length) for n, length in pairs):
        fail(
            owner,
            "`spectrum` must return one real amplitude for each frequency.",
            f"shape {values.shape} and dtype {values.dtype} for frequencies of shape "
            f"{shape}",
            "Use functions that work elementwise.",
        )


def check_amplitude_values(owner: str, values: Any, frequencies: Any) -> None:
    """Checks what a spectrum returns at all frequencies but 0."""
    wrong = ~np.isfinite(values)
    if np.any(wrong):
        fail(
            owner,
            "the amplitude of `spectrum` must be finite at all frequencies but 0.",
            f"{values[wrong][0]} at {frequencies[wrong][0]:.4g} cycles per pixel",
            "Bound it, for example by `np.maximum(frequency, 1e-3) ** -3.0`.",
        )
    if values.size and not np.any(values):
        fail(
            owner,
            "the amplitude of `spectrum` must not be 0 at all frequencies but 0, which "
            "makes all masks the same.",
            f"0 at {values.size:,} frequencies",
            "Give a function that is positive at some, in cycles per pixel.",
        )


def is_image_rank(rank: int) -> bool:
    """Tells batches of images with channels and one to three spatial axes."""
    return 3 <= rank <= 5


def check_rank(owner: str, shape: Any, *, rows: bool = False) -> None:
    """Checks for a batch of images with one to three spatial axes.

    Args:
        owner: Name that an error starts with.
        shape: Shape of the images.
        rows: Whether rows without a spatial axis, `(batch, features)`, are fine.
    """
    rank = shape.rank if hasattr(shape, "rank") else len(shape)
    if rank is not None and (is_image_rank(rank) or (rows and rank == 2)):
        return
    remedy = "Flatten or expand the spatial axes to one, two or three."
    if rank == 2:
        remedy = (
            "Give signals an axis of channels, `x[..., None]`; rows of features "
            "without spatial axes are for `MixUpLayer`."
        )
    elif rank is not None and rank < 2:
        remedy = "Batch first, as in `dataset.batch(128).map(layer)`."
    fail(
        owner,
        "images must have shape (batch, *spatial, channels), rank 3 to 5.",
        f"shape {_show(shape)}",
        remedy,
    )


def is_like_grey(shape: Any) -> bool:
    """Returns whether signals may be grey images without an axis of channels."""
    if len(shape) != 3:
        return False
    return isinstance(shape[2], int) and shape[1] == shape[2] >= 16


def warn_of_signals(owner: str, shape: Any) -> None:
    """Warns of images that are read as signals."""
    warn(
        owner,
        "inputs (batch, length, channels) are signals, mixed along one axis.",
        f"shape {_show(shape)}, which looks like grey images",
        "Give grey images an axis of channels, `images[..., None]`; for signals of as "
        "many channels, `mask_axes=(1,)` turns this warning off.",
    )


def warn_images_alone(owner: str) -> None:
    """Warns of images that a pipeline mixes without their labels."""
    warn(
        owner,
        "a pipeline must mix labels together with the images.",
        "images alone, with training=True, in a `tf.data` pipeline",
        "Map the layer over images and labels: `dataset.map(layer)`. Where there are "
        "no labels, filter this warning, of category `keras_msda.MixWarning`.",
    )


def warn_unheard(owner: str, name: str) -> None:
    """Warns of a model that is trained without the loss of its layer."""
    warn(
        owner,
        "a model with a mixing layer inside must be trained with that layer's loss.",
        f"a loss that has not asked what the layer {name!r} mixed",
        "Compile with `loss=layer.loss(...)`. If the labels are not to be mixed, "
        "filter this warning, of category `keras_msda.MixWarning`.",
    )


def fail_time_distributed(owner: str) -> NoReturn:
    """Raises the error for one call a frame, of which a loss would know the last."""
    fail(
        owner,
        "`TimeDistributed` mixes each frame by a plan of its own, and a loss knows the "
        "last one alone.",
        "a call in training inside `keras.layers.TimeDistributed`",
        "Call the layer on whole videos (batch, frames, height, width, channels) "
        "before it, with `mask_axes=(2, 3)` for one mask for all frames.",
    )


def check_no_weights_beside(owner: str, sample_weight: Any) -> None:
    """Refuses sample weights beside a dictionary that holds the labels."""
    if sample_weight is not None:
        fail(
            owner,
            "weights of a dictionary of images and labels are one of its entries.",
            "a dictionary, and `sample_weight` beside it",
            'Add them under the key "sample_weight", or give labels beside the '
            "dictionary, too.",
        )


def check_inputs(owner: str, inputs: Sequence[Any]) -> None:
    """Checks a tuple of several inputs."""
    plain = all(hasattr(entry, "shape") for entry in inputs)
    if not inputs or not plain:
        fail(
            owner,
            "several inputs in a tuple must be tensors, the images first.",
            f"a tuple of {', '.join(type(entry).__name__ for entry in inputs)}",
            'Use a dictionary, `{"images": x, ...}`, with `batch_keys` for what is '
            "mixed like the images.",
        )


def check_labels_once(owner: str, inputs: Sequence[Any], beside: Sequence[Any]) -> None:
    """Checks that labels and weights are given in one place."""
    twice = [key for key in beside if key in inputs]
    if twice:
        fail(
            owner,
            "labels and weights stand in the dictionary or beside it.",
            f"{twice[0]!r} in both",
            "Leave one of them out.",
        )


def check_same_rank(owner: str, shape: Any, spatial: Any) -> None:
    """Checks that a layer inside a model keeps the rank that it was built for."""
    if spatial is not None and len(shape) != len(spatial) + 2:
        fail(
            owner,
            f"the layer was built for images of rank {len(spatial) + 2}.",
            f"shape {_show(shape)}",
            "Use another layer for images with another number of axes.",
        )


def check_not_ragged(owner: str, name: str, ragged: bool, received: Any) -> None:
    """Refuses ragged tensors."""
    if ragged:
        fail(
            owner,
            f"{name} of one batch must have one size.",
            f"a ragged tensor of shape {_show(received.shape)}",
            "Resize or pad, then `dataset.batch(...)`.",
            TypeError,
        )


def check_known_rank(
    owner: str, name: str, x: Any, *, form: str = "(None, ...)"
) -> None:
    """Checks that the number of axes is known, which a traced tensor may lack.

    Args:
        owner: Name that an error starts with.
        name: What the tensor is to the user.
        x: A tensor or a shape.
        form: A shape that the remedy gives as an example.
    """
    shape = getattr(x, "shape", x)
    if getattr(shape, "rank", 0) is None:
        fail(
            owner,
            f"{name} must have a known number of axes when a pipeline is traced.",
            "a tensor of unknown rank, as `tf.numpy_function` returns it",
            "Set its shape before mixing, with None for each length that may vary: "
            f"`x = tf.ensure_shape(x, {form})`.",
        )


def check_numbers(owner: str, name: str, dtype: Any) -> None:
    """Refuses strings, complex numbers and whatever else is not a real number."""
    word = _dtype_name(dtype)
    if word.startswith(("bool", "int", "uint", "float", "bfloat")):
        return
    remedy = "Cast it to float32, or class ids to int32."
    if word.startswith(("str", "bytes", "object")):
        word = "object" if word == "object" else "string"
        remedy = (
            "Turn names of classes into ids first, for example by "
            "`keras.layers.StringLookup(vocabulary=names, num_oov_indices=0)`. Other "
            "strings come back as they are under a key of a dictionary that is not "
            "mixed."
        )
    fail(owner, f"{name} must hold real numbers.", f"dtype {word}", remedy)


def _dtype_name(dtype: Any) -> str:
    """Returns the name of any dtype, of those that Keras does not know too."""
    try:
        return str(keras.backend.standardize_dtype(dtype))
    except ValueError:
        return str(getattr(dtype, "name", dtype))


def check_array(owner: str, name: str, x: Any) -> None:
    """Checks for a dense tensor of known rank, or an array or list, of real numbers."""
    received = type(x).__name__
    if hasattr(x, "dense_shape"):
        fail(
            owner,
            f"{name} must be dense.",
            received,
            "Make it dense first: `tf.sparse.to_dense(x)`.",
        )
    dtype = getattr(x, "dtype", None)
    if dtype is None:
        try:
            dtype = None if isinstance(x, Mapping) else np.asarray(x).dtype
        except (TypeError, ValueError):
            received += " that makes no array"
        # Of None, and of what is no array, NumPy makes objects.
        if x is None or dtype is None:
            fail(
                owner,
                f"{name} must be a tensor, an array or a list of numbers.",
                received,
                "Give a tensor with one entry for each image.",
            )
    check_numbers(owner, name, dtype)
    check_known_rank(owner, name, x)


def check_batch(
    owner: str, name: str, shape: Any, images_shape: Any, *, unbatched: bool = False
) -> None:
    """Checks that a tensor has one entry a sample.

    Args:
        owner: Name that an error starts with.
        name: What the tensor is to the user.
        shape: Of the tensor.
        images_shape: Of the images, or the number of images alone, in a tuple.
        unbatched: Whether both look like those of one sample, as a pipeline gives them
            that is mapped before it is batched.
    """
    if len(shape) == 0:
        fail(
            owner,
            f"{name} must have a batch axis.",
            "a scalar",
            "Batch first, as in `dataset.batch(128).map(layer)`.",
        )
    given, batch = shape[0], images_shape[0]
    if isinstance(given, int) and isinstance(batch, int) and given != batch:
        remedy = f"Give one entry of {name} for each image."
        if unbatched:
            remedy = (
                "If these are one image and its label, batch first, as in "
                f"`dataset.batch(128).map(layer)`. {remedy}"
            )
        fail(
            owner,
            f"{name} must have the batch of the images, {batch}.",
            f"shape {_show(shape)}",
            remedy,
        )


def fail_unbatched(owner: str, name: str, shape: Any) -> NoReturn:
    """Raises the error for one image of unknown size with one row of labels."""
    fail(
        owner,
        f"images and {name} must have a batch axis.",
        f"an image of unknown height and width, and {name} of shape {_show(shape)}",
        "Batch first, as in `dataset.batch(128).map(layer)`. For a batch of signals "
        "set its length: `x = tf.ensure_shape(x, (length_of_batch, None, channels))`.",
    )


def check_soft(owner: str, dtype: Any, name: str = "labels") -> None:
    """Refuses integer labels where soft ones are mixed."""
    if not keras.backend.is_float_dtype(dtype):
        fail(
            owner,
            "integer labels have no mean; soft labels need the number of classes.",
            f"{name} of dtype {keras.backend.standardize_dtype(dtype)}",
            'Give `num_classes=...`, or use `targets="pair"` with `MixedLoss`; cast '
            "labels that are not class ids to float32.",
        )


def is_ids(shape: Any) -> bool:
    """Returns whether labels have the shape of class ids."""
    return len(shape) == 1 or (len(shape) == 2 and shape[1] == 1)


def check_ids(
    owner: str, name: str, shape: Any, found: Sequence[Any], size: Sequence[Any]
) -> None:
    """Checks the shape of integer labels.

    Args:
        owner: Name that an error starts with.
        name: What the labels are to the user.
        shape: Shape of the labels.
        found: Their spatial lengths, if they are masks.
        size: Spatial lengths of the images.
    """
    if is_ids(shape):
        return
    known = all(isinstance(n, int) for n in (*found, *size))
    alike = len(found) == len(size) and not any(map(_differ, found, size))
    if alike and (known or len(size) > 1):
        fail_dense(owner, f"{name} of shape {_show(shape)}", size)
    remedy = (
        "Cast labels that are not class ids, such as one-hot and multi-hot rows, to "
        "float32, and leave `num_classes` out."
    )
    if len(shape) > 2:
        remedy += ' Give masks under the key "segmentation_masks" of a dictionary.'
    elif shape[1] is None:
        remedy += " For a column of ids: `x = tf.ensure_shape(x, (None, 1))`."
    fail(
        owner,
        "integer labels are class ids, of shape (batch,) or (batch, 1).",
        f"{name} of shape {_show(shape)}",
        remedy,
    )


def check_not_dense(owner: str, shape: Any, size: Sequence[Any]) -> None:
    """Refuses labels of the images' size, which have one label a pixel.

    Their mix differs from pixel to pixel, unlike that of other labels.
    """
    lengths = tuple(shape[1 : 1 + len(size)])
    known = all(isinstance(n, int) for n in (*lengths, *size))
    if len(shape) > 2 and known and lengths == tuple(size):
        fail_dense(owner, f"labels of shape {_show(shape)}", size)


def fail_dense(owner: str, received: str, size: Sequence[Any]) -> NoReturn:
    """Raises the error for labels of the images' size."""
    if all(isinstance(length, int) for length in size):
        received += f" for images of size {_show(size)}"
    fail(
        owner,
        "labels of the images' size are mixed pixel by pixel, under a key of their "
        "own.",
        received,
        'Use a dictionary, `layer({"images": x, "segmentation_masks": y})`, for '
        'masks, or `batch_keys=("y",)` for other values.',
    )


def check_one_output(owner: str, name: str, given: Any) -> None:
    """Checks that an argument for labels of one output is not one for several."""
    if isinstance(given, (Mapping, tuple, list)):
        fail(
            owner,
            f"`{name}` is for several outputs, the labels are of one.",
            f"{name}={given!r}",
            "Give labels as a dictionary or tuple, or one number.",
        )


def check_outputs(owner: str, labels: Any, name: str, given: Any) -> None:
    """Checks that an argument for several outputs is one entry an output."""
    kinds = (Mapping, (tuple, list))
    fits = any(isinstance(labels, k) and isinstance(given, k) for k in kinds)
    if fits and isinstance(labels, Mapping):
        fits = set(given) <= set(labels)
    elif fits:
        fits = len(given) == len(labels)
    if not fits:
        keys = list(labels) if isinstance(labels, Mapping) else len(labels)
        fail(
            owner,
            f"several outputs need `{name}` as a dictionary or tuple like the labels.",
            f"{name}={given!r} for the outputs {keys}",
            f'Use for example `{name}={{"class": 10}}`, without the outputs that need '
            "none.",
        )


def check_id_range(owner: str, low: int, high: int, num_classes: int) -> None:
    """Checks class ids that can be looked at."""
    if low < 0 or high >= num_classes:
        fail(
            owner,
            f"class ids must be in [0, num_classes={num_classes}).",
            f"ids from {low} to {high}",
            "Give the number of classes that the labels count up to.",
        )


def check_not_soft(
    owner: str, name: str, shape: Any, dtype: Any, num_classes: int
) -> None:
    """Refuses a number of classes for labels that are already soft."""
    if keras.backend.is_float_dtype(dtype) and not is_ids(shape):
        fail(
            owner,
            "`num_classes` turns class ids into soft labels, and these are soft.",
            f"num_classes={num_classes} with {name} of shape {_show(shape)} and dtype "
            f"{keras.backend.standardize_dtype(dtype)}",
            "Leave `num_classes` out for labels that are soft; class ids have shape "
            "(batch,) or (batch, 1).",
        )


def check_float_ids(owner: str, name: str, dtype: Any, num_classes: int) -> None:
    """Checks that a float dtype holds all class ids exactly."""
    word = str(keras.backend.standardize_dtype(dtype))
    exact = {"bfloat16": 2**8, "float16": 2**11}.get(word, LARGEST_ID)
    if num_classes - 1 > exact and word != "float64":
        fail(
            owner,
            f"class ids of dtype {word} are exact up to {exact}.",
            f"{name} of dtype {word} with num_classes={num_classes}",
            "Keep class ids as integers: cast them to int32 before anything makes "
            "floats of them.",
        )


def fail_float_ids(owner: str, name: str, value: float, num_classes: int) -> NoReturn:
    """Raises the error for a float that is no class id."""
    fail(
        owner,
        f"class ids must be whole numbers in [0, num_classes={num_classes}).",
        f"{name} that hold {value:g}",
        "Leave `num_classes` out for labels that are averaged as numbers.",
    )


def check_sample_weight(owner: str, shape: Any) -> None:
    """Checks that there is one weight a sample."""
    if not (len(shape) == 1 or (len(shape) == 2 and shape[1] == 1)):
        fail(
            owner,
            "sample weights must have shape (batch,) or (batch, 1).",
            f"shape {_show(shape)}",
            "Give one weight for each sample.",
        )


def check_no_weights(owner: str, sample_weight: Any) -> None:
    """Refuses sample weights without labels."""
    if sample_weight is not None:
        fail(
            owner,
            "sample weights are mixed together with labels.",
            "sample_weight without labels",
            "Give labels too, or the weights to the loss.",
        )


def check_keys(
    owner: str, inputs: Any, batch_keys: Sequence[str], box_format: Any
) -> None:
    """Checks the keys of a dictionary of inputs.

    Args:
        owner: Name that an error starts with.
        inputs: The dictionary, or its keys.
        batch_keys: Keys of further tensors to mix.
        box_format: Format of bounding boxes or None.
    """
    keys = list(inputs)
    received = f"keys {sorted(map(str, keys))}"
    if "images" not in keys:
        fail(
            owner,
            'a dictionary must hold "images".',
            received,
            _renaming(keys)
            or 'Add "images", or give the images as the first argument.',
        )
    mixed = [key for key in KEYS if key not in ("images", "sample_weight")]
    if not any(key in keys for key in (*mixed, *batch_keys)):
        words = ", ".join(f'"{key}"' for key in mixed)
        fail(
            owner,
            f"a dictionary must hold something that is mixed with the images: {words} "
            "or one of `batch_keys`.",
            received,
            _renaming(keys) or 'Add "labels", or call the layer with images alone.',
        )
    for key in batch_keys:
        if key not in keys:
            fail(
                owner,
                f'the dictionary must hold "{key}", one of `batch_keys`.',
                received,
                f'Add "{key}", or leave it out of `batch_keys`.',
            )
    if "bounding_boxes" in keys and box_format is None:
        fail(
            owner,
            '"bounding_boxes" need `bounding_box_format`.',
            f"{received}, bounding_box_format=None",
            'Give the layer for example `bounding_box_format="xyxy"`.',
        )
    if isinstance(inputs, Mapping):
        _check_all_given(owner, inputs, ("images", *mixed, *batch_keys))


def _check_all_given(
    owner: str, inputs: Mapping[Any, Any], keys: Sequence[str]
) -> None:
    """Refuses None under the keys of what is mixed."""
    for key in keys:
        if key in inputs:
            check_given(owner, key, inputs[key])


def check_given(owner: str, key: str, value: Any) -> None:
    """Refuses None where a dictionary names something to mix."""
    if value is None:
        fail(
            owner,
            f'"{key}" of a dictionary must be given where the key is there.',
            f'{{"{key}": None}}',
            f'Leave the key "{key}" out, or give its tensor.',
        )


def _renaming(keys: Sequence[Any]) -> str:
    """Returns the line that renames keys of other libraries; empty if none is known."""
    names = {}
    for key, others in OTHER_KEYS.items():
        found = [other for other in (key, *others) if other in keys]
        if found:
            names[found[0]] = key
    if "images" not in names.values() or all(old == new for old, new in names.items()):
        return ""
    entries = ", ".join(
        f"{_quoted(names.get(key, key))}: d[{_quoted(key)}]" for key in keys
    )
    return f"Rename the keys first: `dataset.map(lambda d: {{{entries}}})`."


def _quoted(key: Any) -> str:
    return f'"{key}"' if isinstance(key, str) else repr(key)


def check_batch_keys(owner: str, value: Any) -> tuple[str, ...]:
    """Returns the keys of further tensors to mix."""
    valid = isinstance(value, (tuple, list)) and all(
        isinstance(key, str) and key not in KEYS for key in value
    )
    if not valid:
        fail(
            owner,
            "`batch_keys` must hold names of further entries of a dictionary.",
            f"batch_keys={value!r}",
            'Use for example `batch_keys=("second_view",)`; "images", "labels" and the '
            "other keys of Keras are mixed anyway.",
        )
    return tuple(value)


def check_segmentation(owner: str, value: Any) -> str | int:
    """Returns how segmentation masks are mixed: a word or a number of classes."""
    if isinstance(value, numbers.Integral) and not isinstance(value, bool):
        return check_count(owner, "segmentation", value)
    return check_choice(owner, "segmentation", value, SEGMENTATION)


def check_masks(owner: str, shape: Any, found: Any, expected: Any) -> None:
    """Checks that segmentation masks belong to images of this batch and size.

    Args:
        owner: Name that an error starts with.
        shape: Shape of the masks.
        found: Their batch and spatial lengths.
        expected: Those of the images.
    """
    if len(found) != len(expected) or any(map(_differ, found, expected)):
        fail(
            owner,
            f"segmentation masks must have batch and size of the images, "
            f"{_show(expected)}, and at most an axis of channels.",
            f"shape {_show(shape)}",
            "Resize the masks to the images, and check `data_format`.",
        )


def _differ(n: Any, m: Any) -> bool:
    """Tells whether two lengths are known and not the same."""
    return isinstance(n, int) and isinstance(m, int) and n != m


def check_masks_dtype(
    owner: str, dtype: Any, channels: int | None, mode: str | int
) -> None:
    """Checks that segmentation masks can be mixed in a mode."""
    floats = keras.backend.is_float_dtype(dtype)
    count = "an unknown number of" if channels is None else channels
    received = (
        f"masks of dtype {keras.backend.standardize_dtype(dtype)} with "
        f"{count} channels, segmentation={mode!r}"
    )
    if isinstance(mode, int) and not floats and channels is None:
        fail(
            owner,
            "a number of classes needs segmentation masks with one channel, or without "
            "an axis of channels.",
            received,
            "Set their shape before mixing: "
            "`masks = tf.ensure_shape(masks, (None, None, None, 1))`.",
        )
    if mode == "blend" and not floats:
        fail(
            owner,
            "integer masks have no mean.",
            received,
            'Use `segmentation="select"`, or the number of classes, which makes soft '
            "masks of class indices.",
        )
    if isinstance(mode, int) and (floats or channels != 1):
        fail(
            owner,
            "a number of classes makes soft masks of class indices, which are integers "
            "without an axis of classes.",
            received,
            'Cast class indices to int32; use `segmentation="blend"` for masks that '
            "are soft already.",
        )


def check_box_format(owner: str, value: Any) -> str:
    """Returns a format of bounding boxes in lower case."""
    value = value.lower() if isinstance(value, str) else value
    return check_choice(owner, "bounding_box_format", value, BOX_FORMATS)


def check_optional_format(owner: str, value: Any) -> str | None:
    """Returns a format of bounding boxes or None."""
    return None if value is None else check_box_format(owner, value)


def check_entries(owner: str, entries: Any, place: str) -> None:
    """Checks for a dictionary of boxes or keypoints with their labels."""
    valid = isinstance(entries, Mapping) and {place, "labels"} <= set(entries)
    if not valid:
        received = type(entries).__name__
        if isinstance(entries, Mapping):
            received = f"keys {sorted(map(str, entries))}"
        fail(
            owner,
            f'{place} must be a dictionary that holds "{place}" and "labels".',
            received,
            _entries_remedy(entries, place),
        )


def _entries_remedy(entries: Any, place: str) -> str:
    """Returns how to give boxes or keypoints, with KerasCV's "classes" renamed."""
    keys = list(entries) if isinstance(entries, Mapping) else []
    if place not in keys or "classes" not in keys:
        return f'Use `{{"{place}": ..., "labels": ...}}`.'
    names = {"classes": "labels"}
    renamed = ", ".join(f"{_quoted(names.get(k, k))}: d[{_quoted(k)}]" for k in keys)
    return f"Rename them: `{{{renamed}}}`, d being the given dictionary."


def check_all_ragged(owner: str, ragged: dict[str, bool]) -> None:
    """Checks that all entries are ragged, or none."""
    if any(ragged.values()) and not all(ragged.values()):
        fail(
            owner,
            "coordinates, labels and what else goes with them must be all ragged or "
            "all dense.",
            f"ragged: {[key for key, value in ragged.items() if value]}, dense: "
            f"{[key for key, value in ragged.items() if not value]}",
            "Convert the ragged ones with `to_tensor(-1)`.",
        )


def check_two_axes(owner: str, size: Sequence[Any]) -> None:
    """Checks for images with two spatial axes."""
    if len(size) != 2:
        fail(
            owner,
            "bounding boxes need images with two spatial axes.",
            f"{len(size)} spatial axes",
            "Give points instead, as keypoints.",
        )


def check_places(owner: str, shapes: dict[str, Any], place: str, layout: Any) -> None:
    """Checks the shapes of boxes or keypoints and of what goes with them.

    Args:
        owner: Name that an error starts with.
        shapes: Shape of each entry.
        place: Name of the coordinates.
        layout: Of the images.
    """
    width = 4 if place == "boxes" else len(layout.size)
    forms = {place: ("batch", "n", width), "labels": ("batch", "n")}
    count = shapes[place][1] if len(shapes[place]) == 3 else None
    for key, shape in shapes.items():
        form = forms.get(key, ("batch", "n", *shape[2:]))
        expected = (layout.batch, count, *form[2:])
        if len(shape) != len(form) or any(map(_differ, shape, expected)):
            words = ", ".join(map(str, form if key in forms else (*form[:2], "...")))
            fail(
                owner,
                f'"{key}" must have shape ({words}), with the batch of the images and '
                "one n for all.",
                f"shape {_show(shape)}",
                "Give one row for each, and pad with labels of -1.",
            )


def check_box_labels(owner: str, dtype: Any) -> None:
    """Checks that labels can be negative, as those of padding are."""
    name = _dtype_name(dtype)
    if name == "bool" or name.startswith("uint"):
        fail(
            owner,
            "labels of boxes and keypoints are -1 where a row is padding.",
            f"labels of dtype {name}",
            "Cast them to int32.",
        )


def check_further(
    owner: str, key: str, lengths: Sequence[Any], size: Sequence[Any]
) -> None:
    """Checks a further tensor whose spatial lengths must divide the images'."""
    for length, fine in zip(lengths, size, strict=True):
        if isinstance(length, int) and isinstance(fine, int) and fine % max(length, 1):
            fail(
                owner,
                f'the spatial lengths of "{key}" must divide those of the images, '
                f"{_show(size)}.",
                f"lengths {_show(lengths)}",
                "Resize it, or flatten its spatial axes to have it mixed by the weight "
                "of the labels.",
            )


def check_real(
    owner: str, key: str, dtype: Any, lengths: Sequence[Any] | None, size: Sequence[Any]
) -> None:
    """Refuses integers where a mean is taken that is not one of images."""
    alike = lengths is not None and not any(map(_differ, lengths, size))
    if not alike and not keras.backend.is_float_dtype(dtype):
        fail(
            owner,
            f'integers have no mean, and "{key}" is not of the images\' size.',
            f"dtype {keras.backend.standardize_dtype(dtype)}",
            'Give class ids as "labels", and cast what is no id to float32.',
        )


def check_parts(owner: str, parts: Any) -> None:
    """Checks a tuple that is given instead of images, labels and weights."""
    if not (2 <= len(parts) <= 3):
        fail(
            owner,
            "a tuple must hold images, labels and perhaps sample weights.",
            f"{len(parts)} entries",
            "Give images alone as a tensor, and more tensors as a dictionary with "
            "`batch_keys`.",
        )


def check_plan(owner: str, images: Any, mask: Any, data_format: str) -> None:
    """Checks that a plan was made for images of this batch and size."""
    spatial = images[1:-1] if data_format == "channels_last" else images[2:]
    expected = (images[0], *spatial)
    fits = len(expected) == len(mask) and all(
        n is None or m is None or n == m or (i == 0 and m == 1)
        for i, (n, m) in enumerate(zip(expected, mask, strict=True))
    )
    if not fits:
        fail(
            owner,
            f"the plan must be for these images, masks of shape {_show(expected)}.",
            f"masks of shape {_show(mask)}",
            "Draw it with `layer.sample(batch, size, seed=...)`, and check "
            "`data_format`.",
        )


def check_seed_pair(owner: str, seed: Any) -> Any:
    """Returns a seed of draws: a pair of integers, or a tensor of two."""
    if hasattr(seed, "dtype") and hasattr(seed, "shape"):
        rank = getattr(seed.shape, "rank", len(tuple(seed.shape or ())))
        fits = rank is None or tuple(seed.shape) in ((2,), (None,))
        if fits and not keras.backend.is_float_dtype(seed.dtype):
            return seed
    elif (
        isinstance(seed, (tuple, list))
        and len(seed) == 2
        and all(_is_whole(x) or _is_integer_scalar(x) for x in seed)
    ):
        return tuple(seed)
    fail(
        owner,
        "`seed` must be a pair of integers, or a tensor of two.",
        f"seed={seed!r}",
        "Use for example `seed=(epoch, step)`.",
    )


def check_partner_settings(owner: str, per: str, groups: Any) -> None:
    """Checks the settings of a layer that is given partners."""
    if per == "pair" or groups not in (None, 1):
        fail(
            owner,
            '`partner` cannot be combined with `per="pair"` or `groups`, which are '
            "about drawn partners.",
            f"per={per!r}, groups={groups!r}",
            'Use `per="sample"` or `per="batch"`, and leave `groups` out.',
        )


def check_indices(owner: str, partner: Any, batch: Any) -> Any:
    """Returns given partners, integers of one for each sample."""
    length = partner.shape[0] if len(partner.shape) == 1 else -1
    whole = keras.backend.is_int_dtype(partner.dtype)
    if not whole or _differ(length, batch):
        fail(
            owner,
            "`partner` must be integers of shape (batch,), or a second batch.",
            f"shape {_show(partner.shape)} and dtype "
            f"{keras.backend.standardize_dtype(partner.dtype)} for a batch of {batch}",
            "Give the index of a partner for each sample, its own for none.",
        )
    return partner


def check_second(owner: str, keys: Sequence[str], second: Sequence[str]) -> None:
    """Checks that a second batch has the parts of the first."""
    if set(keys) != set(second):
        fail(
            owner,
            "a second batch must hold what the first one holds.",
            f"{sorted(second)} beside {sorted(keys)}",
            "Give `partner` in the form of the first batch, for example "
            "`layer(x, y, partner=(other_x, other_y))`.",
        )


def check_alike(owner: str, own: Any, other: Any) -> None:
    """Checks that tensors of two batches have the same shape, as far as is known."""
    if len(own.shape) != len(other.shape) or any(map(_differ, own.shape, other.shape)):
        fail(
            owner,
            "a second batch must have the shapes of the first.",
            f"shapes {_show(own.shape)} and {_show(other.shape)}",
            "Batch both with `drop_remainder=True`, and pad what differs in length.",
        )


def check_mask_axes(owner: str, value: Any) -> tuple[int, ...] | None:
    """Returns the axes that a mask depends on, or None for all spatial ones."""
    if value is None:
        return None
    valid = isinstance(value, (tuple, list)) and 1 <= len(value) <= 3
    if not valid or not all(isinstance(x, numbers.Integral) and x for x in value):
        fail(
            owner,
            "`mask_axes` must hold one to three axes of the images, without the batch.",
            f"mask_axes={value!r}",
            "Use for example `mask_axes=(2, 3)` for height and width of videos "
            "(batch, frames, height, width, channels).",
        )
    return tuple(int(axis) for axis in value)


def check_places_of_axes(
    owner: str, axes: Sequence[int], rank: int, first: int
) -> tuple[int, ...]:
    """Returns which of the spatial axes some axes of the images are, in order.

    Args:
        owner: Name that an error starts with.
        axes: Axes of the images, perhaps negative.
        rank: Number of spatial axes.
        first: The first spatial axis.
    """
    total = rank + 2
    places = sorted(axis % total - first for axis in axes if -total <= axis < total)
    fits = len(set(places)) == len(axes)
    if not fits or not all(0 <= place < rank for place in places):
        fail(
            owner,
            "`mask_axes` must be different spatial axes of the images.",
            f"mask_axes={tuple(axes)} for images with {rank} spatial axes",
            f"Use some of the axes {', '.join(str(first + n) for n in range(rank))}.",
        )
    return tuple(places)


def check_fold(owner: str, value: Any, targets: str) -> bool:
    """Returns whether lambda is folded to one half or more."""
    if not isinstance(value, (bool, np.bool_)):
        fail(
            owner,
            "`fold` must be True or False.",
            f"fold={value!r}",
            "True makes lambda max(lambda, 1 - lambda).",
        )
    if value and targets == "own":
        fail(
            owner,
            '`fold` cannot be combined with `targets="own"`, which draws lambda so '
            "that the own label alone suffices.",
            f"fold={value!r}, targets={targets!r}",
            'Use `targets="soft"`.',
        )
    return bool(value)


def check_seed(owner: str, seed: Any) -> int:
    """Checks the seed of a layer, and returns it in 64 bits with a sign."""
    try:
        number = None if isinstance(seed, bool) else operator.index(seed)
    except TypeError:
        number = None
    if number is None or not -(2**63) <= number < 2**64:
        fail(
            owner,
            "`seed` must be an integer of at most 64 bits or None.",
            f"seed={seed!r}",
            "Use for example `seed=7`.",
        )
    return number - 2**64 if number >= 2**63 else number


def check_mixer(owner: str, layer: Any) -> None:
    """Checks that something mixes batches by a seed."""
    if not hasattr(layer, "mix"):
        fail(
            owner,
            "`layer` must be a mixing layer.",
            f"{type(layer).__name__}",
            "Give for example `keras_msda.CutMixLayer(num_classes=10)`.",
        )


def check_integers(owner: str, values: Sequence[Any]) -> None:
    """Checks that a library without 64-bit integers would not cut any."""
    for value in values:
        if not (isinstance(value, np.ndarray) and value.dtype.kind in "iu"):
            continue
        if value.dtype.itemsize == 8 and value.size:
            largest = max(int(value.max()), -int(value.min()) - 1)
            if largest >= 2**31:
                fail(
                    owner,
                    "JAX has integers of 32 bits unless it is told otherwise.",
                    f"the number {largest}",
                    "Set `jax.config.update('jax_enable_x64', True)`, or renumber.",
                )


def check_index(owner: str, index: Any) -> None:
    """Checks the function that numbers batches."""
    if not (index is None or callable(index)):
        fail(
            owner,
            "`index` must be a function of a batch or None.",
            f"index={index!r}",
            'Give for example `index=lambda batch: batch["number"]`.',
        )


def check_epoch(owner: str, epoch: Any) -> None:
    """Checks the number of an epoch, where it is one and no variable."""
    whole = isinstance(epoch, numbers.Integral) and not isinstance(epoch, bool)
    if not (epoch is None or hasattr(epoch, "dtype") or (whole and epoch >= 0)):
        fail(
            owner,
            "`epoch` must be an integer of 0 or more, a `tf.Variable` or None.",
            f"epoch={epoch!r}",
            "Leave it out to make each iteration another epoch.",
        )


def check_lam(
    owner: str, lam: Any, remedy: str = "Leave `lam` out to draw it."
) -> None:
    """Checks a lambda, or some.

    Args:
        owner: Name that the error starts with.
        lam: What `_backend.visible` returns of it; None is not checked.
        remedy: What the error ends with.
    """
    _check_within(owner, "lam", lam, remedy)


def check_rounding(owner: str, rounding: Any) -> None:
    """Checks what is added to sides or counts before they are rounded down.

    Args:
        owner: Name that the error starts with.
        rounding: What `_backend.visible` returns of it.
    """
    remedy = "Use 0.0 to round down, or uniform draws."
    _check_within(owner, "rounding", rounding, remedy, below=True)


def _check_within(
    owner: str, name: str, values: Any, remedy: str, below: bool = False
) -> None:
    """Checks numbers in [0, 1], or in [0, 1), and leaves alone what is traced."""
    known = (numbers.Real, list, tuple, str, np.ndarray, np.generic)
    if not isinstance(values, known):
        return
    array, wrong = np.asarray(values), np.ones((), bool)
    if array.dtype.kind in "biuf":
        wrong = ~((array >= 0) & ((array < 1) if below else (array <= 1)))
    if not np.any(wrong):
        return
    received = f"{name}={values.tolist() if array is values else values!r}"
    if array.size > 8:
        first = array.ravel()[int(np.argmax(np.broadcast_to(wrong, array.shape)))]
        received = f"{name} of shape {array.shape} with the value {first!r}"
    ends = "[0, 1)" if below else "[0, 1]"
    fail(owner, f"`{name}` must be in {ends}.", received, remedy)


def check_draws_of(owner: str, name: str, shape: Any, expected: Sequence[Any]) -> None:
    """Checks the shape of what is given for each draw, as far as it is known.

    Args:
        owner: Name that the error starts with.
        name: Of the argument.
        shape: Its static shape.
        expected: A pair an axis: its name and its length, where that is fixed. One
            draw serves for all.
    """
    known = getattr(shape, "rank", 0) is not None
    fits = known and len(shape) == len(expected)
    if known and not (
        fits
        and all(
            n is None or length is None or n == length or (n == 1 and axis == 0)
            for axis, (n, (_, length)) in enumerate(zip(shape, expected, strict=True))
        )
    ):
        words = [axis if n is None else f"{axis}={n}" for axis, n in expected]
        comma = "," if len(words) == 1 else ""
        fail(
            owner,
            f"`{name}` must have the shape ({', '.join(words)}{comma}).",
            f"shape {_show(shape)}",
            "Give one entry for each draw, such as `[0.5]` for one lambda.",
        )


def check_center(
    owner: str, center: Any, size: Sequence[Any], *, anywhere: bool = False
) -> None:
    """Checks centre pixels.

    Args:
        owner: Name that the error starts with.
        center: What `_backend.visible` returns of them; None is not checked.
        size: Spatial lengths; integers are checked against.
        anywhere: Whether centres may lie outside.
    """
    if center is None:
        return
    whole = center.dtype.kind in "iu"
    if whole and anywhere:
        return
    if whole and center.ndim == 2 and center.shape[1] == len(size):
        lengths = [n if isinstance(n, int) else np.inf for n in size]
        if np.all((center >= 0) & (center < lengths)):
            return
    elif whole:  # Its shape is another check's.
        return
    fail(
        owner,
        "`center` must be integer pixels inside the image.",
        f"center of dtype {center.dtype} from {_least(center)} for size={size!r}",
        "Count pixels from 0, axis by axis.",
    )


def _least(values: np.ndarray) -> str:
    """Returns the range of values, where they have one."""
    if values.dtype.kind not in "biuf" or not values.size:
        return "nothing"
    return f"{values.min()} to {values.max()}"


def check_field(owner: str, shape: Any, draws: int | None) -> None:
    """Checks the shape of random fields."""
    rank = getattr(shape, "rank", 0)
    known = rank is not None and 2 <= len(shape) <= 4
    sizes = list(shape)[1:] if known else [0]
    batch = shape[0] if known else None
    if 0 in sizes or not (batch is None or draws is None or batch == draws):
        first = "draws" if draws is None else f"draws={draws}"
        fail(
            owner,
            f"`field` must have the shape ({first}, *size) with one to three spatial "
            "axes.",
            f"shape {_show(shape)}",
            "Make it by `keras_msda.masks.fourier_field`.",
        )


def check_draw_count(owner: str, name: str, value: Any) -> Any:
    """Returns a number of samples or draws, 0 or more, or a traced one.

    Args:
        owner: Name that the error starts with.
        name: Of the argument.
        value: An integer, also one of NumPy, or a traced scalar.
    """
    if _is_length(value) or (_is_whole(value) and value == 0):
        return int(value)
    if not _is_whole(value) and _is_integer_scalar(value):
        return value
    fail(
        owner,
        f"`{name}` must be an integer, not negative.",
        f"{name}={value!r}",
        f"Use for example `{name}=8`.",
    )


def _is_integer_scalar(value: Any) -> bool:
    """Returns whether a value is an integer tensor without axes."""
    if not (hasattr(value, "shape") and hasattr(value, "dtype")):
        return False
    dtype = keras.backend.standardize_dtype(value.dtype)
    return len(value.shape) == 0 and keras.backend.is_int_dtype(dtype)


#: Along one axis four times the length must be an int32.
LONGEST_AXIS = 2**29 - 1
_MOST_PIXELS = 2**31 - 1


def check_size(owner: str, size: Any) -> tuple[Any, ...]:
    """Returns the spatial size of a plan, integers or traced scalars."""
    lengths = tuple(size) if isinstance(size, (tuple, list)) else ()
    fits = 1 <= len(lengths) <= 3 and all(
        _is_length(n) or (not _is_whole(n) and _is_integer_scalar(n)) for n in lengths
    )
    if not fits:
        fail(
            owner,
            "`size` must hold one to three spatial lengths, positive integers, without "
            "channels.",
            f"size={size!r}",
            "Use for example `size=(32, 32)`.",
        )
    lengths = tuple(int(n) if _is_whole(n) else n for n in lengths)
    check_countable(owner, lengths, _MOST_PIXELS)
    return lengths


def check_countable(owner: str, size: Sequence[Any], most: int | None = None) -> None:
    """Checks that pixels can be counted, where lengths are integers.

    Args:
        owner: Name that the error starts with.
        size: Spatial lengths.
        most: Largest number of pixels, None for any.
    """
    known = [length for length in size if isinstance(length, int)]
    if known and max(known) > LONGEST_AXIS:
        fail(
            owner,
            f"an axis may have {LONGEST_AXIS:,} pixels at most.",
            f"size={tuple(size)!r}",
            "Cut the images into parts first.",
        )
    if most is not None and math.prod(known) > most:
        fail(
            owner,
            f"an image may have {most:,} pixels at most.",
            f"size={tuple(size)!r}, {math.prod(known):,} pixels",
            "Cut the images into parts first.",
        )


def check_member(owner: str, member: Any, settings: dict[str, Any]) -> None:
    """Checks that a member of a random choice leaves the shared arguments alone.

    Args:
        owner: Name of the choosing layer.
        member: One of its layers.
        settings: Shared arguments of the choosing layer and its members' defaults,
            name -> (own value, default).
    """
    for name, (value, default) in settings.items():
        given = getattr(member, name)
        if given not in (value, default):
            fail(
                owner,
                f"`{name}` is its own; its layers give the law of lambda and the mask.",
                f"{type(member).__name__}({name}={given!r}) with {name}={value!r}",
                f"Give `{name}` to {owner} instead.",
            )


def check_members(owner: str, layers: Any, weights: Any, kind: type) -> None:
    """Checks the layers of a random choice and their weights."""
    valid = isinstance(layers, (tuple, list)) and len(layers) > 0
    if not valid or not all(isinstance(layer, kind) for layer in layers):
        fail(
            owner,
            "`layers` must be a list of mixing layers, one at least.",
            f"layers={layers!r}",
            "Use for example `[MixUpLayer(alpha=0.8), CutMixLayer()]`.",
            TypeError,
        )
    if weights is None:
        return
    valid = (
        isinstance(weights, (tuple, list))
        and len(weights) == len(layers)
        and all(_is_number(w) and math.isfinite(w) and w >= 0 for w in weights)
        and sum(weights) > 0
    )
    if not valid:
        fail(
            owner,
            "`weights` must hold one number for each layer, none negative and not all "
            "zero.",
            f"{len(layers)} layers with weights={weights!r}",
            "Leave `weights` out for equal chances.",
        )


def check_no_alpha(owner: str, arguments: dict[str, Any]) -> None:
    """Refuses a law of lambda where the members give it."""
    if "alpha" in arguments:
        fail(
            owner,
            "`alpha` belongs to each of its layers.",
            f"alpha={arguments['alpha']!r}",
            "Use for example `[MixUpLayer(alpha=0.8), CutMixLayer()]`.",
        )


def check_label_rank(owner: str, labels: Any, outputs: Any) -> None:
    """Checks that axes and classes of labels and outputs are known when traced."""
    for name, shape in (("labels", labels), ("outputs", outputs)):
        if getattr(shape, "rank", 0) is None:
            fail(
                owner,
                f"the number of axes of the {name} must be known when traced.",
                f"{name} of unknown shape",
                f"Set it where they are made, for example "
                f"`{name} = tf.ensure_shape({name}, (None, 10))`.",
            )
    if outputs[-1:] == (None,) and len(outputs) > 1:
        fail(
            owner,
            "the last axis of the outputs must be known when traced.",
            f"outputs of shape {_show(outputs)}",
            "Let the model end with a layer of a given width, such as `Dense(10)`.",
        )


def fail_unpacked(owner: str, labels: Any, outputs: Any, ids: bool | None) -> NoReturn:
    """Raises the error for labels that carry no partner."""
    check_two_columns(owner, labels, outputs)
    remedy = (
        'Map the dataset with a layer of `targets="pair"` (validation too, with '
        "`training=False`), or use `layer.loss(...)` and `layer.accuracy()` of the "
        "layer inside the model."
    )
    if ids is False and len(labels) == 2 and labels[-1] == 3:
        remedy = (
            "Packed class ids need a loss that takes class ids, such as "
            '"sparse_categorical_crossentropy", or `ids=True`. Labels that are mixed '
            "already need no `MixedLoss`: give `compile` the loss itself."
        )
    elif labels[-1:] == (None,) and len(labels) > 1:
        remedy = (
            "Set the last axis where labels are made, for example "
            "`labels = tf.ensure_shape(labels, (None, 3))`."
        )
    fail(
        owner,
        "without a layer the labels must be packed pairs, floats, or soft labels of "
        "the outputs' shape.",
        f"labels of shape {_show(labels)} with outputs of shape {_show(outputs)}",
        remedy,
    )


def check_two_columns(owner: str, labels: Any, outputs: Any) -> None:
    """Refuses labels of two classes for one output."""
    if len(labels) == len(outputs) > 1 and (labels[-1], outputs[-1]) == (2, 1):
        fail(
            owner,
            "one output for two classes takes labels of shape (batch, 1), from 0 to 1.",
            f"labels of shape {_show(labels)} with outputs of shape {_show(outputs)}",
            "Leave `num_classes=2` out and map floats: "
            '`layer(x, tf.cast(y, "float32")[:, None])`; or give the model two outputs '
            "with a softmax.",
        )


def check_plain(owner: str, labels: Any, outputs: Any, ids: bool) -> None:
    """Refuses labels of a layer inside the model that a loss of Keras cannot take."""
    if len(labels) != len(outputs) or len(labels) < 2:
        return
    width, classes = labels[-1], outputs[-1]
    packed = classes > 1 and width == (3 if ids else 2 * classes + 1)
    if packed or (ids and width not in (1, None)):
        kind = "class ids, of shape (batch,) or (batch, 1)" if ids else "not packed"
        fail(
            owner,
            f"the labels of a layer inside the model must be {kind}.",
            f"labels of shape {_show(labels)} with outputs of shape {_show(outputs)}",
            "Use `MixedLoss(...)` without the layer for what a pipeline has packed, "
            'and for one-hot labels a loss such as "categorical_crossentropy".',
        )


def check_counted(owner: str, labels: Any, outputs: Any) -> None:
    """Checks that an accuracy can compare labels with outputs."""
    check_two_columns(owner, labels, outputs)
    wanted = {tuple(outputs[1:]), tuple(outputs[1:-1]), (*outputs[1:-1], 1)}
    given = tuple(labels[1:])
    if not any(
        len(given) == len(shape) and not any(map(_differ, given, shape))
        for shape in wanted
    ):
        fail(
            owner,
            "the labels must be class ids, one for each output, or soft labels of the "
            "outputs' shape.",
            f"labels of shape {_show(labels)} with outputs of shape {_show(outputs)}",
            "Use `MixedAccuracy()` without the layer for what a pipeline has packed.",
        )


def fail_ambiguous(owner: str, labels: Any) -> NoReturn:
    """Raises the error for labels that have two readings."""
    fail(
        owner,
        "with three classes, three numbers may be packed ids or a soft label.",
        f"labels of shape {_show(labels)}, which no `MixedLoss` has read before",
        f"Write `metrics=[{owner}(ids=True)]` for packed ids, "
        f"`metrics=[{owner}(ids=False)]` for soft labels, and "
        "`metrics=[layer.accuracy()]` for a layer inside the model.",
    )


def fail_unsaid(owner: str, labels: Any, outputs: Any) -> NoReturn:
    """Raises the error for labels that a function could take in several ways."""
    fail(
        owner,
        "three numbers may be packed class ids, packed numbers or labels that are not "
        "packed, and a function does not say which it takes.",
        f"labels of shape {_show(labels)} with outputs of shape {_show(outputs)}",
        f"Write `{owner}(function, ids=True)` for packed class ids, "
        f"`{owner}(function, ids=False)` for packed numbers or soft labels of three "
        "classes. Labels that are mixed already need neither: give `compile` the "
        "function itself.",
    )


def fail_unknown_layer(owner: str, uid: str) -> NoReturn:
    """Raises the error for a loss or metric whose layer is not there."""
    fail(
        owner,
        "a saved loss or metric needs its layer, which is loaded with the model.",
        f"layer uid {uid!r}",
        "Load the whole model, or compile it anew with `layer.loss(...)`.",
    )


def check_union(owner: str, labels: Any, outputs: Any) -> None:
    """Checks that labels can be united: those of a layer inside the model."""
    if tuple(labels[1:]) != tuple(outputs[1:]):
        fail(
            owner,
            'a layer of `targets="union"` needs labels of the outputs\' shape, 0 or 1.',
            f"labels of shape {_show(labels)} with outputs of shape {_show(outputs)}",
            "Encode class ids with `keras.ops.one_hot` or `keras.ops.multi_hot`.",
        )


def check_pixels(owner: str, size: Any, labels: Any, spatial: Any) -> None:
    """Checks that there is a label for each pixel of the images."""
    lengths = tuple(labels[1 : 1 + len(size)])
    known = all(isinstance(n, int) for n in size)
    bad = len(lengths) != len(size) or any(map(_differ, lengths, size))
    if bad or not known or any(map(_differ, size, spatial or size)):
        fail(
            owner,
            "outputs of the images' rank have a label for each pixel, and the images' "
            "size, known when traced.",
            f"outputs of size {_show(size)}, labels of shape {_show(labels)}, images "
            f"of size {spatial}",
            "Resize the outputs to the images, or use `per_pixel=False` where each "
            "sample is mixed by one weight.",
        )


def fail_one_value(owner: str, values: Any, weights: Any) -> NoReturn:
    """Raises the error for a loss that sums up the pixels itself."""
    fail(
        owner,
        "with a label for each pixel the loss must return a value for each.",
        f"values of shape {_show(values)} for weights of shape {_show(weights)}",
        "Mix the masks in the pipeline, under the key "
        '"segmentation_masks", for a loss of whole images such as Dice.',
    )


def check_values(
    owner: str, loss: str, values: Any, weights: Any, *batches: Any
) -> None:
    """Checks that a loss returns a value for each weight.

    Args:
        owner: Whom an error names.
        loss: Name of the loss.
        values: Shape of what it returned.
        weights: Shape of the labels' weights.
        *batches: Shapes that start with the batch, the outputs' first.
    """
    known = [shape[0] for shape in batches]
    batch = bool(len(values)) and not (
        isinstance(values[0], int) and values[0] not in known
    )
    if batch and len(values) >= len(weights):
        return
    if len(weights) > 1:
        fail_one_value(owner, values, weights)
    outputs = batches[0]
    remedy = (
        "Leave the mean over the batch to Keras: take sums and means over the last "
        "axis alone, as in `keras.ops.mean(values, axis=-1)`."
    )
    name = loss.lower()
    if name in ("dice", "tversky"):
        axes = tuple(range(1, len(outputs)))
        axis = -1 if len(axes) == 1 else axes
        remedy = (
            f"Give it the axes of a sample: `keras.losses.{name.title()}(axis={axis})`."
        )
    fail(
        owner,
        "the loss must return one value per sample, as each sample has weights of its "
        "own.",
        f"values of shape {_show(values)} for outputs of shape {_show(outputs)}",
        remedy,
    )


def check_class_weight(owner: str, value: Any) -> dict[int, float] | None:
    """Returns weights by class id."""
    if value is None:
        return None
    valid = isinstance(value, Mapping) and all(
        str(key).isdigit() and _is_number(weight) and 0 <= weight < math.inf
        for key, weight in value.items()
    )
    if not valid:
        fail(
            owner,
            "`class_weight` must map class ids to finite weights, none negative.",
            f"class_weight={value!r}",
            "Use for example `class_weight={0: 1.0, 1: 2.5}`; classes left out have 1.",
        )
    # Keys of a configuration in a file are words.
    return {int(key): float(weight) for key, weight in value.items()}


def fail_premixed(owner: str, labels: Any) -> NoReturn:
    """Raises the error for class weights of labels that are mixes already."""
    fail(
        owner,
        "`class_weight` needs both labels of a mix, and soft labels hold their sum.",
        f"labels of shape {_show(labels)}",
        'Map the dataset with a layer of `targets="pair"`.',
    )


def check_scheduled(owner: str, layer: Any, settings: Sequence[str]) -> None:
    """Checks for a layer that has what is scheduled."""
    if not all(hasattr(layer, name) for name in settings):
        fail(
            owner,
            "`layer` must be a mixing layer.",
            f"layer={layer!r}",
            "Give the layer that is in the model or mapped over the dataset.",
            TypeError,
        )


def check_some_schedule(owner: str, given: dict[str, Any]) -> None:
    """Checks that there is something to schedule."""
    if not given:
        fail(
            owner,
            "there is nothing to schedule.",
            "probability=None, alpha=None",
            "Use for example `probability={0: 1.0, 190: 0.0}`.",
        )


def check_has_alpha(owner: str, layer: Any) -> None:
    """Checks that a layer draws lambda itself."""
    if not layer.draws_lam:
        fail(
            owner,
            f"the layers of a {type(layer).__name__} draw lambda.",
            "alpha for the layer itself",
            "Schedule the `alpha` of each of its `layers`.",
        )


def check_scheduled_value(owner: str, name: str, value: Any, position: Any) -> Any:
    """Returns a value of a schedule as the layer takes it."""
    if hasattr(value, "__array__") and np.ndim(value) == 0:
        value = float(value)  # As Keras's learning rate schedules return.
    where = f"{owner} at {position}"
    if name == "alpha":
        a, b = check_alpha(where, value)
        return a if a == b else (a, b)
    return check_share(where, name, value, "Use 1.0 to mix always, 0.0 to mix never.")


def check_schedule(owner: str, name: str, value: Any) -> Any:
    """Returns a schedule: a function, or a table or list of valid values."""
    if callable(value):
        return value
    table: dict[Any, Any] = {}
    if isinstance(value, Mapping):
        table = dict(value)
    elif isinstance(value, (tuple, list)):
        table = dict(enumerate(value))
    if not table or not all(isinstance(x, int) and x >= 0 for x in table):
        fail(
            owner,
            f"`{name}` must be a function, a table {{first: value}} of epochs or steps "
            "from 0, or a list.",
            f"{name}={value!r}",
            f"Use for example `{name}={{0: 1.0, 190: 0.5}}`.",
        )
    for first, entry in table.items():
        check_scheduled_value(owner, name, entry, first)
    return table


def check_timm_mode(owner: str, mode: Any, modes: Mapping[str, str]) -> None:
    """Checks a mode of timm's."""
    if mode == "half":
        fail(
            owner,
            'the mode "half" makes batches of half the size, which no layer does.',
            "mode='half'",
            'Use `mode="elem"` on batches of the size to train with.',
        )
    check_choice(owner, "mode", mode, tuple(modes))


def check_timm_smoothing(owner: str, label_smoothing: Any, soft: bool) -> None:
    """Checks that labels which come soft are not to be smoothed."""
    if soft and label_smoothing:
        fail(
            owner,
            "`label_smoothing` smooths class ids, and with `multi_label` or without "
            "`num_classes` labels come soft.",
            f"label_smoothing={label_smoothing!r}",
            "Leave it out and smooth them before, for sets of classes by "
            "`(1 - s) * labels + s / 2`.",
        )


def check_timm_alphas(owner: str, mixup: Any, cutmix: Any, minmax: Any) -> None:
    """Checks that one of timm's methods is on."""
    for name, alpha in (("mixup_alpha", mixup), ("cutmix_alpha", cutmix)):
        if not (_is_number(alpha) and math.isfinite(alpha) and alpha >= 0):
            fail(
                owner,
                f"`{name}` must be a finite number, not negative.",
                f"{name}={alpha!r}",
                "Use 0.0 to turn the method off.",
            )
    if not mixup and not cutmix and minmax is None:
        fail(
            owner,
            "one of MixUp and CutMix must be on.",
            f"mixup_alpha={mixup!r}, cutmix_alpha={cutmix!r}, cutmix_minmax=None",
            "Leave the layer out to train without mixing.",
        )


def check_model(owner: str, model: Any, kind: type) -> None:
    """Checks for a Keras model."""
    if not isinstance(model, kind):
        fail(
            owner,
            "`model` must be a Keras model.",
            f"model of type {type(model).__name__}",
            "Give what `keras.Sequential` or `keras.Model` has made.",
            TypeError,
        )


def fail_subclassed(owner: str, name: str) -> NoReturn:
    """Raises the error for a mixing layer where nobody can take it out."""
    fail(
        owner,
        "what the `call` of a subclassed model does cannot be rewritten.",
        f"{name} with a mixing layer inside",
        "Export it as it is, for it never mixes when it predicts, or make it without "
        "the layer and load its weights.",
    )


def fail_cast(owner: str, name: str, given: str, dtype: str) -> NoReturn:
    """Raises the error for a mixing layer that rounds, which no layer of Keras does."""
    fail(
        owner,
        "a mixing layer that makes integers of other numbers cannot be taken out.",
        f"{name} of dtype {dtype} after outputs of dtype {given}",
        "Export the model as it is, for it never mixes when it predicts.",
    )


def check_analysed(owner: str, layer: Any, shape: Any, kind: type) -> tuple[int, ...]:
    """Checks a layer to analyse, and returns the spatial lengths as integers."""
    if not isinstance(layer, kind):
        fail(
            owner,
            "`layer` must be a mixing layer.",
            f"layer of type {type(layer).__name__}",
            "Give for example `keras_msda.HMixLayer()`.",
            TypeError,
        )
    axes = getattr(layer, "mask_axes", None)
    if axes is not None:
        fail(
            owner,
            "the theory is about masks that depend on all spatial axes.",
            f"a layer with mask_axes={axes!r}",
            "Leave `mask_axes` out, and give `shape` the axes that a mask depends on.",
        )
    if getattr(layer, "fold", False) and getattr(layer, "targets", None) == "own":
        fail(
            owner,
            "own labels weight lambda by itself, which folding undoes.",
            "a layer with targets='own' and fold=True",
            "Leave `fold` out.",
        )
    return check_shape(owner, shape)


def check_exact_alpha(owner: str, alpha: tuple[float, float]) -> tuple[float, float]:
    """Checks that means over lambda can be exact, and returns the pair."""
    if max(alpha) > LARGEST_EXACT_ALPHA:
        fail(
            owner,
            f"means over lambda are exact for `alpha` up to {LARGEST_EXACT_ALPHA:g}.",
            f"alpha={alpha!r}",
            "Use a smaller `alpha`: lambda hardly differs from its mean there, too.",
        )
    return alpha


def check_shape(owner: str, shape: Any) -> tuple[int, ...]:
    """Returns the spatial lengths of images to analyse, as integers."""
    valid = isinstance(shape, (tuple, list)) and 1 <= len(shape) <= 3
    if not valid or not all(_is_length(length) for length in shape):
        fail(
            owner,
            "`shape` must hold one to three spatial lengths, without channels.",
            f"shape={shape!r}",
            "Use for example `shape=(32, 32)`.",
        )
    return tuple(int(length) for length in shape)


def _is_whole(value: Any) -> bool:
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)


def _is_length(value: Any) -> bool:
    return _is_whole(value) and value > 0


def check_draws(owner: str, draws: Any) -> None:
    """Checks how many masks are to be drawn."""
    if not _is_length(draws) or draws < 2:
        fail(
            owner,
            "`draws` must be an integer of 2 or more.",
            f"draws={draws!r}",
            "Use for example `draws=1000`.",
        )


def _finite_row(values: Any, dtype: str) -> np.ndarray | None:
    """Returns two finite numbers or more, one axis, or None if they are not that."""
    try:
        row = np.asarray(values, dtype)
    except (TypeError, ValueError):
        return None
    return row if row.ndim == 1 and len(row) > 1 and np.isfinite(row).all() else None


def check_curve(owner: str, values: Any) -> np.ndarray:
    """Returns coefficients by distance."""
    curve = _finite_row(values, "float64")
    if curve is None:
        fail(
            owner,
            "`coefficients` must be finite numbers by distance 0, 1, 2, ..., two at "
            "least.",
            f"coefficients={values!r}",
            "Give for example `by_distance(found.second).value` of a layer.",
        )
    return curve


def check_two_pixels(owner: str, shape: Sequence[int]) -> None:
    """Checks that there are pixels at a distance."""
    if math.prod(shape) < 2:
        fail(
            owner,
            "`shape` must have two pixels or more.",
            f"shape={shape}",
            "Use for example `shape=(32, 32)`.",
        )


def check_step(owner: str, step: Any) -> float:
    """Returns the distance of the frequencies of a table."""
    if not (_is_number(step) and math.isfinite(step) and step > 0):
        fail(
            owner,
            "`step` must be a positive finite number of cycles per pixel.",
            f"step={step!r}",
            "Use for example `step=1 / 32` for images of 32 pixels.",
        )
    return float(step)


def check_amplitude(owner: str, values: Any) -> np.ndarray:
    """Returns amplitudes of a table, float32."""
    table = _finite_row(values, "float32")
    if table is None:
        fail(
            owner,
            "`amplitude` must be finite numbers at the frequencies 0, `step`, ..., two "
            "at least.",
            f"amplitude={values!r}",
            "Use for example `amplitude=[0.0, 1.0, 0.5]`.",
        )
    return table


def check_methods(owner: str, methods: Any, kind: type) -> None:
    """Checks the layers, by name, that are to be compared."""
    valid = len(methods) > 1 and all(isinstance(x, kind) for x in methods.values())
    if not valid:
        fail(
            owner,
            "`methods` must be two mixing layers or more, by name.",
            f"methods={methods!r}",
            "Leave `methods` out for the five of this package.",
        )


def check_boundary(owner: str, boundary: Any, parts: bool) -> None:
    """Checks that there are pixels nearer than the boundary and others."""
    if not parts:
        fail(
            owner,
            "there must be pairs of pixels nearer than `boundary` and farther apart.",
            f"boundary={boundary!r}",
            "Give a distance in pixels inside the image, such as `boundary=4`.",
        )


def check_one_lam(owner: str, lam: Any) -> None:
    """Checks one lambda, or None for the law of it."""
    if lam is not None:
        check_share(owner, "lam", lam, "Leave `lam` out for the layer's law.")


def check_draw_seed(owner: str, seed: Any) -> None:
    """Checks the seed of draws that are made to look at."""
    if not (seed == 0 or _is_length(seed)) or seed >= 2**31:
        fail(
            owner,
            "`seed` must be an integer from 0, of 31 bits at most.",
            f"seed={seed!r}",
            "Use for example `seed=7`.",
        )


def check_offsets(owner: str, offsets: Any) -> np.ndarray:
    """Returns a map by offset, whose middle is the offset 0."""
    values = np.asarray(offsets)
    if values.ndim == 0 or not all(length % 2 for length in values.shape):
        fail(
            owner,
            "`offsets` must have an odd length on each axis, the offset 0 in the "
            "middle.",
            f"shape={values.shape}",
            "Give for example `found.second` of `regularization_coefficients`.",
        )
    return values


def check_linear(owner: str, targets: str) -> None:
    """Checks that labels are mixed linearly, as the theory asks."""
    if targets == "union":
        fail(
            owner,
            "the theory is about labels that are mixed, and unions of them are not.",
            "a layer with targets='union'",
            'Give the layer `targets="soft"`.',
        )


def fail_not_enumerable(owner: str, layer: Any) -> NoReturn:
    """Raises the error for masks that cannot all be listed."""
    fail(
        owner,
        "all masks can be listed for MixUp, CutMix, HMix and GMix alone.",
        f"a layer of type {type(layer).__name__}",
        "Draw some: `draws=1000`.",
    )


def fail_too_large(owner: str, shape: Any, numbers_: int, largest: int) -> NoReturn:
    """Raises the error for masks that are too many to be listed."""
    fail(
        owner,
        f"all masks may hold {largest:,} numbers at most.",
        f"shape={shape!r}, up to {numbers_:,} numbers",
        "Draw some: `draws=1000`; or give one `lam`.",
    )


def check_callable(owner: str, model: Any) -> None:
    """Checks for something that returns logits of images."""
    if not callable(model):
        fail(
            owner,
            "`model` must be a Keras model or layer, or a function of images.",
            f"model of type {type(model).__name__}",
            "Give what `keras.Sequential` or `keras.Model` has made.",
            TypeError,
        )


def check_images(owner: str, images: np.ndarray, least: int) -> None:
    """Checks for enough images to compute with."""
    check_rank(owner, images.shape)
    if images.dtype.kind not in "biuf":
        fail(
            owner,
            "`images` must be real numbers.",
            f"images of dtype {images.dtype}",
            'Cast them, for example `images.astype("float32")`.',
        )
    if len(images) < least:
        fail(
            owner,
            f"there must be {least} images or more.",
            f"shape {_show(images.shape)}",
            "Give a batch of images of several classes.",
        )


def check_logits(owner: str, outputs: Any) -> None:
    """Checks what a model makes of one image."""
    shape = getattr(outputs, "shape", None)
    fits = shape is not None and len(shape) in (1, 2) and shape[0] == 1
    if not fits or not keras.backend.is_float_dtype(outputs.dtype):
        received = type(outputs).__name__
        if shape is not None:
            dtype = keras.backend.standardize_dtype(outputs.dtype)
            received = f"outputs of shape {_show(shape)} and dtype {dtype}"
        fail(
            owner,
            "`model` must return floats, for one image logits of shape (1, classes), "
            "or (1,) for one logit.",
            received,
            "Give the part of the model that ends with them, for example "
            "`keras.Model(model.inputs, logits)`.",
        )


def check_width(owner: str, loss: str, classes: int) -> None:
    """Checks that a loss is for this number of logits."""
    if (loss == "logistic") != (classes == 1):
        other = "softmax" if loss == "logistic" else "logistic"
        fail(
            owner,
            'the loss "logistic" is for one logit, "softmax" for several classes.',
            f"loss={loss!r} with logits of {classes} classes",
            f'Use `loss="{other}"`.',
        )


def check_not_probabilities(owner: str, logits: np.ndarray, activation: str) -> None:
    """Refuses a model that ends with a softmax or a sigmoid, as far as can be seen."""
    sums = logits.shape[1] > 1 and np.allclose(logits.sum(1), 1, rtol=0, atol=1e-3)
    if activation in ("softmax", "sigmoid") or (sums and logits.min() >= 0):
        received = "outputs that are not negative and have the sum 1"
        if activation in ("softmax", "sigmoid"):
            received = f"a model that ends with the activation {activation!r}"
        fail(
            owner,
            "`model` must return logits and not probabilities.",
            received,
            "Leave the last activation out: set `model.layers[-1].activation = None`, "
            "or give the model without its last layer.",
        )


def fail_underivable(owner: str, model: Any, error: Exception) -> NoReturn:
    """Raises the error for a model that the library cannot take derivatives of."""
    fail(
        owner,
        "`model` must have derivatives by its images, "
        "second ones too where the loss is expanded.",
        f"model of type {type(model).__name__} and {type(error).__name__}: {error}",
        "Replace the operation without a derivative by one that has it.",
    )


def fail_flat(owner: str, received: str) -> NoReturn:
    """Raises the error for outputs that do not change with the images."""
    fail(
        owner,
        "the outputs of `model` must have gradients by its images.",
        f"{received}, at all images",
        "Leave out what cuts them: rounding, argmax, a stopped gradient, NumPy inside "
        "the model, or a saturated activation.",
    )


def fail_not_finite(owner: str, name: str) -> NoReturn:
    """Raises the error for values that are NaN or infinite."""
    fail(
        owner,
        f"the {name} of `model` must be finite.",
        "NaN or infinite values",
        "Check the images and the model's weights.",
    )


def check_label_shape(owner: str, shape: Any, classes: int) -> None:
    """Checks labels against the number of logits."""
    if not (len(shape) == 1 or (len(shape) == 2 and shape[1] in (1, classes))):
        wanted = "" if classes == 1 else f", or (images, classes={classes})"
        fail(
            owner,
            f"labels must have shape (images,) or (images, 1){wanted}.",
            f"shape {_show(shape)}",
            "Give class ids, or soft labels of the classes that the model has.",
        )


def check_shares(owner: str, labels: np.ndarray) -> None:
    """Checks labels of one logit."""
    if labels.dtype.kind not in "biuf" or not np.all((labels >= 0) & (labels <= 1)):
        fail(
            owner,
            "labels of a model with one logit must be numbers in [0, 1].",
            _range(labels),
            "Use 0 and 1 for the two classes.",
        )


def check_distributions(owner: str, labels: np.ndarray) -> None:
    """Checks soft labels."""
    valid = labels.dtype.kind in "biuf" and np.all(labels >= 0)
    if not valid or not np.allclose(labels.sum(1), 1, rtol=0, atol=1e-4):
        fail(
            owner,
            "soft labels must not be negative and have the sum 1.",
            _range(labels),
            "Give class ids, or one-hot labels.",
        )


def check_one_hot(owner: str, labels: np.ndarray) -> None:
    """Checks that every image has one true class."""
    if not np.all((labels == 0) | (labels == 1)):
        fail(
            owner,
            'the true class\'s logit, of="logit", needs one class an image.',
            f"soft labels, {_range(labels)}",
            'Give class ids, or use `of="loss"`.',
        )


def check_whole(owner: str, labels: np.ndarray) -> None:
    """Checks that labels are class ids."""
    if labels.dtype.kind not in "biu":
        fail(
            owner,
            "labels that are not soft must be class ids, integers.",
            f"labels of shape {_show(labels.shape)} and dtype {labels.dtype}",
            'Cast them, for example `labels.astype("int32")`.',
        )


def _range(values: np.ndarray) -> str:
    """Returns between what values lie."""
    if values.dtype.kind not in "biuf":
        return f"labels of dtype {values.dtype}"
    return f"labels from {values.min()} to {values.max()}"


def check_mask_shape(owner: str, masks: Any, shape: Any) -> None:
    """Checks that a set of masks is for images of this size."""
    if tuple(masks[1:]) != tuple(shape):
        fail(
            owner,
            f"the masks must have the size of the images, {_show(shape)}.",
            f"masks of size {_show(masks[1:])}",
            "Make them by `mask_set(layer, shape)`, and check `data_format`.",
        )


def check_combinations(owner: str, images: int, masks: int, most: int) -> None:
    """Checks that an exact expectation is not too long a sum."""
    if images**2 * masks > most:
        fail(
            owner,
            f"the exact form takes {most:,} combinations of two images and a mask at "
            "most.",
            f"{images} images and {masks} masks, {images**2 * masks:,} combinations",
            "Draw some: `pairs=10000`; or give fewer images.",
        )


def fail_not_listed(owner: str, error: Exception) -> NoReturn:
    """Raises the error for a layer whose masks are not all at hand."""
    fail(
        owner,
        "the exact form takes a layer all of whose masks can be listed.",
        str(error),
        "In this function that is `pairs=10000`, or a `MaskSet` of your own.",
    )


def check_drawn_pairs(owner: str, pairs: int | None) -> None:
    """Checks that a standard error can be told."""
    if pairs == 1:
        fail(
            owner,
            "`pairs` must be an integer of 2 or more, or None.",
            "pairs=1",
            "Use for example `pairs=10000`.",
        )


def check_products(owner: str, products: float, most: float, shape: Any) -> None:
    """Checks that a maximum over all pairs of pixels is not too much work."""
    if products > most:
        fail(
            owner,
            f"the maximum takes {most:.0e} products of two pixels at most.",
            f"{products:.1e} products for images of size {_show(shape)}",
            "Look at nearby pixels alone: `max_offset=16`; or give fewer images.",
        )


def check_max_offset(owner: str, value: Any) -> None:
    """Checks how far apart pixels may be."""
    if value is not None and not (value == 0 or _is_length(value)):
        fail(
            owner,
            "`max_offset` must be an integer of 0 or more, or None.",
            f"max_offset={value!r}",
            "Leave it out for all offsets.",
        )


def check_two_images(owner: str, shape: Any) -> None:
    """Checks for two images to mix with each other."""
    if shape[0] < 2:
        fail(
            owner,
            'with `layout="columns"` two images are mixed with each other.',
            f"images of shape {_show(shape)}",
            "Give two images or more, of which the first two are shown.",
        )


def check_results(owner: str, results: Mapping[Any, Any], kind: type) -> None:
    """Checks what is to be drawn, by name."""
    wrong = [x for x in results.values() if not isinstance(x, kind)]
    if wrong:
        fail(
            owner,
            f"what is drawn must be of type {kind.__name__}, or a dictionary of such.",
            f"a value of type {type(wrong[0]).__name__}",
            "Give what the function of `keras_msda.analysis` has returned.",
            TypeError,
        )
    if not results:
        fail(owner, "there must be something to draw.", "{}", "Give one entry or more.")


def check_one_rank(owner: str, ranks: Mapping[Any, int]) -> int:
    """Returns the number of axes that all have."""
    if len(set(ranks.values())) > 1:
        fail(
            owner,
            "all must be of images with the same number of axes.",
            ", ".join(f"{name!r} with {rank}" for name, rank in ranks.items()),
            "Draw them in figures of their own.",
        )
    return next(iter(ranks.values()))


def check_some_layers(owner: str, layers: Mapping[Any, Any]) -> None:
    """Checks for one layer or more."""
    if not layers:
        fail(owner, "there must be a layer.", "none", "Give one mixing layer or more.")


def fail_no_event_files(owner: str) -> NoReturn:
    """Says that TensorBoard's files need TensorFlow."""
    fail(
        owner,
        "TensorFlow writes TensorBoard's files, whatever Keras computes with.",
        "a Python without TensorFlow",
        'Install it by `pip install tensorflow`, or use `to="folder"`.',
        ImportError,
    )


def check_taken(name: str, methods: Sequence[str], takers: Sequence[str]) -> None:
    """Checks that an argument belongs to one of the methods."""
    if not set(methods) & set(takers):
        option = f"--{name.replace('_', '-')}"
        fail(
            "inspect",
            f"{option} belongs to {', '.join(takers)}.",
            f"{option} with --method {','.join(methods)}",
            f"Leave it out, or add --method {takers[0]}.",
        )


def check_work(method: str, shape: Sequence[int], work: float, most: float) -> None:
    """Checks that exact moments take seconds."""
    if work > most:
        fail(
            "inspect",
            f"exact moments of {method} would take minutes.",
            f"--size {'x'.join(str(length) for length in shape)}",
            "Give a smaller size of the same proportions, as coefficients at a given "
            "part of the side hardly change with it; 96x96 is never too large.",
        )


def _show(shape: Any) -> str:
    """Returns a static shape as a tuple."""
    unknown = getattr(shape, "rank", 0) is None
    return "unknown" if unknown else str(tuple(shape))
