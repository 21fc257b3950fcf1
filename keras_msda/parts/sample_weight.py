"""Sample weights of mixed labels, for one output or several."""

from collections.abc import Mapping
from typing import Any

from keras_msda import _backend, _checks, plans
from keras_msda.parts import _outputs
from keras_msda.parts._part import Context

Tensor = Any


def check(key: str, context: Context, *, owner: str) -> Any:
    """Returns sample weights as tensors, or raises; see `Part`.

    Weights have shape `(batch,)` or `(batch, 1)`. For several outputs they may be a
    dictionary or tuple of those, in which some may be None.
    """
    given, labels = context.parts[key], context.parts.get("labels")
    if _outputs.are_labels_several(labels) and isinstance(
        given, (Mapping, tuple, list)
    ):
        _outputs.check_outputs(owner, labels, name=key, given=given)

    def check_one(weights: Any, name: str) -> Tensor | None:
        if weights is None:
            return None
        _checks.check_array(owner, name, weights)
        weights = _backend.get_ops(weights).convert(weights)
        _checks.check_sample_weight(owner, weights.shape)
        _checks.check_batch(owner, name, weights.shape, (context.layout.batch,))
        return weights

    several = _outputs.are_weights_several(given)
    names = _outputs.name_outputs(key, given) if several else key
    return _outputs.map_weights(check_one, given, names)


def mix(key: str, context: Context, *, plan: plans.Plan) -> Any:
    """Returns checked sample weights as they belong to mixed labels; see `Part`."""

    def mix_one(weights: Any) -> Any:
        if weights is None:
            return None
        if context.settings.targets == "own":
            return plans.take_own(weights, plan.partner)
        return plans.mix_sample_weights(weights, plan)[1]

    return _outputs.map_weights(mix_one, context.parts[key])
