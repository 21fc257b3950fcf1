"""How a loss or a metric finds the mixing layer inside a model, and what it did last.

The layer draws in each step, and a loss has it draw the same again from the seed that
the layer remembers.
"""

import itertools
import sys
import threading
import types
import weakref
from collections.abc import Sequence
from typing import Any, NoReturn, Protocol, Self

import keras

from keras_msda import _backend, _errors, plans

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
    ) -> plans.Plan:
        """Returns the plan of the last call again, with masks of a given size."""


class _Calls(threading.local):
    """What one thread has called, as far as Python sees it: traces count, runs do not.

    Attributes:
        stamps: When each layer was called last.
        unread: Layers that have mixed since a loss last asked them.
    """

    def __init__(self) -> None:
        self.stamps: weakref.WeakKeyDictionary[Any, int]
        self.stamps = weakref.WeakKeyDictionary()
        self.unread: weakref.WeakSet[Any] = weakref.WeakSet()


class Registry:
    """The mixing layers that there are, who waits for them, and who was called.

    It keeps nothing alive. Losses name their layer by its lineage in their
    configuration: nesting the layer itself would make a second one when a model is
    loaded. Copies share the lineage of their original.
    """

    def __init__(self) -> None:
        #: By lineage, the newest last.
        self._layers: dict[str, list[weakref.ref[Any]]] = {}
        #: Losses and metrics that came from a file, before the weights of their model.
        self._waiting: weakref.WeakSet[Listener] = weakref.WeakSet()
        #: Metrics that get copies of what a layer remembers from its loss.
        self._mirrors: weakref.WeakSet[Any] = weakref.WeakSet()
        self._calls = _Calls()
        self._stamps = itertools.count()

    def register(self, layer: Mixer, uid: str) -> None:
        """Makes a layer known under a uid."""
        for known in [known for known in self._layers if not self.find(known)]:
            del self._layers[known]
        self._layers[uid] = [*map(weakref.ref, self.find(uid)), weakref.ref(layer)]

    def find(self, uid: str) -> list[Any]:
        """Returns the layers that answer to a uid, the newest last."""
        found = [reference() for reference in self._layers.get(uid, ())]
        return [layer for layer in found if layer is not None]

    def find_called(self) -> list[Any]:
        """Returns all layers that this thread has called."""
        found = {
            id(layer): layer for uid in list(self._layers) for layer in self.find(uid)
        }
        return [layer for layer in found.values() if layer in self._calls.stamps]

    def find_latest(self, layers: Sequence[Any]) -> Any:
        """Returns the layer of some that this thread called last, or None."""
        stamps = self._calls.stamps
        called = [layer for layer in layers if layer in stamps]
        return max(called, key=stamps.__getitem__, default=None)

    def await_layer(self, listener: "Listener") -> None:
        """Has a loss or metric from a file wait for the weights of its layer."""
        self._waiting.add(listener)

    def stop_waiting(self, listener: "Listener") -> None:
        """Has a loss or metric wait no longer."""
        self._waiting.discard(listener)

    def answer(self, layer: Mixer, uid: str) -> None:
        """Makes a layer whose weights come from a file known under the file's uid.

        A model that makes its layer in its own constructor is loaded with a new layer,
        and its loss before that has the weights: that loss means this layer.
        """
        if not any(known is layer for known in self.find(uid)):
            self.register(layer, uid)
        for listener in [x for x in self._waiting if x._uid == uid]:
            self._waiting.discard(listener)
            listener._guess = layer

    def note_call(self, layer: Mixer, mixed: bool) -> None:
        """Takes note of a call with images alone.

        Args:
            layer: The layer.
            mixed: Whether it may have mixed, so that a loss must ask what it did.
        """
        self._calls.stamps[layer] = next(self._stamps)
        if mixed and layer.targets != "own":
            self._calls.unread.add(layer)
        else:
            self._calls.unread.discard(layer)

    def note_read(self, layer: Mixer) -> None:
        """Takes note that somebody asked what the last call of a layer did."""
        self._calls.unread.discard(layer)

    def is_unread(self, layer: Mixer) -> bool:
        """Returns whether a layer has mixed and no loss has asked it since."""
        return layer in self._calls.unread

    def add_mirror(self, metric: Any) -> None:
        """Has the losses of a metric's layer copy what they know to the metric."""
        self._mirrors.add(metric)

    def update_mirrors(self, layer: Mixer, recalled: Sequence[Tensor]) -> None:
        """Copies what a loss knows of a layer to the metrics that mirror it."""
        for metric in self._mirrors:
            if metric._find_layer() is layer:
                for variable, value in zip(metric._mirrored, recalled, strict=True):
                    variable.assign(value)


REGISTRY = Registry()


