"""Manifold Mixup: mixing the features after a layer drawn in each step."""

from collections.abc import Sequence
from typing import Any, Self

import keras

from keras_msda import _backend, _errors
from keras_msda.layers import _features, _gates
from keras_msda.layers.base import MixLayer
from keras_msda.layers.mixup import MixUpLayer
from keras_msda.models import _backbones, _graphs, _sites

Tensor = Any


@keras.saving.register_keras_serializable(package="keras_msda")
class ManifoldMixing(_backbones.BackboneModel):
    """Trains a model on features mixed after a layer, which is drawn in each step.

    A step draws one of the places `layer_names` at random, all with the same
    probability, and one plan. The features of the batch are mixed there by the plan,
    the layers behind see mixed features alone, and the loss of `mixing` uses the
    partners and weights of the same plan. `evaluate` and `predict` never mix: there the
    model is its backbone. With "input" as the only place it is the backbone behind a
    mixing layer.

    The backbone keeps its layers and weights, and is what to save for serving:
    `model.backbone`, or `keras_msda.strip(model)`.

    Args:
        backbone: A functional model, or a sequential one whose input is known.
        layer_names: Layers after which features may be mixed, and "input" (or None) for
            the inputs themselves. The name of a layer in a model inside the backbone
            may follow that of the model: "encoder/block". None: the input, unless it
            holds integers or there are several, and, of the layers that can be chosen
            from the first with weights on, the ones a quarter and half of the way down.
        mixer: Mixing layer that draws the plans; for its own use alone. Its features
            have any rank from `(batch, features)` to `(batch, d, h, w, channels)` for
            `MixUpLayer`; other methods need spatial axes. None for
            `MixUpLayer(alpha=2.0)`.
        name: As in Keras.
        dtype: As in Keras.

    Attributes:
        backbone: The given model.
        mixing: The layer that mixes, with `loss` and `accuracy` as a mixing layer.
        mixer: The mixing layer that draws the plans, for `MixSchedule`.
        layer_names: The places, "input" or paths of layers.

    Raises:
        TypeError: If `backbone` is no model, `mixer` no mixing layer or `layer_names`
            no list.
        ValueError: If the backbone is subclassed, or its input is not known; for a
            layer that does not exist, that is called twice, that has several outputs,
            that other layers lead around, or whose features the mixer cannot mix.

    Example:
        >>> import keras, numpy as np, keras_msda as msda
        >>> backbone = keras.Sequential(
        ...     [
        ...         keras.Input((8, 8, 1)),
        ...         keras.layers.Conv2D(4, 3, name="conv"),
        ...         keras.layers.GlobalAveragePooling2D(),
        ...         keras.layers.Dense(3, activation="softmax"),
        ...     ]
        ... )
        >>> model = msda.ManifoldMixing(backbone, ["input", "conv"])
        >>> loss = model.mixing.loss("sparse_categorical_crossentropy")
        >>> model.compile("sgd", loss, metrics=[model.mixing.accuracy()])
        >>> images, labels = np.zeros((4, 8, 8, 1)), np.array([0, 1, 2, 0])
        >>> print(sorted(model.fit(images, labels, verbose=0).history))
        ['accuracy', 'loss']

    References:
        Verma, Lamb, Beckham, Najafi, Mitliagkas, Lopez-Paz and Bengio, Manifold Mixup:
        Better Representations by Interpolating Hidden States, 2019.
    """

    def __init__(
        self,
        backbone: keras.Model,
        layer_names: Sequence[str | None] | None = None,
        *,
        mixer: MixLayer | None = None,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        owner = type(self).__name__
        super().__init__(backbone, name=name, dtype=dtype)
        mixer = MixUpLayer(alpha=2.0) if mixer is None else mixer
        _check_mixer(owner, mixer)
        sites = _sites.choose_sites(owner, backbone, layer_names, mixer=mixer)
        #: A tuple: Keras would make a list one of its own.
        self.layer_names = tuple(site.path for site in sites)
        self.mixing = _features.FeatureMixing(
            mixer,
            [site.shape for site in sites],
            spatial=_find_spatial(backbone, mixer),
            name=f"{self.name}_mixing",
        )
        gates = {
            site.path: _gates.Gate(
                self.mixing,
                number,
                mixer.compute_dtype if site.path == _sites.INPUT else None,
            )
            for number, site in enumerate(sites)
        }
        # A function, so that Keras does not take the layers for others than those of
        # the backbone, and does not save them twice.
        self._run_with_gates = _graphs.insert_layers(backbone, gates).__call__
        self.finish()

    @property
    def mixer(self) -> MixLayer:
        """The mixing layer that draws the plans."""
        return self.mixing.mixer

    def call(self, inputs: Any, training: Any = None) -> Any:
        """Returns the outputs of the backbone, of mixed features in training.

        Args:
            inputs: As the backbone takes them.
            training: Whether to mix, a truth value or a tensor of one. None: what Keras
                does, which is not to mix unless it trains.
        """
        flag = _backend.to_bool(training)
        first = keras.tree.flatten(inputs)[0]
        if not isinstance(flag, bool) and flag is not None:
            training = flag
        elif not flag:
            self.mixing.skip(first)
            return self.backbone(inputs, training=False)
        with self.mixing.step(first, True if flag is True else flag):
            return self._run_with_gates(inputs, training=training)

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments, and how losses find `mixing`."""
        config: dict[str, Any] = super().get_config()
        return config | {
            "layer_names": list(self.layer_names),
            "mixer": keras.saving.serialize_keras_object(self.mixer),
            "uid": self.mixing.lineage,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Self:
        """Makes the model again; draws start from the seed of the mixer."""
        config = dict(config)
        uid = config.pop("uid", None)
        for key in ("backbone", "mixer", "dtype"):
            config[key] = keras.saving.deserialize_keras_object(
                config[key], custom_objects=custom_objects
            )
        model = cls(**config)
        if uid is not None:
            model.mixing.answer_to(uid)
        return model


def _check_mixer(owner: str, mixer: Any) -> None:
    """Checks for a mixing layer whose plans a loss can draw again."""
    remedy = "Use for example `MixUpLayer(alpha=2.0)`."
    _backbones.check_mixing_layer(owner, mixer, remedy)
    if mixer.uses_saliency or mixer.pairing == "label_similarity":
        _errors.fail(
            owner,
            "`mixer` must draw plans that do not depend on images or labels: features "
            "have no saliency, and a loss sees no images.",
            f"{type(mixer).__name__}(pairing={mixer.pairing!r})",
            "Use for example `MixUpLayer` or `CutMixLayer`.",
        )


def _find_spatial(
    backbone: keras.Model, mixer: MixLayer
) -> tuple[int | None, ...] | None:
    """Returns the spatial lengths of the images that a model takes, or None."""
    shape = tuple(backbone.inputs[0].shape)
    if len(backbone.inputs) > 1 or not _sites.can_mix(shape, mixer):
        return None
    return shape[2:] if mixer.data_format == "channels_first" else shape[1:-1]
