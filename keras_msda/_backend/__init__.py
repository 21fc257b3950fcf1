"""The seam: which tensor library computes, and the few operations that differ.

The only package that names TensorFlow, JAX or PyTorch. Everything above it writes
`ops = _backend.of(tensor)` and uses the methods of `TensorFlowOps`, which the other
classes have too, so that the mathematics is written once. No method here knows what a
mask is.
"""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any, NoReturn, cast

import keras
import numpy as np

from keras_msda import _errors
from keras_msda._backend._common import JIT_COMPILE
from keras_msda._backend._tensorflow import TensorFlowOps

BACKENDS = ("tensorflow", "jax", "torch")


def of(*values: Any) -> TensorFlowOps:
    """Returns the operations of the library that the values belong to.

    A `tf.data` pipeline is TensorFlow under every Keras backend, so the values decide;
    where none is a tensor of TensorFlow, Keras's backend does.
    """
    ops = of_backend()
    # `torch.compile` cannot follow how a tensor of TensorFlow is told.
    if not ops.is_compiling() and any(map(_is_tensorflow, values)):
        return _load("tensorflow")
    return ops


def of_pipelines() -> TensorFlowOps:
    """Returns TensorFlow's operations, or says that it is missing."""
    return _installed(_fail_no_tensorflow)


def event_writer(owner: str, folder: str) -> Any:
    """Returns what writes pictures for TensorBoard, or says that TensorFlow is missing.

    Args:
        owner: Whom an error names.
        folder: Where its file comes to be.
    """
    ops = _installed(lambda: _fail_no_event_files(owner))
    return ops.event_writer(folder)


def _installed(fail: Callable[[], NoReturn]) -> TensorFlowOps:
    """Returns TensorFlow's operations, or fails where it is not installed."""
    try:
        return _load("tensorflow")
    except ModuleNotFoundError as error:
        if error.name != "tensorflow":
            raise
    fail()


def of_backend() -> TensorFlowOps:
    """Returns the operations of Keras's backend."""
    return _load(keras.config.backend())


def compiled(choice: bool | str) -> Any:
    """Returns a context in which `fused` compiles as a layer's `jit_compile` says."""
    if choice == "auto" or of_backend().is_compiling():
        return contextlib.nullcontext()
    return _compiled(choice)


@contextlib.contextmanager
def _compiled(choice: bool | str) -> Iterator[None]:
    token = JIT_COMPILE.set(choice)
    try:
        yield
    finally:
        JIT_COMPILE.reset(token)


def in_pipeline(*values: Any) -> bool:
    """Tells whether values are traced by TensorFlow while Keras computes otherwise.

    They may be nested. What `torch.compile` reads is no pipeline; nor can it read how
    Keras looks into nests.
    """
    if keras.config.backend() == "tensorflow" or of_backend().is_compiling():
        return False
    leaves = keras.tree.flatten(values)
    return any(_is_tensorflow(x) and not hasattr(x, "numpy") for x in leaves)


def is_traced_pipeline(images: Any) -> bool:
    """Returns whether images are in a function that `tf.data` traces."""
    return in_pipeline(images) or of(images).is_dataset()


def truth(value: Any) -> Any:
    """Returns a truth value: None, True, False, or a tensor if it is traced."""
    if value is None or isinstance(value, bool):
        return value
    return of(value).truth(value)


def visible(value: Any) -> np.ndarray | None:
    """Returns numbers that can be looked at now, or None where they are traced.

    Args:
        value: A number, an array, a list or a tensor. None stays None.
    """
    if value is None:
        return None
    if isinstance(value, (np.ndarray, np.generic, int, float, str)):
        return np.asarray(value)
    if isinstance(value, (list, tuple)):
        leaves = keras.tree.flatten(value)
        if any(hasattr(x, "dtype") and visible(x) is None for x in leaves):
            return None
        try:
            return np.asarray(value)
        except ValueError:  # Rows of several lengths.
            return np.asarray(value, object)
    if not of(value).is_eager(value):
        return None
    found = np.asarray(keras.ops.convert_to_numpy(value))
    # NumPy itself knows no bfloat16.
    return found.astype("float32") if found.dtype.kind == "V" else found


def _is_tensorflow(value: Any) -> bool:
    return type(value).__module__.partition(".")[0] == "tensorflow"


# No `functools.cache`: `torch.compile` warns of it.
_LOADED: dict[str, TensorFlowOps] = {}


def _load(name: str) -> TensorFlowOps:
    """Returns the operations of a library, which importing keras_msda must not load."""
    if name not in _LOADED:
        _check_backend(name)
        _LOADED[name] = _made(name)
    return _LOADED[name]


def _made(name: str) -> TensorFlowOps:
    if name == "jax":
        from keras_msda._backend._jax import JaxOps

        return cast(TensorFlowOps, JaxOps())
    if name == "torch":
        from keras_msda._backend._torch import TorchOps

        return cast(TensorFlowOps, TorchOps())
    return TensorFlowOps()


def _check_backend(name: str) -> None:
    """Checks that Keras computes with a library that keras_msda knows."""
    if name not in BACKENDS:
        _errors.fail(
            "keras_msda",
            f"the Keras backend must be one of {', '.join(BACKENDS)}.",
            f"KERAS_BACKEND={name}",
            'Set the environment variable KERAS_BACKEND, for example to "jax", before '
            "importing Keras.",
        )


def _fail_no_tensorflow() -> NoReturn:
    """Says that a pipeline needs TensorFlow."""
    _errors.fail(
        "keras_msda",
        "a tf.data pipeline computes with TensorFlow under every Keras backend.",
        "a Python without TensorFlow",
        "Install it by `pip install tensorflow`.",
        ImportError,
    )


def _fail_no_event_files(owner: str) -> NoReturn:
    """Says that TensorBoard's files need TensorFlow."""
    _errors.fail(
        owner,
        "TensorFlow writes TensorBoard's files, whatever Keras computes with.",
        "a Python without TensorFlow",
        'Install it by `pip install tensorflow`, or use `to="folder"`.',
        ImportError,
    )
