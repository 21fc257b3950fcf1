"""Compiles layers and train steps with the real TPU compiler, without a TPU.

Nothing runs: libtpu compiles ahead of time for chips that are only described to it. A
case fails if it does not compile, if its program needs the host, if a layer takes more
than `LIMIT` to compile, or if the grouped data-parallel step exchanges images.

A private function of Keras is used here, and private functions of other libraries in
`tpu_programs.py`; `tpu-requirements.txt` pins what they were tried with.
"""

import argparse
import functools
import importlib.metadata
import json
import math
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tpu_programs import (
    Program,
    abstract,
    collectives,
    compile_jax,
    compile_stablehlo,
    devices,
    host_needs,
    lower_tensorflow,
    step_jax,
)

PARTS = {"jax": "jax", "tensorflow": "tensorflow", "parallel": "jax"}  # Their backends.
TOPOLOGIES = ("v5e:2x2", "v6e:2x2")
SCALES = ("v5e:2x2", "v5e:4x4", "v5e:16x16")
PAIRINGS = ("shuffle", "derangement", "reverse", "roll")
BATCH, SIZE = 128, (224, 224, 3)
PER_CHIP, SMALL = 16, (64, 64, 3)
# Processor time of this process, which the compiler runs in: others may be busy too.
LIMIT = 10.0
# A soft edge ranks its pixels by sorting; random choices have two methods each; and
# PuzzleMix solves and transports.
FACTORS = {"FMix max_soft": 2, "RandomMix": 2, "RandomMix per sample": 2}
FACTORS |= {"PuzzleMix": 10}
RESULTS = Path(__file__).parent / "results" / "tpu_collectives.json"

# The last four keep libtpu from looking for a TPU machine. No chip is used, so another
# process may have libtpu loaded too.
ENVIRONMENT = {
    "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
    "JAX_PLATFORMS": "cpu",
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "TPU_SKIP_MDS_QUERY": "1",
    "TPU_ACCELERATOR_TYPE": "v5litepod-4",
    "TPU_WORKER_HOSTNAMES": "localhost",
    "TPU_WORKER_ID": "0",
}

# What is compiled.


def layers(quick: bool) -> dict[str, Callable[..., Any]]:
    """Returns a function per case that makes its layer, given further arguments."""
    import keras_msda as msda
    from keras_msda.layers import METHODS

    def mixed(**kwargs: Any) -> Any:
        return msda.RandomMixLayer([msda.CutMixLayer(), msda.FMixLayer()], **kwargs)

    def with_(layer: Callable[..., Any], **given: Any) -> Callable[..., Any]:
        return lambda **kwargs: layer(**given, **kwargs)

    plain: dict[str, Callable[..., Any]] = {
        method.label: method.layer for method in METHODS.values()
    }
    plain["RandomMix"] = mixed
    if quick:  # PuzzleMix takes a minute; the masks of two are made as others are.
        left = ("GridMix", "SmoothMix", "PuzzleMix")
        return {name: make for name, make in plain.items() if name not in left}
    return plain | {
        "MixUp per pair": with_(msda.MixUpLayer, per="pair"),
        "MixUp bfloat16": with_(msda.MixUpLayer, dtype="bfloat16"),
        "CutMix wrap": with_(msda.CutMixLayer, border="wrap"),
        "CutMix inside": with_(msda.CutMixLayer, border="inside"),
        "HMix wrap": with_(msda.HMixLayer, border="wrap"),
        "GMix wrap": with_(msda.GMixLayer, border="wrap"),
        "FMix official": with_(msda.FMixLayer, spectrum="official"),
        "FMix max_soft": with_(msda.FMixLayer, max_soft=0.1),
        "FMix per batch": with_(msda.FMixLayer, per="batch"),
        "RandomMix per sample": with_(mixed, per="sample"),
    }


def steps(quick: bool) -> tuple[str, ...]:
    """Returns the layers that a whole train step is compiled with."""
    return ("HMix",) if quick else ("HMix", "FMix", "RandomMix")


def model_with(layer: Any, size: tuple[int, ...]) -> Any:
    """Returns a small compiled model, with all variables of its train step."""
    import keras
    import numpy as np

    loss: Any = "sparse_categorical_crossentropy"
    metric: Any = "accuracy"
    model = keras.Sequential([keras.Input(size)])
    if layer is not None:
        loss, metric = layer.loss(loss), layer.accuracy()
        model.add(layer)
    model.add(keras.layers.Conv2D(8, 3, strides=2, activation="relu"))
    model.add(keras.layers.GlobalAveragePooling2D())
    model.add(keras.layers.Dense(10, "softmax"))
    model.compile("adam", loss, metrics=[metric])
    # Private in Keras 3.15; a first batch would compile everything for the CPU.
    model._symbolic_build(
        data_batch=(np.zeros((4, *size), "float32"), np.zeros(4, "int32"))
    )
    return model


# JAX.


