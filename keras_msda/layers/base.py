"""The one `call` of all mixing layers, and what matches it: loss and metric."""

from collections.abc import Mapping
from typing import Any, ClassVar

import keras

from keras_msda import _backend, _checks, boxes, further, plans, segmentation, targets
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

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Mixes a batch; see `call`.

        What TensorFlow traces while Keras computes with another library is a pipeline,
        which Keras's own way of calling cannot serve. And of a dictionary Keras gets
        what is mixed alone: it would convert the rest.
        """
        keyed = bool(args) and isinstance(args[0], Mapping)
        if keyed:
            self._check_keys(args[0])
        if _backend.in_pipeline(args, kwargs):
            return self.call(*args, **kwargs)
        if not keyed:
            self._check_integers(args, kwargs)
            return super().__call__(*args, **kwargs)
        inputs, *rest = args
        known = {*_checks.KEYS, *self.batch_keys}
        named = {key: value for key, value in inputs.items() if key in known}
        self._check_integers(named)
        mixed = super().__call__(named, *rest, **kwargs)
        return {key: mixed.get(key, value) for key, value in inputs.items()}

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
                three spatial axes; or a tuple of the first three arguments; or a
                dictionary that holds "images" and some of "labels", "sample_weight",
                "segmentation_masks", "bounding_boxes", "keypoints" and `batch_keys`,
                whose other keys come back as they are.
            labels: Class ids `(batch,)` or `(batch, 1)`, or floats `(batch, ...)`; a
                dictionary or tuple of them for several outputs.
            sample_weight: Shape `(batch,)` or `(batch, 1)`; for several outputs perhaps
                a dictionary or tuple of them.
            training: True mixes, False never does. None mixes images that come with
                labels and leaves images alone unmixed, as Keras's Dropout does.

        Returns:
            Images in the compute dtype; with labels a tuple or a dictionary like the
            input.

        Raises:
            ValueError: If shapes, dtypes or arguments do not hold together.
        """
        if isinstance(images, Mapping):
            return self._call_batch(images, training is not False)
        if isinstance(images, (tuple, list)) and labels is None:
            _checks.check_parts(type(self).__name__, images)
            images, labels, sample_weight = (*images, None)[:3]
        if labels is None:
            _checks.check_no_weights(type(self).__name__, sample_weight)
            return self._call_images(images, bool(training))
        batch = {"images": images, "labels": labels}
        if sample_weight is not None:
            batch["sample_weight"] = sample_weight
        return tuple(self._call_batch(batch, training is not False).values())

    def mix(self, inputs: Any, *, seed: Any) -> Any:
        """Mixes a batch by the draws of a seed, and leaves the own sequence alone.

        Args:
            inputs: Images; or a tuple or dictionary as in `call`.
            seed: Pair of integers, or a tensor of two; what is drawn is a function of
                it.

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
        if isinstance(inputs, Mapping):
            self._check_keys(inputs)
            return self._call_batch(inputs, True, seed)
        if not isinstance(inputs, (tuple, list)):
            return self._call_batch({"images": inputs}, True, seed)["images"]
        _checks.check_parts(type(self).__name__, inputs)
        names = ("images", "labels", "sample_weight")
        batch = dict(zip(names, inputs, strict=False))
        return tuple(self._call_batch(batch, True, seed).values())

    def _call_images(self, images: Tensor, training: bool) -> Tensor:
        batch, size = self._measure(images)
        _checks.check_same_rank(type(self).__name__, images.shape, self.spatial)
        ops = _backend.of(images)
        seed = self._next_seed(images) if training else ops.zeros([2], "int32")
        self._remember(training, seed, batch, size)
        if not training:
            return ops.cast(images, self.compute_dtype)
        return self._call_batch({"images": images}, True, seed)["images"]

    def _check_integers(self, *inputs: Any) -> None:
        if _backend.of_backend().narrow:
            _checks.check_integers(type(self).__name__, keras.tree.flatten(inputs))

    def _check_keys(self, inputs: Mapping[str, Any]) -> None:
        owner, keys = type(self).__name__, list(inputs)
        _checks.check_keys(owner, keys, self.batch_keys, self.bounding_box_format)

    def _call_batch(
        self, inputs: Mapping[str, Any], mix: bool, seed: Any = None
    ) -> dict[str, Any]:
        """Mixes what belongs to images, all by one plan, that of the next seed."""
        images = _backend.of(inputs["images"]).convert(inputs["images"])
        batch, size = self._measure(images)
        layout = plans.Layout(images.shape[0], size, self.data_format)
        parts = self._check_parts(inputs, layout)
        if mix and seed is None:
            seed = self._next_seed(images)
        elif mix and _backend.in_pipeline(images):
            seed = _backend.of(images).convert(seed, "int64")
        dtype = self.compute_dtype
        with _backend.compiled(self.jit_compile):
            if mix:
                plan = self._plan(batch, size, seed=seed)
                plan = plans.in_groups(plan, self._parts(batch, seed))
                mixed = plans.mix_images(images, plan, self.data_format, dtype=dtype)
            else:
                plan = plans.unmixed(batch, images)
                mixed = _backend.of(images).cast(images, dtype)
            parts["images"] = mixed
            self._mix_parts(parts, plan, layout, self._form(mix))
        return {key: parts.get(key, value) for key, value in inputs.items()}

    def _form(self, mix: bool = True) -> targets.Form:
        """Returns what becomes of labels; those not mixed are not smoothed."""
        smoothing = self.label_smoothing if mix else 0.0
        return targets.Form(
            self.targets, self.num_classes, smoothing, self.target_threshold
        )

    def _check_parts(
        self, inputs: Mapping[str, Any], layout: plans.Layout
    ) -> dict[str, Any]:
        """Returns what belongs to the images, checked, as tensors."""
        owner = type(self).__name__
        parts: dict[str, Any] = {}
        labels, weights = inputs.get("labels"), inputs.get("sample_weight")
        if labels is not None:
            form = self._form()
            parts["labels"] = targets.checked(owner, labels, layout, form)
            if not self._even:
                targets.check_not_dense(owner, parts["labels"], layout)
        if weights is not None:
            parts["sample_weight"] = targets.checked_weights(
                owner, weights, labels, layout
            )
        masks = inputs.get("segmentation_masks")
        if masks is not None:
            parts["segmentation_masks"] = segmentation.checked(
                owner, masks, layout, self.segmentation
            )
        for key, place in (("bounding_boxes", "boxes"), ("keypoints", "points")):
            if key in inputs:
                parts[key] = boxes.checked(owner, inputs[key], place, layout)
        for key in self.batch_keys:
            parts[key] = further.checked(owner, key, inputs[key], layout)
        return parts

    def _mix_parts(
        self,
        parts: dict[str, Any],
        plan: plans.MixPlan,
        layout: plans.Layout,
        form: targets.Form,
    ) -> None:
        """Mixes checked parts, in their place."""
        weights = parts.get("sample_weight")
        share = self.min_box_share
        if "labels" in parts:
            parts["labels"] = targets.mixed(parts["labels"], weights, plan, form)
        if weights is not None:
            parts["sample_weight"] = targets.mixed_weights(weights, plan, form)
        if "segmentation_masks" in parts:
            masks = parts["segmentation_masks"]
            masks = segmentation.mixed(masks, plan, layout, self.segmentation)
            parts["segmentation_masks"] = masks
        if "bounding_boxes" in parts:
            parts["bounding_boxes"] = boxes.mixed_boxes(
                parts["bounding_boxes"],
                plan,
                layout.size,
                str(self.bounding_box_format),
                share,
            )
        if "keypoints" in parts:
            parts["keypoints"] = boxes.mixed_points(
                parts["keypoints"], plan, layout.size, share
            )
        for key in self.batch_keys:
            parts[key] = further.mixed(parts[key], plan, layout, self.compute_dtype)

    def _measure(self, images: Tensor) -> tuple[Any, tuple[Any, ...]]:
        """Returns the batch and the spatial lengths of images that pass the checks."""
        owner = type(self).__name__
        ops = _backend.of(images)
        _checks.check_not_ragged(owner, "images", ops.is_ragged(images), images)
        _checks.check_rank(owner, images.shape)
        batch, *rest = ops.shape(images)
        last = self.data_format == "channels_last"
        return batch, tuple(rest[:-1] if last else rest[1:])

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
