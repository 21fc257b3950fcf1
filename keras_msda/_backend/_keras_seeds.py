"""Random numbers on JAX and PyTorch, and the state of a layer's draws."""

import abc
import contextlib
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
from keras import ops

from keras_msda._backend._defaults import DefaultOps

Tensor = Any

_LOW = 0xFFFFFFFF
# Two threads that read a state before one of them advances it would draw the same.
_ADVANCING = threading.Lock()


def _split_words(value: int) -> tuple[int, int]:
    """Returns the low and the high 32 bits of an integer, as int32."""

    def signed(word: int) -> int:
        return word - (1 << 32) if word >> 31 else word

    return signed(value & _LOW), signed((value >> 32) & _LOW)


class KerasSeedOps(DefaultOps, abc.ABC):
    """Random integers by Threefry, as functions of a pair of 32-bit integers.

    Element i of a draw is Threefry of the index i, with the pair as its key.
    """

    @abc.abstractmethod
    def stack(self, values: Sequence[Any], axis: int = 0) -> Tensor:
        """Stacks on a new axis."""

    @abc.abstractmethod
    def random_bits(self, shape: Sequence[Any], seed: Tensor) -> Tensor:
        """Returns uniformly random bits as int32."""

    def random_integers(self, shape: Sequence[Any], bits: int, seed: Tensor) -> Tensor:
        """Returns uniform integers below 2 to the power of `bits`, int32."""
        drawn = self.random_bits(shape, seed)
        return (drawn >> (32 - bits)) & ((1 << bits) - 1)

    def random_halves(self, shape: Sequence[Any], seed: Tensor) -> Tensor:
        """Returns uniform integers below 2^16, int32 `(*shape, 2)`."""
        drawn = self.random_bits(shape, seed)
        return self.stack([drawn & 0xFFFF, (drawn >> 16) & 0xFFFF], -1)

    def fold_in(self, seed: Tensor, number: Any) -> Tensor:
        """Returns a seed pair that differs for each int32 number."""
        pair = self.random_bits([2], seed)
        return pair + self.stack([0, number])

    def split_seed(self, seed: Any, count: int) -> list[Tensor]:
        """Returns independent seed pairs made from one."""
        bits = self.random_bits([count, 2], self._seed_pair(seed))
        return [bits[number] for number in range(count)]

    def _seed_pair(self, seed: Any) -> Tensor:
        """Returns an int32 seed pair that depends on all bits of the given numbers."""
        if hasattr(seed, "dtype") and not isinstance(seed, np.ndarray):
            return ops.cast(seed, "int32")
        (low, low_other), (high, high_other) = zip(
            *(_split_words(int(number)) for number in seed), strict=True
        )
        pair = ops.convert_to_tensor([low, low_other], "int32")
        if (high, high_other) in ((0, 0), (low >> 31, low_other >> 31)):
            return pair
        return self.random_bits([2], pair) + ops.convert_to_tensor(
            [high, high_other], "int32"
        )

    def make_seed_state(self, seed: int) -> np.ndarray:
        """Returns the first state of a layer's draws: (count, low word, high word)."""
        return np.array([0, *_split_words(seed)], "int32")

    def export_seed_state(self, state: np.ndarray) -> np.ndarray:
        """Returns a state in the form of files, which is TensorFlow's."""
        count, low, high = (int(word) for word in state)
        seed = (high << 32) | (low & _LOW)
        return np.array([256 * (count & _LOW), 0, seed], "int64")

    def import_seed_state(self, stored: np.ndarray) -> np.ndarray:
        """Returns the state that a file holds."""
        count, _, seed = (int(number) for number in stored)
        return np.array([_split_words(count // 256)[0], *_split_words(seed)], "int32")

    def next_seed(self, state: Any) -> Tensor:
        """Returns the next seed pair of a layer, and advances its state.

        Args:
            state: Non-trainable int32 variable that began as `make_seed_state`.
        """
        with contextlib.nullcontext() if self.in_torch_compile() else _ADVANCING:
            # A copy, as PyTorch assigns in place.
            value = ops.convert_to_tensor(state.value) + 0
            state.assign(value + ops.convert_to_tensor([1, 0, 0], "int32"))
        return self.fold_in(value[1:], value[0])
