"""Mixing in `tf.data` pipelines that is the same in every run."""

import numbers
from collections.abc import Callable
from typing import Any

from keras_msda import _backend, _checks, _errors

#: What TensorFlow calls `tf.data.AUTOTUNE`.
AUTOTUNE = -1


def mixing(
    layer: Any,
    *,
    seed: Any = None,
    epoch: Any = None,
    index: Callable[..., Any] | None = None,
    num_parallel_calls: int | None = AUTOTUNE,
) -> Callable[[Any], Any]:
    """Returns a function for `Dataset.apply` that mixes the batches of a dataset.

    The draws of a batch depend only on the seed, the epoch and the number of the batch.
    They are the same however many calls run in parallel, after an iterator is restored,
    and on any worker of a tf.data service. `Dataset.map(layer)`, instead, gives each
    call the next draws, in the order in which calls happen to run.

    Args:
        layer: The mixing layer. Its own sequence of draws does not advance.
        seed: Integer of at most 64 bits; None for the layer's.
        epoch: Number of the epoch, an integer, or a `tf.Variable` that is read when an
            iteration asks for its first batch. None makes each iteration over the
            returned dataset another epoch, counted from 0; iterators are saved with
            that count. A tf.data service would repeat the first epoch, and a program
            that restarts without a saved iterator begins with the first.
        index: Function of a batch, called as by `Dataset.map`, that returns its number,
            a scalar integer. None counts the batches. Under dynamic sharding by a
            tf.data service batches must bring their number, because workers would count
            them in the order in which they happen to arrive.
        num_parallel_calls: As in `Dataset.map`.

    Returns:
        A function from a dataset of batches, which are tuples or dictionaries as the
        layer takes them or images alone, to the dataset of mixed batches.

    Raises:
        ImportError: If TensorFlow is not installed.
        ValueError: If `layer` is no mixing layer, or the seed, epoch or index is none
            of the values above.

    Example:
        >>> import numpy as np, tensorflow as tf, keras_msda as msda
        >>> images, labels = np.random.rand(8, 4, 4, 1), np.arange(8) % 2
        >>> dataset = tf.data.Dataset.from_tensor_slices((images, labels)).batch(4)
        >>> layer = msda.MixUpLayer(num_classes=2)
        >>> first, again = (
        ...     dataset.apply(msda.mixing(layer, seed=7, epoch=3)) for _ in range(2)
        ... )
        >>> print([bool(np.all(x[1] == y[1])) for x, y in zip(first, again)])
        [True, True]
    """
    owner = "mixing"
    _check_mixer(owner, layer)
    seed = layer.seed if seed is None else _checks.check_seed(owner, seed)
    _check_epoch(owner, epoch)
    _check_index(owner, index)
    ops = _backend.get_pipeline_ops()

    variable = hasattr(epoch, "assign")

    def apply(dataset: Any) -> Any:
        spec = dataset.element_spec

        def mix(*parts: Any) -> Any:
            if counted:
                (number, moment), element = parts
            else:
                number, moment, element = None, epoch, ops.join_arguments(parts, spec)
            if index is not None:
                number = index(*element) if type(spec) is tuple else index(element)
            moment = moment if epoch is None or variable else epoch
            pair = ops.make_batch_seed(seed, moment, number)
            # As `Dataset.map(layer)` would call it.
            alone = type(spec) is tuple and len(spec) == 1
            return layer.mix(element[0] if alone else element, seed=pair)

        moments = (
            ops.repeat_first_value(epoch) if variable else ops.draw_iteration_ids(seed)
        )
        counted = epoch is None or variable or index is None
        if counted:
            dataset = ops.enumerate_batches(dataset, moments)
        # The function reads the layer's settings, which a restored iterator must not
        # replace.
        mixed = dataset.map(mix, num_parallel_calls=num_parallel_calls)
        if epoch is None:
            mixed = ops.keep_iteration_id(mixed, moments)
        return ops.allow_saving(mixed)

    return apply


def _check_mixer(owner: str, layer: Any) -> None:
    """Checks that a layer mixes batches by a seed."""
    if not hasattr(layer, "mix"):
        _errors.fail(
            owner,
            "`layer` must be a mixing layer.",
            f"{type(layer).__name__}",
            "Give for example `keras_msda.CutMixLayer(num_classes=10)`.",
        )


def _check_index(owner: str, index: Any) -> None:
    """Checks the function that numbers batches."""
    if not (index is None or callable(index)):
        _errors.fail(
            owner,
            "`index` must be a function of a batch or None.",
            f"index={index!r}",
            'Give for example `index=lambda batch: batch["number"]`.',
        )


def _check_epoch(owner: str, epoch: Any) -> None:
    """Checks the number of an epoch, unless it is a variable."""
    whole = isinstance(epoch, numbers.Integral) and not isinstance(epoch, bool)
    if not (epoch is None or hasattr(epoch, "dtype") or (whole and epoch >= 0)):
        _errors.fail(
            owner,
            "`epoch` must be an integer of 0 or more, a `tf.Variable` or None.",
            f"epoch={epoch!r}",
            "Leave it out to make each iteration another epoch.",
        )
