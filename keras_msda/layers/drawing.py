"""What mixing layers share before anything is mixed: arguments, state and draws."""

import abc
import random
import re
import uuid
from collections.abc import Mapping
from typing import Any, Self

import keras
import numpy as np

from keras_msda import _backend, _checks, _handoff, plans, sampling
from keras_msda.layers import memory, settings, workers
from keras_msda.masks import _factored

Tensor = Any

#: Arguments that every mixing layer has, but for lambda's law and the seed.
SHARED = (
    "probability",
    "per",
    "pairing",
    "groups",
    "num_classes",
    "label_smoothing",
    "targets",
    "target_threshold",
    "segmentation",
    "bounding_box_format",
    "min_box_share",
    "batch_keys",
    "mask_axes",
    "fold",
    "data_format",
    "jit_compile",
)


class _Setting:
    """A variable that draws depend on and that may change after tracing.

    One of the layer's variables, so that compiled steps read it, but no weight: it is
    neither listed in a summary nor saved. The layer's configuration holds what it is
    made from.
    """

    def __init__(self, name: str, value: Any) -> None:
        self._host = np.asarray(value, "float32")
        self._mirror: Any = None
        self.state = keras.Variable(
            self._host, dtype="float32", trainable=False, autocast=False, name=name
        )

    def assign(self, value: Any) -> None:
        """Sets the value for whatever computes next."""
        self._host = np.asarray(value, "float32")
        self.state.assign(self._host)
        if self._mirror is not None:
            self._mirror.assign(self._host)

    def read(self, like: Tensor) -> Tensor:
        """Returns the value for a computation with a tensor.

        Of another backend TensorFlow would take the value that it has when a pipeline
        is traced: there it is a variable of TensorFlow's own.
        """
        if not _backend.in_pipeline(like):
            return self.state.value
        ops = _backend.of(like)
        if self._mirror is None:
            self._mirror = ops.variable(self._host)
        return ops.convert(self._mirror)


#: Instead of indices: the partner of sample i is sample i of a second batch.
SECOND = object()


def _valid(plan: plans.MixPlan, batch: Any) -> plans.MixPlan:
    """Returns a plan of given partners with weights of NaN where there is none."""
    ops = _backend.of(plan.partner)
    known = (plan.partner >= 0) & (plan.partner < batch)
    return plan._replace(
        partner=ops.where(known, plan.partner, 0),
        weight=ops.where(known, plan.weight, float("nan")),
    )


