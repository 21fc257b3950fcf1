"""A model's logits and their derivatives by the images, from arrays to arrays.

What is computed here knows neither masks nor losses: a loss is a function of logits, so
its derivatives are sums over those of logits, which the callers take in float64.
"""

from collections.abc import Callable, Iterator
from typing import Any, NoReturn

import keras
import numpy as np
import numpy.typing as npt

from keras_msda import _backend, _errors
from keras_msda.analysis._types import Array

Tensor = Any

# What the libraries raise for operations without a derivative, without a second one, or
# that cannot be traced. The model itself has been called before.
_UNDERIVABLE = (
    LookupError,
    NotImplementedError,
    RuntimeError,
    TypeError,
    ValueError,
)

# Up to this many batches, compiling takes longer than it saves.
_FEW = 8


def _as_it_is(function: Callable[..., Any]) -> Callable[..., Any]:
    return function


class Logits:
    """The function f from images to logits, `(batch, classes)`, 1 class for a logit.

    Computed in the model's `variable_dtype`, in batches that are filled up to one size,
    so that a function is compiled once, if at all.

    Args:
        owner: Name that an error starts with.
        model: Keras model or layer, or any function of a batch of images.
        images: `(images, ...)`, at least one; the model is called with the first.
        batch_size: Images at a time.
        rows: How many images will be asked for, roughly.
    """

    def __init__(
        self,
        owner: str,
        model: Any,
        images: npt.NDArray[Any],
        *,
        batch_size: int,
        rows: int,
    ) -> None:
        _check_callable(owner, model)
        self._owner = owner
        self._model = model
        self._size = batch_size
        self._ops = _backend.get_backend_ops()
        self._dtype = str(getattr(model, "variable_dtype", keras.config.floatx()))
        self._arguments: dict[str, bool] = {}
        if isinstance(model, keras.layers.Layer):
            self._arguments = {"training": False}
        # Builds the model, before anything looks for its variables.
        outputs = model(self._tensor(images[:1]), **self._arguments)
        _check_logits(owner, outputs)
        functional = self._ops.functional
        self._variables = list(getattr(model, "variables", ())) if functional else []
        self.classes = int(outputs.shape[1]) if len(outputs.shape) == 2 else 1
        compile_ = self._ops.compile_function if rows > _FEW * batch_size else _as_it_is
        self._forward = compile_(self._outputs)
        self._backward = compile_(self._slopes)
        self._second = compile_(self._curvatures)

    def __call__(self, images: npt.NDArray[Any]) -> Array:
        """Returns the logits of one batch at most, `(images, classes)`."""
        return self._run(self._forward, images)[0]

    def slopes(self, images: npt.NDArray[Any], factor: Array) -> Array:
        """Returns gradients of `factor . f` by the images, of the images' shape.

        Args:
            images: One batch at most.
            factor: `(images, classes)`.
        """
        return self._run(self._backward, images, factor)[0]

    def curvatures(
        self, images: npt.NDArray[Any], factor: Array, direction: Array
    ) -> tuple[Array, Array]:
        """Returns derivatives along directions.

        Args:
            images: One batch at most.
            factor: `(images, classes)`.
            direction: v, of the images' shape.

        Returns:
            The first, J v, `(images, classes)`, and the second of `factor . f`, that is
            `factor . D2 f[v, v]`, `(images,)`.
        """
        first, second = self._run(self._second, images, factor, direction)
        return first, second

    def _run(
        self, function: Callable[..., Any], *arrays: npt.NDArray[Any]
    ) -> list[Array]:
        rows = len(arrays[0])
        filled = np.minimum(np.arange(self._size), rows - 1)
        values = [variable.value for variable in self._variables]
        try:
            found = function(values, *(self._tensor(x[filled]) for x in arrays))
        except _UNDERIVABLE as error:
            _fail_underivable(self._owner, self._model, error)
        to_numpy = keras.ops.convert_to_numpy
        return [np.asarray(to_numpy(x), np.float64)[:rows] for x in found]

    def _tensor(self, x: npt.NDArray[Any]) -> Tensor:
        wide = "float64" if self._dtype == "float64" else "float32"
        # By name: of float64 arrays Keras may make float32 tensors.
        tensor = self._ops.convert(np.asarray(x, wide), wide)
        return self._ops.cast(tensor, self._dtype)

    # Functions of tensors. JAX compiles weights as arguments, not as constants; and a
    # mixing layer inside, which notes that it has not mixed, must not keep a trace.

    def _of(self, values: list[Tensor], images: Tensor) -> Tensor:
        given = zip(self._variables, values, strict=True)
        with self._ops.substitute_values(given):
            outputs = self._model(images, **self._arguments)
        return self._ops.reshape(outputs, [-1, self.classes])

    def _outputs(self, values: list[Tensor], images: Tensor) -> list[Tensor]:
        return [self._of(values, images)]

    def _slopes(
        self, values: list[Tensor], images: Tensor, factor: Tensor
    ) -> list[Tensor]:
        found = self._ops.gradients(lambda x: factor * self._of(values, x), images)
        return list(found)

    def _curvatures(
        self, values: list[Tensor], images: Tensor, factor: Tensor, direction: Tensor
    ) -> list[Tensor]:
        def along(images: Tensor, factor: Tensor) -> Tensor:
            return direction * self._slopes(values, images, factor)[0]

        # `factor . J v` is linear in the factor, so that its gradient by it is J v.
        hessian, first = self._ops.gradients(along, images, factor)
        axes = list(range(1, len(direction.shape)))
        return [first, self._ops.sum(hessian * direction, axes)]


