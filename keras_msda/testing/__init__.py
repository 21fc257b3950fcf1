"""Checks for mixing layers, those of this package and your own.

For tests: `check_layer` runs a layer in eager mode, graphs, compiled graphs, pipelines
and models, and raises an error that says which law broke, where and at which draw.
"""

from collections.abc import Sequence
from typing import Any

from keras_msda import _errors
from keras_msda.layers.base import MixLayer
from keras_msda.masks import _given
from keras_msda.testing import _calls, _hooks, _losses, _worlds
from keras_msda.testing._report import Report

__all__ = ["check_layer"]

_DRAWS = 64


def check_layer(
    layer: Any,
    *,
    sizes: Sequence[tuple[int, ...]] = ((6, 5), (1, 4), (7,), (3, 4, 5)),
    batch: int = 6,
    worlds: Sequence[str] | None = None,
) -> list[tuple[str, str]]:
    """Checks a mixing layer by the laws that all of them obey.

    The laws, by name:

    - "config": the configuration has all arguments and makes the same layer again.
    - "mask": masks are finite float32 numbers in [0, 1], of shape `(num_draws, *size)`.
    - "weight": weights are the masks' means (except for `exact_weight=False`).
    - "plan": unmixed samples keep weight 1, mask 1 and themselves; a seed decides all.
    - "uniform_mask", "symmetric": the class is what it declares, by its moments.
    - "seed": partners, weights and masks of a seed are the same in all worlds.
    - "blend": images are `mask * own + (1 - mask) * partner`, exact where the mask is 0
      or 1, also beside NaN; rows of labels keep their sum.
    - "training": `training=False` returns what it is given.
    - "dtype": float16, bfloat16 and uint8 images are rounded once; weights stay.
    - "channels_first": channels may come first.
    - "sequence": each call draws anew, and a saved layer goes on.
    - "handoff": a loss of the layer in a model uses partners and weights of its step.

    The worlds: "eager", with TensorFlow also "graph" (`tf.function`), "compiled" (by
    XLA) and "pipeline" (`keras_msda.mixing`), with JAX also "compiled" (`jax.jit`) and
    "stateless" calls.

    Args:
        layer: A mixing layer. Copies are run: its own sequence of draws is left alone.
        sizes: Spatial lengths to run it on: all of them eagerly, the first of each rank
            in the other worlds, and the very first inside a model. Give sizes of one
            rank for a method of one.
        batch: Number of samples, 3 or more.
        worlds: Names of the worlds to run it in beside "eager"; None for all that the
            Keras backend has. `["eager"]` is quick.

    Returns:
        The pairs (law, world) that were checked, in order.

    Raises:
        AssertionError: If a law breaks. The message says which, in which world, for
            which size and draw, what was received and what to do.
        TypeError: If the layer is no mixing layer.
        ValueError: If another argument is out of range.

    Example:
        >>> import keras_msda as msda
        >>> from keras_msda.testing import check_layer
        >>> checked = check_layer(msda.MixUpLayer(), sizes=[(4,)], worlds=["eager"])
        >>> print(checked[:4])
        [('config', 'eager'), ('mask', 'eager'), ('weight', 'eager'), ('plan', 'eager')]
    """
    owner = "check_layer"
    _check_layer(owner, layer)
    sizes = [_given.check_size(owner, size) for size in sizes]
    _check_batch(owner, batch)
    chosen = _choose_worlds(owner, worlds)
    report = Report(type(layer).__name__)
    _calls.check_config(report, layer)
    plain = _worlds.copy_layer(layer, **_worlds.PLAIN)
    for size in sizes:
        _check_eagerly(report, plain, size, batch=batch)
    _check_worlds(report, plain, sizes, batch=batch, worlds=chosen)
    return report.checked


def _check_eagerly(
    report: Report, layer: Any, size: tuple[int, ...], *, batch: int
) -> None:
    """Checks what is quickly checked, for each size."""
    eager = _worlds.list_worlds()[0]
    _hooks.check_hooks(report, layer, size, draws=_DRAWS)
    _hooks.check_plans(report, layer, size, batch=batch)
    _hooks.check_declared(report, layer, size)
    _calls.check_mixing(report, layer, size, batch=batch, world=eager)
    _calls.check_training(report, layer, size, batch=batch, world=eager)
    _calls.check_dtypes(report, layer, size, batch=batch)
    _calls.check_channels(report, layer, size, batch=batch)
    _calls.check_sequence(report, layer, size, batch=batch)


def _check_worlds(
    report: Report,
    layer: Any,
    sizes: list[tuple[int, ...]],
    *,
    batch: int,
    worlds: list[str],
) -> None:
    """Checks what takes its time: one size of each rank in each of the worlds.

    Models are trained for the first size, and one that is larger by a pixel.
    """
    of_rank = {len(size): size for size in reversed(sizes)}
    traced = [world for world in _worlds.list_worlds()[1:] if world.name in worlds]
    for world in traced:
        for size in of_rank.values():
            _calls.check_mixing(report, layer, size, batch=batch, world=world)
        _calls.check_training(report, layer, sizes[0], batch=batch, world=world)
    if "stateless" in worlds:
        _calls.check_stateless(report, layer, sizes[0], batch=batch)
    if layer.weight_needs_images or layer.pairing == "label_similarity":
        return  # No loss of the layer knows its plans.
    for world_name in _losses.list_modes():
        if world_name in worlds:
            _losses.check_handoff(
                report, layer, sizes[0], batch=batch, world=world_name
            )


def _check_layer(owner: str, layer: Any) -> None:
    """Checks that a layer is a mixing layer."""
    if not isinstance(layer, MixLayer):
        _errors.fail(
            owner,
            "`layer` must be a mixing layer.",
            f"{layer!r}",
            "Give an instance of a class that derives from `keras_msda.MixLayer`.",
            TypeError,
        )


def _check_batch(owner: str, batch: Any) -> None:
    """Checks that a batch is large enough to mix."""
    if not isinstance(batch, int) or batch < 3:
        _errors.fail(
            owner,
            "`batch` must be an integer, 3 or more.",
            f"batch={batch!r}",
            "Leave it out for 6.",
        )


def _choose_worlds(owner: str, worlds: Any) -> list[str]:
    """Returns the names of worlds, all that there are for None."""
    known = _worlds.list_names()
    chosen = known if worlds is None else list(worlds)
    if isinstance(worlds, str) or not set(chosen) <= set(known):
        _errors.fail(
            owner,
            f"`worlds` must be some of {', '.join(known)}.",
            f"worlds={worlds!r}",
            "Leave it out for all of them.",
        )
    return ["eager", *chosen]
