"""GridMix: the cells of a grid."""

from typing import Any, Unpack, final

import keras

from keras_msda import _backend, sampling
from keras_msda.layers import settings
from keras_msda.layers.base import MixLayer
from keras_msda.masks import _factored, _given, fourier
from keras_msda.masks import grid as _grid

Tensor = Any


@final
@keras.saving.register_keras_serializable(package="keras_msda")
class GridMixLayer(MixLayer):
    """Cuts images into a grid and shows the partner in 1 - lambda of the cells.

    Every pixel is the own one with probability lambda. The label weight is the share of
    own pixels. The loss of the paper that classifies each cell is not part of this
    layer.

    Args:
        alpha: lambda is Beta(alpha, alpha), or Beta(a, b) for a pair.
        grid: Number of cells along each axis, or a tuple with one per axis. Cells of
            an axis that it does not divide differ by one pixel in length; an axis of
            fewer pixels than cells is cut into single pixels.
        exact_count: Whether lambda of the cells, rounded up or down at random, are the
            own ones; or else each cell by itself, with probability lambda.
        **kwargs: Shared arguments, see `MixLayer`.

    Example:
        >>> import numpy as np, keras_msda as msda
        >>> layer = msda.GridMixLayer(num_classes=3, seed=1)
        >>> images, labels = layer(np.zeros((4, 8, 8, 3)), np.array([0, 1, 2, 0]))
        >>> print(images.shape, labels.shape)
        (4, 8, 8, 3) (4, 3)

    References:
        Baek, Bang and Shim, GridMix: Strong regularization through local context
        mapping, 2021.
    """

    symmetric = True

    def __init__(
        self,
        alpha: float | tuple[float, float] = 1.0,
        *,
        grid: int | tuple[int, ...] = 4,
        exact_count: bool = True,
        **kwargs: Unpack[settings.LeafArguments],
    ) -> None:
        super().__init__(alpha, **kwargs)
        self.grid = _grid.check_grid(type(self).__name__, grid)
        self.exact_count = bool(exact_count)

    def sample_params(self, lam: Tensor, size: Any, *, seed: Any) -> Tensor:
        """Draws which cells show the own image."""
        owner = type(self).__name__
        _given.check_countable(owner, size, fourier.MOST_PIXELS)
        cells = _grid.spread_grid(owner, self.grid, len(size))
        ops = _backend.get_ops(lam)
        draws = ops.shape(lam)
        rounding_seed, cell_seed = ops.split_seed(seed, 2)
        return _grid.keep_cells(
            lam,
            sampling.sample_uniform([*draws, *cells], seed=cell_seed),
            size,
            exact_count=self.exact_count,
            rounding=sampling.sample_uniform(draws, seed=rounding_seed),
        )

    def mask_weight(self, params: Tensor, size: Any) -> Tensor:
        """Returns the share of pixels in the cells that show the own image."""
        return _grid.grid_weight(params, size)

    def mask(self, params: Tensor, size: Any) -> _factored.Mask:
        """Returns masks of 1 in the cells that show the own image and 0 elsewhere."""
        return _grid.build_grid(params, size)

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return super().get_config() | {
            "grid": self.grid,
            "exact_count": self.exact_count,
        }