def batches(count: int, size: int, bar: Any) -> Iterator[slice]:
    """Yields the parts of a range, and moves a progress bar on after each."""
    for start in range(0, count, size):
        part = slice(start, min(start + size, count))
        yield part
        bar.add(part.stop - part.start)


def silent() -> Any:
    """Returns a progress bar that shows nothing."""
    return keras.utils.Progbar(None, verbose=0)


def as_array(values: Any) -> npt.NDArray[Any]:
    """Returns arrays, lists and tensors of any library as an array."""
    if isinstance(values, (np.ndarray, list, tuple)):
        return np.asarray(values)
    return np.asarray(keras.ops.convert_to_numpy(values))


def last_activation(model: Any) -> str:
    """Returns the name of the function that a model ends with, "" where none is seen.

    Of a functional model the last layer listed is the one that its output comes from.
    """
    layers = getattr(model, "layers", None)
    if layers:
        return last_activation(layers[-1])
    if isinstance(model, keras.layers.Softmax):
        return "softmax"
    return str(getattr(getattr(model, "activation", None), "__name__", ""))


def _check_callable(owner: str, model: Any) -> None:
    """Checks for something that returns logits of images."""
    if not callable(model):
        _errors.fail(
            owner,
            "`model` must be a Keras model or layer, or a function of images.",
            f"model of type {type(model).__name__}",
            "Give what `keras.Sequential` or `keras.Model` has made.",
            TypeError,
        )


def _check_logits(owner: str, outputs: Any) -> None:
    """Checks what a model makes of one image."""
    shape = getattr(outputs, "shape", None)
    fits = shape is not None and len(shape) in (1, 2) and shape[0] == 1
    if not fits or not keras.backend.is_float_dtype(outputs.dtype):
        received = type(outputs).__name__
        if shape is not None:
            dtype = keras.backend.standardize_dtype(outputs.dtype)
            received = f"outputs of shape {_errors.show(shape)} and dtype {dtype}"
        _errors.fail(
            owner,
            "`model` must return floats, for one image logits of shape (1, classes), "
            "or (1,) for one logit.",
            received,
            "Give the part of the model that ends with them, for example "
            "`keras.Model(model.inputs, logits)`.",
        )


def _fail_underivable(owner: str, model: Any, error: Exception) -> NoReturn:
    """Raises the error for a model that the library cannot take derivatives of."""
    _errors.fail(
        owner,
        "`model` must be differentiable with respect to its inputs, "
        "twice where the loss is expanded.",
        f"model of type {type(model).__name__} and {type(error).__name__}: {error}",
        "Replace the operation without a derivative by one that has it.",
    )
