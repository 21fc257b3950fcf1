"""The one `call` of all mixing layers, and what matches it: loss and metric."""

from collections.abc import Mapping
from typing import Any

from keras_msda import _backend, _checks, plans, targets
from keras_msda.layers.drawing import DrawingLayer
from keras_msda.losses import MixedLoss
from keras_msda.metrics import MixedAccuracy

Tensor = Any


class MixLayer(DrawingLayer):
    """Base of the mixing layers: what they do with a batch.

    Args:
        alpha: lambda, the share of the first image, is Beta(alpha, alpha) or, for a
            pair, Beta(a, b). Positive. 1.0 is uniform.
        probability: Chance, in [0, 1], that a sample (or pair, or batch) is mixed.
        per: What shares one draw of lambda and mask: "sample", "pair" or "batch".
        pairing: How partners are chosen: "shuffle" (a uniform permutation; with
            `per="pair"` a uniform perfect matching), "derangement" (a uniform cycle, so
            nobody is alone), "reverse" (i and B - 1 - i) or "roll" (i and i - 1).
        groups: Partners stay inside this many contiguous parts of the batch; None: 1.
        num_classes: Number of classes; makes soft labels of integer ones.
        label_smoothing: Smoothing, in [0, 1], of labels that `num_classes` encodes, for
            mixed and unmixed samples alike.
        targets: Labels that come out: "soft", mixed; "pair", packed for `MixedLoss`;
            "own", the own label alone, with lambda drawn such that its expected loss is
            the same (MixUp, GMix and FMix).
        data_format: "channels_last", "channels_first" or None for Keras's setting.
        seed: Integer seed of the draws; None for a random one.
        **kwargs: `name` and `dtype` as in Keras. Images come out in the compute dtype;
            "uint8" rounds half to even.
    """

    # Calls.

    def call(
        self,
        images: Any,
        labels: Any = None,
        sample_weight: Any = None,
        training: bool | None = None,
    ) -> Any:
        """Mixes a batch.

        Args:
            images: Shape `(batch, *spatial, channels)`, or channels first, with one to
                three spatial axes; or a dictionary that holds "images", "labels" and
                perhaps "sample_weight", whose other keys come back as they are.
            labels: Class ids `(batch,)` or `(batch, 1)`, or floats `(batch, ...)`.
            sample_weight: Shape `(batch,)` or `(batch, 1)`.
            training: True mixes, False never does. None mixes images that come with
                labels and leaves images alone unmixed, as Keras's Dropout does.

        Returns:
            Images in the compute dtype; with labels a tuple or a dictionary like the
            input.

        Raises:
            ValueError: If shapes, dtypes or arguments do not hold together.
        """
        if isinstance(images, Mapping):
            return self._call_dictionary(images, training)
        if labels is None:
            _checks.check_no_weights(type(self).__name__, sample_weight)
            return self._call_images(images, bool(training))
        outputs = self._call_batch(images, labels, sample_weight, training is not False)
        return outputs if sample_weight is not None else outputs[:2]

    def _call_images(self, images: Tensor, training: bool) -> Tensor:
        batch, size = self._measure(images)
        _checks.check_same_rank(type(self).__name__, images.shape, self._rank)
        ops = _backend.of(images)
        seed = self._next_seed(images) if training else ops.zeros([2], "int32")
        self._remember(training, seed, batch, size)
        if not training:
            return ops.cast(images, self.compute_dtype)
        return self._mix(images, self._plan(batch, size, seed=seed))

    def _call_batch(
        self, images: Tensor, labels: Any, sample_weight: Any, mix: bool
    ) -> tuple[Tensor, Any, Any]:
        owner = type(self).__name__
        batch, size = self._measure(images)
        ops = _backend.of(images)
        labels = targets.checked(
            owner, labels, images.shape, self.targets, self.num_classes
        )
        if sample_weight is not None:
            sample_weight = ops.convert(sample_weight)
            _checks.check_sample_weight(owner, sample_weight.shape)
            _checks.check_batch(
                owner, "sample_weight", sample_weight.shape, images.shape
            )
        if mix:
            plan = self._plan(batch, size, seed=self._next_seed(images))
            images = self._mix(images, plan)
        else:
            plan = plans.unmixed(batch, images)
            images = ops.cast(images, self.compute_dtype)
        if sample_weight is not None and self.targets != "own":
            plan, sample_weight = plans.mix_sample_weights(sample_weight, plan)
        smoothing = self.label_smoothing if mix else 0.0
        labels = targets.mixed(labels, plan, self.targets, self.num_classes, smoothing)
        return images, labels, sample_weight

    def _call_dictionary(
        self, batch: Mapping[str, Any], training: Any
    ) -> dict[str, Any]:
        _checks.check_keys(type(self).__name__, list(batch))
        weights = batch.get("sample_weight")
        values = self._call_batch(
            batch["images"], batch["labels"], weights, training is not False
        )
        new = dict(zip(("images", "labels", "sample_weight"), values, strict=True))
        return {key: new.get(key, value) for key, value in batch.items()}

    def _measure(self, images: Tensor) -> tuple[Any, tuple[Any, ...]]:
        """Returns the batch and the spatial lengths of images that pass the checks."""
        owner = type(self).__name__
        ops = _backend.of(images)
        _checks.check_not_ragged(owner, "images", ops.is_ragged(images), images)
        _checks.check_rank(owner, images.shape)
        batch, *rest = ops.shape(images)
        last = self.data_format == "channels_last"
        return batch, tuple(rest[:-1] if last else rest[1:])

    def _mix(self, images: Tensor, plan: plans.MixPlan) -> Tensor:
        return plans.mix_images(
            images, plan, self.data_format, dtype=self.compute_dtype
        )

    # Loss and metric.

    def loss(self, loss: Any, **kwargs: Any) -> MixedLoss:
        """Returns a loss that uses what this layer drew in the same step.

        Args:
            loss: A Keras loss, its name, or a function of (labels, outputs).
            **kwargs: Arguments of `MixedLoss`.

        Example:
            >>> import keras_msda as msda
            >>> print(msda.HMixLayer().loss("sparse_categorical_crossentropy").name)
            sparse_categorical_crossentropy
        """
        return MixedLoss(loss, self, **kwargs)

    def accuracy(self, **kwargs: Any) -> MixedAccuracy:
        """Returns an accuracy that uses what this layer drew in the same step.

        Args:
            **kwargs: Arguments of `MixedAccuracy`.

        Example:
            >>> import keras_msda as msda
            >>> print(msda.HMixLayer().accuracy().name)
            accuracy
        """
        return MixedAccuracy(self, **kwargs)
