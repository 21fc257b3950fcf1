"""Plans, which say who is mixed with whom and how, and the functions that apply them.

Images, labels and losses all use the same functions.
"""

from typing import Any, NamedTuple

import keras

from keras_msda import _backend, _checks, _errors
from keras_msda.masks import _factored, _moved

Tensor = Any

#: Integers that float32 does not hold exactly.
_LONG = ("int32", "uint32", "int64", "uint64")


class MixPlan(NamedTuple):
    """Says how a batch is mixed.

    A sample that is not mixed has itself as partner, mask 1 and weight 1.

    Attributes:
        partner: int32 `(batch,)`, index of the second sample.
        mask: float32 `(batch, *size)`, share of the first image at each pixel, in
            [0, 1].
        weight: float32 `(batch,)`, share of the first label, the mean of the mask.
    """

    partner: Tensor
    mask: Any
    weight: Tensor


class MovedMixPlan(NamedTuple):
    """Says how a batch is mixed if pixels are moved first.

    Attributes:
        partner: int32 `(batch,)`, index of the second sample.
        mask: float32 `(batch, *size)`, share of the first image at each pixel, in
            [0, 1].
        weight: float32 `(batch,)`, share of the first label, the mean of the mask.
        move: A `keras_msda.masks.Move` of the partner, one per sample.
        own_move: Of the first image; None where its pixels stay.
    """

    partner: Tensor
    mask: Any
    weight: Tensor
    move: _moved.Move
    own_move: _moved.Move | None = None


#: A plan of any method.
Plan = MixPlan | MovedMixPlan


class Layout(NamedTuple):
    """Describes a batch of images to the functions for what belongs to them.

    Attributes:
        batch: Number of images, an integer, None or a traced scalar.
        size: Spatial lengths, integers, None or traced scalars.
        data_format: "channels_last" or "channels_first".
    """

    batch: Any
    size: tuple[Any, ...]
    data_format: str

    @property
    def channels(self) -> int:
        """Axis of the channels."""
        return 1 if self.data_format == "channels_first" else -1

    def lengths(self, shape: Any) -> tuple[Any, ...] | None:
        """Returns the spatial part of a shape, or None if it has another rank."""
        if len(shape) != len(self.size) + 2:
            return None
        return tuple(shape[2:] if self.channels == 1 else shape[1:-1])


def get_move(plan: Plan) -> _moved.Move | None:
    """Returns how the partner's pixels are moved, or None where they stay."""
    return plan.move if isinstance(plan, MovedMixPlan) else None


def get_move_index(plan: Plan) -> tuple[Tensor | None, Tensor] | None:
    """Returns which pixels are shown, of the first image and of the partner.

    None where pixels stay, for the first image or for both.
    """
    if not isinstance(plan, MovedMixPlan):
        return None
    ops = _backend.get_ops(plan.move.index)
    own = None if plan.own_move is None else ops.convert(plan.own_move.index)
    return own, ops.convert(plan.move.index)


def convert_plan(plan: Plan, data_format: str) -> tuple[Plan, Layout]:
    """Returns a plan with dense masks as tensors, and the layout of its images."""
    ops = _backend.get_ops(plan.partner)
    mask, weight = (ops.convert(x, "float32") for x in (plan.mask, plan.weight))
    batch, *size = ops.shape(mask)
    plan = plan._replace(partner=ops.convert(plan.partner), mask=mask, weight=weight)
    return plan, Layout(batch, tuple(size), data_format)


def place_in_groups(plan: Plan, groups: int) -> Plan:
    """Returns a plan with partners `(groups, length)` as places in their own groups.

    A compiler then sees that each device of a sharded batch gathers from its own shard.
    They stay where the library does not use that or where groups differ in length.
    """
    return plan._replace(partner=place_partner(plan.partner, groups))


