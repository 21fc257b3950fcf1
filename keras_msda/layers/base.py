"""The one `call` of all mixing layers, and what matches it: loss and metric."""

from collections.abc import Mapping
from typing import Any, ClassVar

import keras

from keras_msda import _backend, _checks, _handoff, plans
from keras_msda.layers import _inputs, _misuse, _mixing, memory
from keras_msda.layers._drawing import DrawingLayer
from keras_msda.layers._planning import SECOND
from keras_msda.losses import MixedLoss
from keras_msda.metrics import MixedAccuracy

Tensor = Any


class MixLayer(DrawingLayer):
    """Base of the mixing layers: what they do with a batch.

    A method of your own is a class that derives from this one and has two hooks, which
    return tensors and keep nothing on the layer; see docs/extending.md:

    - `sample_params(lam, size, *, seed)` draws what masks are made from, for lambda
      `(num_draws,)`. All randomness is here, and is a function of `seed`, by
      `keras_msda.sampling`. Returns tensors, or a nest of them, with `num_draws` first;
      also a seed pair, for noise that `mask` makes again.
    - `mask(params, size)` returns the share of the first image at each pixel, in
      [0, 1]: a `keras_msda.masks.Mask`, or a dense tensor `(num_draws, *size)`.
    - `mask_weight(params, size)` is optional: the weight of the own label, float32
      `(num_draws,)`. It is the mean of the mask, also of a class that derives from a
      method and overrides `mask` alone.

    `size` has the lengths of the axes that the mask depends on, one to three. Class
    attributes say what is known of the masks; leave out what does not hold:

    - `symmetric = True`: 1 - M(lam) has the distribution of M(1 - lam), which
      `targets="own"` needs.
    - `uniform_mask = True`: a mask is the same at every pixel. The layer then also
      takes rows `(batch, features)`, and labels of each pixel.
    - `has_lam = False`: there is no lambda; hooks get NaN, and `alpha` is refused.
    - `uses_saliency = True`: masks depend on the images; the hook `place` says how.
    - `moves_partner = True`: the partner's pixels are moved; the hook `move` says how.

    `keras_msda.testing.check_layer` checks all this.

    Args:
        alpha: lambda, the share of the first image, is Beta(alpha, alpha) or, for a
            pair, Beta(a, b). Positive. 1.0 is uniform.
        probability: Probability, in [0, 1], that a sample (or pair, or batch) is mixed.
        per: What shares one draw of lambda and mask: "sample", "pair" or "batch".
        pairing: How partners are chosen: "shuffle" (a uniform permutation; with
            `per="pair"` a uniform perfect matching), "derangement" (a uniform cycle, so
            nobody is alone), "reverse" (i and B - 1 - i), "roll" (i and i - 1) or
            "label_similarity" (drawn by similar labels, as in C-Mixup).
        bandwidth: For "label_similarity": the probability of a partner is proportional
            to exp(-d^2 / (2 bandwidth^2)), d being the distance of the labels.
        groups: Partners stay inside this many contiguous parts of the batch; None:
            as many as `keras.distribution` has devices for it in a model, else 1.
        num_classes: Number of classes; makes soft labels of integer ones. For several
            outputs a dictionary or tuple, without or with None for those that have
            none.
        label_smoothing: Smoothing, in [0, 1], of labels that `num_classes` encodes, for
            mixed and unmixed samples alike.
        targets: Labels that come out: "soft", mixed; "pair", packed for `MixedLoss`;
            "own", the own label alone, with lambda drawn such that its expected loss is
            the same (MixUp, GMix, FMix, GridMix); "union", 1 for every class with more
            than `target_threshold` of the mixed label and 0 for others, for binary
            cross-entropy.
        target_threshold: Share of the label, in [0, 1], above which a class is in the
            union.
        segmentation: How segmentation masks are mixed: "auto", "select", "blend" or a
            number of classes, see `mix_segmentation_masks`.
        bounding_box_format: Format of "bounding_boxes", see `mix_bounding_boxes`.
        min_box_share: Least share, in [0, 1], of a box or keypoint that is kept.
        batch_keys: Other keys of a dictionary, mixed with the same plan: tensors of
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

    Example:
        >>> import keras_msda as msda
        >>> from keras import ops
        >>> class HalfLayer(msda.MixLayer):  # The own image is the left half.
        ...     has_lam = False
        ...     def sample_params(self, lam, size, *, seed):
        ...         return ops.ones_like(lam)
        ...     def mask(self, params, size):
        ...         left = ops.cast(2 * ops.arange(size[-1]) < size[-1], "float32")
        ...         return ops.broadcast_to(left, (ops.shape(params)[0], *size))
        >>> mask, weight = HalfLayer().sample_masks(2, (3, 4), seed=(1, 2))
        >>> print(mask.shape, [float(x) for x in weight])
        (2, 3, 4) [0.5, 0.5]
    """

    #: AutoGraph skips whatever has this attribute. It would cost 0.3 s of the first
    #: call and change nothing here.
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

        If TensorFlow traces this while Keras has another backend, it is a pipeline, in
        which Keras's own `__call__` fails. From a dictionary Keras gets only what is
        mixed, because it would convert the rest.
        """
        given = _inputs.take_apart(self, images, labels, sample_weight)
        options = {} if training is None else {"training": training}
        if _backend.in_foreign_pipeline(given.parts):
            return self.call(images, labels, sample_weight, partner=partner, **options)
        if partner is not None:
            options["partner"] = _inputs.take_partner_apart(self, partner, given)
        if given.alone:
            return super().__call__(images, **options)
        ready = _inputs.prepare_for_keras(type(self).__name__, given.parts)
        return given.restore(super().__call__(ready, **options))

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
            partner: Partners of your own instead of drawn ones: integers `(batch,)`,
                the index of each sample's partner, its own for none; or a second batch
                of the same form and shapes, whose sample i is the partner of sample i.
                Labels must come with the images: a loss of the layer inside a model
                cannot know given partners, and is NaN.

        Returns:
            Images in the compute dtype; with labels the same nest as the input.

        Raises:
            ValueError: If shapes, dtypes or arguments do not fit together.
        """
        given = _inputs.take_apart(self, images, labels, sample_weight)
        flag = _backend.to_bool(training)
        if given.alone and partner is None:
            return self._call_images(images, False if flag is None else flag)
        if partner is not None:
            partner = _inputs.take_partner_apart(self, partner, given)
        if flag is None:
            flag = not given.alone
        mixed = self._call_batch(given.parts, flag, partner=partner)
        if given.alone:  # What the loss remembers must not be an earlier call.
            self._memory.forget(images)
        return given.restore(mixed)

    @_backend.skip_autograph
    def mix(self, inputs: Any, *, seed: Any, partner: Any = None) -> Any:
        """Mixes a batch by the draws of a seed, without advancing the layer's sequence.

        Args:
            inputs: Images; or a tuple or dictionary as in `call`.
            seed: Pair of integers, or a tensor of two; all draws are a function of it.
            partner: As in `call`.

        Returns:
            What `call` returns in training.

        Raises:
            ValueError: If shapes, dtypes or arguments do not fit together.

        Example:
            >>> import numpy as np, keras_msda as msda
            >>> layer = msda.MixUpLayer(pairing="roll")
            >>> batch = np.zeros((2, 4, 4, 1)), np.eye(2)
            >>> (_, labels), (_, again) = (layer.mix(batch, seed=(1, 2)) for _ in "ab")
            >>> print(bool(np.all(labels == again)))
            True
        """
        seed = _checks.check_seed_pair(type(self).__name__, seed)
        given = _inputs.take_apart(self, inputs)
        if partner is not None:
            partner = _inputs.take_partner_apart(self, partner, given)
        mixed = self._call_batch(given.parts, True, seed=seed, partner=partner)
        return given.restore(mixed)

    def _call_images(self, images: Tensor, training: Any) -> Tensor:
        """Mixes images alone, if `training`, and remembers the call for the loss."""
        batch, size = self._measure(images)
        masked = self._masked(size)
        _inputs.check_same_rank(type(self).__name__, images.shape, self.spatial)
        ops = _backend.get_ops(images)
        if training is False:
            seed, state = ops.zeros([2], "int32"), memory.UNMIXED
        else:
            _misuse.check_alone(self, images)
            seed, state = self._next_seed(images), memory.MIXED
        if not isinstance(training, bool):
            state = ops.where(training, state, memory.UNMIXED)
        if not _backend.in_foreign_pipeline(seed):
            self._memory.remember(state, seed, batch, masked)
        if not ops.in_torch_compile():
            _handoff.REGISTRY.note_call(self, training is not False)
        if training is False:
            return ops.cast(images, self.compute_dtype)
        return self._call_batch({"images": images}, training, seed=seed)["images"]

    def _call_batch(
        self,
        given: Mapping[str, Any],
        mix: Any,
        *,
        seed: Any = None,
        partner: Any = None,
    ) -> dict[str, Any]:
        """Mixes what belongs to images, all by one plan, that of the next seed.

        Args:
            given: By key, as `parts.structures` takes a batch apart.
            mix: Whether to mix, perhaps traced.
            seed: Seed pair instead of the next.
            partner: Indices, or the parts of a second batch, instead of drawn partners.
        """
        ops = _backend.get_ops(given["images"])
        images = ops.convert(given["images"])
        layout = plans.Layout(
            images.shape[0], self._measure(images)[1], self.data_format
        )
        may_mix = mix is not False
        checked = _mixing.check_batch(self, given, layout, mix=may_mix)
        joined = checked
        if isinstance(partner, Mapping):
            others = _mixing.check_batch(self, partner, layout, mix=may_mix)
            joined = _inputs.join(type(self).__name__, checked, others)
            partner = SECOND
        elif partner is not None:
            partner = _inputs.check_indices(
                type(self).__name__, ops.convert(partner), layout.batch
            )
        if may_mix and seed is None:
            seed = self._next_seed(images)
        elif may_mix and _backend.in_foreign_pipeline(images):
            seed = ops.convert(seed, "int64")

        if not may_mix:
            return _mixing.mix_batch(self, checked, layout, seed=None)
        return _mixing.mix_batch(
            self, joined, layout, seed=seed, partner=partner, mix=mix
        )

    def _measure(self, images: Tensor) -> tuple[Any, tuple[Any, ...]]:
        """Returns the batch and the spatial lengths of images that pass the checks."""
        owner = type(self).__name__
        ops = _backend.get_ops(images)
        _checks.check_not_ragged(owner, "images", ops.is_ragged(images), images)
        _inputs.check_real(owner, images.dtype)
        _checks.check_rank(owner, images.shape, rows=self.uniform_mask)
        batch, *rest = ops.shape(images)
        last = self.data_format == "channels_last"
        size = tuple(rest[:-1] if last else rest[1:])
        if last and self.mask_axes is None and _misuse.is_like_grey(images.shape):
            self._say("rank", _misuse.warn_of_signals, owner, images.shape)
        return batch, size

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
        given = _inputs.take_apart(self, images, labels, sample_weight)
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
        ops = _backend.get_ops(previous_mask)
        plan = self.replay(ops.shape(previous_mask)[0])
        return previous_mask | plans.take_partner(previous_mask, plan.partner)

    @property
    def metrics(self) -> list[Any]:
        """No metrics. Keras's trainer asks for them when a step has its loss."""
        if _handoff.REGISTRY.is_unread(self) and _misuse.is_called_by(
            "compute_metrics", keras.Model
        ):
            _handoff.REGISTRY.note_read(self)
            self._say("loss", _misuse.warn_unheard, type(self).__name__, self.name)
        return []

    # Loss and metric.

    def loss(self, loss: Any, **kwargs: Any) -> MixedLoss:
        """Returns a loss that uses what this layer drew in the same step.

        Args:
            loss: A Keras loss, its name, or a function of (labels, outputs).
            **kwargs: Arguments of `MixedLoss`.

        Returns:
            The loss, for `model.compile` or for a training loop of your own.

        Raises:
            ValueError: If plans depend on more than a seed, so that no loss knows them.

        Example:
            >>> import keras_msda as msda
            >>> print(msda.HMixLayer().loss("sparse_categorical_crossentropy").name)
            sparse_categorical_crossentropy
        """
        _misuse.check_replayable(self)
        return MixedLoss(loss, self, **kwargs)

    def accuracy(self, **kwargs: Any) -> MixedAccuracy:
        """Returns an accuracy that uses what this layer drew in the same step.

        Args:
            **kwargs: Arguments of `MixedAccuracy`.

        Returns:
            The metric, for `model.compile`.

        Raises:
            ValueError: As `loss` does.

        Example:
            >>> import keras_msda as msda
            >>> print(msda.HMixLayer().accuracy().name)
            accuracy
        """
        _misuse.check_replayable(self)
        return MixedAccuracy(self, **kwargs)