class Listener:
    """A loss or metric that belongs to a layer inside the model, or to none."""

    #: Whether it is a loss, which must ask what a layer has mixed.
    _is_loss = False
    _layer: Any = None
    _uid: str | None = None
    _name_of_layer: str | None = None
    #: Of several copies the newest when the configuration was read.
    _guess: Any = None
    #: A metric's own copies of what the layer remembers, where it cannot read those.
    _mirrored: list[keras.Variable] | None = None

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """Makes the loss or metric again; its layer may be yet to come."""
        config = dict(config)
        name = config.pop("layer_name", None)
        listener = cls(**config)
        listener._name_of_layer = name
        return listener

    def attach_layer(self, layer: Any) -> None:
        """Takes a layer, the lineage of one in a file, or None."""
        if isinstance(layer, str):
            self._uid = layer
            layer = self._guess = next(reversed(REGISTRY.find(layer)), None)
            REGISTRY.await_layer(self)
        else:
            self._layer = layer
        if layer is not None and _backend.get_backend_ops().functional:
            self.mirror_state(layer)

    def mirror_state(self, layer: Any) -> None:
        """Makes room for copies of what the layer remembers; a loss needs none."""

    @property
    def layer(self) -> Any:
        """The mixing layer inside the model, or None."""
        found = self._find_layer()
        if found is None and self._uid is not None:
            _fail_unknown_layer(type(self).__name__, self._uid)
        return found

    def _find_layer(self) -> Any:
        """Returns the layer, or of several copies the likeliest before any step."""
        if self._layer is not None or self._uid is None:
            return self._layer
        if self._guess is None:
            self._guess = next(reversed(self._find_copies()), None)
        return self._guess

    def _find_copies(self) -> list[Any]:
        """Returns the layers that a configuration may mean, the newest last.

        A model may hold a layer and a copy of it, whose names differ.
        """
        found = REGISTRY.find(self._uid or "")
        named = [layer for layer in found if layer.name == self._name_of_layer]
        return named or found

    def choose_layer(self) -> None:
        """Chooses among several copies of a layer, to be called in a step.

        The one in the model whose trainer is running; in a custom loop, the one that
        was called last.
        """
        if _backend.get_backend_ops().in_torch_compile():
            return  # It cannot read this; the newest copy it is.
        if self._layer is None and self._uid is not None:
            REGISTRY.stop_waiting(self)
            copies = REGISTRY.find(self._uid)
            inside = [layer for layer in _find_layers_of_trainer() if layer in copies]
            named = [layer for layer in inside if layer.name == self._name_of_layer]
            latest = REGISTRY.find_latest(copies)
            self._layer = next(iter(named or inside), latest)

    def get_layer_config(self) -> dict[str, str | None]:
        """Returns how a configuration names the layer."""
        found = self._find_layer()
        if found is None:
            return {"layer": self._uid, "layer_name": self._name_of_layer}
        return {"layer": found.lineage, "layer_name": found.name}

    def recall(self) -> list[Tensor]:
        """Returns what the layer did last, as a loss or as a metric knows it.

        The trainer of JAX passes the layer's state to losses, and to metrics their own
        state alone. So a loss copies what it knows to the metrics, whose state it is
        passed, too.
        """
        if self._mirrored and self.is_mirroring():
            return [variable.value for variable in self._mirrored]
        layer = self.layer
        if self._is_loss and not _backend.get_backend_ops().in_torch_compile():
            self._check_called(layer)
            REGISTRY.note_read(layer)
        recalled: list[Tensor] = layer.recall()
        if not self._mirrored:
            REGISTRY.update_mirrors(layer, recalled)
        return recalled

    def is_mirroring(self) -> bool:
        """Returns whether this is a metric that reads its own copies in this step."""
        mirrored = self._mirrored
        return bool(
            mirrored and _backend.get_backend_ops().has_passed_value(mirrored[0])
        )

    def is_rehearsal(self) -> bool:
        """Returns whether Keras only makes the state of a metric."""
        return False

    def _check_called(self, layer: Any) -> None:
        """Refuses the loss of a layer where the step has called another one."""
        others = [x for x in REGISTRY.find_called() if x is not layer]
        if not others:
            return
        ops = _backend.get_backend_ops()
        memories = [memory for x in others for memory in x.remembered()[:1]]
        if ops.step_uses_only_others(layer.remembered()[0], memories):
            called = others
        else:  # A step that leaves no trace: the model at least is known.
            called = _find_layers_of_trainer() if ops.executes_eagerly() else []
        if called and layer not in called:
            names = [x.name for x in called]
            _fail_other_layer(type(self).__name__, layer.name, names)

    def __dir__(self) -> list[str]:
        """Hides the layer from Keras, which saves what it finds in a metric."""
        hidden = ("layer", "_layer", "_guess")
        return [x for x in super().__dir__() if x not in hidden]


def _find_layers_of_trainer() -> list[Any]:
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


def _fail_other_layer(owner: str, layer: str, called: Sequence[str]) -> NoReturn:
    """Raises the error for the loss of a layer that the model does not call."""
    _errors.fail(
        owner,
        "a loss must belong to the mixing layer that the model calls.",
        f"the loss of the layer {layer!r}, where {', '.join(map(repr, called))} mixes",
        "Compile the model with the `loss` of the layer inside it: `layer.loss(...)`.",
    )


def _fail_unknown_layer(owner: str, uid: str) -> NoReturn:
    """Raises the error for a loss or metric whose layer is not there."""
    _errors.fail(
        owner,
        "a saved loss or metric needs its layer, which is loaded with the model.",
        f"layer uid {uid!r}",
        "Load the whole model, or compile it again with `layer.loss(...)`.",
    )
