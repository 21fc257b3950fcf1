"""PyTorch: operations that `keras.ops` lacks, eager and in `torch.compile`."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch

from keras_msda._backend._keras import KerasOps

Tensor = Any

# Threefry-2x32-20 (Salmon et al. 2011): rotations of its rounds, and the key parity.
_ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
_PARITY = 0x1BD11BDA


class TorchOps(KerasOps):
    """The operations of PyTorch; `Ops` describes them."""

    always_eager = True

    def in_torch_compile(self) -> bool:
        """Returns whether `torch.compile` is tracing this code."""
        return torch.compiler.is_compiling()

    def is_eager(self, x: Tensor) -> bool:
        """Returns whether the values of a tensor can be read now."""
        return not (self.in_torch_compile() or x.is_meta)

    def copy(self, x: Tensor) -> Tensor:
        """Returns a copy, as PyTorch assigns to variables in place."""
        return x.clone()

    def max(self, x: Tensor, axis: Any = None) -> Tensor:
        """Returns the maximum, as that of Keras breaks a compiled graph."""
        return x.max() if axis is None else torch.amax(x, axis)

    def scatter_min(self, x: Tensor, index: Tensor, values: Tensor) -> Tensor:
        """Returns x with entries of each row lowered to values at their places."""
        return x.scatter_reduce(1, index.long(), values, "amin")

    def _float_bits(self, x: Tensor) -> Tensor:
        return x.contiguous().view(torch.int32)

    def irfftn(self, spectrum: tuple[Tensor, Tensor], size: Sequence[Any]) -> Tensor:
        """Returns the real inverse Fourier transform over the last axes."""
        if not len(spectrum[0]):
            return spectrum[0].new_zeros((0, *size))  # MKL raises.
        axes = tuple(range(-len(size), 0))
        return torch.fft.irfftn(torch.complex(*spectrum), tuple(size), axes)

    def gradients(self, function: Callable[..., Tensor], *values: Tensor) -> Any:
        """Returns the gradients of the sum of function(*values), one per value."""
        nested = any(value.requires_grad for value in values)
        with torch.enable_grad():
            # Copies, so that other uses of the same tensors count as constants.
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

    def value_and_gradients(
        self, function: Callable[..., Tensor], *values: Tensor
    ) -> tuple[Tensor, list[Tensor | None]]:
        """Returns function(*values), a scalar, and its gradients, one per value."""
        with torch.enable_grad():
            copies = [value.detach().requires_grad_() for value in values]
            value = function(*copies)
            if not value.requires_grad:
                return value, [None] * len(copies)
            found = torch.autograd.grad(value, copies, allow_unused=True)
        return value.detach(), list(found)

    def loop(self, steps: Any, body: Any, state: Any, until: Any = None) -> Any:
        """Returns body(steps - 1, ... body(1, body(0, state)))."""
        for step in range(int(steps)):
            if until is not None and until(state):
                break
            state = body(step, state)
        return state

    def switch(self, index: Tensor, branches: Sequence[Callable[[], Any]]) -> Any:
        """Runs the branch with the given index and returns its result."""
        return branches[int(index)]()

    def random_bits(self, shape: Sequence[Any], seed: Tensor) -> Tensor:
        """Returns uniformly random bits as int32, those of `jax.random.bits`.

        PyTorch's generators are objects with a state on the host. These functions have
        no state, do not wait for the device and do not break a compiled graph.
        """
        bits = _opaque if self.in_torch_compile() else _threefry
        return bits(list(shape), seed)


def _threefry(shape: Sequence[int], seed: torch.Tensor) -> torch.Tensor:
    """Returns int32 bits: Threefry of the index of each element."""
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


# Opaque, as Inductor inlines the twenty rounds wherever a bit is used: it took minutes.
_opaque = torch.library.custom_op("keras_msda::threefry", _threefry, mutates_args=())


@_opaque.register_fake
def _(shape: Sequence[int], seed: torch.Tensor) -> torch.Tensor:
    return seed.new_empty(shape, dtype=torch.int32)
