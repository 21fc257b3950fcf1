"""Compiles for described TPUs, and reads what the compiled programs do.

Private functions of JAX and of TensorFlow's compiler bridge are used here;
`tpu-requirements.txt` pins the versions that they were tried with.
"""

import math
import re
import time
from collections.abc import Callable
from typing import Any, NamedTuple

# Custom calls of the compiler itself, all on the chip.
ON_CHIP = {
    "AllocateBuffer",
    "AssumeGatherIndicesInBound",
    "ConcatBitcast",
    "GatherScatterIndicesBitpacked",
    # Integers of 64 bits as pairs of 32.
    "X64Combine",
    "X64SplitHigh",
    "X64SplitLow",
}
HOST = re.compile(r" (infeed|outfeed|send|recv)(?:-start|-done)?\(")
TARGET = re.compile(r'custom_call_target="([^"]*)"')
ARRAY = re.compile(r"\b(pred|[a-z]+(\d+)\w*)\[([\d,]*)\]")
COLLECTIVE = re.compile(
    r" = (?P<result>.*?) (?P<kind>all-gather|all-reduce|all-to-all|reduce-scatter|"
    r"collective-permute|collective-broadcast|ragged-all-to-all)(?P<start>-start)?\("
)


class Program(NamedTuple):
    """A compiled program.

    Attributes:
        seconds: Processor time of the compilation alone.
        temp: Bytes that it needs besides arguments and results, on each chip.
        text: The optimised HLO.
    """

    seconds: float
    temp: int
    text: str


class Collective(NamedTuple):
    """An exchange between chips.

    Attributes:
        kind: Name of the operation, as in HLO.
        arrays: Types and shapes of the result on each chip.
        bytes: The least that a chip receives: a ring's share of those arrays.
        images: Whether one of them is as large as an image.
    """

    kind: str
    arrays: list[str]
    bytes: int
    images: bool


# Compiling.


def devices(topology: str) -> list[Any]:
    """Returns the chips that a name describes."""
    from jax.experimental import topologies

    found = topologies.get_topology_desc(platform="tpu", topology_name=topology)
    return list(found.devices)


def compile_jax(
    function: Callable[..., Any], arguments: tuple[Any, ...], **kwargs: Any
) -> Program:
    """Compiles a function for abstract arguments, whose shardings name the chips."""
    import jax

    lowered = jax.jit(function, **kwargs).trace(*arguments).lower()
    start = time.process_time()
    compiled = lowered.compile()
    seconds = time.process_time() - start
    temp = compiled.memory_analysis().temp_size_in_bytes
    return Program(seconds, temp, compiled.as_text())


def step_jax(model: Any, batch: int, size: Any, places: tuple[Any, Any]) -> Program:
    """Compiles a train step as Keras's trainer compiles it.

    Args:
        model: A compiled model whose variables all exist.
        batch: Number of images on all chips.
        size: Shape of an image.
        places: Shardings of the state and of the batch.

    Returns:
        The compiled program.
    """
    import jax

    state = tuple(
        [abstract(variable, places[0]) for variable in variables]
        for variables in (
            model.trainable_variables,
            model.non_trainable_variables,
            model.optimizer.variables,
            model.metrics_variables,
        )
    )
    data = (
        jax.ShapeDtypeStruct((batch, *size), "float32", sharding=places[1]),
        jax.ShapeDtypeStruct((batch,), "int32", sharding=places[1]),
    )
    return compile_jax(
        model.train_step,
        (state, data),
        donate_argnums=0,
        out_shardings=(None, places[0]),
    )


def abstract(variable: Any, place: Any) -> Any:
    """Returns the shape and dtype of a variable at a place, without values."""
    import jax

    return jax.ShapeDtypeStruct(variable.shape, variable.dtype, sharding=place)


def lower_tensorflow(function: Callable[..., Any], *specs: Any) -> bytes:
    """Returns StableHLO; an experimental function of TensorFlow 2.21."""
    import tensorflow as tf

    compiled = tf.function(function, jit_compile=True, autograph=False)
    lower = compiled.experimental_get_compiler_ir(*specs)
    return bytes(lower(stage="stablehlo_serialized"))


