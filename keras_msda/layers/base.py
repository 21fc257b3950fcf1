"""The one `call` of all mixing layers, and what they share."""

import random
import uuid
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from keras_msda import _backend, _checks, handoff, plans, sampling, targets
from keras_msda.losses import MixedLoss
from keras_msda.masks import _mask
from keras_msda.metrics import MixedAccuracy

Tensor = Any

# What the last call with images alone did, as a loss finds it in the layer's weight:
# [state, seed, seed, batch, length, length, length].
_NEVER, _UNMIXED, _MIXED = 0, 1, 2

#: Arguments that every mixing layer has, but for lambda's law and the seed.
SHARED = (
    "probability",
    "per",
    "pairing",
    "groups",
    "num_classes",
    "label_smoothing",
    "targets",
    "data_format",
)


class MixLayer(keras.layers.Layer):
    """Base of the mixing layers: arguments, draws, labels, loss.

    A leaf gives the law of its masks by three methods: `_sample_shape`, what the mask
    is made from; `_weight`, its mean; `_mask`, the mask itself.

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

    #: Whether 1 - M(lambda) is distributed as M(1 - lambda).
    _symmetric = True

    def __init__(
        self,
        alpha: float | tuple[float, float] = 1.0,
        *,
        probability: float = 1.0,
        per: str = "sample",
        pairing: str = "shuffle",
        groups: int | None = None,
        num_classes: int | None = None,
        label_smoothing: float = 0.0,
        targets: str = "soft",
        data_format: str | None = None,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        owner = type(self).__name__
        remedy = "Use 1.0 to mix always, 0.0 to mix never."
        a, b = _checks.check_alpha(owner, alpha)
        _checks.check_share(owner, "probability", probability, remedy)
        _checks.check_choice(owner, "per", per, _checks.PER)
        _checks.check_choice(owner, "pairing", pairing, _checks.PAIRINGS)
        _checks.check_choice(owner, "targets", targets, _checks.TARGETS)
        _checks.check_pairs(owner, per, pairing)
        for name, count in (("groups", groups), ("num_classes", num_classes)):
            if count is not None:
                _checks.check_count(owner, name, count)
        _checks.check_share(owner, "label_smoothing", label_smoothing, "Use 0.1.")
        _checks.check_targets(owner, targets, label_smoothing, num_classes)
        if targets == "own" and not self._symmetric:
            _checks.fail_own(owner)
        data_format = _checks.check_data_format(owner, data_format)
        _checks.check_seed(owner, seed)

        # Keras would cast float labels to half precision together with the images.
        super().__init__(autocast=False, trainable=False, **kwargs)
        self.alpha = a if a == b else (a, b)
        self.probability = float(probability)
        self.per = per
        self.pairing = pairing
        self.groups = groups
        self.num_classes = num_classes
        self.label_smoothing = float(label_smoothing)
        self.targets = targets
        self.data_format = data_format
        # Python's generator, which `keras.utils.set_random_seed` seeds.
        self.seed = random.randrange(2**31) if seed is None else int(seed)
        self.uid = uuid.uuid4().hex
        self.supports_masking = False
        self._rank: int | None = None
        self._seed_state = self._add_state("seed_state", (0, 0, self.seed))
        self._memory = self._add_state("memory", (_NEVER, 0, 0, 0, 1, 1, 1))
        handoff.register(self)

    def _add_state(self, name: str, values: tuple[int, ...]) -> keras.Variable:
        """Adds an int64 weight that each replica keeps for itself."""
        return self.add_weight(
            name=name,
            shape=(len(values),),
            dtype="int64",
            initializer=lambda shape, dtype: keras.ops.array(np.array(values), dtype),
            trainable=False,
            aggregation="none",
        )

    def build(self, input_shape: Any) -> None:
        """Fixes the number of spatial axes, which a loss must know when it is traced."""
        if isinstance(input_shape, Mapping):
            input_shape = input_shape["images"]
        self._rank = len(input_shape) - 2

    # What a leaf defines.

    def _sample_shape(self, units: Any, size: Any, *, seed: Any, lam: Any) -> Any:
        """Draws what masks are made from; `lam` is None where it is drawn too."""
        raise NotImplementedError

    def _weight(self, shape: Any, size: Any) -> Tensor:
        """Returns the means of the masks, float32 `(units,)`."""
        raise NotImplementedError

    def _mask(self, shape: Any, size: Any) -> _mask.Mask:
        """Returns the masks."""
        raise NotImplementedError

    def _sample_lam(self, units: Any, *, seed: Any, lam: Any) -> Tensor:
        """Draws lambda, or returns the given one for every unit."""
        ops = _backend.of(units, seed)
        if lam is not None:
            return ops.broadcast_to(ops.convert(lam, "float32"), [units])
        a, b = _checks.check_alpha(type(self).__name__, self.alpha)
        table = sampling.beta_table(a, b, self.targets == "own")
        return sampling.sample_lam(table, units, seed=seed)

    # Plans.

    def sample(
        self, batch: int, size: tuple[int, ...], *, seed: Any, lam: Any = None
    ) -> plans.MixPlan:
        """Draws a plan to look at, to apply to anything and to apply again.

        Args:
            batch: Number of samples.
            size: Spatial lengths of the images, one to three.
            seed: Pair of integers; the plan is a function of it, and leaves the layer's
                own sequence alone.
            lam: lambda, a number in [0, 1] or one for each draw, instead of drawing it.

        Returns:
            A `MixPlan` with dense masks, `(batch, *size)`.

        Raises:
            ValueError: If the size or lambda is out of range.

        Example:
            >>> import keras_msda as msda
            >>> plan = msda.CutMixLayer(border="wrap").sample(4, (8, 8), seed=(1, 2))
            >>> print(plan.mask.shape, plan.partner.shape)
            (4, 8, 8) (4,)
        """
        owner = type(self).__name__
        _checks.check_size(owner, size)
        _checks.check_lam(owner, lam)
        plan = self._plan(batch, tuple(size), seed=seed, lam=lam)
        return plan._replace(mask=_mask.full(plan.mask, size))

    def _plan(
        self, batch: Any, size: Any, *, seed: Any, lam: Any = None, masked: bool = True
    ) -> plans.MixPlan:
        """Returns the plan of a seed, its mask factored, or None if not `masked`."""
        ops = _backend.of(batch, seed)
        partner_seed, coin_seed, shape_seed = ops.seeds(seed, 3)
        pairing = sampling.sample_partners(
            batch,
            pairing=self.pairing,
            per=self.per,
            groups=self.groups or 1,
            seed=partner_seed,
        )
        shape = self._sample_shape(pairing.units, size, seed=shape_seed, lam=lam)
        weight = self._weight(shape, size)
        coin = sampling.sample_uniform([pairing.units], seed=coin_seed)
        mixed = coin < self.probability
        if pairing.unit is not None:
            weight, mixed = ops.take(weight, pairing.unit), ops.take(mixed, pairing.unit)
        own = ops.arange(batch)
        mixed = mixed & (pairing.partner != own)
        partner = ops.where(mixed, pairing.partner, own)
        mask = None
        if masked:
            mask = self._mask(shape, size)
            mask = _mask.spread(mask, pairing.unit, shared=self.per == "batch")
            mask = _mask.keep_own(mask, mixed)
        return plans.MixPlan(partner, mask, ops.where(mixed, weight, 1.0))

    def replay(self, batch: Any) -> plans.MixPlan:
        """Returns the plan of the last call with images alone, without its mask.

        The layer keeps a seed and not the plan: a tensor on the layer would leak out of
        a trace, and be another replica's under `tf.distribute`.

        Args:
            batch: Number of labels to weigh.

        Returns:
            Partners and weights; weights are NaN if that call had another batch or
            never was.
        """
        memory = self._memory.value
        ops = _backend.of(memory)
        memory = ops.convert(memory, "int32")
        state, seed, called = memory[0], memory[1:3], memory[3]
        size = [memory[4 + axis] for axis in range(self._rank or 1)]
        plan = self._plan(batch, size, seed=seed, masked=False)
        mixed = state == _MIXED
        weight = ops.where(mixed, plan.weight, 1.0)
        known = (state != _NEVER) & (called == batch)
        return plan._replace(
            partner=ops.where(mixed, plan.partner, ops.arange(batch)),
            weight=ops.where(known, weight, float("nan")),
        )

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
            return self._call_images(images, bool(training))
        outputs = self._call_batch(images, labels, sample_weight, training is not False)
        return outputs if sample_weight is not None else outputs[:2]

    def _call_images(self, images: Tensor, training: bool) -> Tensor:
        batch, size = self._measure(images)
        _checks.check_same_rank(type(self).__name__, images.shape, self._rank)
        ops = _backend.of(images)
        seed = ops.next_seed(self._seed_state) if training else ops.zeros([2], "int32")
        state = _MIXED if training else _UNMIXED
        lengths = [*size, *[1] * (3 - len(size))]
        scalars = [ops.cast(n, "int64") for n in (state, seed[0], seed[1], batch, *lengths)]
        self._memory.assign(ops.stack(scalars))
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
            _checks.check_batch(owner, "sample_weight", sample_weight.shape, images.shape)
        if mix:
            plan = self._plan(batch, size, seed=ops.next_seed(self._seed_state))
            images = self._mix(images, plan)
        else:
            plan = plans.unmixed(batch, images)
            images = ops.cast(images, self.compute_dtype)
        if sample_weight is not None and self.targets != "own":
            plan, sample_weight = plans.mix_sample_weights(sample_weight, plan)
        smoothing = self.label_smoothing if mix else 0.0
        labels = targets.mixed(labels, plan, self.targets, self.num_classes, smoothing)
        return images, labels, sample_weight

    def _call_dictionary(self, batch: Mapping[str, Any], training: Any) -> dict[str, Any]:
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

    # Saving.

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments and the uid by which losses find it."""
        names = (*SHARED, "alpha", "seed")
        config = {name: getattr(self, name) for name in names}
        return super().get_config() | config | {"uid": self.uid}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "MixLayer":
        """Makes the layer again; its draws start from the seed."""
        config = dict(config)
        uid = config.pop("uid", None)
        config.pop("trainable", None)
        layer = cls(**config)
        if uid is not None:
            layer.uid = uid
            handoff.register(layer)
        return layer
