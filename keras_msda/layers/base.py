"""The one `call` of all mixing layers, and what matches it: loss and metric."""

import sys
import types
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, NoReturn

import keras
import numpy as np

from keras_msda import _backend, _checks, _errors, _handoff, plans
from keras_msda.layers import memory
from keras_msda.layers.drawing import SECOND, DrawingLayer
from keras_msda.losses import MixedLoss
from keras_msda.metrics import MixedAccuracy
from keras_msda.parts import Settings, check_parts, mix_parts, structures

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
        groups: Partners stay inside this many contiguous parts of the batch; None:
            as many as `keras.distribution` has devices for it in a model, else 1.
        num_classes: Number of classes; makes soft labels of integer ones. For several
            outputs a dictionary or tuple, without or with None for those that have
            none.
        label_smoothing: Smoothing, in [0, 1], of labels that `num_classes` encodes, for
            mixed and unmixed samples alike.
        targets: Labels that come out: "soft", mixed; "pair", packed for `MixedLoss`;
            "own", the own label alone, with lambda drawn such that its expected loss is
            the same (MixUp, GMix and FMix); "union", 1 for every class with more than
            `target_threshold` of the mixed label and 0 for others, for binary
            cross-entropy.
        target_threshold: Share of the label, in [0, 1], above which a class is in the
            union.
        segmentation: How segmentation masks are mixed: "auto", "select", "blend" or a
            number of classes, see `mix_segmentation_masks`.
        bounding_box_format: Format of "bounding_boxes", see `mix_bounding_boxes`.
        min_box_share: Least share, in [0, 1], of a box or keypoint that is kept.
        batch_keys: Further keys of a dictionary, mixed with the same plan: tensors of
            the images' rank as images are, by the mask averaged over their coarser grid
            if they have one; others by the weight of the labels.
        mask_axes: Axes of the images that a mask depends on; None for all spatial ones.
            For videos `(batch, frames, height, width, channels)`, `(2, 3)` gives all
            frames of a sample one mask. The weight is the mean of the mask.
        fold: Whether lambda becomes max(lambda, 1 - lambda), so that the own image has
            the larger share, as in MixMatch.
        data_format: "channels_last", "channels_first" or None for Keras's setting.
        jit_compile: Whether TensorFlow's graphs, pipelines too, compile the passes over
            images and wide labels by XLA: "auto" where their sizes are known when a
            graph is traced, True always, False never. A program is compiled for each
            shape that comes. Other backends compile a layer with the step it is in.
        seed: Integer seed of the draws; None for a random one.
        **kwargs: `name` and `dtype` as in Keras. Images come out in the compute dtype;
            "uint8" rounds half to even.
    """

    #: AutoGraph leaves alone what has this name, as nothing here is written for it:
    #: 0.3 s of the first call. Without effect it would cost that time and no more.
    autograph_info__: ClassVar[dict[str, Any]] = {}

    # Calls.

    def __call__(
        self,
        images: Any,
        labels: Any = None,
        sample_weight: Any = None,
        training: Any = None,
        *,
        partner: Any = None,
    ) -> Any:
        """Mixes a batch; see `call`.

        What TensorFlow traces while Keras computes with another library is a pipeline,
        which Keras's own way of calling cannot serve. And of a dictionary Keras gets
        what is mixed alone: it would convert the rest.
        """
        given = self._take_apart(images, labels, sample_weight)
        options = {} if training is None else {"training": training}
        if _backend.in_pipeline(given.parts):
            return self.call(images, labels, sample_weight, partner=partner, **options)
        if partner is not None:
            options["partner"] = self._take_partner_apart(partner, given)
        if _backend.of_backend().narrow:
            values = keras.tree.flatten(given.parts)
            _check_integers(type(self).__name__, values)
        if given.alone:
            return super().__call__(images, **options)
        parts = self._for_keras(given.parts)
        return given.restore(super().__call__(parts, **options))

    def call(
        self,
        images: Any,
        labels: Any = None,
        sample_weight: Any = None,
        training: Any = None,
        *,
        partner: Any = None,
    ) -> Any:
        """Mixes a batch.

        Args:
            images: Shape `(batch, *spatial, channels)`, or channels first, with one to
                three spatial axes; `MixUpLayer` takes rows `(batch, features)` too. Or
                a tuple of the first three arguments. Or a dictionary that holds
                "images" and some of "labels", "sample_weight", "segmentation_masks",
                "bounding_boxes", "keypoints" and `batch_keys`, whose other keys come
                back as they are. With labels beside them, inputs may be a dictionary of
                that kind, or a tuple of images and what is mixed like them.
            labels: Class ids `(batch,)` or `(batch, 1)`, or floats `(batch, ...)`; a
                dictionary or tuple of them for several outputs.
            sample_weight: Shape `(batch,)` or `(batch, 1)`; for several outputs perhaps
                a dictionary or tuple of them.
            training: Whether to mix, a truth value or a tensor of one. None mixes
                images that come with labels and leaves images alone unmixed, as Keras's
                Dropout does.
            partner: Partners of one's own instead of drawn ones: integers `(batch,)`,
                the index of each sample's partner, its own for none; or a second batch
                of the same form and shapes, whose sample i is the partner of sample i.
                Labels must come with the images: a loss of the layer inside a model
                cannot know given partners, and is NaN.

        Returns:
            Images in the compute dtype; with labels the same nest as the input.

        Raises:
            ValueError: If shapes, dtypes or arguments do not hold together.
        """
        given = self._take_apart(images, labels, sample_weight)
        flag = _backend.truth(training)
        if given.alone and partner is None:
            return self._call_images(images, False if flag is None else flag)
        if partner is not None:
            partner = self._take_partner_apart(partner, given)
        if flag is None:
            flag = not given.alone
        if given.alone:  # What the loss remembers must not be an earlier call.
            self._step.forget(images)
        return given.restore(self._call_batch(given.parts, flag, partner=partner))

    def mix(self, inputs: Any, *, seed: Any, partner: Any = None) -> Any:
        """Mixes a batch by the draws of a seed, and leaves the own sequence alone.

        Args:
            inputs: Images; or a tuple or dictionary as in `call`.
            seed: Pair of integers, or a tensor of two; what is drawn is a function of
                it.
            partner: As in `call`.

        Returns:
            What `call` returns in training.

        Raises:
            ValueError: If shapes, dtypes or arguments do not hold together.

        Example:
            >>> import numpy as np, keras_msda as msda
            >>> layer = msda.MixUpLayer(pairing="roll")
            >>> batch = np.zeros((2, 4, 4, 1)), np.eye(2)
            >>> (_, labels), (_, again) = (layer.mix(batch, seed=(1, 2)) for _ in "ab")
            >>> print(bool(np.all(labels == again)))
            True
        """
        seed = _checks.check_seed_pair(type(self).__name__, seed)
        given = self._take_apart(inputs)
        if partner is not None:
            partner = self._take_partner_apart(partner, given)
        mixed = self._call_batch(given.parts, True, seed=seed, partner=partner)
        return given.restore(mixed)

    def _take_apart(
        self, images: Any, labels: Any = None, sample_weight: Any = None
    ) -> structures.Batch:
        """Returns the parts of a batch, whose ranks are known."""
        owner = type(self).__name__
        given = structures.take_apart(
            owner,
            images,
            labels,
            sample_weight,
            batch_keys=self.batch_keys,
            box_format=self.bounding_box_format,
        )
        form = "(None, None, None, 3)"
        _checks.check_known_rank(owner, "images", given.parts["images"], form=form)
        return given

    def _for_keras(self, parts: Mapping[str, Any]) -> dict[str, Any]:
        """Returns parts as Keras can pass them on, which fails without a word of ours.

        It takes tensors and arrays alone, no lists of numbers, and asks for their rank.
        """
        owner = type(self).__name__
        for key, part in parts.items():
            name = key if key in structures.KEYS else f'"{key}"'
            for tensor in keras.tree.flatten(part):
                _checks.check_known_rank(owner, name, tensor)
        return {key: structures.as_array(part) for key, part in parts.items()}

    def _take_partner_apart(self, partner: Any, given: structures.Batch) -> Any:
        """Returns indices as they are, and the parts of a second batch."""
        owner = type(self).__name__
        _check_partner_settings(owner, self.per, self.groups)
        if structures.is_indices(partner):
            return partner
        if given.alone and not isinstance(partner, Mapping):
            return {"images": partner}
        if isinstance(partner, Mapping) and set(partner) == set(given.parts):
            return partner  # Taken apart already.
        second = self._take_apart(partner).parts
        _check_second(owner, list(given.parts), list(second))
        return second

    def _call_images(self, images: Tensor, training: Any) -> Tensor:
        """Mixes images alone, if it is training, and remembers it for the loss."""
        batch, size = self._measure(images)
        _check_same_rank(type(self).__name__, images.shape, self.spatial)
        ops = _backend.of(images)
        if training is False:
            seed, state = ops.zeros([2], "int32"), memory.UNMIXED
        else:
            self._check_alone(images)
            seed, state = self._next_seed(images), memory.MIXED
        if not isinstance(training, bool):
            state = ops.where(training, state, memory.UNMIXED)
        if not _backend.in_pipeline(seed):
            self._step.remember(state, seed, batch, self._masked(size))
        if not ops.is_compiling():
            _handoff.REGISTRY.note_call(self, training is not False)
        if training is False:
            return ops.cast(images, self.compute_dtype)
        return self._call_batch({"images": images}, training, seed=seed)["images"]

    def _check_alone(self, images: Tensor) -> None:
        """Refuses, or warns of, calls whose mixes no loss will know of."""
        owner = type(self).__name__
        if _backend.is_traced_pipeline(images):
            self._say("pipeline", _warn_images_alone, owner)
        if not _backend.of(images).is_compiling() and _is_called_by(
            "call", keras.layers.TimeDistributed
        ):
            _fail_time_distributed(owner)

    def _say(self, about: str, warn: Any, *received: Any) -> None:
        """Warns once in the layer's life."""
        if about not in self._said:
            self._said.append(about)
            warn(*received)

    def _call_batch(
        self,
        parts: Mapping[str, Any],
        mix: Any,
        *,
        seed: Any = None,
        partner: Any = None,
    ) -> dict[str, Any]:
        """Mixes what belongs to images, all by one plan, that of the next seed.

        Args:
            parts: By key, as `structures` takes them apart.
            mix: Whether to mix, perhaps traced.
            seed: Seed pair instead of the next.
            partner: Indices, or the parts of a second batch, instead of drawn partners.
        """
        ops = _backend.of(parts["images"])
        images = ops.convert(parts["images"])
        size = self._measure(images)[1]
        layout = plans.Layout(images.shape[0], size, self.data_format)
        checked = self._check_parts(parts, layout) | {"images": images}
        joined = checked
        if isinstance(partner, Mapping):
            joined = self._joined(checked, partner, layout)
            partner = SECOND
        elif partner is not None:
            partner = _check_indices(
                type(self).__name__, ops.convert(partner), layout.batch
            )
        if mix is not False and seed is None:
            seed = self._next_seed(images)
        elif mix is not False and _backend.in_pipeline(images):
            seed = ops.convert(seed, "int64")

        def mixed() -> dict[str, Any]:
            return self._mixed(joined, layout, seed, partner)

        def unmixed() -> dict[str, Any]:
            return self._mixed(checked, layout, None)

        with _backend.compiled(self.jit_compile):
            if isinstance(mix, bool):
                return mixed() if mix else unmixed()
            return ops.switch(ops.cast(mix, "int32"), [unmixed, mixed])  # type: ignore[no-any-return]

    def _joined(
        self, checked: Mapping[str, Any], second: Mapping[str, Any], layout: Any
    ) -> dict[str, Any]:
        """Returns checked parts of a batch, followed by those of a second batch."""
        owner = type(self).__name__
        images = _backend.of(second["images"]).convert(second["images"])
        others = self._check_parts(second, layout) | {"images": images}

        def join(own: Any, other: Any) -> Any:
            if own is None or other is None:
                return own
            ops = _backend.of(own, other)
            _check_alike(owner, own, other)
            if not ops.is_ragged(own):  # Or halves would not be the two batches.
                other = ops.reshape(other, ops.shape(own))
            return ops.concat([own, ops.cast(other, own.dtype)], 0)

        return {
            key: keras.tree.map_structure(join, own, others[key])
            for key, own in checked.items()
        }

    def _mixed(
        self,
        checked: Mapping[str, Any],
        layout: plans.Layout,
        seed: Any,
        partner: Any = None,
    ) -> dict[str, Any]:
        """Returns checked parts, mixed by the plan of a seed; None leaves them."""
        mixed, images = dict(checked), checked["images"]
        batch, size = self._measure(images)
        batch = batch // 2 if partner is SECOND else batch
        dtype = self.compute_dtype
        if seed is None:
            plan = plans.unmixed(batch, images)
            mixed["images"] = _backend.of(images).cast(images, dtype)
        else:
            plan = self._plan(batch, self._masked(size), seed=seed, partner=partner)
            plan = plan._replace(mask=self._expanded(plan.mask, len(size)))
            if partner is SECOND:
                plan = plan._replace(partner=None)
            elif partner is None:
                plan = plans.in_groups(plan, self._parts(batch, seed))
            mixed["images"] = plans.mix_images(
                images, plan, self.data_format, dtype=dtype
            )
        settings = self._settings_of_parts(mix=seed is not None)
        return mix_parts(mixed, plan, layout=layout, settings=settings)

    def _settings_of_parts(self, *, mix: bool = True) -> Settings:
        """Returns what becomes of the parts; labels not mixed are not smoothed."""
        return Settings(
            targets=self.targets,
            num_classes=self.num_classes,
            label_smoothing=self.label_smoothing if mix else 0.0,
            target_threshold=self.target_threshold,
            segmentation=self.segmentation,
            bounding_box_format=self.bounding_box_format,
            min_box_share=self.min_box_share,
            batch_keys=self.batch_keys,
            dtype=self.compute_dtype,
            uniform_mask=self.uniform_mask,
        )

    def _check_parts(
        self, inputs: Mapping[str, Any], layout: plans.Layout
    ) -> dict[str, Any]:
        """Returns what belongs to the images, checked, as tensors."""
        return check_parts(
            type(self).__name__,
            inputs,
            layout=layout,
            settings=self._settings_of_parts(),
        )

    def _measure(self, images: Tensor) -> tuple[Any, tuple[Any, ...]]:
        """Returns the batch and the spatial lengths of images that pass the checks."""
        owner = type(self).__name__
        ops = _backend.of(images)
        _checks.check_not_ragged(owner, "images", ops.is_ragged(images), images)
        _checks.check_rank(owner, images.shape, rows=self.uniform_mask)
        batch, *rest = ops.shape(images)
        last = self.data_format == "channels_last"
        size = tuple(rest[:-1] if last else rest[1:])
        if last and self.mask_axes is None and _is_like_grey(images.shape):
            self._say("rank", _warn_of_signals, owner, images.shape)
        return batch, size

    def _takes_rank(self, rank: int) -> bool:
        """Returns whether images may have this rank."""
        return _checks.is_image_rank(rank) or (rank == 2 and self.uniform_mask)

    # What Keras asks of a layer.

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Returns the shape of mixed images, that of the images."""
        return input_shape

    def compute_output_spec(
        self,
        images: Any,
        labels: Any = None,
        sample_weight: Any = None,
        training: Any = None,
        *,
        partner: Any = None,
    ) -> Any:
        """Returns what a symbolic call gives; see `call` for the arguments."""
        given = self._take_apart(images, labels, sample_weight)
        if partner is not None or not given.alone:
            arguments = images, labels, sample_weight, training
            return keras.Operation.compute_output_spec(
                self, *arguments, partner=partner
            )
        _checks.check_rank(type(self).__name__, images.shape, rows=self.uniform_mask)
        _handoff.REGISTRY.note_call(self, False)
        return keras.KerasTensor(images.shape, dtype=self.compute_dtype)

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> Any:
        """Returns Keras's mask of mixed sequences: own or partner's, where mixed.

        Args:
            inputs: Images alone.
            previous_mask: Shape `(batch, length)`, or None.
        """
        # None for a symbolic mask: Keras would give it to the next layer of a model
        # in the place of the one that belongs to what is mixed there.
        symbolic = isinstance(previous_mask, keras.KerasTensor)
        if symbolic or not hasattr(previous_mask, "shape"):  # Or of a call with labels.
            return None
        ops = _backend.of(previous_mask)
        plan = self.replay(ops.shape(previous_mask)[0])
        return previous_mask | plans.take_partner(previous_mask, plan.partner)

    @property
    def metrics(self) -> list[Any]:
        """No metrics. Keras's trainer asks for them when a step has its loss."""
        unread = _handoff.REGISTRY.is_unread(self)
        if unread and _is_called_by("compute_metrics", keras.Model):
            _handoff.REGISTRY.note_read(self)
            self._say("loss", _warn_unread, type(self).__name__, self.name)
        return []

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


