"""Mixed sample data augmentation for Keras: MixUp, CutMix, HMix, GMix and FMix."""

from keras_msda import masks
from keras_msda._checks import MixWarning
from keras_msda.boxes import mix_bounding_boxes, mix_keypoints
from keras_msda.callbacks import MixSchedule
from keras_msda.layers import (
    CutMixLayer,
    FMixLayer,
    GMixLayer,
    HMixLayer,
    MixUpLayer,
    RandomMixLayer,
)
from keras_msda.losses import MixedLoss
from keras_msda.metrics import MixedAccuracy
from keras_msda.models import strip
from keras_msda.pipeline import mixing
from keras_msda.plans import MixPlan, mix_images, mix_labels
from keras_msda.presets import mix_from_timm
from keras_msda.segmentation import mix_segmentation_masks

__version__ = "0.1.0"

__all__ = [
    "CutMixLayer",
    "FMixLayer",
    "GMixLayer",
    "HMixLayer",
    "MixPlan",
    "MixSchedule",
    "MixUpLayer",
    "MixWarning",
    "MixedAccuracy",
    "MixedLoss",
    "RandomMixLayer",
    "masks",
    "mix_bounding_boxes",
    "mix_from_timm",
    "mix_images",
    "mix_keypoints",
    "mix_labels",
    "mix_segmentation_masks",
    "mixing",
    "strip",
]
