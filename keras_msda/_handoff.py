"""How a loss or a metric learns what a layer drew.

Labels either carry it, packed or already mixed by a pipeline, or a layer inside the
model drew it in this very step and draws it again from the seed that it remembers.
"""

import itertools
import sys
import threading
import types
import weakref
from collections.abc import Sequence
from typing import Any, NamedTuple, NoReturn, Protocol, Self

import keras

from keras_msda import _backend, _checks, _errors, plans
from keras_msda.masks import _factored

Tensor = Any


class Mixer(Protocol):
    """What a loss needs of a layer."""

    lineage: str
    name: str
    targets: str
    target_threshold: float
    data_format: str
    spatial: tuple[int | None, ...] | None

    def remembered(self) -> list[keras.Variable]:
        """Returns the variables that the last call's draws are made again from."""

    def recall(self) -> list[Tensor]:
        """Returns their values."""

    def last_call(self, recalled: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Returns whether there was a call, and its batch."""

    def replay(
        self, batch: Any, size: tuple[int, ...] | None, recalled: list[Tensor]
    ) -> plans.MixPlan:
        """Returns the plan of the last call again, with masks of a given size."""


# Losses name their layer by its lineage in their configuration: nesting the layer
# itself would make a second one when a model is loaded. Copies share the lineage of
# their original; the newest comes last.
_LAYERS: dict[str, list[weakref.ref[Any]]] = {}


def register(layer: Mixer, uid: str) -> None:
    """Makes a layer known under a uid."""
    for known in [known for known in _LAYERS if not find(known)]:
        del _LAYERS[known]
    _LAYERS[uid] = [*map(weakref.ref, find(uid)), weakref.ref(layer)]


def find(uid: str) -> list[Any]:
    """Returns the layers that answer to a uid, the newest last."""
    found = [reference() for reference in _LAYERS.get(uid, ())]
    return [layer for layer in found if layer is not None]


def answer(layer: Mixer, uid: str) -> None:
    """Makes a layer whose weights come from a file known under the file's uid.

    A model that makes its layer in its own constructor is loaded with a new layer, and
    its loss before that has the weights: that loss means this layer.
    """
    if not any(known is layer for known in find(uid)):
        register(layer, uid)
    for listener in [x for x in _WAITING if x._uid == uid]:
        _WAITING.discard(listener)
        listener._guess = layer


# Losses and metrics that came from a file, before their model's weights.
_WAITING: "weakref.WeakSet[Listener]" = weakref.WeakSet()


def _all_layers() -> list[Any]:
    """Returns all mixing layers that there are."""
    found = {id(layer): layer for uid in list(_LAYERS) for layer in find(uid)}
    return list(found.values())


class _Calls(threading.local):
    """What one thread has called, as far as Python sees it: traces count, runs do not.

    Attributes:
        stamps: When each layer was called last.
        unheard: Layers that have mixed since a loss last asked them.
    """

    def __init__(self) -> None:
        self.stamps: weakref.WeakKeyDictionary[Any, int]
        self.stamps = weakref.WeakKeyDictionary()
        self.unheard: weakref.WeakSet[Any] = weakref.WeakSet()


_CALLS = _Calls()
_STAMPS = itertools.count()


def called(layer: Mixer, mixed: bool) -> None:
    """Takes note of a call with images alone.

    Args:
        layer: The layer.
        mixed: Whether it may have mixed, so that a loss must ask what it did.
    """
    _CALLS.stamps[layer] = next(_STAMPS)
    if mixed and layer.targets != "own":
        _CALLS.unheard.add(layer)
    else:
        _CALLS.unheard.discard(layer)


def heard(layer: Mixer) -> None:
    """Takes note that somebody asked what the last call of a layer did."""
    _CALLS.unheard.discard(layer)


def has_unheard(layer: Mixer) -> bool:
    """Returns whether a layer has mixed and no loss has asked it since."""
    return layer in _CALLS.unheard


def _inside_model() -> list[Any]:
    """Returns the mixing layers of the model whose trainer computes a loss or metric.

    Keras does not tell a loss whose it is.
    """
    frame: types.FrameType | None = sys._getframe(1)
    while frame is not None:
        if frame.f_code.co_name in ("compute_loss", "compute_metrics"):
            model = frame.f_locals.get("self")
            if isinstance(model, keras.Model):
                parts = model._flatten_layers(include_self=False)
                return [layer for layer in parts if hasattr(layer, "lineage")]
        frame = frame.f_back
    return []


class Listener:
    """A loss or metric that listens to a layer inside the model, or to none."""

    #: Whether it weighs the labels of a mixed batch, as a loss does.
    _decides = False
    _layer: Any = None
    _uid: str | None = None
    _name_of_layer: str | None = None
    #: Of several copies the newest when the configuration was read.
    _guess: Any = None
    #: A metric's own copies of what the layer remembers, where it cannot read those.
    _heard: list[keras.Variable] | None = None

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """Makes the loss or metric again; its layer may be yet to come."""
        config = dict(config)
        name = config.pop("layer_name", None)
        listener = cls(**config)
        listener._name_of_layer = name
        return listener

    def listen_to(self, layer: Any) -> None:
        """Takes a layer, the lineage of one in a file, or None."""
        if isinstance(layer, str):
            self._uid = layer
            layer = self._guess = next(reversed(find(layer)), None)
            _WAITING.add(self)
        else:
            self._layer = layer
        if layer is not None and _backend.of_backend().functional:
            self._hear(layer)

    def _hear(self, layer: Any) -> None:
        """Makes room for what a loss tells; a loss itself needs none."""

    @property
    def layer(self) -> Any:
        """The mixing layer inside the model, or None."""
        found = self._found()
        if found is None and self._uid is not None:
            _fail_unknown_layer(type(self).__name__, self._uid)
        return found

    def _found(self) -> Any:
        """Returns the layer, or of several copies the likeliest before any step."""
        if self._layer is not None or self._uid is None:
            return self._layer
        if self._guess is None:
            self._guess = next(reversed(self._copies()), None)
        return self._guess

    def _copies(self) -> list[Any]:
        """Returns the layers that a configuration may mean, the newest last.

        A model may hold a layer and a copy of it, whose names differ.
        """
        found = find(self._uid or "")
        named = [layer for layer in found if layer.name == self._name_of_layer]
        return named or found

    def settle(self) -> None:
        """Chooses among several copies of a layer, to be called in a step.

        The one in the model whose trainer is running; in a loop of one's own, the one
        that was called last.
        """
        if _backend.of_backend().is_compiling():
            return  # It cannot read this; the newest copy it is.
        if self._layer is None and self._uid is not None:
            _WAITING.discard(self)
            copies = find(self._uid)
            inside = [layer for layer in _inside_model() if layer in copies]
            named = [layer for layer in inside if layer.name == self._name_of_layer]
            used = [layer for layer in copies if layer in _CALLS.stamps]
            latest = max(used, key=_CALLS.stamps.__getitem__, default=None)
            self._layer = next(iter(named or inside), latest)

    def layer_config(self) -> dict[str, str | None]:
        """Returns how a configuration names the layer."""
        found = self._found()
        if found is None:
            return {"layer": self._uid, "layer_name": self._name_of_layer}
        return {"layer": found.lineage, "layer_name": found.name}

    def recall(self) -> list[Tensor]:
        """Returns what the layer did last, as a loss or as a metric knows it.

        The trainer of JAX passes the layer's state to losses, and to metrics their own
        state alone. So a loss tells the metrics, whose state it is passed too.
        """
        ops = _backend.of_backend()
        told = self._heard
        if told and ops.is_passed(told[0]):
            return [variable.value for variable in told]
        layer = self.layer
        if self._decides and not ops.is_compiling():
            self._check_called(layer)
            heard(layer)
        recalled: list[Tensor] = layer.recall()
        for metric in [] if told else _HEARING:
            if metric._found() is layer:
                for variable, value in zip(metric._heard, recalled, strict=True):
                    variable.assign(value)
        return recalled

    def _check_called(self, layer: Any) -> None:
        """Refuses the loss of a layer where the step has called another one."""
        others = [x for x in _all_layers() if x is not layer and x in _CALLS.stamps]
        if not others:
            return
        ops = _backend.of_backend()
        memories = [memory for x in others for memory in x.remembered()[:1]]
        if ops.is_foreign(layer.remembered()[0], memories):
            called = others
        else:  # A step that leaves no trace: the model at least is known.
            called = _inside_model() if ops.is_immediate() else []
        if called and layer not in called:
            names = [x.name for x in called]
            _fail_other_layer(type(self).__name__, layer.name, names)

    def __dir__(self) -> list[str]:
        """Hides the layer from Keras, which saves what it finds in a metric."""
        hidden = ("layer", "_layer", "_guess")
        return [x for x in super().__dir__() if x not in hidden]


# Metrics that a loss tells what it knows.
_HEARING: weakref.WeakSet[Any] = weakref.WeakSet()


def hear(metric: Any) -> None:
    """Has the losses of a metric's layer tell it what they know."""
    _HEARING.add(metric)


class Targets(NamedTuple):
    """Labels of a batch as a loss uses them.

    Attributes:
        own: Labels of the first images.
        other: Labels of the second images, or None where only the own label counts.
        weight: float32 `(batch,)`, share of the own label, or `(batch, *size)` where
            each pixel has a label; None where only the own label counts.
        sample_weight: Weights of the samples, mixed like the labels, or None.
        premixed: Whether the labels may be mixes already.
        known: 1 where the layer's last call had this batch, NaN where not, float32; or
            None where the weight or the labels say so themselves.
    """

    own: Tensor
    other: Tensor | None
    weight: Tensor | None
    sample_weight: Tensor | None
    premixed: bool = False
    known: Tensor | None = None


def read_targets(reader: Any, labels: Any, outputs: Any, sample_weight: Any) -> Targets:
    """Finds out what each output is to be compared with.

    Args:
        reader: The loss or metric: its `layer` is the one inside the model, or None;
            its `ids` says whether labels are class ids, None where that is not known;
            its `of_classes` whether labels can be nothing but ids or soft labels; its
            `per_pixel` whether each pixel has a label, None to tell by the rank.
        labels: As the model is given them.
        outputs: As the model returns them, classes last.
        sample_weight: Shape `(batch,)` or `(batch, 1)`, or None.
    """
    reader.settle()
    owner, layer = type(reader).__name__, reader.layer
    ops = _backend.of(labels, outputs)
    given, labels, outputs = labels, ops.convert(labels), ops.convert(outputs)
    if sample_weight is not None:
        sample_weight = ops.convert(sample_weight, "float32")
    _check_label_rank(owner, labels.shape, outputs.shape)
    if layer is not None:
        return _drawn(reader, labels, outputs, sample_weight)
    if _is_packed(reader, given, labels, outputs):
        return Targets(*plans.unpack_labels(labels), sample_weight)
    if _is_flat(labels, outputs):
        labels = labels[..., None]
    if reader.ids or not _alike(labels, outputs):
        _fail_unpacked(owner, labels.shape, outputs.shape, reader.ids)
    return Targets(labels, None, None, sample_weight, premixed=True)


def _drawn(reader: Any, labels: Tensor, outputs: Tensor, sample_weight: Any) -> Targets:
    """Returns the labels of what a layer inside the model drew in this step.

    They are never packed, whatever their width: packing is what a pipeline does.
    """
    owner, layer = type(reader).__name__, reader.layer
    if layer.targets == "own":
        known = _is_known(reader, labels)
        return Targets(labels, None, None, sample_weight, known=known)
    if sample_weight is not None:
        _checks.check_sample_weight(owner, sample_weight.shape)
    if layer.targets == "union":
        _check_union(owner, labels.shape, outputs.shape)
        return _united(labels, reader, sample_weight)
    return _replayed(labels, reader, _pixels(reader, labels, outputs), sample_weight)


def _is_known(reader: Any, labels: Tensor) -> Tensor:
    """Returns 1 if the layer's last call had the batch of the labels, else NaN."""
    ops = _backend.of_backend()
    heard = reader._heard
    told = heard is not None and ops.is_passed(heard[0])
    called, batch = reader.layer.last_call(reader.recall())
    known = called & (batch == ops.shape(labels)[0])
    if told:
        # JAX's trainer gives a metric what a loss has told it. The own label needs no
        # loss that listens, so that nothing told is no sign of a missing call.
        known = known | ~called
    return ops.where(known, ops.ones([], "float32"), float("nan"))


def _alike(labels: Tensor, outputs: Tensor) -> bool:
    return tuple(labels.shape[1:]) == tuple(outputs.shape[1:])


def _replayed(
    labels: Tensor, reader: Any, size: tuple[int, ...] | None, sample_weight: Any
) -> Targets:
    """Returns both labels of what a layer drew, weighed by pixel if there is a size."""
    ops = _backend.of(labels)
    plan = reader.layer.replay(ops.shape(labels)[0], size, reader.recall())
    weight = plan.weight if size is None else plan.mask
    if sample_weight is not None and size is None:
        plan, sample_weight = plans.mix_sample_weights(sample_weight, plan)
        weight = plan.weight
    elif sample_weight is not None:
        own = ops.reshape(sample_weight, [-1])
        own = _factored.append_axes(own, len(weight.shape) - 1)
        other = plans.take_partner(own, plan.partner)
        weight, sample_weight = plans.weigh(own, other, weight)
    other = plans.take_partner(labels, plan.partner)
    return Targets(labels, other, weight, sample_weight)


def _united(labels: Tensor, reader: Any, sample_weight: Any) -> Targets:
    """Returns the union of both labels, as a layer of a pipeline makes it."""
    ops = _backend.of(labels)
    layer = reader.layer
    plan = layer.replay(ops.shape(labels)[0], None, reader.recall())
    mixed = plans.mix_labels(ops.cast(labels, "float32"), plan)
    united = plans.unite_labels(mixed, layer.target_threshold)
    if sample_weight is not None:
        _, sample_weight = plans.mix_sample_weights(sample_weight, plan)
    return Targets(united, None, None, sample_weight)


def _pixels(reader: Any, labels: Tensor, outputs: Tensor) -> tuple[int, ...] | None:
    """Returns the size of outputs with a label at each pixel, None for one a sample.

    Outputs of the images' rank have one a pixel: they are then mixed by the mask.
    """
    owner, layer = type(reader).__name__, reader.layer
    dense = reader.per_pixel
    spatial = layer.spatial
    if dense is None:
        dense = spatial is not None and len(outputs.shape) == len(spatial) + 2
    if not dense:
        return None
    first = layer.data_format == "channels_first"
    size = tuple(outputs.shape[2:] if first else outputs.shape[1:-1])
    _check_pixels(owner, size, labels.shape, spatial)
    return size


def _is_flat(labels: Tensor, outputs: Tensor) -> bool:
    """Returns whether mixed labels of one output lack its axis, as Keras allows."""
    shape = tuple(outputs.shape)
    floats = keras.backend.is_float_dtype(labels.dtype)
    return floats and shape[-1] == 1 and tuple(labels.shape)[1:] == shape[1:-1]


def _is_packed(reader: Any, given: Any, labels: Tensor, outputs: Tensor) -> bool:
    """Returns whether labels that no layer inside the model mixes are packed.

    `plans.pack_labels` makes floats of the outputs' rank: three numbers a row of class
    ids, `2 L + 1` of L numbers. So labels of integers, of truth values or of another
    rank are never packed. For W numbers, with C outputs:

    | `ids` | W | reading |
    |---|---|---|
    | True: a loss of Keras of class ids, or said | 3, of rank 2 | packed ids |
    | | any other | an error |
    | False: any other loss of Keras, or said | 2 C + 1 | packed soft labels |
    | | C | taken as they are |
    | | any other | an error |
    | None: an accuracy | 3, of rank 2, unless C is 3 | packed ids |
    | | 3, of rank 2, C is 3 | as a `MixedLoss` reads them, else it asks |
    | | 2 C + 1, C | as for False |
    | | any other | an error |
    | None: a function | 3, of rank 2 or with C = 1 | it asks |
    | | 2 C + 1, C | as for False |
    | | any other | an error |

    A function may take targets of any width, three for one output too. Labels of an
    accuracy are ids, or have the outputs' width. With C = 1 packed ids are packed
    numbers, so that an accuracy need not tell them apart.

    Args:
        reader: As in `read_targets`.
        given: The labels as they came, by which a metric finds what a loss has read.
        labels: The same as a tensor.
        outputs: As the model returns them.
    """
    width, classes = labels.shape[-1], outputs.shape[-1]
    floats = keras.backend.is_float_dtype(labels.dtype)
    if not floats or len(labels.shape) != len(outputs.shape) or len(labels.shape) < 2:
        return False
    row = len(labels.shape) == 2 and width == 3
    pair = bool(width == 2 * classes + 1)
    if reader.ids is not None:
        if row and classes == 3:
            _tell(given, reader.ids)
        return row if reader.ids else pair
    if reader.of_classes:
        return _asked(reader, given) if row and classes == 3 else row or pair
    if row or (pair and classes == 1):
        _fail_unsaid(type(reader).__name__, labels.shape, outputs.shape)
    return pair


# Whether a loss has read labels as packed ids, by the identity of the labels: a metric
# gets the same tensor in the same step, later.
_READ: dict[int, tuple[weakref.ref[Any], bool]] = {}


def _tell(labels: Any, ids: bool) -> None:
    """Keeps for metrics what three numbers for three classes are."""
    key = id(labels)
    if _backend.of_backend().is_compiling():
        return
    try:
        alive = weakref.ref(labels, lambda _: _READ.pop(key, None))
    except TypeError:  # A list.
        return
    _READ[key] = alive, ids


def _asked(reader: Any, labels: Any) -> bool:
    """Returns whether a loss has read these very labels as packed ids, or asks."""
    found = None if _backend.of_backend().is_compiling() else _READ.get(id(labels))
    if found is not None and found[0]() is labels:
        return found[1]
    if not reader.is_rehearsal():
        _fail_ambiguous(type(reader).__name__, labels.shape)
    return False


def _fail_other_layer(owner: str, layer: str, called: Sequence[str]) -> NoReturn:
    """Raises the error for the loss of a layer that the model does not call."""
    _errors.fail(
        owner,
        "a loss must listen to the mixing layer that the model calls.",
        f"the loss of the layer {layer!r}, where {', '.join(map(repr, called))} mixes",
        "Compile the model with the `loss` of the layer inside it: `layer.loss(...)`.",
    )


def _check_label_rank(owner: str, labels: Any, outputs: Any) -> None:
    """Checks that axes and classes of labels and outputs are known when traced."""
    for name, shape in (("labels", labels), ("outputs", outputs)):
        if getattr(shape, "rank", 0) is None:
            _errors.fail(
                owner,
                f"the number of axes of the {name} must be known when traced.",
                f"{name} of unknown shape",
                f"Set it where they are made, for example "
                f"`{name} = tf.ensure_shape({name}, (None, 10))`.",
            )
    if outputs[-1:] == (None,) and len(outputs) > 1:
        _errors.fail(
            owner,
            "the last axis of the outputs must be known when traced.",
            f"outputs of shape {_errors.show(outputs)}",
            "Let the model end with a layer of a given width, such as `Dense(10)`.",
        )


def _fail_unpacked(owner: str, labels: Any, outputs: Any, ids: bool | None) -> NoReturn:
    """Raises the error for labels that carry no partner."""
    _checks.check_two_columns(owner, labels, outputs)
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
    _errors.fail(
        owner,
        "without a layer the labels must be packed pairs, floats, or soft labels of "
        "the outputs' shape.",
        _errors.show_both(labels, outputs),
        remedy,
    )


def _fail_ambiguous(owner: str, labels: Any) -> NoReturn:
    """Raises the error for labels that have two readings."""
    _errors.fail(
        owner,
        "with three classes, three numbers may be packed ids or a soft label.",
        f"labels of shape {_errors.show(labels)}, which no `MixedLoss` has read before",
        f"Write `metrics=[{owner}(ids=True)]` for packed ids, "
        f"`metrics=[{owner}(ids=False)]` for soft labels, and "
        "`metrics=[layer.accuracy()]` for a layer inside the model.",
    )


def _fail_unsaid(owner: str, labels: Any, outputs: Any) -> NoReturn:
    """Raises the error for labels that a function could take in several ways."""
    _errors.fail(
        owner,
        "three numbers may be packed class ids, packed numbers or labels that are not "
        "packed, and a function does not say which it takes.",
        _errors.show_both(labels, outputs),
        f"Write `{owner}(function, ids=True)` for packed class ids, "
        f"`{owner}(function, ids=False)` for packed numbers or soft labels of three "
        "classes. Labels that are mixed already need neither: give `compile` the "
        "function itself.",
    )


def _fail_unknown_layer(owner: str, uid: str) -> NoReturn:
    """Raises the error for a loss or metric whose layer is not there."""
    _errors.fail(
        owner,
        "a saved loss or metric needs its layer, which is loaded with the model.",
        f"layer uid {uid!r}",
        "Load the whole model, or compile it anew with `layer.loss(...)`.",
    )


def _check_union(owner: str, labels: Any, outputs: Any) -> None:
    """Checks that labels can be united: those of a layer inside the model."""
    if tuple(labels[1:]) != tuple(outputs[1:]):
        _errors.fail(
            owner,
            'a layer of `targets="union"` needs labels of the outputs\' shape, 0 or 1.',
            _errors.show_both(labels, outputs),
            "Encode class ids with `keras.ops.one_hot` or `keras.ops.multi_hot`.",
        )


def _check_pixels(owner: str, size: Any, labels: Any, spatial: Any) -> None:
    """Checks that there is a label for each pixel of the images."""
    lengths = tuple(labels[1 : 1 + len(size)])
    known = all(isinstance(n, int) for n in size)
    bad = len(lengths) != len(size) or any(map(_errors.differ, lengths, size))
    if bad or not known or any(map(_errors.differ, size, spatial or size)):
        _errors.fail(
            owner,
            "outputs of the images' rank have a label for each pixel, and the images' "
            "size, known when traced.",
            f"outputs of size {_errors.show(size)}, labels of shape "
            f"{_errors.show(labels)}, images of size {spatial}",
            "Resize the outputs to the images, or use `per_pixel=False` where each "
            "sample is mixed by one weight.",
        )
