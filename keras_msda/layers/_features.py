"""Mixing at one of several places inside a model, drawn in each step."""

import contextlib
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import keras

from keras_msda import _backend, _errors, _handoff, plans, sampling
from keras_msda.layers import _misuse, _mixing, _planning, memory
from keras_msda.layers._state import Setting, StatefulLayer
from keras_msda.layers.base import MixLayer
from keras_msda.losses import MixedLoss
from keras_msda.masks import _factored
from keras_msda.metrics import MixedAccuracy

Tensor = Any

# What the seed of a plan is folded with to draw the place.
_PLACE = 1


class _Step:
    """What is drawn in one step, and what the gates have seen of it.

    Args:
        seed: Seed pair of the plan.
        chosen: Number of the gate that mixes, perhaps traced; -1 for none.
    """

    def __init__(self, seed: Tensor, chosen: Any) -> None:
        self.seed = seed
        self.chosen = chosen
        #: Batch and lengths that masks depend on, by gate.
        self.seen: dict[int, tuple[Any, tuple[Any, ...]]] = {}


class FeatureMixing(StatefulLayer):
    """Mixes the features at one of several gates, drawn in each step.

    A loss finds it as it finds a mixing layer. The number of the gate is a function of
    the seed that the layer remembers.

    Args:
        mixer: Mixing layer, whose settings and hooks make the plans.
        shapes: Shape of the features at each gate.
        spatial: Spatial lengths of the inputs of the model, or None.
        **kwargs: `name`, as in Keras.
    """

    def __init__(
        self,
        mixer: MixLayer,
        shapes: Sequence[Any],
        *,
        spatial: tuple[int | None, ...] | None,
        **kwargs: Any,
    ) -> None:
        super().__init__(mixer.seed, **kwargs)
        self.mixer = mixer
        self.spatial = spatial
        first = mixer.data_format == "channels_first"
        sizes = [tuple(x[2:] if first else x[1:-1]) for x in shapes]
        #: Lengths that the masks of each gate depend on, None where any.
        self.sizes = [mixer._masked(size) for size in sizes]
        # Of each thread: the step that is running, and lengths of the last one.
        self._local = threading.local()
        self.built = True

    def _settings(self) -> list[Setting]:
        """Returns what draws depend on."""
        return self.mixer._settings()

    @property
    def targets(self) -> str:
        """Labels of a mix, see `MixLayer`."""
        return self.mixer.targets

    @property
    def target_threshold(self) -> float:
        """Share of a label above which it is in the union."""
        return self.mixer.target_threshold

    @property
    def data_format(self) -> str:
        """Data format of the features."""
        return self.mixer.data_format

    def answer_to(self, uid: str) -> None:
        """Has losses from a configuration find this one.

        Args:
            uid: Lineage of what this is a copy of.
        """
        _handoff.REGISTRY.register(self, uid)
        self.lineage = uid

    # Steps.

    @contextlib.contextmanager
    def step(self, inputs: Tensor, training: Any) -> Iterator[None]:
        """Returns a context in which gates mix, and after which a loss knows of it.

        Args:
            inputs: An input of the model.
            training: True, or a tensor of a truth value.
        """
        ops = _backend.get_ops(inputs)
        seed = self._next_seed(inputs)
        chosen, state = self._draw_gate(seed), memory.MIXED
        if training is not True:
            chosen = ops.where(training, chosen, -1)
            state = ops.where(training, state, memory.UNMIXED)
        step = self._local.step = _Step(seed, chosen)
        try:
            yield
        finally:
            self._local.step = None
        self._remember(step, state)

    def skip(self, inputs: Tensor) -> None:
        """Has a loss know of a step that mixes nothing.

        Args:
            inputs: An input of the model.
        """
        ops = _backend.get_ops(inputs)
        batch = ops.shape(inputs)[0]
        self._memory.remember(memory.UNMIXED, ops.zeros([2], "int32"), batch, ())
        self._note_call(mixed=False)

    def _draw_gate(self, seed: Tensor) -> Any:
        """Returns the number of the gate that a seed chooses.

        It is one of Python where no trace is made: gates then need no condition.
        """
        count = len(self.sizes)
        if count == 1:
            return 0
        ops = _backend.get_ops(seed)
        uniform = sampling.sample_uniform([1], seed=ops.fold_in(seed, _PLACE))
        gate = ops.minimum(ops.truncate(uniform * float(count)), count - 1)
        return ops.read_integers(gate)[0] if ops.is_eager(gate) else gate[0]

    def _remember(self, step: _Step, state: Any) -> None:
        """Keeps what a step did, with batch and lengths of the gate that mixed."""
        ops = _backend.get_ops(step.seed)
        self._local.sizes = {gate: size for gate, (_, size) in step.seen.items()}
        if isinstance(step.chosen, int):
            batch, size = step.seen[step.chosen]
        else:
            rows = [
                ops.stack([ops.cast(x, "int32") for x in _pad(*step.seen[gate])])
                for gate in range(len(self.sizes))
            ]
            row = ops.take(ops.stack(rows), ops.maximum(step.chosen, 0))
            batch, size = row[0], (row[1], row[2], row[3])
        self._memory.remember(state, step.seed, batch, size)
        self._note_call(mixed=True)

    def _note_call(self, *, mixed: bool) -> None:
        """Has losses in this thread find the layer."""
        if not _backend.get_backend_ops().in_torch_compile():
            _handoff.REGISTRY.note_call(self, mixed)

    # Gates.

    def mix_at(self, gate: int, features: Tensor, dtype: str) -> Tensor:
        """Returns the features at a gate, mixed if the step has chosen it.

        Args:
            gate: Number of the gate.
            features: Shape `(batch, *spatial, channels)`, or channels first.
            dtype: Of the result.
        """
        ops = _backend.get_ops(features)
        step: _Step = self._local.step
        batch, *rest = ops.shape(features)
        first = self.data_format == "channels_first"
        size = tuple(rest[1:] if first else rest[:-1])
        step.seen[gate] = batch, self.mixer._masked(size)
        layout = plans.Layout(features.shape[0], size, self.data_format)

        def mixed(features: Tensor) -> Tensor:
            return _mixing.mix_batch(
                self.mixer, {"images": features}, layout, seed=step.seed, dtype=dtype
            )["images"]

        def unmixed(features: Tensor) -> Tensor:
            return ops.cast(features, dtype)

        if isinstance(step.chosen, int):
            return (mixed if step.chosen == gate else unmixed)(features)
        here = ops.cast(step.chosen == gate, "int32")
        return ops.switch_on(features, here, [unmixed, mixed])

    def mix_mask_at(self, gate: int, mask: Tensor) -> Tensor:
        """Returns Keras's mask of sequences at a gate: own or partner's, where mixed.

        Args:
            gate: Number of the gate.
            mask: Truth values `(batch, length)`.
        """
        ops = _backend.get_ops(mask)
        step: _Step = self._local.step
        if isinstance(step.chosen, int) and step.chosen != gate:
            return mask
        batch, size = step.seen[gate]
        plan = self._draw(batch, size, step.seed)
        united = mask | plans.take_partner(mask, plan.partner)
        return ops.where(ops.convert(step.chosen == gate), united, mask)

    def _draw(
        self, batch: Any, size: Any, seed: Tensor, *, masked: bool = False
    ) -> plans.Plan:
        """Returns the plan of a seed at a gate."""
        plan = _planning.draw_plan(self.mixer, batch, size, seed=seed, masked=masked)
        groups = _planning.count_groups(self.mixer, batch, seed)
        return plans.place_in_groups(plan, groups)

    # What a loss asks for.

    def replay(
        self,
        batch: Any,
        size: tuple[int, ...] | None = None,
        recalled: list[Tensor] | None = None,
    ) -> plans.MixPlan:
        """Returns the plan of the last step; see `MixLayer.replay`.

        Args:
            batch: Number of labels to weigh.
            size: Spatial lengths of the outputs, for a plan with dense masks; None for
                one without.
            recalled: From `recall`, which is what None means.
        """
        if recalled is None:
            _handoff.REGISTRY.note_read(self)
            recalled = self.recall()
        ops = _backend.get_backend_ops()
        step = memory.unpack(recalled[0], ops)
        values = zip([x.variable for x in self._settings()], recalled[1:], strict=True)
        with ops.substitute_values(values):
            partner, weight, mask, same = self._redraw(batch, size, step, recalled[0])
        mixed = step.state == memory.MIXED
        known = (step.state != memory.NEVER) & (step.batch == batch) & (same | ~mixed)

        def apply(shares: Tensor) -> Tensor:
            return ops.where(known, ops.where(mixed, shares, 1.0), float("nan"))

        itself = ops.arange(ops.shape(partner)[-1])
        return plans.MixPlan(
            ops.where(mixed, partner, itself),
            None if size is None else apply(mask),
            apply(weight),
        )

    def _redraw(self, batch: Any, size: Any, step: memory.Step, packed: Tensor) -> Any:
        """Returns partners, weights and masks of the gate that a step has chosen.

        The fourth value is whether the lengths of the masks were those of the step.
        """
        ops = _backend.get_backend_ops()
        if size is not None:
            self._check_outputs(size)

        def draw(gate: int) -> Any:
            asked = self._lengths(gate, step, packed)
            plan = self._draw(batch, asked, step.seed, masked=self._draws_dense(size))
            same = ops.convert(True)
            if asked and not self.mixer.uniform_mask:
                same = ops.all(step.size[: len(asked)] == ops.stack(asked))
            mask = plan.weight
            if size is not None:
                mask = self._spread(plan, size)
            return plan.partner, plan.weight, mask, same

        # Of a uniform mask the weight is the same at all gates.
        gate = 0 if self.mixer.uniform_mask else self._draw_gate(step.seed)
        if isinstance(gate, int):
            return draw(gate)
        branches = [lambda n=n: draw(n) for n in range(len(self.sizes))]
        return ops.switch(gate, branches)

    def _draws_dense(self, size: Any) -> bool:
        """Returns whether a loss with a label per pixel needs masks."""
        return size is not None and not self.mixer.uniform_mask

    def _spread(self, plan: plans.Plan, size: tuple[int, ...]) -> Tensor:
        """Returns the share of the own label at each pixel of the outputs."""
        if plan.mask is not None:
            return self.mixer._full(plan.mask, size)
        ops = _backend.get_ops(plan.weight)
        weight = _factored.append_axes(plan.weight, len(size))
        return ops.broadcast_to(weight, [ops.shape(weight)[0], *size])

    def _lengths(self, gate: int, step: memory.Step, packed: Tensor) -> list[Any]:
        """Returns the lengths that the masks of a gate depended on in a step."""
        known = self.sizes[gate]
        if self.mixer.uniform_mask:
            return [length or 1 for length in known]
        if all(isinstance(length, int) for length in known):
            return list(known)
        ops = _backend.get_backend_ops()
        if self.mixer._weighs_by_mask and not ops.is_eager(packed):
            # A compiler must know the lengths of masks that it makes.
            seen = getattr(self._local, "sizes", {}).get(gate, known)
            if all(isinstance(length, int) for length in seen):
                return list(seen)
        if ops.is_eager(packed):
            return [int(x) for x in ops.read_integers(step.size)[: len(known)]]
        return [step.size[axis] for axis in range(len(known))]

    def _check_outputs(self, size: tuple[int, ...]) -> None:
        """Checks that masks of the features are masks of the outputs, too."""
        wanted = self.mixer._masked(size)
        if not self.mixer.uniform_mask and any(x != wanted for x in self.sizes):
            _errors.fail(
                self.name,
                "with a label for each pixel all features that are mixed must have the "
                "outputs' size.",
                f"features of size {', '.join(map(str, self.sizes))} with outputs of "
                f"size {wanted}",
                "Use `MixUpLayer`, whose masks are the same at every pixel, name "
                'layers of that size, or "input" alone, or give the loss '
                "`per_pixel=False`.",
            )

    # Loss and metric.

    def loss(self, loss: Any, **kwargs: Any) -> MixedLoss:
        """Returns a loss that uses what was drawn in the same step.

        Args:
            loss: A Keras loss, its name, or a function of (labels, outputs).
            **kwargs: Arguments of `MixedLoss`.
        """
        return MixedLoss(loss, self, **kwargs)

    def accuracy(self, **kwargs: Any) -> MixedAccuracy:
        """Returns an accuracy that uses what was drawn in the same step.

        Args:
            **kwargs: Arguments of `MixedAccuracy`.
        """
        return MixedAccuracy(self, **kwargs)

    @property
    def metrics(self) -> list[Any]:
        """No metrics. Keras's trainer asks for them when a step has its loss."""
        if _handoff.REGISTRY.is_unread(self) and _misuse.is_called_by(
            "compute_metrics", keras.Model
        ):
            _handoff.REGISTRY.note_read(self)
            if not self._said:
                self._said.append("loss")
                _misuse.warn_unheard(type(self).__name__, self.name)
        return []


def _pad(batch: Any, size: Sequence[Any]) -> list[Any]:
    """Returns a batch and three lengths, 1 where there are fewer."""
    return [batch, *size, *[1] * (3 - len(size))]
