"""Optimizers and learning rates of experiments."""

import math
from collections.abc import Mapping
from typing import Any

import keras
from keras import ops

Tensor = Any


class Schedule(keras.optimizers.schedules.LearningRateSchedule):
    """A learning rate that rises linearly, and then falls as it is asked to.

    Args:
        learning_rate: The largest.
        kind: "cosine", "constant", or `{"at": shares, "factor": number}`, by which the
            rate is multiplied once each share of the steps is done.
        steps: Number of all steps.
        warmup: Number of steps of the rise, which count as steps.
    """

    def __init__(
        self, learning_rate: float, kind: Any, *, steps: int, warmup: int
    ) -> None:
        super().__init__()
        self.learning_rate = learning_rate
        self.kind = kind
        self.steps = steps
        self.warmup = warmup

    def __call__(self, step: Tensor) -> Tensor:
        """Returns the learning rate of a step, counted from 0."""
        step = ops.cast(step, "float32")
        rise = ops.minimum(1.0, (step + 1.0) / max(1, self.warmup))
        return self.learning_rate * rise * self._factor(step)

    def _factor(self, step: Tensor) -> Tensor:
        if self.kind == "constant":
            return 1.0
        if self.kind == "cosine":
            left = max(1, self.steps - self.warmup)
            done = ops.clip((step - self.warmup) / left, 0.0, 1.0)
            return 0.5 * (1.0 + ops.cos(math.pi * done))
        passed = [
            ops.cast(step >= at * self.steps, "float32") for at in self.kind["at"]
        ]
        return self.kind["factor"] ** sum(passed)

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        names = ("learning_rate", "kind", "steps", "warmup")
        return {name: getattr(self, name) for name in names}


class _Decay:
    """Adds the decay of weights to their gradient, as PyTorch's optimizers do.

    Keras's own `weight_decay` shrinks weights beside the gradient, so that momentum
    does not carry it: with momentum 0.9 papers' values mean ten times as much.
    """

    coupled_decay = 0.0

    def update_step(self, gradient: Tensor, variable: Any, learning_rate: Any) -> None:
        """Updates a variable."""
        if self.coupled_decay:
            gradient = gradient + self.coupled_decay * ops.cast(
                variable, gradient.dtype
            )
        super().update_step(gradient, variable, learning_rate)  # type: ignore[misc]


class SGD(_Decay, keras.optimizers.SGD):
    """Keras's SGD, with weight decay in the gradient."""


class Adam(_Decay, keras.optimizers.Adam):
    """Keras's Adam, with weight decay in the gradient."""


def make_optimizer(settings: Mapping[str, Any], steps: int) -> Any:
    """Returns the optimizer that a config asks for.

    Args:
        settings: Of the run.
        steps: Number of steps in an epoch.
    """
    epochs, decay = settings["epochs"], settings["weight_decay"]
    rate = Schedule(
        settings["learning_rate"],
        settings["schedule"],
        steps=steps * epochs,
        warmup=round(steps * min(settings["warmup_epochs"], epochs)),
    )
    if settings["optimizer"] == "adamw":
        return keras.optimizers.AdamW(rate, weight_decay=decay)
    if settings["optimizer"] == "adam":
        optimizer = Adam(rate)
    else:
        optimizer = SGD(rate, momentum=0.9, nesterov=True)
    optimizer.coupled_decay = decay
    return optimizer
