"""A callback that shows, epoch by epoch, what layers make of a few images."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy.typing as npt
from matplotlib.figure import Figure

from keras_msda import _backend, _checks
from keras_msda.plot import _mixes, _samples


class MixPreview(keras.callbacks.Callback):
    """Draws mixes of a few images at the beginning of each epoch.

    They go to TensorBoard, under the tag "mixes", or to a folder of pictures,
    `epoch-0000.png` and so on. They show the layer as it is at that time: a
    `MixSchedule` earlier in the list of callbacks has set its values. Training is not
    changed: the layer's own sequence of draws is left alone.

    Args:
        log_dir: Folder for TensorBoard's file or for the pictures. It is made, with
            those above it, and what is in it stays.
        layer: One mixing layer or several, in the model or in a pipeline.
        images: Two to four images or so, as for `mixes`: before any scaling to other
            ranges.
        to: "tensorboard" or "folder". For the first TensorFlow must be installed,
            whatever Keras's backend is; TensorBoard is only needed to view the file.
        every: Epochs from one picture to the next; the first epoch has one.
        seed: One integer draws the same partners, lambda and masks in each epoch, so
            that only settings change the picture; None draws new ones.

    Raises:
        ValueError: If the images are not pictures, or an argument is out of range.
        ImportError: If TensorBoard's file is asked for and TensorFlow is missing.
        OSError: If the folder cannot be made.

    Example:
        >>> import tempfile
        >>> import numpy as np, keras_msda as msda
        >>> from keras_msda import plot
        >>> images = np.random.default_rng(0).random((3, 16, 16, 3))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     preview = plot.MixPreview(folder, msda.HMixLayer(), images, to="folder")
        ...     preview.show(7)  # As `fit` does, in your own loop.
        ...     print([path.name for path in preview.folder.iterdir()])
        ['epoch-0007.png']
    """

    def __init__(
        self,
        log_dir: str | Path,
        layer: keras.Layer | Sequence[keras.Layer],
        images: npt.ArrayLike,
        *,
        to: str = "tensorboard",
        every: int = 1,
        seed: int | None = None,
    ) -> None:
        super().__init__()
        owner = type(self).__name__
        self.to = _checks.check_choice(owner, "to", to, ("tensorboard", "folder"))
        self.every = _checks.check_count(owner, "every", every)
        self.seed = None if seed is None else _checks.check_seed(owner, seed)
        self.layers = list(layer) if isinstance(layer, Sequence) else [layer]
        for member in self.layers:
            _checks.check_scheduled(owner, member, ("sample",))
        self.images = _samples.as_floats(images)
        self.folder = Path(log_dir)
        # Made now, so that a missing TensorFlow is an error before any training.
        self._writer: Any = None
        if to == "tensorboard":
            self._writer = _backend.make_event_writer(owner, str(log_dir))
        else:
            self.folder.mkdir(parents=True, exist_ok=True)

    def show(self, epoch: int) -> None:
        """Draws and writes the picture of an epoch.

        Args:
            epoch: Its number, from 0.
        """
        seed = (0, epoch) if self.seed is None else (1, self.seed)
        drawn = [
            _samples.sample_panels(layer, self.images, lam=None, seed=seed)
            for layer in self.layers
        ]
        figure = _mixes.panel_figure(drawn)
        if self._writer is None:
            figure.savefig(self.folder / f"epoch-{epoch:04d}.png")
        else:
            self._writer.write("mixes", epoch, *_encode(figure))

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Shows the first epoch, and every so many."""
        if epoch % self.every == 0:
            self.show(epoch)


def _encode(figure: Figure) -> tuple[bytes, int, int]:
    """Returns a figure as PNG, with its width and height."""
    file = io.BytesIO()
    figure.savefig(file, format="png")
    width, height = figure.canvas.get_width_height()
    return file.getvalue(), width, height
