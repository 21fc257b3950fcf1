"""What a layer keeps between calls: the state of its draws, and its last call.

It is all in `variables`, so that compiled steps read and write it, and none of it in
`weights`: a model has the same weights with a mixing layer and without one.
"""

import re
import uuid
from typing import Any, Self

import keras
import numpy as np

from keras_msda import _backend, _errors, _handoff
from keras_msda.layers import _workers, memory

Tensor = Any


class Setting:
    """A variable that draws depend on and that may change after tracing.

    Args:
        name: Of the variable.
        value: Its first value, which the layer's configuration can make again.
    """

    def __init__(self, name: str, value: Any) -> None:
        self._host = np.asarray(value, "float32")
        self._mirror: Any = None
        self.variable = keras.Variable(
            self._host, dtype="float32", trainable=False, autocast=False, name=name
        )

    def assign(self, value: Any) -> None:
        """Sets the value for everything that computes from now on."""
        self._host = np.asarray(value, "float32")
        self.variable.assign(self._host)
        if self._mirror is not None:
            self._mirror.assign(self._host)

    def read(self, like: Tensor) -> Tensor:
        """Returns the value for a computation with a tensor.

        In a pipeline TensorFlow would freeze a variable of another backend at the value
        that it has when the pipeline is traced: a variable of TensorFlow mirrors it.
        """
        if not _backend.in_foreign_pipeline(like):
            return self.variable.value
        ops = _backend.get_ops(like)
        if self._mirror is None:
            self._mirror = _backend.get_tensorflow_ops().make_variable(self._host)
        return ops.convert(self._mirror)


