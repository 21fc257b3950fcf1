"""How a layer draws plans: its settings, its hooks and what a seed makes of them."""

import random
from collections.abc import Mapping
from typing import Any, ClassVar, Unpack

from keras_msda import _backend, _checks, _handoff, plans, sampling
from keras_msda.layers import _content, _planning, settings
from keras_msda.layers._hooks import MaskHooks
from keras_msda.layers._state import Setting, StatefulLayer
from keras_msda.masks import _factored, _given, _moved

Tensor = Any


class DrawingLayer(StatefulLayer, MaskHooks):
    """A layer that draws plans. Arguments and hooks are described in `MixLayer`."""

    _default_per: ClassVar[str] = "sample"

    per: str
    pairing: str
    bandwidth: float | None
    groups: int | None
    num_classes: Any
    label_smoothing: float
    targets: str
    target_threshold: float
    segmentation: str | int
    bounding_box_format: str | None
    min_box_share: float
    batch_keys: tuple[str, ...]
    mask_axes: tuple[int, ...] | None
    fold: bool
    data_format: str
    jit_compile: bool | str

    def __init__(
        self,
        alpha: float | tuple[float, float] = 1.0,
        *,
        seed: int | None = None,
        **kwargs: Unpack[settings.LayerArguments],
    ) -> None:
        owner = type(self).__name__
        shared, rest = settings.split_arguments(kwargs)
        shared = settings.check_shared(owner, shared)
        if shared["targets"] == "own" and not self.symmetric:
            _checks.fail_own(owner)
        if not self.has_lam:
            settings.check_without_lam(owner, alpha, shared)
        # Python's generator, which `keras.utils.set_random_seed` seeds.
        if seed is None:
            seed = random.randrange(2**31)
        super().__init__(_checks.check_seed(owner, seed), **rest)
        self._probability: float = shared.pop("probability")
        for name, value in shared.items():
            setattr(self, name, value)
        #: Spatial lengths that the layer was built for, None where any; or None.
        self.spatial: tuple[int | None, ...] | None = None
        self._mixed_share = Setting("probability", self._probability)
        self._alpha = _checks.check_alpha(owner, alpha)
        # Tables of lambda: "mixed", and "own" where the own label alone is used.
        self._tables: dict[str, Setting] = {}
        self._add_table(self.targets == "own")

    @property
    def probability(self) -> float:
        """Probability that a sample is mixed; traced functions see a new one."""
        return self._probability

    @probability.setter
    def probability(self, value: float) -> None:
        self._probability = settings.check_probability(type(self).__name__, value)
        self._mixed_share.assign(self._probability)

    @property
    def alpha(self) -> float | tuple[float, float]:
        """Parameters of lambda's Beta distribution; traced functions see new ones."""
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
        if not self.has_lam:
            return
        table = sampling.beta_table(*self._alpha, reformulated=own)
        kind = "own" if own else "mixed"
        if kind not in self._tables:
            self._tables[kind] = Setting(f"lam_table_{kind}", table)

    def _settings(self) -> list[Setting]:
        """Returns what draws depend on."""
        return [self._mixed_share, *self._tables.values()]

    def _sample_lam(self, num_draws: Any, *, own: bool, seed: Any) -> Any:
        """Draws lambda, weighted by itself where the own label alone is used."""
        if not self.has_lam:
            ops = _backend.get_ops(num_draws, seed)
            return ops.ones([num_draws], "float32") * float("nan")
        table = self._tables["own" if own else "mixed"].read(seed)
        return sampling.sample_lam(table, num_draws, seed=seed)

    # Plans.

    @_backend.skip_autograph
    def sample(
        self,
        batch: int,
        size: tuple[int, ...],
        *,
        seed: Any,
        lam: Any = None,
        images: Any = None,
        saliency: Any = None,
        labels: Any = None,
    ) -> plans.Plan:
        """Draws a plan: to look at it, to apply it to anything, to apply it again.

        Args:
            batch: Number of samples.
            size: Spatial lengths of the images, one to three.
            seed: Pair of integers; the plan is a function of it, and the layer's own
                sequence does not advance.
            lam: lambda, a number in [0, 1] or one for each draw, instead of drawing it.
            images: For layers whose masks depend on them; None for images without any
                salient place.
            saliency: Shape `(batch, *size)`, for the same layers, instead of the
                contrast of the images.
            labels: One per sample, for `pairing="label_similarity"`.

        Returns:
            A `MixPlan` with dense masks, `(batch, *size)`; of a layer that moves the
            partner's pixels a `MovedMixPlan`.

        Raises:
            ValueError: If the size or lambda is out of range, or an argument is missing
                or of no use.

        Example:
            >>> import keras_msda as msda
            >>> plan = msda.CutMixLayer(border="wrap").sample(4, (8, 8), seed=(1, 2))
            >>> print(plan.mask.shape, plan.partner.shape)
            (4, 8, 8) (4,)
        """
        batch, size, seed = self._check_sample("batch", batch, size, seed, lam)
        plan = _planning.draw_plan(
            self,
            batch,
            self._masked(size),
            seed=seed,
            lam=lam,
            content=_content.convert_content(
                self,
                plans.Layout(batch, size, self.data_format),
                {"images": images, "saliency": saliency, "labels": labels},
            ),
        )
        plan = self._expand_plan(plan, size)
        return plan._replace(mask=_factored.to_dense(plan.mask, size))

    @_backend.skip_autograph
    def sample_masks(
        self, draws: int, size: tuple[int, ...], *, seed: Any, lam: Any = None
    ) -> tuple[Tensor, Tensor]:
        """Draws masks alone, each by itself, whatever `per` and `probability` are.

        Args:
            draws: How many.
            size: Spatial lengths of the images, one to three.
            seed: Pair of integers; masks are a function of it, and the layer's own
                sequence does not advance.
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
        ops = _backend.get_ops(draws, seed)
        _, _, *seeds = ops.split_seed(seed, 4)
        masked = self._masked(size)
        params = _planning.draw_uniform_params(
            self, draws, masked, seeds=seeds, lam=lam
        )
        mask = self._factored_mask(params, masked)
        return self._full(mask, size), self._weight(params, masked, mask)

    def _check_sample(
        self, name: str, count: Any, size: Any, seed: Any, lam: Any
    ) -> tuple[Any, tuple[Any, ...], Any]:
        """Checks the arguments of a sample; returns count, size and seed."""
        owner = type(self).__name__
        count = settings.check_draw_count(owner, name, count)
        size = _given.check_size(owner, size)
        settings.check_lam_is_used(owner, self.has_lam, lam)
        _given.check_lam(owner, _backend.get_concrete_value(lam))
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
        return _factored.expand_axes(mask, self._places(rank), rank=rank)

    def _expand_plan(self, plan: plans.Plan, size: Any) -> plans.Plan:
        """Returns a plan with masks, and moves, of all spatial axes."""
        plan = plan._replace(mask=self._expanded(plan.mask, len(size)))
        if self.mask_axes is None or not isinstance(plan, plans.MovedMixPlan):
            return plan
        places = self._places(len(size))
        own = plan.own_move
        return plan._replace(
            move=_moved.expand_axes(plan.move, places, size),
            own_move=None if own is None else _moved.expand_axes(own, places, size),
        )

    def _full(self, mask: _factored.Mask, size: Any) -> Tensor:
        """Returns masks at every pixel of images."""
        return _factored.to_dense(self._expanded(mask, len(size)), size)

    # What a loss asks for.

    def replay(
        self,
        batch: Any,
        size: tuple[int, ...] | None = None,
        recalled: list[Tensor] | None = None,
    ) -> plans.Plan:
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
            that call had another batch size or never was, or if its state was dropped;
            masks also if it had another size.
        """
        if recalled is None:
            _handoff.REGISTRY.note_read(self)
            recalled = self.recall()
        return _planning.replay(self, batch, size, recalled)

    # What Keras asks of a layer.

    def build(self, input_shape: Any) -> None:
        """Fixes the number of spatial axes, which a traced loss must know."""
        if isinstance(input_shape, Mapping):
            input_shape = input_shape.get("images", ())
        rank = len(input_shape)
        if _checks.is_image_rank(rank) or (rank == 2 and self.uniform_mask):
            first = self.data_format == "channels_first"
            self.spatial = tuple(input_shape[2:] if first else input_shape[1:-1])

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments and the uid by which losses find it."""
        config: dict[str, Any] = super().get_config()
        config |= {name: getattr(self, name) for name in (*settings.DEFAULTS, "alpha")}
        if isinstance(self.num_classes, Mapping):  # Keras's own kind of dictionary.
            config["num_classes"] = dict(self.num_classes)
        return config
