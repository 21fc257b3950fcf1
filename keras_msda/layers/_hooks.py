"""The hooks that make a method: what a class says and draws of its masks."""

import abc
from typing import Any, ClassVar, NoReturn

import keras

from keras_msda import _errors
from keras_msda.layers import settings
from keras_msda.masks import _factored, _moved, _returned

Tensor = Any


class MaskHooks(abc.ABC):
    """What a method has of its own. `MixLayer` describes how hooks work together.

    Attributes:
        symmetric: Whether 1 - M(lam) has the distribution of M(1 - lam).
        uniform_mask: Whether a mask is the same at every pixel.
        has_lam: Whether masks depend on lambda.
        uses_saliency: Whether masks depend on the saliency of the images, by `place`.
        uses_images: Whether `place` also needs the images themselves.
        moves_partner: Whether the partner's pixels are moved, by `move`.
        moves_own: Whether the own image's pixels are moved, too, by `move_own`.
        weight_needs_images: Whether the weight, too, depends on the images.
        jit_compile: Setting of the layer.
    """

    symmetric: bool = False
    uniform_mask: bool = False
    has_lam: ClassVar[bool] = True
    uses_saliency: ClassVar[bool] = False
    uses_images: bool = False
    moves_partner: bool = False
    moves_own: bool = False
    weight_needs_images: bool = False

    jit_compile: bool | str

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Gives a new mask the weight that is its mean, unless it has one of its own.

        The weight of the class that is derived from belongs to another mask.
        """
        super().__init_subclass__(**kwargs)
        if "mask" in vars(cls) and "mask_weight" not in vars(cls):
            cls.mask_weight = MaskHooks.mask_weight  # type: ignore[method-assign]

    @abc.abstractmethod
    def sample_params(self, lam: Any, size: Any, *, seed: Any) -> Any:
        """Draws what masks are made from, for instance the place of a box.

        Args:
            lam: lambda, float32 `(num_draws,)`; NaN where `has_lam` is False, and then
                of use for its length alone.
            size: Lengths of the axes that the mask depends on, one to three.
            seed: Seed pair, for `keras_msda.sampling`; draws must be a function of it.

        Returns:
            Tensors, or a nest of them, with `num_draws` first.

        Raises:
            ValueError: If the size does not suit the method.
        """

    @abc.abstractmethod
    def mask(self, params: Any, size: Any) -> Any:
        """Returns the share of the first image at each pixel, in [0, 1].

        Args:
            params: From `sample_params`.
            size: Lengths of the axes that the mask depends on, one to three.

        Returns:
            A `keras_msda.masks.Mask`, or a float tensor `(num_draws, *size)`.
        """

    def mask_weight(self, params: Any, size: Any) -> Tensor:
        """Returns the weight of the own label, by default the mean of the mask.

        Override it where the mean is known without the mask, which saves a loss from
        making masks.

        Args:
            params: From `sample_params`.
            size: Lengths of the axes that the mask depends on, one to three.

        Returns:
            float32 `(num_draws,)`, in [0, 1].
        """
        return _factored.mean(self._factored_mask(params, size), size)

    def place(
        self, params: Any, saliency: Tensor, partner_saliency: Tensor, size: Any
    ) -> Any:
        """Returns what masks are made from, given the images' saliency.

        For layers with `uses_saliency = True` alone. With `uses_images = True` it also
        gets `images` and `partner_images` by keyword, float32
        `(batch, *size, channels)`, or None where there are none.

        Args:
            params: From `sample_params`, one row per sample.
            saliency: float32 `(batch, *size)`, not negative, of the own images.
            partner_saliency: float32 `(batch, *size)`, of the partners.
            size: Lengths of the axes that the mask depends on, one to three.

        Returns:
            Tensors, or a nest of them, with `batch` first, for `mask`.
        """
        _fail_no_hook(type(self).__name__, "place", "uses_saliency")

    def move(self, params: Any, size: Any) -> _moved.Move:
        """Returns which pixel of the partner is shown at each pixel.

        For layers with `moves_partner = True` alone.

        Args:
            params: From `sample_params`.
            size: Lengths of the axes that the mask depends on, one to three.

        Returns:
            A `keras_msda.masks.Move`.
        """
        _fail_no_hook(type(self).__name__, "move", "moves_partner")

    def move_own(self, params: Any, size: Any) -> _moved.Move:
        """Returns which pixel of the own image is shown at each pixel.

        For layers with `moves_own = True` and `moves_partner = True`. Images that are
        not mixed are not moved.

        Args:
            params: From `sample_params`.
            size: Lengths of the axes that the mask depends on, one to three.

        Returns:
            A `keras_msda.masks.Move` without `start` and `scale`.
        """
        _fail_no_hook(type(self).__name__, "move_own", "moves_own")

    def _compiled_mask(self, params: Any, size: Any, jit_compile: bool | str) -> Any:
        """Returns masks by the setting of the layer that has chosen this one."""
        return self.mask(params, size)

    def _factored_mask(
        self, params: Any, size: Any, *, jit_compile: bool | str | None = None
    ) -> _factored.Mask:
        """Returns the masks in factored form, checked."""
        choice = self.jit_compile if jit_compile is None else jit_compile
        first = next(iter(keras.tree.flatten(params)), None)
        return _returned.as_mask(
            self._compiled_mask(params, size, choice),
            size,
            owner=type(self).__name__,
            draws=None if first is None else first.shape[0],
            like=first,
        )

    def _weight(self, params: Any, size: Any, mask: _factored.Mask | None) -> Tensor:
        """Returns checked weights, of masks that are made already if there are any."""
        if mask is not None and type(self).mask_weight is MaskHooks.mask_weight:
            return _factored.mean(mask, size)
        weight = self.mask_weight(params, size)
        settings.check_weight(type(self).__name__, weight.shape)
        return weight

    @property
    def _weighs_by_mask(self) -> bool:
        """Whether weights are means of masks, which a loss then makes again."""
        return type(self).mask_weight is MaskHooks.mask_weight


def _fail_no_hook(owner: str, hook: str, attribute: str) -> NoReturn:
    """Raises, as a class says that it has a hook and does not have it."""
    _errors.fail(
        owner,
        f"a layer with `{attribute} = True` must have the hook `{hook}`.",
        f"a class without `{hook}`",
        f"Define it, or leave `{attribute}` out; see docs/extending.md.",
        NotImplementedError,
    )