class StatefulLayer(keras.layers.Layer):
    """A layer with a sequence of seeds and a memory of its last call.

    Args:
        seed: Integer that the sequence starts from.
        **kwargs: Arguments of `keras.layers.Layer`.
    """

    def __init__(self, seed: int, **kwargs: Any) -> None:
        # Keras would cast float labels to half precision together with the images.
        super().__init__(autocast=False, trainable=False, **kwargs)
        self.seed = seed
        #: Of this very object; and of what it is a copy of, by which losses find it.
        self.uid = self.lineage = uuid.uuid4().hex
        first = _backend.get_backend_ops().make_seed_state(seed)
        self._seed_state = self._add_state("seed_state", first)
        empty = memory.Memory.empty(first.dtype)
        self._memory = memory.Memory(self._add_state("memory", empty))
        # The state of draws in pipelines, where Keras's backend is not TensorFlow.
        self._pipeline_state: Any = None
        # The process that the draws belong to, and the seed of a copy in another one.
        self._owner = _workers.current()
        self._start: int | None = None
        # What it has warned of.
        self._said: list[str] = []
        _handoff.REGISTRY.register(self, self.uid)

    def _add_state(self, name: str, values: np.ndarray) -> keras.Variable:
        """Adds an integer variable that each replica keeps for itself."""
        return self.add_weight(
            name=name,
            shape=values.shape,
            dtype=values.dtype.name,
            initializer=lambda _, dtype: keras.ops.array(values, dtype),
            trainable=False,
            aggregation="none",
        )

    def _settings(self) -> list[Setting]:
        """Returns what draws depend on."""
        return []

    def _say(self, about: str, warn: Any, *received: Any) -> None:
        """Warns once in the layer's life."""
        if about not in self._said:
            self._said.append(about)
            warn(*received)

    @property
    def variables(self) -> list[keras.Variable]:
        """All variables that a step reads or writes, for stateless calls."""
        own = [self._seed_state, self._memory.variable]
        return own + [setting.variable for setting in self._settings()]

    @property
    def weights(self) -> list[keras.Variable]:
        """No variable: a model has the same weights with the layer and without it."""
        return []

    def _next_seed(self, like: Tensor) -> Tensor:
        """Returns the next seed pair, a different one in each replica."""
        _workers.settle(self)
        ops = _backend.get_ops(like)
        if not _backend.in_foreign_pipeline(like):
            return ops.next_seed(self._seed_state)
        if self._pipeline_state is None:
            self._pipeline_state = _backend.get_tensorflow_ops().make_variable(
                ops.make_seed_state(_workers.start(self))
            )
        return ops.next_seed(self._pipeline_state)

    # What a loss reads.

    def remembered(self) -> list[keras.Variable]:
        """Returns the variables from which the last call's draws are made again."""
        settings = [setting.variable for setting in self._settings()]
        return [self._memory.variable, *settings]

    def recall(self) -> list[Tensor]:
        """Returns the values of `remembered` as a loss in this place sees them."""
        packed = self._memory.recall()  # First: it says what is wrong without a state.
        return [packed, *(setting.variable.value for setting in self._settings())]

    def last_call(self, recalled: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Returns whether there was a call, and its batch size, from `recall`."""
        step = memory.unpack(recalled[0], _backend.get_backend_ops())
        return step.state != memory.NEVER, step.batch

    # Saving.

    def save_own_variables(self, store: Any) -> None:
        """Saves the state, and the uid by which a loss finds the layer.

        Files hold the same form of state under every backend.
        """
        state, packed = map(
            keras.ops.convert_to_numpy, (self._seed_state, self._memory.variable)
        )
        store["0"] = _backend.get_backend_ops().export_seed_state(state)
        store["1"] = memory.Memory.stored(packed)
        _workers.mark(store)
        store["uid"] = np.frombuffer(bytes.fromhex(self.lineage), "uint8")

    def load_own_variables(self, store: Any) -> None:
        """Loads the state, and answers to a loss that was saved with it.

        A file of a model without the layer has none: the layer then keeps its own.
        """
        if "0" not in store.keys():
            return
        found = {name: np.asarray(store[name]) for name in store.keys()}
        _check_stored(type(self).__name__, found, self._memory.variable.shape)
        ops = _backend.get_backend_ops()
        self._seed_state.assign(ops.import_seed_state(found["0"]))
        self._memory.variable.assign(found["1"])
        self._owner = _workers.marked(store)
        if "uid" in found:
            _handoff.REGISTRY.answer(self, found["uid"].tobytes().hex())

    def get_config(self) -> dict[str, Any]:
        """Returns the seed and the uid by which losses find the layer."""
        config: dict[str, Any] = super().get_config()
        return config | {"seed": self.seed, "uid": self.lineage}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """Makes the layer again; its draws start from the seed."""
        config = dict(config)
        uid = config.pop("uid", None)
        config.pop("trainable", None)
        layer = cls(**config)
        if uid is not None:
            _handoff.REGISTRY.register(layer, uid)
            if re.fullmatch("([0-9a-f]{2})+", uid):  # As files hold it.
                layer.lineage = uid
        return layer

    def __reduce__(self) -> Any:
        """Pickles the layer as Keras does, with the process that it came from."""
        return _workers.unpickled, (*super().__reduce__(), self._owner)


def _check_stored(owner: str, found: dict[str, np.ndarray], memory: Any) -> None:
    """Refuses what another kind of layer has saved, or a damaged file."""
    shapes = {"0": (3,), "1": tuple(memory)}
    valid = all(
        name in found and found[name].dtype.kind in "iu" and found[name].shape == shape
        for name, shape in shapes.items()
    )
    uid = found.get("uid", np.zeros([1], "uint8"))
    if not valid or uid.dtype != "uint8" or uid.ndim != 1:
        kinds = (f"{name} {x.dtype}{x.shape}" for name, x in sorted(found.items()))
        _errors.fail(
            owner,
            "the file must hold the random state of a mixing layer here.",
            ", ".join(kinds),
            "Load it into the model that was saved; by `skip_mismatch=True` the layer "
            "keeps its own state.",
        )