def layer_jax(layer: Any, topology: str) -> Program:
    """Compiles a layer's call for one chip."""
    import jax
    from jax.sharding import SingleDeviceSharding

    place = SingleDeviceSharding(devices(topology)[0])
    layer.build((BATCH, *SIZE))
    state = [abstract(v, place) for v in layer.non_trainable_variables]
    shape = (BATCH, *SIZE)
    images = jax.ShapeDtypeStruct(shape, layer.compute_dtype, sharding=place)

    def call(state: Any, *batch: Any) -> Any:
        return layer.stateless_call([], state, *batch, training=True)

    if not layer.weight_needs_images:
        return compile_jax(call, (state, images))
    labels = jax.ShapeDtypeStruct((BATCH, 10), "float32", sharding=place)
    return compile_jax(call, (state, images, labels))


def check_jax(quick: bool) -> Iterator[bool]:
    """Checks layers and train steps of the JAX backend on one chip."""
    from jax.sharding import SingleDeviceSharding

    for topology in TOPOLOGIES[: 1 if quick else None]:
        place = SingleDeviceSharding(devices(topology)[0])
        for name, make in layers(quick).items():
            yield compile_and_print(
                f"{topology} jax layer {name}", layer_jax, make(), topology
            )
        for name in steps(quick):
            model = model_with(layers(True)[name](), SIZE)
            yield compile_and_print(
                f"{topology} jax step {name}",
                step_jax,
                model,
                BATCH,
                SIZE,
                (place, place),
            )


# TensorFlow: its CPU kernels write StableHLO, which libtpu compiles.


def check_tensorflow(quick: bool) -> Iterator[bool]:
    """Checks layers and train steps of the TensorFlow backend on one chip."""
    import tensorflow as tf

    from keras_msda._backend._tensorflow import TensorFlowOps

    # This TensorFlow sees only CPUs, and would lower what is best for them.
    TensorFlowOps.is_traced_for_cpu = lambda _: False  # type: ignore[method-assign]
    images = tf.TensorSpec((BATCH, *SIZE), "float32")
    labels = tf.TensorSpec((BATCH,), "int32")
    lowered: dict[str, Callable[[], bytes]] = {}
    for name, make in layers(quick).items():
        lowered[f"layer {name}"] = functools.cache(
            functools.partial(lower_layer, make, images)
        )
    for name in steps(quick):
        lowered[f"step {name}"] = functools.cache(
            functools.partial(lower_step, layers(True)[name], images, labels)
        )
    for name, lower in lowered.items():
        for topology in TOPOLOGIES[: 1 if quick else None]:
            yield compile_and_print(
                f"{topology} tensorflow {name}",
                lambda lower=lower, topology=topology: compile_stablehlo(
                    lower(), topology
                ),
            )


def lower_layer(make: Callable[..., Any], images: Any) -> bytes:
    """Lowers a layer's call, which advances its state."""
    import tensorflow as tf

    layer = make()
    layer.build(images.shape)
    given = tf.TensorSpec(images.shape, layer.compute_dtype)
    # One or two arguments only, since the bridge takes no defaults.
    if not layer.weight_needs_images:
        return lower_tensorflow(lambda images: layer(images, training=True), given)
    labels = tf.TensorSpec((images.shape[0], 10), "float32")
    return lower_tensorflow(
        lambda images, labels: layer(images, labels, training=True), given, labels
    )


def lower_step(make: Callable[..., Any], images: Any, labels: Any) -> bytes:
    """Lowers Keras's own train step."""
    model = model_with(make(), SIZE)
    return lower_tensorflow(lambda *batch: model.train_step(batch), images, labels)


# Many chips.


def check_parallel(quick: bool) -> Iterator[bool]:
    """Checks the data-parallel train step, and writes what chips exchange."""
    rows: list[dict[str, Any]] = []
    for topology in SCALES[: 1 if quick else None]:
        chips = len(devices(topology))
        yield exchanges(rows, topology, "none", None, 1)
        for pairing in PAIRINGS[: 1 if quick else None]:
            for groups in {"shuffle": (chips, 2 * chips, 1)}.get(pairing, (chips, 1)):
                make = functools.partial(layers(True)["HMix"], pairing=pairing)
                yield exchanges(rows, topology, f"HMix {pairing}", make, groups)
    for name, make in layers(quick).items():
        # A step inside a model needs a layer whose weights follow from a seed.
        if name != "HMix" and not make().weight_needs_images:
            yield exchanges(rows, SCALES[0], name, make, len(devices(SCALES[0])))
    if not quick:
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_text(json.dumps(_document(rows), indent=1) + "\n")
        print(f"wrote {RESULTS.relative_to(RESULTS.parents[2])}")
    print_table(rows)


