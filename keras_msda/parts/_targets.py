"""What a loss or metric compares the outputs of a model with.

Labels are packed with those of their partners by a pipeline, or mixed already; or a
layer inside the model drew partners and weights in this step, and draws them again.
"""

from typing import Any, NamedTuple, Protocol

from keras_msda import _backend, _checks, _errors, plans
from keras_msda.masks import _factored
from keras_msda.parts import _forms, _packed

Tensor = Any


class Reader(_packed.Reader, Protocol):
    """A loss or metric that reads labels.

    Attributes:
        per_pixel: Whether each pixel has a label, None to decide by the rank.
    """

    per_pixel: bool | None

    @property
    def layer(self) -> Any:
        """The mixing layer inside the model, or None."""

    def choose_layer(self) -> None:
        """Chooses among several copies of the layer."""

    def recall(self) -> list[Tensor]:
        """Returns what the layer did last."""

    def is_mirroring(self) -> bool:
        """Returns whether that comes from a loss, as the trainer of JAX makes it."""


class Targets(NamedTuple):
    """Labels of a batch as a loss uses them.

    Attributes:
        own: Labels of the first images.
        other: Labels of the second images, or None where only the own label counts.
        weight: float32 `(batch,)`, share of the own label, or `(batch, *size)` where
            each pixel has a label; None where only the own label counts.
        sample_weight: Weights of the samples, mixed like the labels, or None.
        premixed: Whether the labels may be mixes already.
        known: 1 where the layer's last call had this batch, NaN where not, float32; or
            None where the weight or the labels say so themselves.
    """

    own: Tensor
    other: Tensor | None
    weight: Tensor | None
    sample_weight: Tensor | None
    premixed: bool = False
    known: Tensor | None = None


def read_targets(
    reader: Reader, labels: Any, *, outputs: Any, sample_weight: Any
) -> Targets:
    """Returns what each output is to be compared with.

    Args:
        reader: The loss or metric.
        labels: As the model is given them.
        outputs: As the model returns them, classes last.
        sample_weight: Shape `(batch,)` or `(batch, 1)`, or None.
    """
    reader.choose_layer()
    owner, layer = type(reader).__name__, reader.layer
    ops = _backend.get_ops(labels, outputs)
    given, labels, outputs = labels, ops.convert(labels), ops.convert(outputs)
    if sample_weight is not None:
        sample_weight = ops.convert(sample_weight, "float32")
    _check_label_rank(owner, labels.shape, outputs.shape)
    if layer is not None:
        return _read_drawn(reader, labels, outputs, sample_weight)
    if _packed.is_packed(reader, given, labels=labels, outputs=outputs):
        return Targets(*_forms.unpack_labels(labels), sample_weight)
    labels = _packed.check_mixed(owner, labels, outputs=outputs, ids=reader.ids)
    return Targets(labels, None, None, sample_weight, premixed=True)


def _read_drawn(
    reader: Reader, labels: Tensor, outputs: Tensor, sample_weight: Any
) -> Targets:
    """Returns the labels of what a layer inside the model drew in this step.

    They are never packed, whatever their width: packing is what a pipeline does.
    """
    owner, layer = type(reader).__name__, reader.layer
    if layer.targets == "own":
        known = _find_known(reader, labels)
        return Targets(labels, None, None, sample_weight, known=known)
    if sample_weight is not None:
        _checks.check_sample_weight(owner, sample_weight.shape)
    if layer.targets == "union":
        _check_union(owner, labels.shape, outputs.shape)
        return _unite_labels(labels, reader, sample_weight)
    size = _find_size(reader, labels, outputs)
    return _replay_labels(labels, reader, size, sample_weight)


def _find_known(reader: Reader, labels: Tensor) -> Tensor:
    """Returns 1 if the layer's last call had the batch of the labels, else NaN."""
    ops = _backend.get_backend_ops()
    mirroring = reader.is_mirroring()
    called, batch = reader.layer.last_call(reader.recall())
    known = called & (batch == ops.shape(labels)[0])
    if mirroring:
        # A loss has copied what it knew. The own label needs no loss of the layer, so
        # that nothing copied is no sign of a missing call.
        known = known | ~called
    return ops.where(known, ops.ones([], "float32"), float("nan"))


