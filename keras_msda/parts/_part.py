"""What a part of a batch is: a value that belongs to the images, under one key."""

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

from keras_msda import plans


class Settings(NamedTuple):
    """What a layer says about the parts of its batches.

    Attributes:
        targets: "soft", "pair", "own" or "union".
        num_classes: Number of classes of integer labels or None; for several outputs a
            dictionary or tuple of them.
        label_smoothing: Smoothing of integer labels that are made soft, perhaps traced.
        target_threshold: Share above which a class is in the union.
        segmentation: "auto", "select", "blend" or a number of classes.
        bounding_box_format: Format of bounding boxes, or None.
        min_box_share: Least share of a box or keypoint that is kept.
        batch_keys: Keys of a dictionary that are mixed like the images.
        moves: How the partner's pixels are moved: "" if they are not, "whole" if the
            partner stays in one piece, "pieces".
        dtype: What integers become that are mixed like the images.
        uniform_mask: Whether a mask is the same at all pixels of a sample.
        jit_compile: Whether TensorFlow's graphs compile passes over parts: "auto", True
            or False.
        owner: Name of the layer, that errors start with.
    """

    targets: str = "soft"
    num_classes: Any = None
    label_smoothing: float = 0.0
    target_threshold: float = 0.0
    segmentation: str | int = "auto"
    bounding_box_format: str | None = None
    min_box_share: float = 0.0
    batch_keys: tuple[str, ...] = ()
    moves: str = ""
    dtype: str = "float32"
    uniform_mask: bool = False
    jit_compile: bool | str = "auto"
    owner: str = "keras_msda"


class Context(NamedTuple):
    """What a part may know of its batch.

    Attributes:
        parts: All parts by key, before any of them is mixed.
        layout: Of the images.
        settings: Of the layer.
    """

    parts: Mapping[str, Any]
    layout: plans.Layout
    settings: Settings


class Part(Protocol):
    """One kind of part; each is a module of this package."""

    def check(self, key: str, context: Context, *, owner: str) -> Any:
        """Returns a part as tensors that can be mixed, or raises.

        Args:
            key: Where the part is among those of the batch.
            context: The batch, as it was given.
            owner: Name that an error starts with.

        Returns:
            The checked part; None if there is nothing to mix.
        """

    def mix(self, key: str, context: Context, *, plan: plans.Plan) -> Any:
        """Returns a checked part as a plan mixes it.

        Args:
            key: Where the part is among those of the batch.
            context: The batch, checked.
            plan: The plan of the batch.
        """