def compile_stablehlo(code: bytes, topology: str) -> Program:
    """Compiles StableHLO of TensorFlow for one chip, by private functions of JAX."""
    import numpy as np
    from jax._src.interpreters import mlir
    from jaxlib import _jax, xla_client
    from jaxlib.mlir import ir

    chip = devices(topology)[0]
    options = xla_client.CompileOptions()
    options.num_replicas = options.num_partitions = 1
    build = options.executable_build_options
    build.num_replicas = build.num_partitions = 1
    build.device_assignment = xla_client.DeviceAssignment.create(np.array([[chip.id]]))
    with mlir.make_ir_context() as context:
        module = ir.Module.parse(code, context)
        _clean(module, ir)
        start = time.process_time()
        compiled = chip.client.compile(module, _jax.DeviceList((chip,)), options)
    seconds = time.process_time() - start
    temp = compiled.get_compiled_memory_stats().temp_size_in_bytes
    return Program(seconds, temp, compiled.hlo_modules()[0].to_string())


def _clean(module: Any, ir: Any) -> None:
    """Removes what TensorFlow leaves in StableHLO that its compiler refuses.

    Variables that are assigned come with `mhlo.copy`, an identity.
    """
    copies = []

    def collect(operation: Any) -> Any:
        if operation.operation.name == "mhlo.copy":
            copies.append(operation.operation)
        return ir.WalkResult.ADVANCE

    module.operation.walk(collect)
    for copy in copies:
        copy.results[0].replace_all_uses_with(copy.operands[0])
        copy.erase()
    attributes = module.operation.attributes
    for name in [str(getattr(x, "name", x)) for x in attributes]:
        if name.startswith("mhlo."):
            del attributes[name]


# Reading a compiled program.


def host_needs(text: str) -> list[str]:
    """Returns what a program needs of the host, or may need: unknown custom calls."""
    needs = {f"{name} of the host" for name in HOST.findall(text)}
    needs |= {f"custom call {x}" for x in TARGET.findall(text) if x not in ON_CHIP}
    if "S(5)" in text:  # The memory space of the host, in layouts.
        needs.add("memory of the host")
    return sorted(needs)


def collectives(text: str, chips: int, values: int) -> list[Collective]:
    """Returns the exchanges of a program, each once.

    Args:
        text: The optimised HLO.
        chips: Number of chips.
        values: Number of values of an image.

    Raises:
        ValueError: If one is in a loop, as it is unknown how often that runs.
    """
    loops = set(re.findall(r"body=%?([\w.\-]+)", text))
    found, computation = {}, ""
    for line in text.splitlines():
        head = re.match(r"(?:ENTRY )?%?([\w.\-]+) \(.*\{$", line)
        computation = head[1] if head else computation
        match = COLLECTIVE.search(line)
        if not match:
            continue
        if computation in loops:
            raise ValueError(f"a collective in a loop: {line.strip()[:100]}")
        # Fusions that overlap an exchange with other work contain copies of it.
        channel = re.search(r"channel_id=(\d+)", line)
        found[channel[1] if channel else line] = _collective(match, chips, values)
    return list(found.values())


def _collective(match: re.Match[str], chips: int, values: int) -> Collective:
    arrays = [
        (f"{kind}[{shape}]", math.prod(map(int, filter(None, shape.split(",")))), bits)
        for kind, bits, shape in ARRAY.findall(match["result"])
    ]
    kind = match["kind"]
    if match["start"] and kind != "all-reduce":  # (operands, results, flags)
        arrays = [entry for entry in arrays if entry[0] != "u32[]"]
        arrays = arrays[len(arrays) // 2 :]
    size = sum(count * int(bits or 8) // 8 for _, count, bits in arrays)
    received = {
        "all-reduce": 2 * (chips - 1) / chips,
        "reduce-scatter": chips - 1,
        "collective-permute": 1,
        "collective-broadcast": 1,
    }.get(kind, (chips - 1) / chips)
    images = any(count >= values for _, count, _ in arrays)
    return Collective(kind, [x[0] for x in arrays], round(size * received), images)
