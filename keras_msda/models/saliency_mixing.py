"""Training on mixes that are placed by the gradient of the loss.

The gradient costs a second pass in each step: a forward and a backward one.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple, Self

import keras

from keras_msda import _backend, _checks
from keras_msda.layers import _adversarial, _inputs
from keras_msda.layers.base import MixLayer
from keras_msda.models import _saliency_checks, _saliency_pass

Tensor = Any


class _Targets(NamedTuple):
    """Labels of a step, in the place of those of Keras.

    Attributes:
        labels: Mixed labels.
        clean: The first pass times `clean_weight`, or None without one.
    """

    labels: Any
    clean: _saliency_pass.Pass | None


@keras.saving.register_keras_serializable(package="keras_msda")
class SaliencyMixing(keras.Model):
    """A model that is trained on mixes placed by the gradient of its own loss.

    Each training step has two passes. The first one takes the unmixed batch and finds
    the saliency of each pixel: the root of the mean over channels of (dL/dx)^2, where
    L is the compiled loss. `mixer` then mixes the batch by it, and the usual step of
    Keras follows, on mixed images and labels. The first pass changes no variable: batch
    statistics and the state of dropout stay as they were.

    `evaluate` and `predict` are those of the backbone. `evaluate` takes labels as `fit`
    does, and encodes them as the mixer does without mixing. Weights are those of the
    backbone: `get_weights` and `set_weights` of the two interchange, and `load_weights`
    also reads a file of the backbone.

    Args:
        backbone: The model to train, without mixing layers inside.
        mixer: A mixing layer that places its masks by saliency, such as
            `PuzzleMixLayer`. It needs `num_classes` for class ids.
        clean_weight: Weight of the loss of the unmixed batch, which is added to that of
            the mixed one. Its gradient comes from the first pass, at no further cost.
            With 0 the first pass is in inference mode, as published; otherwise it is in
            training mode.
        adversarial_probability: Probability that a sample has adversarial noise: a
            uniform start and one step along the sign of the gradient, times a uniform
            factor in [0, 1].
        adversarial_size: Largest change of a value by that noise, in the units of the
            images: 10 / 255 was published for images from 0 to 1.
        value_range: Least and largest value of images, which images with noise are
            clipped to; None for no bounds.
        **kwargs: `name`, and `dtype`, by default that of the backbone.

    Raises:
        TypeError: If `backbone` is no model or `mixer` no mixing layer.
        ValueError: If `mixer` uses no saliency, `backbone` mixes by itself or takes
            integer images, or a number is out of range. When trained without labels or
            without a loss, with a loss of class ids for soft labels, or (except for
            JAX, where saliency is then uniform) with a loss that has no gradient by the
            images.

    Example:
        >>> import keras, numpy as np, keras_msda as msda
        >>> backbone = keras.Sequential(
        ...     [keras.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Dense(2)]
        ... )
        >>> model = msda.SaliencyMixing(backbone, msda.SaliencyMixLayer(num_classes=2))
        >>> loss = keras.losses.CategoricalCrossentropy(from_logits=True)
        >>> model.compile("sgd", loss)
        >>> images, ids = np.zeros((4, 8, 8, 1), "float32"), np.array([0, 1, 0, 1])
        >>> print(list(model.fit(images, ids, verbose=0).history))
        ['loss']

    References:
        Kim, Choo, Song, Puzzle Mix, 2020, section 4, and its released `main.py` for the
        noise. There a batch draws whether own images and whether partners have noise;
        here each sample does.
    """

    def __init__(  # noqa: PLR0913
        self,
        backbone: keras.Model,
        mixer: MixLayer,
        *,
        clean_weight: float = 0.0,
        adversarial_probability: float = 0.0,
        adversarial_size: float | None = None,
        value_range: tuple[float, float] | None = None,
        **kwargs: Any,
    ) -> None:
        owner = type(self).__name__
        _saliency_checks.check_backbone(owner, backbone)
        _saliency_checks.check_mixer(owner, mixer)
        kwargs.setdefault("dtype", backbone.dtype_policy)
        super().__init__(**kwargs)
        self.backbone = backbone
        self.mixer = mixer
        self.clean_weight = _saliency_checks.check_clean_weight(owner, clean_weight)
        self._noise = _adversarial.check_noise(
            owner, adversarial_probability, adversarial_size, value_range
        )
        if backbone.built:  # Then its weights can be saved before any call.
            self.build(getattr(backbone, "input_shape", ()))

    # What Keras asks of a model.

    def build(self, input_shape: Any) -> None:
        """Builds the backbone, if it is not, and the mixer."""
        if not self.backbone.built:
            self.backbone.build(input_shape)
        if not self.mixer.built:
            self.mixer.build(_find_images(input_shape))

    def call(self, inputs: Any, training: Any = None) -> Any:
        """Returns the outputs of the backbone; it mixes in `train_step` alone.

        Args:
            inputs: As the backbone takes them.
            training: Whether the backbone is in training mode.
        """
        if self.backbone._call_has_training_arg:
            return self.backbone(inputs, training=training)
        return self.backbone(inputs)

    @property
    def output_names(self) -> Any:
        """Names of the outputs, by which Keras finds the loss of each."""
        return self.backbone.output_names

    def train_step(self, *arguments: Any) -> Any:
        """Does a step of training: the first pass, mixing, and the step of Keras.

        Args:
            *arguments: The batch; on JAX after the state.

        Returns:
            What the step of Keras returns.

        Raises:
            ValueError: If there are no labels or no loss.
        """
        *states, data = arguments
        batch = keras.utils.unpack_x_y_sample_weight(data)
        _saliency_checks.check_batch(type(self).__name__, *batch[:2])
        _saliency_checks.check_compiled(
            type(self).__name__, self._compile_loss and self.loss, self.mixer.targets
        )
        if not states:
            self._build_all(batch)
            return super().train_step(self._mix(*batch))
        # JAX passes the values of all variables, and takes back the new ones.
        known = [
            *zip(self.trainable_variables, states[0][0], strict=True),
            *zip(self.non_trainable_variables, states[0][1], strict=True),
            *zip(self.optimizer.variables, states[0][2], strict=True),
            *zip(self.metrics_variables, states[0][3], strict=True),
        ]
        with keras.StatelessScope(state_mapping=known):
            mixed = self._mix(*batch)
            rest = [variable.value for variable in self.non_trainable_variables]
        return super().train_step((states[0][0], rest, *states[0][2:]), mixed)

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Tensor:
        """Returns the loss of a batch; see `keras.Model.compute_loss`."""
        targets = self._read_targets(x, y)
        loss = super().compute_loss(x, targets.labels, y_pred, sample_weight, training)
        if targets.clean is None:
            return loss
        # As if the unmixed batch had been part of this pass.
        ops = _backend.get_backend_ops()
        pairs = [
            (ops.convert(variable.value), gradient)
            for variable, gradient in zip(
                self.trainable_variables, targets.clean.by_weights, strict=True
            )
            if gradient is not None
        ]
        tensors, gradients = [x for x, _ in pairs], [x for _, x in pairs]
        return loss + ops.attach_gradients(targets.clean.loss, tensors, gradients)

    def compute_metrics(
        self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None
    ) -> Any:
        """Returns the metrics of a batch; see `keras.Model.compute_metrics`."""
        labels = self._read_targets(x, y).labels
        return super().compute_metrics(x, labels, y_pred, sample_weight)

    # The two passes.

    def _mix(self, x: Any, y: Any, sample_weight: Any) -> tuple[Any, ...]:
        """Returns a batch mixed by the gradient of its loss."""
        given = _inputs.take_apart(self.mixer, x, y, sample_weight)
        parts = dict(given.parts)
        ops = _backend.get_ops(parts["images"])
        images = ops.cast(ops.convert(parts["images"]), "float32")
        begun = None
        if self._noise.probability > 0.0:
            begun = _adversarial.start(
                images, self._noise, seed=self.mixer._next_seed(images)
            )
        found = self._pass(given, images if begun is None else begun.images)
        if begun is not None:
            parts["images"] = _adversarial.finish(
                images, begun, found.by_images, self._noise
            )
        parts["saliency"] = _saliency_pass.to_saliency(
            found.by_images, self.mixer.data_format
        )
        seed = self.mixer._next_seed(images)
        inputs, labels, *weights = given.restore(self.mixer.mix(parts, seed=seed))
        targets = _Targets(labels, found if self.clean_weight else None)
        return (inputs, targets, *weights)

    def _pass(self, given: Any, images: Tensor) -> _saliency_pass.Pass:
        """Returns loss and gradients of an unmixed batch, both by `clean_weight`."""
        ops = _backend.get_ops(images)
        training = self.clean_weight > 0.0
        unmixed = self.mixer._call_batch(given.parts, False)
        one = ops.ones([], "float32")
        # In half precision the gradient may be too small for its dtype.
        scale = self.optimizer.scale_loss(one)

        def loss(images: Tensor) -> Tensor:
            inputs = given.restore({**given.parts, "images": images})[0]
            outputs = self(inputs, training=training)
            labels, weight = unmixed["labels"], unmixed.get("sample_weight")
            return self._compile_loss(labels, outputs, weight) * scale

        found = _saliency_pass.differentiate(
            type(self).__name__,
            loss,
            images,
            state=[*self.variables, *self.metrics_variables],
            weights=self.trainable_variables if training else (),
        )
        factor = (self.clean_weight if training else 1.0) / scale
        by_weights = [None if x is None else x * factor for x in found.by_weights]
        return _saliency_pass.Pass(
            found.loss * factor, found.by_images / scale, by_weights
        )

    def _read_targets(self, x: Any, y: Any) -> _Targets:
        """Returns labels of a step, or those of evaluation, encoded as in a step."""
        if y is None or isinstance(y, _Targets):
            return y or _Targets(None, None)
        parts = _inputs.take_apart(self.mixer, x, y).parts
        return _Targets(self.mixer._call_batch(parts, False)["labels"], None)

    def _build_all(self, batch: tuple[Any, ...]) -> None:
        """Builds what is not built, since the first pass would drop new variables."""
        layers = self._flatten_layers()
        if self._compile_loss.built and all(layer.built for layer in layers):
            return
        kept = batch if batch[2] is not None else batch[:2]
        with _backend.get_backend_ops().init_scope():
            self._symbolic_build(data_batch=kept)

    # Saving.

    def load_weights(self, filepath: Any, *args: Any, **kwargs: Any) -> None:
        """Loads weights from a file of this model or of the backbone alone.

        Args:
            filepath: As in Keras.
            *args: As in Keras.
            **kwargs: As in Keras.
        """
        try:
            super().load_weights(filepath, *args, **kwargs)
        except ValueError as error:
            try:
                self.backbone.load_weights(filepath, *args, **kwargs)
            except ValueError:
                raise error from None

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        config: dict[str, Any] = super().get_config()
        return config | {
            "backbone": keras.saving.serialize_keras_object(self.backbone),
            "mixer": keras.saving.serialize_keras_object(self.mixer),
            "clean_weight": self.clean_weight,
            "adversarial_probability": self._noise.probability,
            "adversarial_size": self._noise.size,
            "value_range": self._noise.value_range,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Self:
        """Makes the model again, with a new backbone and a new mixer."""
        config = dict(config)
        for key in ("backbone", "mixer"):
            config[key] = keras.saving.deserialize_keras_object(
                config[key], custom_objects
            )
        return cls(**config)


def loss_saliency(  # noqa: PLR0913
    model: keras.Model,
    images: Any,
    *,
    labels: Any,
    loss: Any,
    training: bool = False,
    data_format: str | None = None,
) -> Tensor:
    """Returns the saliency of each pixel, for training loops of your own.

    This is the root of the mean over channels of the squared gradient of the loss by
    the images. No variable changes. Give it to a mixing layer under the key "saliency".
    In stateless code of JAX, call it inside of `keras.StatelessScope` with the values
    of the step.

    Args:
        model: A model that takes one tensor of images.
        images: Shape `(batch, *size, channels)` or channels first; numbers of any kind.
        labels: As the loss takes them.
        loss: A Keras loss, its name, or a function of (labels, outputs) that returns
            one value per sample.
        training: Whether the model is in training mode.
        data_format: "channels_last", "channels_first" or None for Keras's setting.

    Returns:
        float32, shape `(batch, *size)`, not negative; not finite for a sample whose
        gradient is not finite.

    Raises:
        ValueError: If the loss has no gradient by the images (zeros on JAX).

    Example:
        >>> import keras, numpy as np, keras_msda as msda
        >>> model = keras.Sequential([keras.Input((2, 2, 1)), keras.layers.Flatten()])
        >>> images = np.array([[[[3.0], [0.0]], [[0.0], [1.0]]]], "float32")
        >>> map_ = msda.loss_saliency(
        ...     model, images, labels=np.zeros((1, 4)), loss="mse"
        ... )
        >>> print(keras.ops.convert_to_numpy(map_)[0])  # |dL/dx| = |2 x / 4|
        [[1.5 0. ]
         [0.  0.5]]
    """
    owner = "loss_saliency"
    data_format = _checks.check_data_format(owner, data_format)
    ops = _backend.get_backend_ops()
    pixels = ops.cast(ops.convert(images), "float32")
    labels = keras.tree.map_structure(ops.convert, labels)
    chosen = keras.losses.get(loss)
    values = getattr(chosen, "call", chosen)
    if not model.built:
        model.build(pixels.shape)

    def total(images: Tensor) -> Tensor:
        options = {"training": training} if model._call_has_training_arg else {}
        return ops.sum(values(labels, model(images, **options)))

    found = _saliency_pass.differentiate(owner, total, pixels, state=model.variables)
    return _saliency_pass.to_saliency(found.by_images, data_format)


def _find_images(shapes: Any) -> Any:
    """Returns the shape of the images among those of all inputs."""
    if isinstance(shapes, Mapping):
        return shapes.get("images", ())
    several = bool(shapes) and isinstance(shapes[0], (tuple, list))
    return shapes[0] if several else shapes