def _replay_labels(
    labels: Tensor, reader: Reader, size: tuple[int, ...] | None, sample_weight: Any
) -> Targets:
    """Returns both labels of what a layer drew, weighted by pixel for a given size."""
    ops = _backend.get_ops(labels)
    plan = reader.layer.replay(ops.shape(labels)[0], size, reader.recall())
    weight = plan.weight if size is None else plan.mask
    if sample_weight is not None and size is None:
        plan, sample_weight = plans.mix_sample_weights(sample_weight, plan)
        weight = plan.weight
    elif sample_weight is not None:
        own = ops.reshape(sample_weight, [-1])
        own = _factored.append_axes(own, len(weight.shape) - 1)
        other = plans.take_partner(own, plan.partner)
        weight, sample_weight = plans.weigh(own, other, weight)
    other = plans.take_partner(labels, plan.partner)
    return Targets(labels, other, weight, sample_weight)


def _unite_labels(labels: Tensor, reader: Reader, sample_weight: Any) -> Targets:
    """Returns the union of both labels, as a layer of a pipeline makes it."""
    ops = _backend.get_ops(labels)
    layer = reader.layer
    plan = layer.replay(ops.shape(labels)[0], None, reader.recall())
    mixed = plans.mix_labels(ops.cast(labels, "float32"), plan)
    union = _forms.unite_labels(mixed, layer.target_threshold)
    if sample_weight is not None:
        _, sample_weight = plans.mix_sample_weights(sample_weight, plan)
    return Targets(union, None, None, sample_weight)


def _find_size(
    reader: Reader, labels: Tensor, outputs: Tensor
) -> tuple[int, ...] | None:
    """Returns the size of outputs with a label per pixel, or None for one per sample.

    Outputs of the images' rank have one per pixel: labels are mixed by the mask then.
    """
    owner, layer = type(reader).__name__, reader.layer
    dense = reader.per_pixel
    spatial = layer.spatial
    if dense is None:
        dense = spatial is not None and len(outputs.shape) == len(spatial) + 2
    if not dense:
        return None
    first = layer.data_format == "channels_first"
    size = tuple(outputs.shape[2:] if first else outputs.shape[1:-1])
    _check_pixels(owner, size, labels.shape, spatial)
    return size


def _check_label_rank(owner: str, labels: Any, outputs: Any) -> None:
    """Checks that axes and classes of labels and outputs are known when traced."""
    for name, shape in (("labels", labels), ("outputs", outputs)):
        if getattr(shape, "rank", 0) is None:
            _errors.fail(
                owner,
                f"the number of axes of the {name} must be known when traced.",
                f"{name} of unknown shape",
                f"Set it where they are made, for example "
                f"`{name} = tf.ensure_shape({name}, (None, 10))`.",
            )
    if outputs[-1:] == (None,) and len(outputs) > 1:
        _errors.fail(
            owner,
            "the last axis of the outputs must be known when traced.",
            f"outputs of shape {_errors.show(outputs)}",
            "Let the model end with a layer of a given width, such as `Dense(10)`.",
        )


def _check_union(owner: str, labels: Any, outputs: Any) -> None:
    """Checks that labels can be united: those of a layer inside the model."""
    if tuple(labels[1:]) != tuple(outputs[1:]):
        _errors.fail(
            owner,
            'a layer of `targets="union"` needs labels of the outputs\' shape, 0 or 1.',
            _errors.show_both(labels, outputs),
            "Encode class ids with `keras.ops.one_hot` or `keras.ops.multi_hot`.",
        )


def _check_pixels(owner: str, size: Any, labels: Any, spatial: Any) -> None:
    """Checks that there is a label for each pixel of the images."""
    lengths = tuple(labels[1 : 1 + len(size)])
    known = all(isinstance(n, int) for n in size)
    bad = len(lengths) != len(size) or any(map(_errors.differ, lengths, size))
    if bad or not known or any(map(_errors.differ, size, spatial or size)):
        _errors.fail(
            owner,
            "outputs of the images' rank need a label for each pixel, and the size of "
            "the images, known when traced.",
            f"outputs of size {_errors.show(size)}, labels of shape "
            f"{_errors.show(labels)}, images of size {spatial}",
            "Resize the outputs to the images, or use `per_pixel=False` where each "
            "sample is mixed by one weight.",
        )
