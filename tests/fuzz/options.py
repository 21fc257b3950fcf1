"""What the fuzzer chooses from.

Options stand in the order in which hypothesis shrinks them: the plainest first.
"""

from typing import Any

import keras

from keras_msda.layers import METHODS
from tests.fuzz import rules

#: Forms in which a batch is given: those of one tensor, those that hold labels beside
#: the inputs, and those that hold everything.
ALONE = ("images",)
PAIRS = ("arguments", "tuple", "list")
DICTIONARIES = ("dictionary", "dictionary and labels", "named tuple")
TUPLES = ("tuple inputs", "list inputs")
FORMS = (*PAIRS, *ALONE, *DICTIONARIES, *DICTIONARIES, *TUPLES)

IMAGE_DTYPES = ("float32", "uint8", "float16", "bfloat16", "float64", "int32", "bool")
# Keras itself refuses strings on other backends.
NO_IMAGES = (
    "complex64",
    "S1" if keras.config.backend() == "tensorflow" else "complex64",
)
COMPUTE_DTYPES = ("float32", "float16", "bfloat16", "uint8", "mixed_float16", "float64")
FLOATS = ("float32", "float64", "float16", "bfloat16")
INTEGERS = ("int32", "int64", "uint8", "int8")
LABEL_KINDS = ("ids", "soft", "set", "real", "float ids", "rows", "bool ids")
BOX_FORMATS = (
    *("xyxy", "yxyx", "xywh", "center_xywh", "center_yxhw"),
    *("rel_xyxy", "rel_yxyx", "rel_xywh", "rel_center_xywh"),
)

#: Methods that "random" chooses from, most of the time.
CHOSEN = [x for x in METHODS if x not in (*rules.SALIENT, "resizemix")] * 5 + [*METHODS]

#: Arguments of the methods of their own; a method without an entry has none.
OWN_ARGUMENTS: dict[str, dict[str, tuple[Any, ...]]] = {
    "cutmix": {
        "border": ("clip", "clip_odd", "wrap", "inside"),
        "ratio_range": (None, None, (0.2, 0.8), (0.0, 1.0)),
        "exact_weight": (True, True, True, False),
    },
    "hmix": {
        "border": ("clip", "clip_odd", "wrap", "inside"),
        "box_ratio": (0.5, 0.0, 1.0, 0.9),
    },
    "gmix": {"border": ("clip", "wrap", "wrap", "inside")},
    "fmix": {
        "decay_power": (3.0, 0.0, 1.5),
        "max_soft": (0.0, 0.0, 0.25, 0.5),
        "spectrum": ("isotropic", "official"),
    },
    "gridmix": {"grid": (4, 1, 3, 7), "exact_count": (True, False)},
    "smoothmix": {"sigma_range": ((0.25, 0.5), (0.0, 1.0), (0.1, 0.1))},
    "resizemix": {"scale_range": ((0.1, 0.8), (0.0, 1.0), (0.5, 0.5))},
    "saliencymix": {"border": ("inside", "clip")},
    "puzzlemix": {
        "blocks": (4, (2, 4), 1, 16),
        "labels": (3, 2, 4),
        "transport": (True, False),
        "data_smoothness": (0.5, 0.0),
        "iterations": (20, 1),
    },
}