def _is_called_by(method: str, kind: type) -> bool:
    """Returns whether a method of an object of some class is running.

    Keras tells a layer neither that `TimeDistributed` calls it once a frame, nor that a
    trainer has computed its loss.
    """
    frame: types.FrameType | None = sys._getframe(1)
    while frame is not None:
        named = frame.f_code.co_name == method
        if named and isinstance(frame.f_locals.get("self"), kind):
            return True
        frame = frame.f_back
    return False


def _is_like_grey(shape: Any) -> bool:
    """Returns whether signals may be grey images without an axis of channels."""
    if len(shape) != 3:
        return False
    return isinstance(shape[2], int) and shape[1] == shape[2] >= 16


def _warn_of_signals(owner: str, shape: Any) -> None:
    """Warns of images that are read as signals."""
    _errors.warn(
        owner,
        "inputs (batch, length, channels) are signals, mixed along one axis.",
        f"shape {_errors.show(shape)}, which looks like grey images",
        "Give grey images an axis of channels, `images[..., None]`; for signals of as "
        "many channels, `mask_axes=(1,)` turns this warning off.",
    )


def _warn_images_alone(owner: str) -> None:
    """Warns of images that a pipeline mixes without their labels."""
    _errors.warn(
        owner,
        "a pipeline must mix labels together with the images.",
        "images alone, with training=True, in a `tf.data` pipeline",
        "Map the layer over images and labels: `dataset.map(layer)`. Where there are "
        "no labels, filter this warning, of category `keras_msda.MixWarning`.",
    )