def exchanges(
    rows: list[dict[str, Any]],
    topology: str,
    name: str,
    make: Callable[..., Any] | None,
    groups: int,
) -> bool:
    """Checks one data-parallel train step, and adds a row.

    Images must stay on their chip if each group is on one chip. They must not if a
    shuffle has no groups: a check that finds no exchange there would never find one.
    """
    import numpy as np
    from jax.sharding import Mesh, NamedSharding, PartitionSpec

    chips = devices(topology)
    mesh = Mesh(np.array(chips), ("batch",))
    places = tuple(NamedSharding(mesh, PartitionSpec(*x)) for x in ((), ("batch",)))
    row: dict[str, Any] = {"topology": topology, "chips": len(chips), "mixing": name}
    row |= {"groups": groups}

    def compiled() -> Program:
        layer = None if make is None else make(groups=groups)
        model = model_with(layer, SMALL)
        program = step_jax(model, PER_CHIP * len(chips), SMALL, places)
        found = collectives(program.text, len(chips), math.prod(SMALL))
        row["image_bytes"] = sum(x.bytes for x in found if x.images)
        row["other_bytes"] = sum(x.bytes for x in found if not x.images)
        row["temp_bytes"] = program.temp
        row["collectives"] = [x._asdict() for x in found]
        rows.append(row)
        if groups % len(chips) == 0 and row["image_bytes"]:
            raise ValueError("a collective on images in the grouped step")
        if groups == 1 and "shuffle" in name and not row["image_bytes"]:
            raise ValueError("no collective on images found where one must be")
        return program

    return compile_and_print(f"{topology} parallel {name} groups={groups}", compiled)


def _document(rows: list[dict[str, Any]]) -> dict[str, Any]:
    import jax
    import jaxlib
    import keras

    return {
        "compiled": "ahead of time; nothing ran on a TPU",
        "bytes": "received by each chip in one step",
        "jax": jax.__version__,
        "jaxlib": jaxlib.__version__,
        "keras": keras.__version__,
        "libtpu": importlib.metadata.version("libtpu"),
        "images_per_chip": PER_CHIP,
        "image": SMALL,
        "rows": rows,
    }


def print_table(rows: list[dict[str, Any]]) -> None:
    """Prints the bytes per chip and step."""
    print(f"\nbytes received by each chip in a step, {PER_CHIP} images of {SMALL} each")
    print(f"{'chips':>5}  {'mixing':22}{'groups':>6}{'images':>14}{'other':>10}")
    for row in rows:
        print(
            f"{row['chips']:5}  {row['mixing']:22}{row['groups']:6}"
            f"{row['image_bytes']:14,}{row['other_bytes']:10,}"
        )


# The verdicts.


def compile_and_print(
    name: str, compiled: Callable[..., Program], *arguments: Any
) -> bool:
    """Compiles, prints one line, and returns whether the case passes."""
    seconds, temp = 0.0, 0
    try:
        program = compiled(*arguments)
    except Exception as error:  # Whatever it is, the other cases still run.
        words = str(error).strip().splitlines() or [""]
        faults = [f"{type(error).__name__}: {words[0][:200]}"]
    else:
        seconds, temp, text = program
        faults = host_needs(text)
        _, is_layer, method = name.partition(" layer ")
        limit = LIMIT * FACTORS.get(method, 1) * slack()
        if is_layer and seconds > limit:
            faults.append(f"more than {limit:g} s to compile")
    verdict = f"FAILED: {'; '.join(faults)}" if faults else "ok"
    print(f"{name:44}{seconds:6.1f} s {temp / 2**20:8.1f} MiB  {verdict}", flush=True)
    return not faults


def slack() -> float:
    """Returns the factor on the limits of time, for slower machines."""
    return float(os.environ.get("TPU_CHECK_SLACK", "1"))


def run_part(part: str, quick: bool) -> bool:
    """Runs a part in this process, whose environment is already set."""
    checks = {
        "jax": check_jax,
        "tensorflow": check_tensorflow,
        "parallel": check_parallel,
    }
    verdicts = list(checks[part](quick))
    print(f"{part}: {sum(verdicts)} of {len(verdicts)} ok\n", flush=True)
    return all(verdicts)


def main() -> int:
    """Runs each part in a process of its own, since a process has one Keras backend."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer cases, no results")
    parser.add_argument("--part", choices=PARTS, action="append", help="only this part")
    parser.add_argument(
        "--slack", type=float, default=1.0, help="factor on the limits of time"
    )
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    parts = options.part or list(PARTS)
    if options.child:
        return 0 if run_part(parts[0], options.quick) else 1
    failed = []
    for part in parts:
        command = [sys.executable, __file__, "--child", "--part", part]
        command += ["--quick"] * options.quick
        settings = ENVIRONMENT | {"KERAS_BACKEND": PARTS[part]}
        settings["TPU_CHECK_SLACK"] = str(options.slack)
        if subprocess.run(command, env=os.environ | settings, check=False).returncode:
            failed.append(part)
    print(f"FAILED: {', '.join(failed)}" if failed else "all ok; nothing ran on a TPU")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