def place_partner(partner: Tensor, groups: int) -> Tensor:
    """Returns partners as places in their own groups; see `place_in_groups`."""
    ops = _backend.get_ops(partner)
    batch = ops.shape(partner)[0]
    if not ops.functional or groups == 1 or batch % groups:
        return partner
    length = batch // groups
    start = ops.arange(groups)[:, None] * length
    return ops.reshape(partner, [groups, length]) - start


def take_partner(x: Tensor, partner: Tensor) -> Tensor:
    """Returns the entries of each sample's partner, an index or a place in a group."""
    ops = _backend.get_ops(x)
    take = ops.take if len(partner.shape) == 1 else ops.take_in_groups
    return take(x, partner)


def take_both(x: Tensor, partner: Tensor | None) -> tuple[Tensor, Tensor]:
    """Returns the entries of the samples and the entries of their partners.

    Args:
        x: One entry per sample.
        partner: Indices; or None where the second half of the entries holds the
            partners of the first half.
    """
    if partner is not None:
        return x, take_partner(x, partner)
    half = _backend.get_ops(x).shape(x)[0] // 2
    return x[:half], x[half:]


def take_both_moved(
    x: Tensor, partner: Tensor | None, index: Any, data_format: str
) -> tuple[Tensor, Tensor]:
    """Returns images and their partners, their pixels moved; see `take_both`.

    Args:
        x: Images, or anything with one entry per pixel.
        partner: As in `take_both`.
        index: From `get_move_index`.
        data_format: "channels_last" or "channels_first".
    """
    both = take_both(x, partner)
    if index is None:
        return both
    own, other = (
        values if moved is None else _moved.take_pixels(values, moved, data_format)
        for values, moved in zip(both, index, strict=True)
    )
    return own, other