def _warn_unread(owner: str, name: str) -> None:
    """Warns of a model that is trained without the loss of its layer."""
    _errors.warn(
        owner,
        "a model with a mixing layer inside must be trained with that layer's loss.",
        f"a loss that has not asked what the layer {name!r} mixed",
        "Compile with `loss=layer.loss(...)`. If the labels are not to be mixed, "
        "filter this warning, of category `keras_msda.MixWarning`.",
    )


def _fail_time_distributed(owner: str) -> NoReturn:
    """Raises the error for one call a frame, of which a loss would know the last."""
    _errors.fail(
        owner,
        "`TimeDistributed` mixes each frame by a plan of its own, and a loss knows the "
        "last one alone.",
        "a call in training inside `keras.layers.TimeDistributed`",
        "Call the layer on whole videos (batch, frames, height, width, channels) "
        "before it, with `mask_axes=(2, 3)` for one mask for all frames.",
    )


def _check_same_rank(owner: str, shape: Any, spatial: Any) -> None:
    """Checks that a layer inside a model keeps the rank that it was built for."""
    if spatial is not None and len(shape) != len(spatial) + 2:
        _errors.fail(
            owner,
            f"the layer was built for images of rank {len(spatial) + 2}.",
            f"shape {_errors.show(shape)}",
            "Use another layer for images with another number of axes.",
        )


