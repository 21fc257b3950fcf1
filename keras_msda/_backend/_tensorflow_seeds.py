"""TensorFlow's random numbers, and the state of a layer's draws."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_msda._backend._tensorflow_graphs import GraphOps

Tensor = Any


class SeedOps(GraphOps):
    """Random integers by Philox, as functions of a pair of 64-bit integers.

    Integer bits are the same in eager code, graphs and XLA. TensorFlow's own uniform
    floats are not (2.21).
    """

    def random_bits(self, shape: Sequence[Any], seed: Tensor) -> Tensor:
        """Returns uniformly random bits as int32.

        The first number is the key and the second the upper half of the counter, so
        each pair has a stream of its own. `stateless_uniform` would first hash the
        pair, with a dozen operations that cost more than the draw.
        """
        words = self.tf.cast(seed, self.tf.uint64)
        return self.tf.raw_ops.StatelessRandomUniformFullIntV2(
            shape=self.tf.convert_to_tensor(shape, self.tf.int32),
            key=words[:1],
            counter=words * self.tf.constant([0, 1], self.tf.uint64),
            alg=self.tf.constant(1),  # Philox.
            dtype=self.tf.int32,
        )

    def random_integers(self, shape: Sequence[Any], bits: int, seed: Tensor) -> Tensor:
        """Returns uniform integers below 2 to the power of `bits`, int32."""
        drawn = self.random_bits(shape, seed)
        return self.tf.bitwise.bitwise_and(drawn, (1 << bits) - 1)

    def random_halves(self, shape: Sequence[Any], seed: Tensor) -> Tensor:
        """Returns uniform integers below 2^16, int32 `(*shape, 2)`."""
        halves = self.tf.bitcast(self.random_bits(shape, seed), self.tf.uint16)
        return self.tf.cast(halves, self.tf.int32)

    def fold_in(self, seed: Tensor, number: Any) -> Tensor:
        """Returns a seed pair that differs for each int32 number."""
        pair = self.random_bits([2], seed)
        return pair + self.tf.stack([0, self.tf.cast(number, self.tf.int32)])

    def split_seed(self, seed: Any, count: int) -> list[Tensor]:
        """Returns independent seed pairs made from one."""
        if not self.tf.is_tensor(seed):
            seed = self.tf.convert_to_tensor(seed, "int64")
        bits = self.random_bits([count, 2], self.tf.cast(seed, "int64"))
        return list(self.tf.unstack(bits))

    def make_seed_state(self, seed: int) -> np.ndarray:
        """Returns the first state of a layer's draws: (256 * count, 0, seed)."""
        return np.array([0, 0, seed], "int64")

    def export_seed_state(self, state: np.ndarray) -> np.ndarray:
        """Returns a state in the form of files, which is this one."""
        return state

    def import_seed_state(self, stored: np.ndarray) -> np.ndarray:
        """Returns the state that a file holds."""
        return stored

    def next_seed(self, state: Any) -> Tensor:
        """Returns the next seed pair of a layer, another one in each replica.

        Args:
            state: Non-trainable int64 variable of Keras, or one of `make_variable`,
                that began as `make_seed_state`.
        """
        value = self._first_copy(state.value) if hasattr(state, "path") else state
        if hasattr(value, "handle"):
            # Atomic. Read and then assign, as in `keras.random.SeedGenerator`, gives
            # parallel calls of a `Dataset.map` the same seed (3 % of 20,000 calls).
            drawn = self.tf.raw_ops.RngReadAndSkip(
                resource=value.handle,
                alg=self.tf.constant(1),  # Philox, which counts in steps of 256.
                delta=self.tf.constant(1, "uint64"),
            )
        else:  # A stateless call of Keras: the variable's value is a plain tensor.
            drawn = self.tf.convert_to_tensor(value)
            state.assign(drawn + self.tf.constant([256, 0, 0], "int64"))
        return self.fold_in(drawn[::-2], self._replica_id())

    def make_variable(self, value: Any) -> Any:
        """Returns a variable of TensorFlow, for pipelines beside another backend."""
        with self.tf.init_scope():
            return self.tf.Variable(value, trainable=False)