class DrawingLayer(workers.Owned, keras.layers.Layer, abc.ABC):
    """A layer that draws plans: arguments, state, sampling, configuration.

    A leaf gives the law of its masks by three methods: `sample_params`, what a mask is
    made from; `_weight`, its mean; `_mask`, the mask itself. Arguments are those of
    `MixLayer`.
    """

    #: Whether 1 - M(lambda) is distributed as M(1 - lambda).
    symmetric = True
    #: Whether a mask is the same at every pixel.
    uniform_mask = False
    _default_per = "sample"

    def __init__(
        self,
        alpha: float | tuple[float, float] = 1.0,
        *,
        probability: float = 1.0,
        per: str = "sample",
        pairing: str = "shuffle",
        groups: int | None = None,
        num_classes: Any = None,
        label_smoothing: float = 0.0,
        targets: str = "soft",
        target_threshold: float = 0.0,
        segmentation: str | int = "auto",
        bounding_box_format: str | None = None,
        min_box_share: float = 0.0,
        batch_keys: tuple[str, ...] = (),
        mask_axes: tuple[int, ...] | None = None,
        fold: bool = False,
        data_format: str | None = None,
        jit_compile: bool | str = "auto",
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        # Keras would cast float labels to half precision together with the images.
        super().__init__(autocast=False, trainable=False, **kwargs)
        owner = type(self).__name__
        self.per = _checks.check_choice(owner, "per", per, settings.PER)
        self.pairing = _checks.check_choice(
            owner, "pairing", pairing, settings.PAIRINGS
        )
        settings.check_pairs(owner, per, pairing)
        self.groups = _checks.check_optional_count(owner, "groups", groups)
        self.targets = _checks.check_choice(owner, "targets", targets, settings.TARGETS)
        if targets == "own" and not self.symmetric:
            _checks.fail_own(owner)
        self.num_classes = settings.check_num_classes(owner, num_classes)
        self.label_smoothing = _checks.check_share(
            owner, "label_smoothing", label_smoothing, "Use 0.1."
        )
        self.target_threshold = _checks.check_share(
            owner, "target_threshold", target_threshold, "0.0 is the union."
        )
        settings.check_targets(owner, targets, label_smoothing, num_classes)
        self.segmentation = _checks.check_segmentation(owner, segmentation)
        self.bounding_box_format = settings.check_optional_format(
            owner, bounding_box_format
        )
        self.min_box_share = _checks.check_share(
            owner, "min_box_share", min_box_share, "Use 0.0 to keep all boxes."
        )
        self.batch_keys = settings.check_batch_keys(owner, batch_keys)
        self.mask_axes = settings.check_mask_axes(owner, mask_axes)
        self.fold = settings.check_fold(owner, fold, targets)
        self.data_format = _checks.check_data_format(owner, data_format)
        self.jit_compile = settings.check_jit_compile(owner, jit_compile)
        # Python's generator, which `keras.utils.set_random_seed` seeds.
        if seed is None:
            seed = random.randrange(2**31)
        self.seed = _checks.check_seed(owner, seed)
        self._make_state()
        self._chance = _Setting("probability", self._check_probability(probability))
        self.probability = probability
        self._alpha = _checks.check_alpha(owner, alpha)
        # Tables of lambda: "mixed", and "own" where the own label alone is used.
        self._tables: dict[str, _Setting] = {}
        self._add_table(targets == "own")
        _handoff.REGISTRY.register(self, self.uid)

    def _make_state(self) -> None:
        """Makes what the layer knows of itself, of its draws and of its last call."""
        #: Of this very object; and of what it is a copy of, by which losses find it.
        self.uid = self.lineage = uuid.uuid4().hex
        #: Spatial lengths that the layer was built for, None where any; or None.
        self.spatial: tuple[int | None, ...] | None = None
        first = _backend.of_backend().first_seed(self.seed)
        self._seed_state = self._add_state("seed_state", first)
        empty = memory.Memory.empty(first.dtype)
        self._memory = self._add_state("memory", empty)
        self._step = memory.Memory(self._memory)
        # What it has warned of.
        self._said: list[str] = []
        # The state of draws in pipelines, where Keras's backend is not TensorFlow.
        self._pipeline_state: Any = None

    @property
    def probability(self) -> float:
        """Chance that a sample is mixed; a new one takes effect in traced functions."""
        return self._probability

    @probability.setter
    def probability(self, value: float) -> None:
        self._probability = self._check_probability(value)
        self._chance.assign(self._probability)

    def _check_probability(self, value: Any) -> float:
        remedy = "Use 1.0 to mix always, 0.0 to mix never."
        owner = type(self).__name__
        return _checks.check_share(owner, "probability", value, remedy)

    @property
    def alpha(self) -> float | tuple[float, float]:
        """Parameters of lambda's Beta law; new ones take effect in traced functions."""
        a, b = self._alpha
        return a if a == b else (a, b)

    @alpha.setter
    def alpha(self, value: float | tuple[float, float]) -> None:
        owner = type(self).__name__
        if not self._tables:
            _checks.check_no_alpha(owner, {"alpha": value})
        alpha = _checks.check_alpha(owner, value)
        tables = {
            kind: sampling.beta_table(*alpha, reformulated=kind == "own")
            for kind in self._tables
        }
        for kind, table in tables.items():
            self._tables[kind].assign(table)
        self._alpha = alpha

    @property
    def draws_lam(self) -> bool:
        """Whether lambda follows this layer's own alpha."""
        return bool(self._tables)

    def _add_table(self, own: bool) -> None:
        """Adds the table of lambda, weighted by itself where the own label is used."""
        table = sampling.beta_table(*self._alpha, reformulated=own)
        kind = "own" if own else "mixed"
        if kind not in self._tables:
            self._tables[kind] = _Setting(f"lam_table_{kind}", table)

    def _add_state(self, name: str, values: np.ndarray) -> keras.Variable:
        """Adds an integer weight that each replica keeps for itself."""
        return self.add_weight(
            name=name,
            shape=values.shape,
            dtype=values.dtype.name,
            initializer=lambda _, dtype: keras.ops.array(values, dtype),
            trainable=False,
            aggregation="none",
        )

    @property
    def variables(self) -> list[keras.Variable]:
        """All variables that a step reads or writes, for stateless calls."""
        own = [self._seed_state, self._memory]
        return own + [setting.state for setting in self._settings()]

    @property
    def weights(self) -> list[keras.Variable]:
        """No variable: a model has the same weights with the layer and without it."""
        return []

    def build(self, input_shape: Any) -> None:
        """Fixes the number of spatial axes, which a traced loss must know."""
        if isinstance(input_shape, Mapping):
            input_shape = input_shape.get("images", ())
        if self._takes_rank(len(input_shape)):
            first = self.data_format == "channels_first"
            self.spatial = tuple(input_shape[2:] if first else input_shape[1:-1])

    # What a leaf defines.

    @abc.abstractmethod
    def sample_params(self, lam: Any, size: Any, *, seed: Any) -> Any:
        """Draws what masks of given lambda, `(units,)`, are made from."""

    @abc.abstractmethod
    def mask_weight(self, shape: Any, size: Any) -> Tensor:
        """Returns the means of the masks, float32 `(units,)`."""

    @abc.abstractmethod
    def mask(self, shape: Any, size: Any) -> _factored.Mask:
        """Returns the masks."""

    def _sample_lam(self, units: Any, *, own: bool, seed: Any) -> Any:
        """Draws lambda, weighted by itself where the own label alone is used."""
        table = self._tables["own" if own else "mixed"].read(seed)
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
        batch, size, seed = self._check_sample("batch", batch, size, seed, lam)
        plan = self._plan(batch, self._masked(size), seed=seed, lam=lam)
        return plan._replace(mask=self._full(plan.mask, size))

    def sample_masks(
        self, draws: int, size: tuple[int, ...], *, seed: Any, lam: Any = None
    ) -> tuple[Tensor, Tensor]:
        """Draws masks alone, each by itself, whatever `per` and `probability` are.

        Args:
            draws: How many.
            size: Spatial lengths of the images, one to three.
            seed: Pair of integers; masks are a function of it, and the layer's own
                sequence is left alone.
            lam: lambda, a number in [0, 1] or one for each draw, instead of drawing it.

        Returns:
            Masks, float32 `(draws, *size)`, and weights of the own label, float32
            `(draws,)`.

        Raises:
            ValueError: If the size or lambda is out of range.

        Example:
            >>> import keras_msda as msda
            >>> mask, weight = msda.MixUpLayer().sample_masks(2, (4,), seed=(1, 2))
            >>> print(bool((mask[:, 0] == weight).numpy().all()))
            True
        """
        draws, size, seed = self._check_sample("draws", draws, size, seed, lam)
        ops = _backend.of(draws, seed)
        _, _, *seeds = ops.seeds(seed, 4)
        masked = self._masked(size)
        shape = self._draw(draws, masked, seeds=seeds, lam=lam)
        mask = self._full(self.mask(shape, masked), size)
        return mask, self.mask_weight(shape, masked)

    def _check_sample(
        self, name: str, count: Any, size: Any, seed: Any, lam: Any
    ) -> tuple[Any, tuple[Any, ...], Any]:
        """Checks the arguments of a sample; returns count, size and seed."""
        owner = type(self).__name__
        count = settings.check_draw_count(owner, name, count)
        size = _checks.check_size(owner, size)
        _checks.check_lam(owner, _backend.visible(lam))
        return count, size, _checks.check_seed_pair(owner, seed)

    # Which of the spatial axes the mask depends on.

    def _places(self, rank: int) -> tuple[int, ...]:
        """Returns which of so many spatial axes the mask depends on."""
        if self.mask_axes is None:
            return tuple(range(rank))
        owner = type(self).__name__
        first = 2 if self.data_format == "channels_first" else 1
        return settings.check_places_of_axes(owner, self.mask_axes, rank, first)

    def _masked(self, size: Any) -> tuple[Any, ...]:
        """Returns the lengths of the axes that the mask depends on."""
        return tuple(size[place] for place in self._places(len(size)))

    def _expanded(self, mask: _factored.Mask, rank: int) -> _factored.Mask:
        """Returns masks as they broadcast to all of so many spatial axes."""
        if self.mask_axes is None:
            return mask
        return _factored.expanded(mask, self._places(rank), rank)

    def _full(self, mask: _factored.Mask, size: Any) -> Tensor:
        """Returns masks at every pixel of images."""
        return _factored.full(self._expanded(mask, len(size)), size)

    # Draws.

    def _draw(self, units: Any, size: Any, *, seeds: Any, lam: Any) -> Any:
        """Draws what masks are made from, for lambda given or drawn."""
        ops = _backend.of(units, *seeds)
        lam_seed, shape_seed = seeds
        if lam is None:
            lam = self._sample_lam(units, own=self.targets == "own", seed=lam_seed)
            lam = self._folded(lam) if self.fold else lam
        else:
            lam = ops.broadcast_to(ops.convert(lam, "float32"), [units])
        return self.sample_params(lam, size, seed=shape_seed)

    def _folded(self, lam: Any) -> Any:
        """Returns max(lam, 1 - lam); of a random choice for each of its layers."""
        if isinstance(lam, list):
            return [self._folded(member) for member in lam]
        return _backend.of(lam).maximum(lam, 1.0 - lam)

    def _plan(
        self,
        batch: Any,
        size: Any,
        *,
        seed: Any,
        lam: Any = None,
        masked: bool = True,
        partner: Any = None,
    ) -> plans.MixPlan:
        """Returns the plan of a seed.

        Args:
            batch: Number of samples.
            size: Lengths that the mask depends on.
            seed: Seed pair.
            lam: lambda instead of drawing it.
            masked: Whether there is a mask, a factored one, or None.
            partner: int32 `(batch,)`, indices instead of drawing them; or `SECOND`:
                each sample has its partner at its own place in a second batch.
        """
        ops = _backend.of(batch, seed)
        partner_seed, coin_seed, *seeds = ops.seeds(seed, 4)
        pairing = sampling.sample_partners(
            batch,
            pairing=self.pairing,
            per=self.per,
            groups=self._parts(batch, seed),
            seed=partner_seed,
        )
        shape = self._draw(pairing.units, size, seeds=seeds, lam=lam)
        weight = self.mask_weight(shape, size)
        coin = sampling.sample_uniform([pairing.units], seed=coin_seed)
        mixed = coin < ops.convert(self._chance.read(coin))
        if pairing.unit is not None:
            weight, mixed = (
                ops.take(weight, pairing.unit),
                ops.take(mixed, pairing.unit),
            )
        itself = ops.arange(batch)
        if partner is SECOND:
            chosen = itself
        else:
            chosen = pairing.partner if partner is None else ops.cast(partner, "int32")
            mixed = mixed & (chosen != itself)
            chosen = ops.where(mixed, chosen, itself)
        mask = None
        if masked:
            mask = self.mask(shape, size)
            mask = _factored.spread(mask, pairing.unit, shared=self.per == "batch")
            mask = _factored.keep_own(mask, mixed)
        plan = plans.MixPlan(chosen, mask, ops.where(mixed, weight, 1.0))
        return plan if partner is None or partner is SECOND else _valid(plan, batch)

    def _parts(self, batch: Any, like: Tensor) -> int:
        """Returns how many parts of the batch partners stay in."""
        if self.groups is not None:
            return self.groups
        devices = _backend.of(like).devices()
        # A part of one sample would mix nobody.
        return devices if devices > 1 and batch >= 2 * devices else 1

    def _next_seed(self, like: Tensor) -> Tensor:
        """Returns the next seed pair, another one in each replica."""
        workers.settle(self)
        ops = _backend.of(like)
        if not _backend.in_pipeline(like):
            return ops.next_seed(self._seed_state)
        if self._pipeline_state is None:
            self._pipeline_state = ops.variable(ops.first_seed(workers.start(self)))
        return ops.next_seed(self._pipeline_state)

    def _settings(self) -> list[_Setting]:
        """Returns what draws depend on."""
        return [self._chance, *self._tables.values()]

    def remembered(self) -> list[keras.Variable]:
        """Returns the variables that the last call's draws are made again from."""
        return [self._memory, *(setting.state for setting in self._settings())]

    def recall(self) -> list[Tensor]:
        """Returns the values of `remembered` as a loss in this place sees them."""
        packed = self._step.recall()
        return [packed, *(setting.state.value for setting in self._settings())]

    def last_call(self, recalled: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Returns whether there was a call, and its batch, of what `recall` gives."""
        step = memory.unpack(recalled[0], _backend.of_backend())
        return step.state != memory.NEVER, step.batch

    def replay(
        self,
        batch: Any,
        size: tuple[int, ...] | None = None,
        recalled: list[Tensor] | None = None,
    ) -> plans.MixPlan:
        """Returns the plan of the last call with images alone.

        The layer keeps a seed and not the plan: a tensor on the layer would leak out of
        a trace, and be another replica's under `tf.distribute`.

        Args:
            batch: Number of labels to weigh.
            size: Spatial lengths of the images, for a plan with dense masks; None for
                one without.
            recalled: From `recall`, which is what None means.

        Returns:
            Partners and weights, and masks where a size is given. Weights are NaN if
            that call had another batch or never was, or if its state was dropped; masks
            also if it had another size.
        """
        ops = _backend.of_backend()
        if recalled is None:
            _handoff.REGISTRY.note_read(self)
            recalled = self.recall()
        step = memory.unpack(recalled[0], ops)
        lengths = self._lengths(step, ops)
        masked = lengths if size is None else list(self._masked(size))
        settings = [setting.state for setting in self._settings()]
        with ops.given(zip(settings, recalled[1:], strict=True)):
            plan = self._plan(batch, masked, seed=step.seed, masked=size is not None)
        mixed = step.state == memory.MIXED
        plan = plans.in_groups(plan, self._parts(batch, step.seed))
        itself = ops.arange(ops.shape(plan.partner)[-1])
        known = (step.state != memory.NEVER) & (step.batch == batch)
        weight = ops.where(mixed, plan.weight, 1.0)
        mask = None
        if size is not None:
            mask = ops.where(mixed, self._full(plan.mask, size), 1.0)
            same = ops.all(ops.stack(lengths) == ops.stack(masked))
            mask = ops.where(known & same, mask, float("nan"))
        return plans.MixPlan(
            ops.where(mixed, plan.partner, itself),
            mask,
            ops.where(known, weight, float("nan")),
        )

    def _lengths(self, step: memory.Step, ops: Any) -> list[Any]:
        """Returns the lengths that the masks of a call depended on."""
        if ops.immediate and self._step.size():
            return list(self._step.size())  # Without a wait for the device.
        rank = len((0,) if self.spatial is None else self.spatial)
        count = rank if self.mask_axes is None else len(self.mask_axes)
        return [step.size[axis] for axis in range(count)]

    # Saving.

    def save_own_variables(self, store: Any) -> None:
        """Saves the state, and the uid by which a loss finds the layer.

        The state has one form in files, so that another backend can go on with it.
        """
        state, packed = map(
            keras.ops.convert_to_numpy, (self._seed_state, self._memory)
        )
        store["0"] = _backend.of_backend().stored_seed(state)
        store["1"] = memory.Memory.stored(packed)
        workers.mark(store)
        store["uid"] = np.frombuffer(bytes.fromhex(self.lineage), "uint8")

    def load_own_variables(self, store: Any) -> None:
        """Loads the state, and answers to a loss that was saved with it.

        A file of a model without the layer has none: the layer then keeps its own.
        """
        if "0" not in store.keys():
            return
        ops = _backend.of_backend()
        self._seed_state.assign(ops.loaded_seed(np.asarray(store["0"])))
        self._memory.assign(np.asarray(store["1"]))
        self._owner = workers.marked(store)
        if "uid" in store.keys():
            uid = np.asarray(store["uid"], "uint8").tobytes().hex()
            _handoff.REGISTRY.answer(self, uid)

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments and the uid by which losses find it."""
        names = (*SHARED, "alpha", "seed")
        config: dict[str, Any] = super().get_config()
        config |= {name: getattr(self, name) for name in names}
        if isinstance(self.num_classes, Mapping):  # Keras's own kind of dictionary.
            config["num_classes"] = dict(self.num_classes)
        return config | {"uid": self.lineage}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """Makes the layer again; its draws start from the seed."""
        config = dict(config)
        uid = config.pop("uid", None)
        config.pop("trainable", None)
        layer = cls(**config)
        if uid is not None:
            _handoff.REGISTRY.register(layer, uid)
            if re.fullmatch("([0-9a-f]{2})+", uid):  # As files hold it.
                layer.lineage = uid
        return layer
