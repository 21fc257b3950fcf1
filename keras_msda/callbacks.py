"""Schedules that change a layer's settings from epoch to epoch or step to step."""

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from keras_msda import _checks, _errors


class MixSchedule(keras.callbacks.Callback):
    """Sets a layer's `probability` and `alpha` by epoch or by step.

    Both are variables: a new value takes effect in steps that are already compiled and
    in a `Dataset.map` that is running. Batches that a pipeline has prefetched lag
    behind; TensorFlow may prefetch some by itself. The values are functions of the
    epoch or step alone, so that a resumed run continues where it was; steps are counted
    by the optimizer, whose count is saved with the model. After training the last
    values stay.

    Args:
        layer: The mixing layer, in the model or in a pipeline. For the `alpha` of a
            `RandomMixLayer`, one of its layers.
        probability: A function of the epoch or step; a table `{first: value}`, which
            keeps each value until the next entry and the layer's own before the first;
            a list of values, of which the last stays; or None to leave it unchanged.
        alpha: The same for the parameter of lambda's Beta distribution, numbers or
            pairs. Each new alpha makes a table of quantiles (about 0.1 s), so change it
            once per epoch at most.
        by: "epoch", counted from 0 as in `fit`, or "step": batches seen in training.
            With `steps_per_execution` a step's value holds for the whole execution.

    Raises:
        ValueError: If there is nothing to schedule, or a value is out of range; for a
            function, when the epoch or step begins.

    Example:
        >>> import keras_msda as msda
        >>> layer = msda.MixUpLayer(seed=1)
        >>> schedule = msda.MixSchedule(layer, probability={0: 1.0, 190: 0.0})
        >>> print(schedule.values(189), schedule.values(190))
        {'probability': 1.0} {'probability': 0.0}
        >>> schedule.set(190)  # In a custom loop, as `fit` does.
        >>> print(layer.probability)
        0.0
    """

    def __init__(
        self,
        layer: Any,
        *,
        probability: Any = None,
        alpha: Any = None,
        by: str = "epoch",
    ) -> None:
        super().__init__()
        owner = type(self).__name__
        _checks.check_scheduled(owner, layer, ("probability", "alpha"))
        self.by = _checks.check_choice(owner, "by", by, ("epoch", "step"))
        given = {"probability": probability, "alpha": alpha}
        given = {name: value for name, value in given.items() if value is not None}
        _check_some_schedule(owner, given)
        if "alpha" in given:
            _check_has_alpha(owner, layer)
        self.layer = layer
        self._schedules = {
            name: _check_schedule(owner, name, value) for name, value in given.items()
        }
        # Before the first entry of a table the layer has what it was made with.
        self._before = {name: getattr(layer, name) for name in given}
        self._start: int | None = None

    def values(self, position: int) -> dict[str, Any]:
        """Returns the values of an epoch or step, by name.

        Args:
            position: Number of the epoch or step, from 0.

        Returns:
            "probability", "alpha" or both, as the layer takes them.

        Raises:
            ValueError: If a schedule gives a value that the layer cannot take.
        """
        owner = type(self).__name__
        found = {}
        for name, schedule in self._schedules.items():
            value = _find_value(schedule, position, self._before[name])
            found[name] = _check_scheduled_value(owner, name, value, position)
        return found

    def set(self, position: int) -> None:
        """Gives the layer the values of an epoch or step.

        Args:
            position: Number of the epoch or step, from 0.
        """
        for name, value in self.values(position).items():
            if getattr(self.layer, name) != value:
                self._synchronize()
                setattr(self.layer, name, value)

    def _synchronize(self) -> None:
        """Makes the trainer of JAX write back the state that it keeps for an epoch."""
        synchronize = getattr(self.model, "jax_state_sync", None)
        if synchronize is not None:
            synchronize()

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Sets the values of an epoch."""
        self._start = None
        if self.by == "epoch":
            self.set(epoch)

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        """Sets the values of a step."""
        if self.by != "step":
            return
        if self._start is None:  # Read once per epoch: a device would have to wait.
            self._start = _count_batches(self.model.optimizer) - batch
        self.set(self._start + batch)


def _find_value(schedule: Any, position: int, before: Any) -> Any:
    """Returns the value of a schedule at an epoch or step."""
    if callable(schedule):
        return schedule(position)
    begun = [first for first in schedule if first <= position]
    return schedule[max(begun)] if begun else before


def _count_batches(optimizer: Any) -> int:
    """Returns how many batches an optimizer has seen, as it saves it.

    `optimizer.iterations` counts updates, rounded down, where gradients accumulate over
    several batches. The variable behind it counts batches.
    """
    optimizer = getattr(optimizer, "inner_optimizer", optimizer)
    counts = [x for x in optimizer.variables if x.name == "iteration"]
    return int(keras.ops.convert_to_tensor(counts[0]))


def _check_some_schedule(owner: str, given: dict[str, Any]) -> None:
    """Checks that there is something to schedule."""
    if not given:
        _errors.fail(
            owner,
            "there is nothing to schedule.",
            "probability=None, alpha=None",
            "Use for example `probability={0: 1.0, 190: 0.0}`.",
        )


def _check_has_alpha(owner: str, layer: Any) -> None:
    """Checks that a layer draws lambda itself."""
    if not layer.draws_lam:
        _errors.fail(
            owner,
            f"the layers of a {type(layer).__name__} draw lambda.",
            "alpha for the layer itself",
            "Schedule the `alpha` of each of its `layers`.",
        )


def _check_scheduled_value(owner: str, name: str, value: Any, position: Any) -> Any:
    """Returns a value of a schedule as the layer takes it."""
    if hasattr(value, "__array__") and np.ndim(value) == 0:
        value = float(value)  # As Keras's learning rate schedules return.
    where = f"{owner} at {position}"
    if name == "alpha":
        a, b = _checks.check_alpha(where, value)
        return a if a == b else (a, b)
    return _checks.check_share(
        where, name, value, "Use 1.0 to mix always, 0.0 to mix never."
    )


def _check_schedule(owner: str, name: str, value: Any) -> Any:
    """Returns a schedule: a function, or a table or list of valid values."""
    if callable(value):
        return value
    table: dict[Any, Any] = {}
    if isinstance(value, Mapping):
        table = dict(value)
    elif isinstance(value, (tuple, list)):
        table = dict(enumerate(value))
    if not table or not all(isinstance(x, int) and x >= 0 for x in table):
        _errors.fail(
            owner,
            f"`{name}` must be a function, a table {{first: value}} of epochs or steps "
            "from 0, or a list.",
            f"{name}={value!r}",
            f"Use for example `{name}={{0: 1.0, 190: 0.5}}`.",
        )
    for first, entry in table.items():
        _check_scheduled_value(owner, name, entry, first)
    return table
