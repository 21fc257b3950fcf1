"""PyTorch: eager tensors, and what `torch.compile` makes of them."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch

from keras_msda._backend._keras import KerasOps

Tensor = Any

# Threefry-2x32-20 (Salmon et al. 2011): rotations of its rounds, and a key's parity.
_ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
_PARITY = 0x1BD11BDA


class TorchOps(KerasOps):
    """The operations that Keras lacks on PyTorch."""

    immediate = True

    def is_compiling(self) -> bool:
        """Tells whether `torch.compile` reads this."""
        return torch.compiler.is_compiling()

    def is_eager(self, x: Tensor) -> bool:
        """Tells whether the values can be looked at now."""
        return not (self.is_compiling() or x.is_meta)

    def copied(self, x: Tensor) -> Tensor:
        """Returns the values that a variable has now: they are changed in place."""
        return x.clone()

    def max(self, x: Tensor, axis: Any = None) -> Tensor:
        """Returns the largest; Keras's breaks a compiled graph."""
        return x.max() if axis is None else torch.amax(x, axis)

    def _float_bits(self, x: Tensor) -> Tensor:
        return x.contiguous().view(torch.int32)

    def irfftn(self, spectrum: tuple[Tensor, Tensor], size: Sequence[Any]) -> Tensor:
        """Returns the real inverse transform over the last `len(size)` axes."""
        if not len(spectrum[0]):
            return spectrum[0].new_zeros((0, *size))  # MKL refuses to.
        axes = tuple(range(-len(size), 0))
        return torch.fft.irfftn(torch.complex(*spectrum), tuple(size), axes)

    def gradients(self, function: Callable[..., Tensor], *values: Tensor) -> Any:
        """Returns the gradients of the sum of function(*values), one for each value."""
        nested = any(value.requires_grad for value in values)
        with torch.enable_grad():
            # Copies, so that what the function gets otherwise counts as constant.
            copies = [
                x.view_as(x) if x.requires_grad else x.detach().requires_grad_()
                for x in values
            ]
            total = function(*copies).sum()
            if not total.requires_grad:
                return [torch.zeros_like(value) for value in values]
            return torch.autograd.grad(
                total, copies, create_graph=nested, materialize_grads=True
            )

    def loop(self, steps: Any, body: Any, state: Any, until: Any = None) -> Any:
        """Returns body(steps - 1, ... body(1, body(0, state)))."""
        for step in range(int(steps)):
            if until is not None and until(state):
                break
            state = body(step, state)
        return state

    def switch(self, index: Tensor, branches: Sequence[Callable[[], Any]]) -> Any:
        """Returns the result of the branch with the given number; one is run."""
        return branches[int(index)]()

    def random_bits(self, shape: Sequence[Any], seed: Tensor) -> Tensor:
        """Returns uniform bits as int32, a function of the int32 seed pair alone.

        PyTorch's generators are objects with a state on the host. These are the numbers
        that `jax.random.bits` gives: no state, no wait for the device, nothing that
        breaks a compiled graph.
        """
        bits = _opaque if self.is_compiling() else _threefry
        return bits(list(shape), seed)


def _threefry(shape: Sequence[int], seed: torch.Tensor) -> torch.Tensor:
    """Returns Threefry's bits of each element's index, int32."""
    first, second = seed[0], seed[1]
    keys = (first, second, first ^ second ^ _PARITY)
    low = torch.arange(math.prod(shape), dtype=torch.int32, device=seed.device)
    high = torch.zeros_like(low) + first
    low = low + second
    for group in range(5):
        for rotation in _ROTATIONS[group % 2]:
            high = high + low
            wrapped = (low >> (32 - rotation)) & ((1 << rotation) - 1)
            low = ((low << rotation) | wrapped) ^ high
        high = high + keys[(group + 1) % 3]
        low = low + keys[(group + 2) % 3] + (group + 1)
    return (high ^ low).reshape(list(shape))


# Inductor would write the twenty rounds out wherever a bit is used: it took minutes.
_opaque = torch.library.custom_op("keras_msda::threefry", _threefry, mutates_args=())


@_opaque.register_fake
def _(shape: Sequence[int], seed: torch.Tensor) -> torch.Tensor:
    return seed.new_empty(shape, dtype=torch.int32)