def take_own(x: Tensor, partner: Tensor | None) -> Tensor:
    """Returns the entries of the samples themselves; see `take_both`."""
    return x if partner is not None else x[: _backend.get_ops(x).shape(x)[0] // 2]


def blend(own: Tensor, other: Tensor, share: Tensor, dtype: str) -> Tensor:
    """Returns `share * own + (1 - share) * other`, exact where the share is 0 or 1.

    Hidden values count as 0, so NaNs in them do not propagate. Shown -0.0 and subnormal
    numbers may become 0: choosing instead of computing would take up to twice as long.

    Args:
        own: First values.
        other: Second values, of the same shape.
        share: float32 in [0, 1], broadcastable to them.
        dtype: Type of the result. The sum is computed in float32, for a float64 result
            in float64; integers are rounded half to even.
    """
    ops = _backend.get_ops(own)
    wide = "float64" if dtype == "float64" else "float32"
    given = keras.backend.standardize_dtype(own.dtype)
    parts = own, other
    own, other, share = (ops.cast(x, wide) for x in (own, other, share))
    if not keras.backend.is_float_dtype(given):  # Integers have no NaN.
        mixed = share * own + (1.0 - share) * other
    else:
        multiply = ops.multiply_no_nan
        mixed = multiply(own, share) + multiply(other, 1.0 - share)
    if given == dtype == "uint8":
        return ops.to_uint8(mixed)
    mixed = ops.cast(mixed, dtype)
    if dtype not in _LONG or given not in (*_LONG, "float64"):
        return mixed
    # These integers have more digits than float32.
    own, other = (ops.cast(x, dtype) for x in parts)
    return ops.where(share == 1.0, own, ops.where(share == 0.0, other, mixed))


def _convert_partner(plan: Plan) -> Tensor | None:
    """Returns the partners of a plan as a tensor; None stays None."""
    partner = plan.partner
    return None if partner is None else _backend.get_ops(partner).convert(partner)


@_backend.skip_autograph
def mix_images(
    images: Any,
    plan: Plan,
    data_format: str | None = None,
    *,
    dtype: str | None = None,
    jit_compile: bool | str = "auto",
) -> Tensor:
    """Mixes a batch of images as a plan says.

    Where the mask is 1, a pixel equals that of the image itself, and where it is 0 that
    of the partner, even if the other one is NaN or infinite, and for integers of any
    size. Equal does not always mean the same bits: -0.0 may become 0.0, and a float
    below 1e-38 may become 0. `layer(images, training=False)` keeps all bits.

    Args:
        images: Shape `(batch, *size, channels)`, or channels first; one to three
            spatial axes; any real dtype. NaNs reach only pixels with a share of them.
        plan: From `layer.sample`, for this batch and size.
        data_format: "channels_last", "channels_first" or None for Keras's setting.
        dtype: Type of the result; None keeps the images' own. Integers are rounded half
            to even and saturate.
        jit_compile: Whether a graph of TensorFlow compiles this by XLA: "auto" if the
            size of the images is known, True always, False never.

    Returns:
        Mixed images, of the images' shape.

    Raises:
        ValueError: If the rank, the size or the batch size does not fit the plan.

    Example:
        >>> import numpy as np, keras_msda as msda
        >>> images = np.stack([np.zeros((2, 2, 1)), np.ones((2, 2, 1))])
        >>> layer = msda.MixUpLayer(pairing="roll")
        >>> plan = layer.sample(2, (2, 2), seed=(1, 2), lam=0.75)
        >>> print(msda.mix_images(images, plan)[:, 0, 0, 0].numpy())
        [0.25 0.75]
    """
    ops = _backend.get_ops(images, plan.partner)
    images = ops.convert(images)
    data_format = _checks.check_data_format("mix_images", data_format)
    factored = isinstance(plan.mask, _factored.Mask)
    _checks.check_rank("mix_images", images.shape, rows=factored)
    rank = len(images.shape) - 2
    if not factored:
        plan = plan._replace(mask=ops.convert(plan.mask, "float32"))
        _check_plan("mix_images", images.shape, plan, data_format)
    dtype = dtype or keras.backend.standardize_dtype(images.dtype)
    shape, mask = tuple(images.shape), plan.mask
    last = data_format == "channels_last"
    index = get_move_index(plan)
    joined = last and rank > 0 and _can_join(mask, shape[1:], ops) and index is None
    if joined:
        images = ops.reshape(images, [-1, *shape[1:-2], shape[-2] * shape[-1]])
        mask = _factored.repeat_last_axis(mask, shape[-1])

    def mix(images: Tensor, partner: Tensor, mask: Any, index: Any) -> Tensor:
        if isinstance(mask, _factored.Mask):
            mask = _factored.multiply_out(mask, rank)
        if not joined:
            mask = mask[:, None] if data_format == "channels_first" else mask[..., None]
        both = take_both_moved(images, partner, index, data_format)
        return blend(*both, mask, dtype)

    # In one function, so that a compiled graph makes one pass over the images.
    mixed = ops.call_fused(
        mix, images, _convert_partner(plan), mask, index, jit_compile=jit_compile
    )
    return ops.reshape(mixed, [-1, *shape[1:]]) if joined else mixed


def _can_join(mask: Any, shape: tuple[int | None, ...], ops: Any) -> bool:
    """Returns whether to join the last spatial axis and the channels to one axis.

    A CPU then has long loops without divisions. Compilers for other devices choose the
    order of axes themselves.
    """
    known = None not in shape and isinstance(mask, _factored.Mask)
    return known and ops.is_traced_for_cpu() and _factored.is_small(mask)


@_backend.skip_autograph
def mix_labels(labels: Any, plan: Plan, *, owner: str = "mix_labels") -> Tensor:
    """Mixes soft labels or other real targets as a plan says.

    Args:
        labels: Floats, shape `(batch, ...)`. One-hot encode class ids first, since they
            cannot be averaged.
        plan: From `layer.sample`, for this batch.
        owner: Name that an error starts with.

    Returns:
        `weight * label + (1 - weight) * partner's label`, float32 (float64 is kept).

    Raises:
        ValueError: If the labels are integers or have another batch size than the plan.

    Example:
        >>> import numpy as np, keras_msda as msda
        >>> layer = msda.MixUpLayer(pairing="roll")
        >>> plan = layer.sample(2, (4,), seed=(1, 2), lam=0.75)
        >>> print(msda.mix_labels(np.eye(2, dtype="float32"), plan).numpy())
        [[0.75 0.25]
         [0.25 0.75]]
    """
    ops = _backend.get_ops(labels, plan.partner)
    labels = ops.convert(labels)
    _checks.check_soft(owner, labels.dtype)
    if plan.partner is not None:
        _checks.check_batch(owner, "labels", labels.shape, plan.weight.shape)
    given = keras.backend.standardize_dtype(labels.dtype)
    dtype = "float64" if given == "float64" else "float32"
    weight = _factored.append_axes(ops.convert(plan.weight), len(labels.shape) - 1)
    mixed = blend(*take_both(labels, _convert_partner(plan)), weight, dtype)
    return _factored.keep_nan(mixed, weight)


def weigh(first: Tensor, second: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Splits a mix of weighted labels into a mix and a single weight.

    `first weight l_i + second (1 - weight) l_j` equals `s (u l_i + (1 - u) l_j)` with
    `s = first weight + second (1 - weight)` and `u = first weight / s`.

    Args:
        first: float32 `(batch,)`, sample weights of the samples.
        second: float32 `(batch,)`, sample weights of their partners.
        weight: float32 `(batch,)`, shares of the samples' own labels.

    Returns:
        The shares u and the weights s, float32 `(batch,)`.
    """
    ops = _backend.get_ops(first)
    own = ops.multiply_no_nan(first, weight)
    total = own + ops.multiply_no_nan(second, 1.0 - weight)
    usable = (total != 0) & (weight < 1.0)
    share = ops.where(usable, own / ops.where(usable, total, 1.0), weight)
    return share, total


def mix_sample_weights(sample_weight: Tensor, plan: Plan) -> tuple[Plan, Tensor]:
    """Returns the plan and the sample weights of a mixed batch with sample weights.

    With them the loss is `w_i weight l_i + w_j (1 - weight) l_j`; see `weigh`.

    Args:
        sample_weight: Shape `(batch,)`, or `(batch, 1)`.
        plan: The plan of the batch.

    Returns:
        The plan with the label weights u, and s in the shape of `sample_weight`.
    """
    ops = _backend.get_ops(sample_weight)
    given = ops.convert(sample_weight, "float32")
    own, other = take_both(ops.reshape(given, [-1]), plan.partner)
    weight, total = weigh(own, other, plan.weight)
    return plan._replace(weight=weight), ops.reshape(total, [-1, *given.shape[1:]])


def leave_unmixed(batch: Any, like: Tensor) -> MixPlan:
    """Returns the plan that leaves a batch as it is, in the library of a tensor."""
    ops = _backend.get_ops(like)
    ones = ops.ones([batch], "float32")
    mask = _factored.Mask(ones, ops.zeros([batch], "float32"), ())
    return MixPlan(ops.arange(batch), mask, ones)


def _check_plan(owner: str, images: Any, plan: Plan, data_format: str) -> None:
    """Checks that a plan was made for images of this batch size and spatial size."""
    spatial = images[1:-1] if data_format == "channels_last" else images[2:]
    mask = plan.mask.shape  # Of half of the images, if the others are the partners.
    expected = (mask[0] if plan.partner is None else images[0], *spatial)
    fits = len(expected) == len(mask) and all(
        n is None or m is None or n == m or (i == 0 and m == 1)
        for i, (n, m) in enumerate(zip(expected, mask, strict=True))
    )
    if not fits:
        shown = _errors.show(expected)
        _errors.fail(
            owner,
            f"the plan must be for these images, masks of shape {shown}.",
            f"masks of shape {_errors.show(mask)}",
            "Draw it by `layer.sample(batch, size, seed=...)`; check `data_format`.",
        )