def _check_partner_settings(owner: str, per: str, groups: Any) -> None:
    """Checks the settings of a layer that is given partners."""
    if per == "pair" or groups not in (None, 1):
        _errors.fail(
            owner,
            '`partner` cannot be combined with `per="pair"` or `groups`, which are '
            "about drawn partners.",
            f"per={per!r}, groups={groups!r}",
            'Use `per="sample"` or `per="batch"`, and leave `groups` out.',
        )


def _check_indices(owner: str, partner: Any, batch: Any) -> Any:
    """Returns given partners, integers of one for each sample."""
    length = partner.shape[0] if len(partner.shape) == 1 else -1
    whole = keras.backend.is_int_dtype(partner.dtype)
    if not whole or _errors.differ(length, batch):
        _errors.fail(
            owner,
            "`partner` must be integers of shape (batch,), or a second batch.",
            f"shape {_errors.show(partner.shape)} and dtype "
            f"{keras.backend.standardize_dtype(partner.dtype)} for a batch of {batch}",
            "Give the index of a partner for each sample, its own for none.",
        )
    return partner


def _check_second(owner: str, keys: Sequence[str], second: Sequence[str]) -> None:
    """Checks that a second batch has the parts of the first."""
    if set(keys) != set(second):
        _errors.fail(
            owner,
            "a second batch must hold what the first one holds.",
            f"{sorted(second)} beside {sorted(keys)}",
            "Give `partner` in the form of the first batch, for example "
            "`layer(x, y, partner=(other_x, other_y))`.",
        )


def _check_alike(owner: str, own: Any, other: Any) -> None:
    """Checks that tensors of two batches have the same shape, as far as is known."""
    if len(own.shape) != len(other.shape) or any(
        map(_errors.differ, own.shape, other.shape)
    ):
        _errors.fail(
            owner,
            "a second batch must have the shapes of the first.",
            f"shapes {_errors.show(own.shape)} and {_errors.show(other.shape)}",
            "Batch both with `drop_remainder=True`, and pad what differs in length.",
        )


def _check_integers(owner: str, values: Sequence[Any]) -> None:
    """Checks that a library without 64-bit integers would not cut any."""
    for value in values:
        if not (isinstance(value, np.ndarray) and value.dtype.kind in "iu"):
            continue
        if value.dtype.itemsize == 8 and value.size:
            largest = max(int(value.max()), -int(value.min()) - 1)
            if largest >= 2**31:
                _errors.fail(
                    owner,
                    "JAX has integers of 32 bits unless it is told otherwise.",
                    f"the number {largest}",
                    "Set `jax.config.update('jax_enable_x64', True)`, or renumber.",
                )
