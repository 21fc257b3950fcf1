"""The table of parts: which module checks and mixes what, by its key."""

from keras_msda.parts import (
    boxes,
    extra,
    keypoints,
    labels,
    saliency,
    sample_weight,
    segmentation,
)
from keras_msda.parts._part import Part

#: In the order in which they are checked and mixed.
PARTS: dict[str, Part] = {
    "labels": labels,
    "sample_weight": sample_weight,
    "segmentation_masks": segmentation,
    "bounding_boxes": boxes,
    "keypoints": keypoints,
    "saliency": saliency,
}
#: Any other tensor that is mixed like the images.
EXTRA: Part = extra
