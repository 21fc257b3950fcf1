"""What mixing layers share before anything is mixed: arguments, state and draws."""

import abc
import random
import uuid
from collections.abc import Mapping
from typing import Any, Self

import keras
import numpy as np

from keras_msda import _backend, _checks, _factored, handoff, plans, sampling

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


class DrawingLayer(keras.layers.Layer, abc.ABC):
    """A layer that draws plans: arguments, state, sampling, configuration.

    A leaf gives the law of its masks by three methods: `_sample_shape`, what a mask is
    made from; `_weight`, its mean; `_mask`, the mask itself. Arguments are those of
    `MixLayer`.
    """

    #: Whether 1 - M(lambda) is distributed as M(1 - lambda).
    _symmetric = True
    _default_per = "sample"

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
            initializer=lambda _, dtype: keras.ops.array(np.array(values), dtype),
            trainable=False,
            aggregation="none",
        )

    def build(self, input_shape: Any) -> None:
        """Fixes the number of spatial axes, which a traced loss must know."""
        if isinstance(input_shape, Mapping):
            input_shape = input_shape.get("images", ())
        if _checks.is_image_rank(len(input_shape)):
            self._rank = len(input_shape) - 2

    # What a leaf defines.

    @abc.abstractmethod
    def _sample_shape(self, lam: Any, size: Any, *, seed: Any) -> Any:
        """Draws what masks of given lambda, `(units,)`, are made from."""

    @abc.abstractmethod
    def _weight(self, shape: Any, size: Any) -> Tensor:
        """Returns the means of the masks, float32 `(units,)`."""

    @abc.abstractmethod
    def _mask(self, shape: Any, size: Any) -> _factored.Mask:
        """Returns the masks."""

    def _sample_lam(self, units: Any, *, own: bool, seed: Any) -> Any:
        """Draws lambda, weighted by itself where the own label alone is used."""
        a, b = _checks.check_alpha(type(self).__name__, self.alpha)
        table = sampling.beta_table(a, b, own)
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
        return plan._replace(mask=_factored.full(plan.mask, size))

    def _plan(
        self, batch: Any, size: Any, *, seed: Any, lam: Any = None, masked: bool = True
    ) -> plans.MixPlan:
        """Returns the plan of a seed, its mask factored, or None if not `masked`."""
        ops = _backend.of(batch, seed)
        partner_seed, coin_seed, lam_seed, shape_seed = ops.seeds(seed, 4)
        pairing = sampling.sample_partners(
            batch,
            pairing=self.pairing,
            per=self.per,
            groups=self.groups or 1,
            seed=partner_seed,
        )
        if lam is None:
            own = self.targets == "own"
            lam = self._sample_lam(pairing.units, own=own, seed=lam_seed)
        else:
            lam = ops.broadcast_to(ops.convert(lam, "float32"), [pairing.units])
        shape = self._sample_shape(lam, size, seed=shape_seed)
        weight = self._weight(shape, size)
        coin = sampling.sample_uniform([pairing.units], seed=coin_seed)
        mixed = coin < self.probability
        if pairing.unit is not None:
            weight, mixed = (
                ops.take(weight, pairing.unit),
                ops.take(mixed, pairing.unit),
            )
        itself = ops.arange(batch)
        mixed = mixed & (pairing.partner != itself)
        partner = ops.where(mixed, pairing.partner, itself)
        mask = None
        if masked:
            mask = self._mask(shape, size)
            mask = _factored.spread(mask, pairing.unit, shared=self.per == "batch")
            mask = _factored.keep_own(mask, mixed)
        return plans.MixPlan(partner, mask, ops.where(mixed, weight, 1.0))

    def _next_seed(self, like: Tensor) -> Tensor:
        """Returns the next seed pair, another one in each replica."""
        return _backend.of(like).next_seed(self._seed_state)

    def _remember(self, mixed: bool, seed: Tensor, batch: Any, size: Any) -> None:
        """Keeps what a call with images alone drew, for the loss of the same step."""
        ops = _backend.of(seed)
        lengths = [*size, *[1] * (3 - len(size))]
        values = (_MIXED if mixed else _UNMIXED, seed[0], seed[1], batch, *lengths)
        self._memory.assign(ops.stack([ops.cast(value, "int64") for value in values]))

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

    # Saving.

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments and the uid by which losses find it."""
        names = (*SHARED, "alpha", "seed")
        config: dict[str, Any] = super().get_config()
        config |= {name: getattr(self, name) for name in names}
        return config | {"uid": self.uid}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """Makes the layer again; its draws start from the seed."""
        config = dict(config)
        uid = config.pop("uid", None)
        config.pop("trainable", None)
        layer = cls(**config)
        if uid is not None:
            layer.uid = uid
            handoff.register(layer)
        return layer
