"""What is known of the graph of a functional or sequential model, and how to change it.

A model is changed by building it anew with the same layers, which share their weights.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import keras

Tensor = Any


class Step(NamedTuple):
    """One operation of a model, as the model calls it.

    Attributes:
        path: Name of the operation, after the names of the models that it is inside
            of: "encoder/dense".
        shape: Of its output; None where it has not exactly one.
        dtype: Of its output; None where it has not exactly one.
        calls: How often the model calls it.
        passed: Whether every path from an input to an output leads through it.
        trained: Whether it or an operation before it has weights.
        last: Whether its output is an output of the model.
    """

    path: str
    shape: tuple[int | None, ...] | None
    dtype: str | None
    calls: int
    passed: bool
    trained: bool
    last: bool

    @property
    def name(self) -> str:
        """Name without those of the models that it is inside of."""
        return self.path.rpartition("/")[2]


def is_functional(model: Any) -> bool:
    """Returns whether a model is functional; Keras has no public name for the class."""
    return hasattr(model, "operations") and hasattr(model, "get_layer")


def is_graph(model: Any) -> bool:
    """Returns whether the layers of a model are known, and how it calls them."""
    if isinstance(model, keras.Sequential):
        return hasattr(model, "inputs")
    return is_functional(model) and type(model).call.__module__.startswith("keras.")


def copy_input(tensor: Any, dtype: str | None = None) -> Any:
    """Returns a new symbolic input like a given one, perhaps of another dtype."""
    layer = tensor._keras_history.operation
    return keras.Input(
        batch_shape=layer.batch_shape,
        dtype=dtype or layer.dtype,
        sparse=layer.sparse,
        ragged=layer.ragged,
        optional=layer.optional,
        name=layer.name,
    )


def list_parts(layer: Any) -> list[Any]:
    """Returns all layers inside a layer; an operation, such as a sum, has none."""
    if not isinstance(layer, keras.Layer):
        return []
    return list(layer._flatten_layers(include_self=False))


def list_steps(model: keras.Model) -> list[Step]:
    """Returns the operations of a model, and of models inside it, in their order.

    Args:
        model: For which `is_graph` holds.
    """
    steps: list[Step] = []
    for step in _walk(model, Step("", None, None, 1, True, False, True)):
        trained = step.trained or bool(steps and steps[-1].trained)
        steps.append(step._replace(trained=trained))
    return steps


def _walk(model: keras.Model, outer: Step) -> Iterator[Step]:
    """Yields the operations of a model that is itself an operation of another one."""
    graph = _as_functional(model)
    nodes = _list_nodes(graph)
    through = _count_paths(nodes, graph)
    total = sum(through.ahead[id(x)] for x in graph.outputs)
    outputs = {id(x) for x in graph.outputs}
    for node in nodes:
        operation, values = node.operation, node.outputs
        one = values[0] if len(values) == 1 else None
        paths = sum(through.ahead[id(x)] * through.behind[id(x)] for x in values)
        step = Step(
            f"{outer.path}/{operation.name}" if outer.path else operation.name,
            None if one is None else tuple(one.shape),
            None if one is None else str(one.dtype),
            outer.calls * sum(x.operation is operation for x in nodes),
            outer.passed and paths == total,
            not is_graph(operation) and bool(getattr(operation, "weights", ())),
            outer.last and any(id(x) in outputs for x in values),
        )
        if is_graph(operation):
            yield from _walk(operation, step)
            step = step._replace(trained=bool(operation.weights))
        yield step


def _as_functional(model: keras.Model) -> Any:
    """Returns a plain functional model of the same layers, which is not compiled."""
    if isinstance(model, keras.Sequential):
        return keras.Model(model.inputs[0], model.outputs[0], name=model.name)
    return keras.Model(model.input, model.output, name=model.name)


def _list_nodes(graph: Any) -> list[Any]:
    """Returns the calls of operations in a functional model, in their order."""
    depths = sorted(graph._nodes_by_depth, reverse=True)
    nodes = [node for depth in depths for node in graph._nodes_by_depth[depth]]
    return [node for node in nodes if not node.is_input]


def _find_own_masks(node: Any) -> dict[str, Any]:
    """Returns the masks that Keras has given to a call with its tensors, by argument.

    They belong to the tensors, and are no inputs of their own.
    """
    known = [id(getattr(x, "_keras_mask", None)) for x in node.input_tensors]
    return {
        name: value
        for name, value in node.arguments.kwargs.items()
        if isinstance(value, keras.KerasTensor) and id(value) in known
    }


def _list_inputs(node: Any) -> list[Any]:
    """Returns the tensors that an operation is called with, without their masks."""
    masks = [id(x) for x in _find_own_masks(node).values()]
    return [x for x in node.input_tensors if id(x) not in masks]


class _Paths(NamedTuple):
    """Numbers of paths, by the identity of a tensor: from inputs, and to outputs."""

    ahead: dict[int, int]
    behind: dict[int, int]


def _count_paths(nodes: list[Any], graph: Any) -> _Paths:
    """Counts the paths that lead to each tensor and from it.

    The numbers are exact: those of a deep residual network exceed what floats hold.
    """
    ahead = {id(x): 1 for x in graph.inputs}
    for node in nodes:
        paths = sum(ahead.get(id(x), 0) for x in _list_inputs(node))
        ahead |= {id(x): paths for x in node.outputs}
    behind = dict.fromkeys(ahead, 0)
    for x in graph.outputs:
        behind[id(x)] += 1
    for node in reversed(nodes):
        paths = sum(behind[id(x)] for x in node.outputs)
        for x in _list_inputs(node):
            behind[id(x)] += paths
    return _Paths(ahead, behind)


def insert_layers(
    model: keras.Model, layers: Mapping[str, Callable[[Tensor], Tensor]], path: str = ""
) -> Any:
    """Returns a functional model that calls further layers after some operations.

    Args:
        model: For which `is_graph` holds. It and the new one share their layers.
        layers: What is called with the output of an operation, by its path; by
            "input", what is called with the one input.
        path: Path of the model itself, with "/" at the end, where it is inside another.
    """
    graph = _as_functional(model)
    start = keras.tree.map_structure(copy_input, graph.input)
    first = None if path else layers.get("input")
    if first is None:
        return _clone(graph, start, layers, path)
    values = first(start)
    # The dtype is that of the values: a model casts to the one that its input has.
    inside = copy_input(graph.input, keras.backend.standardize_dtype(values.dtype))
    inner = _clone(graph, inside, layers, path)
    return keras.Model(start, inner(values), name=model.name)


def _clone(
    graph: Any,
    inputs: Any,
    layers: Mapping[str, Callable[[Tensor], Tensor]],
    path: str,
) -> Any:
    """Returns a functional model with further layers behind operations."""
    # Keras finds the masks of new tensors itself; those of a mix are not symbolic.
    masks: dict[str, list[Any]] = {}
    for node in _list_nodes(graph):
        masks.setdefault(node.operation.name, []).append(_find_own_masks(node))

    def replace(operation: Any) -> Any:
        inner = f"{path}{operation.name}/"
        if any(key.startswith(inner) for key in layers):
            return insert_layers(operation, layers, inner)
        return operation

    def call(operation: Any, *args: Any, **kwargs: Any) -> Any:
        own = masks[operation.name].pop(0)  # Calls come in the order of the nodes.
        kwargs = {name: x for name, x in kwargs.items() if name not in own}
        outputs = operation(*args, **kwargs)
        layer = layers.get(f"{path}{operation.name}")
        return outputs if layer is None else layer(outputs)

    return keras.models.clone_model(
        graph, input_tensors=inputs, clone_function=replace, call_function=call
    )
