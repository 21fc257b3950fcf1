"""The methods, sizes and lambdas that the theory is tried on."""

import keras

from tests.support.analysis_oracles import Choice, method

#: Odd, even, not square, one to three axes, an axis of one pixel.
SIZES = [(31,), (16,), (8, 8), (7, 9), (6, 4), (9, 14), (4, 5, 6), (1, 7)]
SMALL = [(9,), (6, 5), (3, 4, 2)]
LAMS = [0.0, 0.05, 0.37, 0.5, 0.93, 1.0]
#: Half of them in turn, to save time.
SIZED_LAMS = {size: LAMS[i % 2 :: 2] for i, size in enumerate(SIZES)}
ALPHAS = [0.2, 1.0, 2.0, (2.0, 1.0)]

METHODS = {
    "mixup": method("mixup"),
    "cutmix": method("cutmix"),
    "cutmix-wrap": method("cutmix", border="wrap"),
    "cutmix-inside": method("cutmix", border="inside"),
    "cutmix-range": method("cutmix", ratio_range=(0.2, 0.7)),
    "cutmix-odd": method("cutmix", border="clip_odd"),
    "cutmix-timm": method("cutmix", ratio_range=(0.2, 0.7), ratio_endpoint=False),
    "cutmix-drawn": method("cutmix", exact_weight=False),
    "cutmix-wrap-drawn": method("cutmix", border="wrap", exact_weight=False),
    "hmix-0": method("hmix", box_ratio=0.0),
    "hmix-.3-wrap": method("hmix", box_ratio=0.3, border="wrap"),
    "hmix": method("hmix"),
    "hmix-wrap": method("hmix", border="wrap"),
    "hmix-inside": method("hmix", border="inside"),
    "hmix-odd": method("hmix", border="clip_odd"),
    "hmix-1": method("hmix", box_ratio=1.0),
    "gmix": method("gmix"),
    "gmix-wrap": method("gmix", border="wrap"),
    "random": Choice(((2.0, method("mixup")), (1.0, method("cutmix", border="wrap")))),
    "random-boxes": Choice(
        (
            (1.0, method("hmix", border="inside")),
            (3.0, method("cutmix")),
            (1.0, method("gmix", border="wrap")),
        )
    ),
}
#: Where lambda is the weight and 1 - M(lambda) is distributed as M(1 - lambda).
SYMMETRIC = ["mixup", "hmix-0", "gmix-wrap"]
#: Where the mean of the mask is lambda, whatever is drawn.
EXACT_MEANS = ["mixup", "hmix-0", "hmix-.3-wrap", "hmix", "hmix-wrap", "hmix-inside"]
EXACT_MEANS += ["hmix-odd", "hmix-1", "gmix-wrap"]
#: Where it is so at every pixel, over all places.
WRAPPED = ["mixup", "cutmix-wrap", "hmix-.3-wrap", "hmix-wrap", "gmix-wrap"]

#: What none of the functions takes: argument, error and its words.
BAD_INPUT = {
    "no axis": ({"shape": ()}, ValueError, "shape.*Received: shape=\\(\\)"),
    "four axes": (
        {"shape": (2, 2, 2, 2)},
        ValueError,
        "one to three.*\\(2, 2, 2, 2\\)",
    ),
    "one draw": ({"draws": 1}, ValueError, "draws.*2 or more.*draws=1"),
    "dense": ({"layer": keras.layers.Dense(2)}, TypeError, "mixing layer.*Dense"),
}


def named(sizes):
    """Returns test ids of sizes."""
    return ["x".join(map(str, size)) for size in sizes]
