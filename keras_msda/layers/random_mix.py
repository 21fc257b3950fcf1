"""A random choice among mixing methods."""

import itertools
import math
from typing import Any, Self, Unpack, final

import keras

from keras_msda import _backend, _checks, _errors, sampling
from keras_msda.layers import settings
from keras_msda.layers.base import MixLayer
from keras_msda.masks import _factored

Tensor = Any


@final
@keras.saving.register_keras_serializable(package="keras_msda")
class RandomMixLayer(MixLayer):
    """Chooses one of several mixing methods at random, by weight.

    The given layers provide the distribution of lambda and the mask. Shared arguments
    are those of this layer, also `per`: "batch" draws one method, one lambda and one
    mask for the whole batch ("stochastic Mixup & CutMix"), "sample" draws all three
    for each sample.

    Args:
        layers: Mixing layers, one at least, with shared arguments left at their
            defaults or equal to this layer's.
        weights: Probabilities of the layers, up to a common factor; None for equal
            ones.
        per: What shares one draw of method, lambda and mask: "batch", "pair" or
            "sample".
        **kwargs: Shared arguments, see `MixLayer`, except for `alpha`.

    Raises:
        ValueError: If a layer has a shared argument of its own.

    Example:
        >>> import numpy as np, keras_msda as msda
        >>> methods = [msda.MixUpLayer(alpha=0.8), msda.CutMixLayer()]
        >>> layer = msda.RandomMixLayer(methods, num_classes=3, seed=1)
        >>> images, labels = layer(np.zeros((4, 8, 8, 3)), np.array([0, 1, 2, 0]))
        >>> print(images.shape, labels.shape)
        (4, 8, 8, 3) (4, 3)

    References:
        Park, Yun and Chun, A Unified Analysis of Mixed Sample Data Augmentation: A Loss
        Function Perspective, 2022, for "stochastic Mixup & CutMix".
    """

    # Of its layers, once they are known.
    symmetric = True
    _default_per = "batch"

    def __init__(
        self,
        layers: list[MixLayer],
        weights: list[float] | None = None,
        per: str = "batch",
        **kwargs: Unpack[settings.ChoiceArguments],
    ) -> None:
        owner = type(self).__name__
        _check_members(owner, layers, weights, MixLayer)
        _checks.check_no_alpha(owner, dict(kwargs))
        super().__init__(per=per, **kwargs)
        self.symmetric = all(layer.symmetric for layer in layers)
        if self.targets == "own" and not self.symmetric:
            _checks.fail_own(owner)
        defaults = settings.check_shared(owner, settings.DEFAULTS)
        shared = {name: (getattr(self, name), defaults[name]) for name in defaults}
        for layer in layers:
            shared["per"] = (self.per, layer._default_per)
            _check_member(owner, layer, shared)
        self.uniform_mask = all(layer.uniform_mask for layer in layers)
        self.layers = list(layers)
        self.weights_of_layers = list(weights) if weights else [1.0] * len(layers)
        self._add_table(self.targets == "own")

    def _add_table(self, own: bool) -> None:
        """Has its layers add theirs: lambda is drawn by them."""
        for layer in getattr(self, "layers", ()):
            layer._add_table(own)

    @property
    def _weighs_by_mask(self) -> bool:
        """Whether a layer's weights are means of masks, which a loss makes again."""
        return any(layer._weighs_by_mask for layer in self.layers)

    def _settings(self) -> list[Any]:
        """Returns what draws depend on, those of its layers too."""
        members = [setting for x in self.layers for setting in x._settings()]
        return super()._settings() + members

    def _sample_lam(self, num_draws: Any, *, own: bool, seed: Any) -> list[Any]:
        """Draws lambda for each of the layers."""
        seeds = _backend.get_ops(num_draws, seed).split_seed(seed, len(self.layers))
        return [
            layer._sample_lam(num_draws, own=own, seed=member_seed)
            for layer, member_seed in zip(self.layers, seeds, strict=True)
        ]

    def sample_params(
        self, lam: Any, size: Any, *, seed: Any
    ) -> tuple[Tensor, list[Any]]:
        """Draws the choice, and what each layer makes its masks from."""
        # A given lambda is one for all of them.
        lams = lam if isinstance(lam, list) else [lam] * len(self.layers)
        num_draws = _count_draws(lams)
        ops = _backend.get_ops(num_draws, seed)
        choice_seed, *seeds = ops.split_seed(seed, len(self.layers) + 1)
        total = sum(self.weights_of_layers)
        uniform = sampling.sample_uniform([num_draws], seed=choice_seed)
        choice = ops.zeros([num_draws], "int32")
        for bound in itertools.accumulate(self.weights_of_layers[:-1]):
            choice = choice + ops.cast(uniform >= bound / total, "int32")
        return choice, [
            layer.sample_params(member_lam, size, seed=member_seed)
            for layer, member_lam, member_seed in zip(
                self.layers, lams, seeds, strict=True
            )
        ]

    def mask_weight(self, params: tuple[Tensor, list[Any]], size: Any) -> Tensor:
        """Returns the weights of the layers that are chosen."""
        choice, each = params
        members = zip(self.layers, each, strict=True)
        return self._chosen(
            choice, [layer._weight(p, size, None) for layer, p in members]
        )

    def mask(self, params: tuple[Tensor, list[Any]], size: Any) -> _factored.Mask:
        """Returns the masks of the layers that are chosen."""
        return self._compiled_mask(params, size, self.jit_compile)

    def _compiled_mask(
        self, params: tuple[Tensor, list[Any]], size: Any, jit_compile: bool | str
    ) -> _factored.Mask:
        choice, each = params
        ops = _backend.get_ops(choice)

        def draw(layer: MixLayer, own: Any) -> Any:
            return lambda: _factored.to_dense(
                layer._factored_mask(own, size, jit_compile=jit_compile), size
            )

        members = [draw(layer, s) for layer, s in zip(self.layers, each, strict=True)]
        if tuple(choice.shape) == (1,):  # One mask: the others need not be made.
            values = ops.switch(choice[0], members)
        else:
            values = self._chosen(choice, [member() for member in members])
        zeros = ops.zeros(ops.shape(choice), "float32")
        return _factored.Mask(zeros, zeros + 1.0, (values,))

    def _chosen(self, choice: Tensor, values: list[Tensor]) -> Tensor:
        """Returns the value of each draw's own method."""
        ops = _backend.get_ops(choice)
        chosen = values[0]
        for number, value in enumerate(values[1:], start=1):
            own = _factored.append_axes(choice == number, len(value.shape) - 1)
            chosen = ops.where(own, value, chosen)
        return chosen

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        config = super().get_config()
        config.pop("alpha")
        return config | {
            "layers": [keras.saving.serialize_keras_object(x) for x in self.layers],
            "weights": self.weights_of_layers,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """Makes the layer and its members again; draws start from the seed."""
        members = [keras.saving.deserialize_keras_object(x) for x in config["layers"]]
        return super().from_config(config | {"layers": members})


def _count_draws(lams: Any) -> Any:
    """Returns how many draws lambdas are for, those of a layer in a layer too."""
    while isinstance(lams, list):
        lams = lams[0]
    return _backend.get_ops(lams).shape(lams)[0]


def _check_member(owner: str, member: Any, settings: dict[str, Any]) -> None:
    """Checks that a member of a random choice leaves the shared arguments alone.

    Args:
        owner: Name of the choosing layer.
        member: One of its layers.
        settings: Shared arguments of the choosing layer and its members' defaults,
            name -> (own value, default).
    """
    if member.uses_saliency or member.moves_partner:
        _errors.fail(
            owner,
            "it chooses among methods that need neither saliency nor moved partners.",
            f"a {type(member).__name__}",
            "Choose between two pipelines by `tf.data.Dataset.sample_from_datasets`.",
        )
    for name, (value, default) in settings.items():
        given = getattr(member, name)
        if given not in (value, default):
            _errors.fail(
                owner,
                f"`{name}` is its own argument; its layers give lambda and the mask.",
                f"{type(member).__name__}({name}={given!r}) with {name}={value!r}",
                f"Give `{name}` to {owner} instead.",
            )


def _check_members(owner: str, layers: Any, weights: Any, kind: type) -> None:
    """Checks the layers of a random choice and their weights."""
    valid = isinstance(layers, (tuple, list)) and len(layers) > 0
    if not valid or not all(isinstance(layer, kind) for layer in layers):
        _errors.fail(
            owner,
            "`layers` must be a list of mixing layers, one at least.",
            f"layers={layers!r}",
            "Use for example `[MixUpLayer(alpha=0.8), CutMixLayer()]`.",
            TypeError,
        )
    if weights is None:
        return
    valid = (
        isinstance(weights, (tuple, list))
        and len(weights) == len(layers)
        and all(_checks.is_number(w) and math.isfinite(w) and w >= 0 for w in weights)
        and sum(weights) > 0
    )
    if not valid:
        _errors.fail(
            owner,
            "`weights` must hold one number for each layer, none negative and not all "
            "zero.",
            f"{len(layers)} layers with weights={weights!r}",
            "Leave `weights` out for equal probabilities.",
        )
