"""PuzzleMix: blocks that keep what is salient of both images."""

from typing import Any, ClassVar, NamedTuple, Unpack, final

import keras

from keras_msda import _backend, _errors, sampling
from keras_msda.layers import settings
from keras_msda.layers.base import MixLayer
from keras_msda.masks import (
    _given,
    _moved,
    _puzzle_grid,
    _puzzle_settings,
    _transport,
    puzzle,
)
from keras_msda.masks._puzzle_settings import PuzzleSettings

Tensor = Any

_MOST_PIXELS = 2**31 - 1


class _Placed(NamedTuple):
    """The blocks of each sample.

    Attributes:
        labels: int32 `(batch, *grid)`, what each block shows of the partner.
        blocks: int32 `(batch,)`, at most how many there are along an axis.
        source: int32 `(batch, n)`, which block of the own image each one shows; None
            where blocks stay.
        partner_source: Of the partner.
    """

    labels: Tensor
    blocks: Tensor
    source: Tensor | None
    partner_source: Tensor | None


@final
@keras.saving.register_keras_serializable(package="keras_msda")
class PuzzleMixLayer(MixLayer):
    """Shows in each block of a grid the image that is salient there, or both.

    Each block shows a share of the partner. The shares minimise a cost: the saliency
    that is hidden, what neighbouring blocks differ by, and how far shares are from
    lambda. The least cost is found exactly, for all samples at once and without a graph
    cut; see docs/puzzlemix.md. Salient blocks of each image then move to where that
    image is shown. The label weight is the mean of the mask.

    Saliency is that of "saliency" in a dictionary, or else the contrast of the images.
    The published method takes the gradient of the loss, as `SaliencyMixing` does. An
    axis of L pixels has blocks of ceil(L / blocks) pixels, the last one smaller where
    they do not divide it, so that small images have fewer blocks.

    Args:
        alpha: lambda is Beta(alpha, alpha), or Beta(a, b) for a pair.
        blocks: At most this many blocks per axis; of several numbers, one is drawn
            with each lambda.
        labels: Number of shares of the partner that a block can show, 2 or more: 2 is
            all or nothing, 3 adds one half.
        smoothness: What it costs that neighbours differ, beta of the paper. Not
            negative.
        data_smoothness: How far that depends on the colours at the border of the two
            blocks, gamma of the paper. Not negative; 0 ignores the images.
        prior: What shares cost that are far from lambda, eta of the paper. Not
            negative.
        transport: Whether blocks of both images move. Bounding boxes and keypoints are
            then refused.
        transport_cost: What the way costs. Not negative.
        iterations: Number of iterations that find the shares. 100 are enough for 16x16
            blocks.
        **kwargs: Shared arguments, see `MixLayer`. `targets="own"` is an error.

    Example:
        >>> import numpy as np, keras_msda as msda
        >>> layer = msda.PuzzleMixLayer(blocks=4, num_classes=3, seed=1)
        >>> images = np.random.default_rng(0).random((4, 8, 8, 3))
        >>> images, labels = layer(images, np.array([0, 1, 2, 0]))
        >>> print(images.shape, labels.shape)
        (4, 8, 8, 3) (4, 3)

    References:
        Kim, Choo and Song, Puzzle Mix: Exploiting Saliency and Local Statistics for
        Optimal Mixup, 2020, arXiv:2009.06962.
    """

    uses_saliency: ClassVar[bool] = True
    weight_needs_images = True

    def __init__(
        self,
        alpha: float | tuple[float, float] = 1.0,
        *,
        blocks: int | tuple[int, ...] = (2, 4, 8, 16),
        labels: int = 3,
        smoothness: float = 1.2,
        data_smoothness: float = 0.5,
        prior: float = 0.2,
        transport: bool = True,
        transport_cost: float = 0.8,
        iterations: int = 100,
        **kwargs: Unpack[settings.LeafArguments],
    ) -> None:
        super().__init__(alpha, **kwargs)
        owner = type(self).__name__
        self.blocks = _puzzle_settings.check_blocks(owner, blocks)
        given = PuzzleSettings(labels, smoothness, data_smoothness, prior, iterations)
        checked = _puzzle_settings.check_settings(owner, given)
        self.labels = checked.labels
        self.smoothness = checked.smoothness
        self.data_smoothness = checked.data_smoothness
        self.prior = checked.prior
        self.iterations = checked.iterations
        self.transport = _check_transport(owner, transport)
        self.transport_cost = _puzzle_settings.check_cost(
            owner, "transport_cost", transport_cost, 0.8
        )
        self.moves_partner = self.moves_own = self.transport
        self.uses_images = self.data_smoothness > 0

    @property
    def _choices(self) -> tuple[int, ...]:
        """The numbers of blocks of which one is drawn."""
        return (self.blocks,) if isinstance(self.blocks, int) else self.blocks

    def sample_params(
        self, lam: Tensor, size: Any, *, seed: Any
    ) -> tuple[Tensor, Tensor]:
        """Draws the number of blocks."""
        owner = type(self).__name__
        _given.check_countable(owner, size, _MOST_PIXELS // self.labels)
        ops = _backend.get_ops(lam)
        choices = self._choices
        noise = sampling.sample_uniform(ops.shape(lam), seed=seed)
        # Rounding must not lead beyond the last one.
        place = ops.minimum(ops.truncate(noise * len(choices)), len(choices) - 1)
        return lam, ops.take(ops.convert(list(choices), "int32"), place)

    def place(
        self,
        params: tuple[Tensor, Tensor],
        saliency: Tensor,
        partner_saliency: Tensor,
        size: Any,
        *,
        images: Tensor | None = None,
        partner_images: Tensor | None = None,
    ) -> _Placed:
        """Finds the labels of blocks, and which block of both images each one shows."""
        lam, blocks = params
        grid = _puzzle_grid.make_grid(size, blocks, self._choices)
        both = None if images is None else (images, partner_images)
        labels = self._place_labels(grid, lam, (saliency, partner_saliency), both)
        if not self.transport:
            return _Placed(labels, blocks, None, None)
        cost, own_shown = self.transport_cost, labels < self.labels - 1
        return _Placed(
            labels,
            blocks,
            puzzle.place_sources(grid, own_shown, saliency, cost),
            puzzle.place_sources(grid, labels > 0, partner_saliency, cost),
        )

    def _place_labels(
        self, grid: Any, lam: Tensor, saliency: Any, images: Any
    ) -> Tensor:
        """Finds the labels of least cost."""
        settings_of_masks = self._settings_of_masks
        return puzzle.place_labels(grid, lam, saliency, images, settings_of_masks)

    @property
    def _settings_of_masks(self) -> PuzzleSettings:
        return PuzzleSettings(
            self.labels,
            self.smoothness,
            self.data_smoothness,
            self.prior,
            self.iterations,
        )

    def mask_weight(self, params: _Placed, size: Any) -> Tensor:
        """Returns the means of the masks, counted in integers."""
        grid = _puzzle_grid.make_grid(size, params.blocks, self._choices)
        return puzzle.puzzle_weight(grid, params.labels, self.labels - 1)

    def mask(self, params: _Placed, size: Any) -> Tensor:
        """Returns masks that are constant in each block."""
        grid = _puzzle_grid.make_grid(size, params.blocks, self._choices)
        return puzzle.spread_labels(grid, params.labels, self.labels - 1)

    def move(self, params: _Placed, size: Any) -> _moved.Move:
        """Returns which pixel of the partner is shown where blocks have moved."""
        grid = _puzzle_grid.make_grid(size, params.blocks, self._choices)
        return _moved.Move(_transport.find_pixels(grid, params.partner_source))

    def move_own(self, params: _Placed, size: Any) -> _moved.Move:
        """Returns which pixel of the own image is shown where blocks have moved."""
        grid = _puzzle_grid.make_grid(size, params.blocks, self._choices)
        return _moved.Move(_transport.find_pixels(grid, params.source))

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return super().get_config() | {
            "blocks": self.blocks,
            "transport": self.transport,
            "transport_cost": self.transport_cost,
            **self._settings_of_masks._asdict(),
        }


def _check_transport(owner: str, value: Any) -> bool:
    """Returns whether blocks move."""
    if not isinstance(value, bool):
        _errors.fail(
            owner,
            "`transport` must be True or False.",
            f"transport={value!r}",
            "False leaves all pixels where they are.",
        )
    return value
