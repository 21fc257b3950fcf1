"""The seam: which tensor library computes, and the operations that all of them have.

Only this package names TensorFlow, JAX or PyTorch. All other code calls
`ops = _backend.get_ops(tensor)` and uses the operations of `Ops`, so that the
mathematics is written once. No operation here knows what a mask is.
"""

from collections.abc import Callable
from typing import Any, NoReturn, TypeVar

import keras
import numpy as np

from keras_msda import _errors
from keras_msda._backend import _processes
from keras_msda._backend._events import EventWriter
from keras_msda._backend._pipelines import PipelineOps
from keras_msda._backend._protocol import Ops
from keras_msda._backend._tensorflow import TensorFlowOps

_Function = TypeVar("_Function", bound=Callable[..., Any])

BACKENDS = ("tensorflow", "jax", "torch")


def get_ops(*values: Any) -> Ops:
    """Returns the operations of the library that the values belong to.

    A `tf.data` pipeline uses TensorFlow on every Keras backend, so the values decide:
    TensorFlow if one of them is its tensor, and Keras's backend otherwise.
    """
    ops = get_backend_ops()
    # `torch.compile` cannot trace how tensors of TensorFlow are recognised.
    if not ops.in_torch_compile() and any(map(_is_tensorflow, values)):
        return _load_tensorflow()
    return ops


def get_backend_ops() -> Ops:
    """Returns the operations of Keras's backend."""
    return _load(keras.config.backend())


def get_tensorflow_ops() -> TensorFlowOps:
    """Returns the operations of TensorFlow, with those that no other library has.

    Raises:
        ImportError: If TensorFlow is not installed.
    """
    return _require_tensorflow(_fail_no_tensorflow)


def get_pipeline_ops() -> PipelineOps:
    """Returns the operations on datasets of `tf.data`.

    Raises:
        ImportError: If TensorFlow is not installed.
    """
    return PipelineOps(get_tensorflow_ops())


def skip_autograph(function: _Function) -> _Function:
    """Has AutoGraph call a public function as it is.

    AutoGraph would rewrite it and all that it calls, which takes seconds and changes
    nothing; and it fails on hooks whose source it cannot read.
    """
    # AutoGraph leaves alone whatever has this attribute.
    function.autograph_info__ = {}  # type: ignore[attr-defined]
    return function


def set_up_process(threads: int, *, deterministic: bool) -> None:
    """Has operations use some threads, and give the same result each time.

    Args:
        threads: Within one operation; operations run one after another.
        deterministic: Whether operations that would not do so are replaced.

    Raises:
        ImportError: If TensorFlow is not installed.
    """
    ops = get_tensorflow_ops()
    _processes.set_up_process(ops.tf, threads, deterministic=deterministic)


def make_event_writer(owner: str, folder: str) -> EventWriter:
    """Returns a writer of pictures for TensorBoard.

    Args:
        owner: Name that an error starts with.
        folder: Folder of the event file.

    Raises:
        ImportError: If TensorFlow is not installed.
    """
    ops = _require_tensorflow(lambda: _fail_no_event_files(owner))
    return EventWriter(ops.tf, folder)


def in_foreign_pipeline(*values: Any) -> bool:
    """Returns whether TensorFlow traces values and is not Keras's backend.

    Args:
        *values: Tensors, or nests of them.
    """
    # `torch.compile` traces no pipeline, and cannot trace how Keras flattens nests.
    if keras.config.backend() == "tensorflow" or get_backend_ops().in_torch_compile():
        return False
    leaves = keras.tree.flatten(values)
    return any(_is_tensorflow(x) and not hasattr(x, "numpy") for x in leaves)


def in_any_pipeline(images: Any) -> bool:
    """Returns whether `tf.data` is tracing images, on any backend."""
    return in_foreign_pipeline(images) or get_ops(images).is_traced_by_dataset()


def to_bool(value: Any) -> Any:
    """Returns None for None, a bool, or a tensor of one if the value is traced."""
    if value is None or isinstance(value, bool):
        return value
    return get_ops(value).to_bool(value)


def get_concrete_value(value: Any) -> np.ndarray | None:
    """Returns the numbers of a value as an array, or None if they are traced.

    Args:
        value: A number, an array, a list or a tensor. None stays None.
    """
    if value is None:
        return None
    if isinstance(value, (np.ndarray, np.generic, int, float, str)):
        return np.asarray(value)
    if isinstance(value, (list, tuple)):
        leaves = keras.tree.flatten(value)
        if any(hasattr(x, "dtype") and get_concrete_value(x) is None for x in leaves):
            return None
        try:
            return np.asarray(value)
        except ValueError:  # Rows of different lengths.
            return np.asarray(value, object)
    if not get_ops(value).is_eager(value):
        return None
    array = np.asarray(keras.ops.convert_to_numpy(value))
    # NumPy itself does not know bfloat16.
    return array.astype("float32") if array.dtype.kind == "V" else array


def _is_tensorflow(value: Any) -> bool:
    return type(value).__module__.partition(".")[0] == "tensorflow"


# Not `functools.cache`, as `torch.compile` warns about it.
_LOADED: dict[str, Any] = {}


def _load(name: str) -> Ops:
    """Returns the operations of a library, which is imported at the first use."""
    if name not in _LOADED:
        _check_backend(name)
        _LOADED[name] = _make_ops(name)
    ops: Ops = _LOADED[name]
    return ops


def _load_tensorflow() -> TensorFlowOps:
    _load("tensorflow")
    ops: TensorFlowOps = _LOADED["tensorflow"]
    return ops


def _make_ops(name: str) -> Ops:
    if name == "jax":
        from keras_msda._backend._jax import JaxOps

        return JaxOps()
    if name == "torch":
        from keras_msda._backend._torch import TorchOps

        return TorchOps()
    return TensorFlowOps()


def _require_tensorflow(fail: Callable[[], NoReturn]) -> TensorFlowOps:
    """Returns the operations of TensorFlow, or calls `fail` if it is not installed."""
    try:
        return _load_tensorflow()
    except ModuleNotFoundError as error:
        if error.name != "tensorflow":
            raise
    fail()


def _check_backend(name: str) -> None:
    """Checks that keras_msda supports the backend of Keras."""
    if name not in BACKENDS:
        _errors.fail(
            "keras_msda",
            f"the Keras backend must be one of {', '.join(BACKENDS)}.",
            f"KERAS_BACKEND={name}",
            'Set the environment variable KERAS_BACKEND, for example to "jax", before '
            "importing Keras.",
        )


def _fail_no_tensorflow() -> NoReturn:
    """Raises, as pipelines need TensorFlow."""
    _errors.fail(
        "keras_msda",
        "a tf.data pipeline computes with TensorFlow under every Keras backend.",
        "a Python without TensorFlow",
        "Install it by `pip install tensorflow`.",
        ImportError,
    )


def _fail_no_event_files(owner: str) -> NoReturn:
    """Raises, as the files of TensorBoard need TensorFlow."""
    _errors.fail(
        owner,
        "TensorBoard's files need TensorFlow, whichever backend Keras has.",
        "a Python without TensorFlow",
        'Install it by `pip install tensorflow`, or use `to="folder"`.',
        ImportError,
    )
