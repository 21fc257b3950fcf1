"""The methods by the names that the command line and the tables use."""

from typing import Any

from keras_msda import layers

LAYERS = {
    "mixup": layers.MixUpLayer,
    "cutmix": layers.CutMixLayer,
    "hmix": layers.HMixLayer,
    "gmix": layers.GMixLayer,
    "fmix": layers.FMixLayer,
}


def make_layer(method: str, **settings: Any) -> Any:
    """Makes the layer of a method.

    Args:
        method: A key of `LAYERS`.
        **settings: Arguments of the layer.

    Returns:
        The layer.
    """
    return LAYERS[method](**settings)
