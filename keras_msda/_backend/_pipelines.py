"""Datasets of `tf.data`, and what `mixing` needs to repeat their draws."""

from typing import Any

from keras_msda._backend._tensorflow import TensorFlowOps

Tensor = Any

# The seed that TensorFlow uses for operations if no global one is set.
_GRAPH_SEED = 87654321


class PipelineOps:
    """Operations on datasets.

    Args:
        ops: Operations of TensorFlow.
    """

    def __init__(self, ops: TensorFlowOps) -> None:
        self._ops = ops
        self._tf = ops.tf
        self._data = ops.tf.data.Dataset

    def make_dataset(self, *arrays: Any) -> Any:
        """Returns a dataset of tuples of the entries of some arrays."""
        return self._data.from_tensor_slices(arrays)

    def take_batches(self, order: Any, *arrays: Any) -> Any:
        """Returns a dataset of tuples of entries of arrays.

        Args:
            order: Dataset of batches of indices.
            *arrays: What the indices are of. Nothing copies them entry by entry.
        """
        with self._tf.device("CPU:0"):  # Where pipelines run.
            values = [self._tf.constant(x) for x in arrays]
        return order.map(
            lambda index: tuple(self._tf.gather(x, index) for x in values),
            num_parallel_calls=self._tf.data.AUTOTUNE,
        )

    def shift_and_flip(self, images: Tensor, *, seed: Tensor, shift: int) -> Tensor:
        """Shifts and flips each image of a batch at random; zeros come in.

        Args:
            images: Shape `(batch, height, width, channels)`.
            seed: A pair.
            shift: Most pixels along an axis, either way.
        """
        tf = self._tf
        first, second = self._ops.split_seed(seed, 2)
        count, height, width = tf.unstack(tf.shape(images))[:3]
        flip = tf.random.stateless_uniform([count, 1, 1, 1], first) < 0.5
        images = tf.where(flip, tf.reverse(images, [2]), images)
        if not shift:
            return images
        padded = tf.pad(images, [[0, 0], [shift, shift], [shift, shift], [0, 0]])
        starts = tf.random.stateless_uniform(
            [2, count, 1], second, 0, 2 * shift + 1, tf.int32
        )
        rows = tf.gather(padded, starts[0] + tf.range(height), axis=1, batch_dims=1)
        return tf.gather(rows, starts[1] + tf.range(width), axis=2, batch_dims=1)

    def draw_iteration_ids(self, seed: int) -> Any:
        """Returns a dataset of random int64 that differ in each iteration over it.

        They depend on the seed and on how many iterations were begun before, a count
        that is saved with an iterator. `Dataset.random` would mix in the global seed.
        These are its numbers if none is set.
        """
        ids = self._tf.raw_ops.RandomDatasetV2(
            seed=self._tf.constant(_GRAPH_SEED, "int64"),
            seed2=self._tf.constant(seed % (2**31 - 1), "int64"),
            seed_generator=self._tf.raw_ops.DummySeedGenerator(),
            output_types=[self._tf.int64],
            output_shapes=[[]],
            rerandomize_each_iteration=True,
        )
        spec = self._tf.TensorSpec([], "int64")
        return self._tf.data.experimental.from_variant(ids, spec)

    def repeat_first_value(self, variable: Any) -> Any:
        """Returns a dataset that repeats one value of a variable, int64.

        The variable is read when an iteration asks for its first element. The value is
        saved with an iterator.
        """

        def read(_: Tensor) -> Tensor:
            return self._tf.cast(self._tf.convert_to_tensor(variable), "int64")

        first = self._data.from_tensors(0).map(read)
        values = first.flat_map(lambda value: self._data.from_tensors(value).repeat())
        # Of unknown length otherwise, and so would be the batches that it goes with:
        # Keras then counts one step too many in each epoch.
        infinite = self._tf.data.INFINITE_CARDINALITY
        return values.apply(self._tf.data.experimental.assert_cardinality(infinite))

    def enumerate_batches(self, dataset: Any, ids: Any) -> Any:
        """Returns a dataset of `((index, iteration id), element)`."""
        return self._data.zip(self._data.zip(self._data.counter(), ids), dataset)

    def keep_iteration_id(self, dataset: Any, ids: Any) -> Any:
        """Returns a dataset whose iterators keep the id of their iteration to the end.

        The dataset of `enumerate_batches` drops its iterators when the last element was
        read, and a parallel map reads ahead. What is saved while the map still has
        batches to return would lack the id. This keeps it until the last of them was
        returned. No map drops the id again: TensorFlow would make that map parallel.
        """
        zipped = self._data.zip(dataset, ids)
        return zipped.scan(0, lambda state, pair: (state, pair[0]))

    def join_arguments(self, arguments: tuple[Any, ...], spec: Any) -> Any:
        """Returns an element of a dataset from the arguments that `map` makes of it."""
        return arguments if type(spec) is tuple else arguments[0]

    def allow_saving(self, dataset: Any) -> Any:
        """Returns a dataset that reads variables and whose iterators can be saved.

        The variables are not saved with them, and TensorFlow warns of that.
        """
        options = self._tf.data.Options()
        policy = self._tf.data.experimental.ExternalStatePolicy.WARN
        options.experimental_external_state_policy = policy
        return dataset.with_options(options)

    def make_batch_seed(self, seed: int, epoch: Any, index: Tensor) -> Tensor:
        """Returns the seed pair of a batch: a function of seed, epoch and number."""
        epoch = self._tf.cast(self._tf.convert_to_tensor(epoch), self._tf.int64)
        bits = self._ops.random_bits([2], self._tf.stack([seed, epoch]))
        key = self._tf.bitcast(bits, self._tf.int64)
        number = self._tf.cast(index, self._tf.int64)
        return self._ops.random_bits([2], self._tf.stack([key, number]))
