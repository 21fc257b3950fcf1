"""`check_layer` passes layers that obey the laws, and says what others break."""

import re

import keras
import numpy as np
import pytest
from keras import ops

import keras_msda as msda
from keras_msda import sampling
from keras_msda.layers import _planning
from keras_msda.testing import check_layer
from tests.support import layer_cases as cases

EAGER = ["eager"]
#: Of more than one size: what holds for one may not for another.
SIZES = [(6, 5), (3, 7)]


@keras.saving.register_keras_serializable(package="tests")
class Split(msda.MixLayer):
    """The own image to the left of the partner."""

    def sample_params(self, lam, size, *, seed):
        return lam

    def mask(self, params, size):
        cut = ops.round(params * ops.cast(size[-1], "float32"))
        left = ops.arange(size[-1], dtype="float32") < cut[:, None]
        left = ops.reshape(left, (-1, *[1] * (len(size) - 1), size[-1]))
        mask = ops.cast(left, "float32")
        return ops.broadcast_to(mask, (ops.shape(params)[0], *size))


class Side(Split):
    """One of the two halves, whatever lambda is."""

    def sample_params(self, lam, size, *, seed):
        noise = sampling.sample_uniform([ops.shape(lam)[0]], seed=seed)
        return ops.cast(noise < 0.5, "float32") / 2 + 0.25


class Half(Side):
    """The same without a lambda."""

    has_lam = False


class Still(Split):
    """The same half always."""

    has_lam = False

    def sample_params(self, lam, size, *, seed):
        return ops.zeros_like(lam) + 0.5


class Blend(msda.MixLayer):
    """MixUp by two hooks."""

    symmetric = True
    uniform_mask = True

    def sample_params(self, lam, size, *, seed):
        return lam

    def mask(self, params, size):
        mask = ops.reshape(params, (-1, *[1] * len(size)))
        return ops.broadcast_to(mask, (ops.shape(params)[0], *size))


class Corner(msda.CutMixLayer):
    """CutMix with a mask of its own, whose weight CutMix does not know."""

    def mask(self, params, size):
        row = ops.cast(ops.arange(size[-1]) > 0, "float32")
        return ops.broadcast_to(row, (ops.shape(params[0])[0], *size))


METHODS = {
    "mixup": msda.MixUpLayer,
    "cutmix": msda.CutMixLayer,
    "cutmix-drawn": lambda **kw: msda.CutMixLayer(exact_weight=False, **kw),
    "hmix": msda.HMixLayer,
    "gmix": msda.GMixLayer,
    "fmix": msda.FMixLayer,
    "random": lambda **kw: msda.RandomMixLayer(
        [msda.CutMixLayer(), msda.MixUpLayer(0.8)], per="sample", **kw
    ),
    "split": Split,
    "side": Side,
    "half": Half,
    "still": Still,
    "blend": Blend,
}
LAWS = ["config", "mask", "weight", "plan", "seed", "blend", "training", "dtype"]
LAWS += ["channels_first", "sequence", "handoff"]


@pytest.mark.long
@pytest.mark.parametrize("name", METHODS)
def test_a_layer_that_obeys_passes(name):
    layer = METHODS[name](seed=3)
    checked = check_layer(layer, sizes=SIZES, worlds=EAGER)
    expected = {(law, "eager") for law in LAWS}
    expected |= {("symmetric", "eager")} if layer.symmetric else set()
    expected |= {("uniform_mask", "eager")} if layer.uniform_mask else set()
    assert set(checked) == expected


@pytest.mark.slow
@pytest.mark.xla
@pytest.mark.parametrize("name", ["hmix", "split"])
def test_all_worlds_and_ranks_are_run(name):
    checked = check_layer(METHODS[name](seed=3))
    worlds = {"tensorflow": {"graph", "compiled", "pipeline"}, "jax": {"compiled"}}
    expected = {"eager"} | worlds.get(cases.BACKEND, set())
    assert {world for law, world in checked if law == "blend"} == expected
    expected = expected - {"pipeline"}
    assert {world for law, world in checked if law == "handoff"} == expected


@pytest.mark.long
@pytest.mark.parametrize(
    "arguments",
    [
        {"targets": "pair"},
        {"num_classes": 9, "label_smoothing": 0.1},
        {"data_format": "channels_first", "dtype": "mixed_float16"},
        {"per": "batch", "pairing": "roll", "probability": 0.5},
        {"mask_axes": (2,)},
        {"fold": True, "alpha": (0.5, 2.0)},
    ],
    ids=lambda arguments: next(iter(arguments)),
)
def test_settings_of_a_layer_do_not_matter(arguments):
    layer = msda.HMixLayer(seed=1, **arguments)
    assert ("handoff", "eager") in check_layer(layer, sizes=[(6, 5)], worlds=EAGER)


def test_the_layer_itself_is_left_alone():
    layer, other = msda.MixUpLayer(seed=5), msda.MixUpLayer(seed=5)
    check_layer(layer, sizes=[(4,)], worlds=EAGER)
    inputs = cases.images(4, (4,)), np.eye(4)
    for mixed, expected in zip(layer(*inputs), other(*inputs), strict=True):
        np.testing.assert_array_equal(mixed, expected)


@pytest.mark.long
def test_a_subclass_with_another_mask_has_its_mean_as_weight():
    layer = Corner(seed=1)
    _, weight = layer.sample_masks(3, (2, 4), seed=(1, 2))
    np.testing.assert_array_equal(weight, [0.75] * 3)
    check_layer(layer, sizes=SIZES, worlds=EAGER)


# Layers that break a law: each by one line.


class WrongWeight(Split):
    def mask_weight(self, params, size):
        return params


class Columns(Split):
    def mask_weight(self, params, size):
        return ops.mean(self.mask(params, size), (1, 2))[:, None]


class Outside(Split):
    def mask(self, params, size):
        return 2.0 * super().mask(params, size) - 0.5


class Undefined(Split):
    def mask(self, params, size):
        return super().mask(params, size) / (0.0 * params[:, None, None])


class Flat(Split):
    def mask(self, params, size):
        return super().mask(params, size)[:, 0]


class Single(Split):
    def mask(self, params, size):
        return super().mask(params, size)[:1]


class FixedWidth(Split):
    def mask(self, params, size):
        return super().mask(params, (*size[:-1], 5))


class FixedCut(Split):
    def mask_weight(self, params, size):
        return ops.round(params * 5) / 5


class FewParams(Split):
    def sample_params(self, lam, size, *, seed):
        return {"lam": lam, "shift": lam[:1]}


class GlobalNoise(Split):
    def sample_params(self, lam, size, *, seed):
        noise = np.random.random(ops.shape(lam)[0])  # noqa: NPY002
        return ops.convert_to_tensor(noise, "float32")


class OwnSeed(Side):
    def sample_params(self, lam, size, *, seed):
        seed = ops.convert_to_tensor([1, 2], "int32")
        return super().sample_params(lam, size, seed=seed)


class NotSymmetric(Half):
    symmetric = True

    def sample_params(self, lam, size, *, seed):
        noise = sampling.sample_uniform([ops.shape(lam)[0]], seed=seed)
        return noise**2


class NotSymmetricInLam(Split):
    symmetric = True


class NotUniform(Split):
    uniform_mask = True


class Forgetful(Split):
    def __init__(self, alpha=1.0, width=0.5, **kwargs):
        super().__init__(alpha, **kwargs)
        self.width = width


class Drifting(Split):
    def get_config(self):
        return super().get_config() | {"probability": 0.5 * self.probability}


class Always(Split):
    def call(self, images, labels=None, sample_weight=None, training=None, **kwargs):
        return super().call(images, labels, sample_weight, training=True, **kwargs)


class Counting(Split):
    calls = 0

    def sample_params(self, lam, size, *, seed):
        self.calls += 1
        return lam * (self.calls % 2)


class Rounded(Split):
    def mix(self, inputs, *, seed, partner=None):
        images, labels = super().mix(inputs, seed=seed, partner=partner)
        return ops.round(images * 16) / 16, labels


class Unlabelled(Split):
    def mix(self, inputs, *, seed, partner=None):
        return super().mix(inputs, seed=seed, partner=partner)[0], inputs[1]


class Hard(Split):
    def sample_params(self, lam, size, *, seed):
        raise KeyError("centre")


BROKEN = [
    (WrongWeight, "weight", "`mask_weight` must be the mean of the mask", True),
    (Columns, "weight", "float32 of shape (num_draws,)", False),
    (Outside, "mask", "masks must be in [0, 1]", True),
    (Undefined, "mask", "masks must be finite", True),
    (Flat, "mask", "shape (64, 5) instead of (64, 6, 5)", False),
    (Single, "mask", "shape (1, 6, 5) instead of (64, 6, 5)", False),
    (FixedWidth, "mask", "shape (64, 3, 5) instead of (64, 3, 7)", False),
    (FixedCut, "weight", "for size (3, 7), at draw", True),
    (FewParams, "mask", "shape (1,) of tensor 1 for 64 draws", False),
    (GlobalNoise, "plan", "one seed must give one", True),
    (OwnSeed, "plan", "another seed must give other masks", False),
    (NotSymmetric, "symmetric", "standard errors apart", False),
    (NotSymmetricInLam, "symmetric", "at lambda 0.2", False),
    (NotUniform, "uniform_mask", "the same at every pixel", True),
    (Forgetful, "config", "a configuration without width", False),
    (Drifting, "config", "probability=0.25 instead of 0.5", False),
    (Always, "training", "must return images and labels as they are", True),
    (Counting, "plan", "one seed must give one", True),
    (Rounded, "blend", "mask * own + (1 - mask) * partner", True),
    (Unlabelled, "seed", "labels must be mixed by partner and weight", True),
    (Hard, "mask", "KeyError: 'centre'", False),
]


@pytest.mark.parametrize(
    ("kind", "law", "words", "at_a_draw"),
    BROKEN,
    ids=lambda x: getattr(x, "__name__", ""),
)
def test_a_broken_law_is_named(kind, law, words, at_a_draw):
    with pytest.raises(AssertionError, match=re.escape(words)) as caught:
        check_layer(kind(seed=1), sizes=SIZES, worlds=EAGER)
    message = str(caught.value)
    assert message.startswith(f'{kind.__name__}: the law "{law}" broke in the world')
    assert "Received: " in message
    assert bool(re.search(r"at draw \d+: ", message)) == at_a_draw


class ByNumPy(Split):
    def mask(self, params, size):
        return super().mask(ops.convert_to_tensor(np.array(params)), size)


class Branching(Split):
    def sample_params(self, lam, size, *, seed):
        return lam if hasattr(lam, "numpy") else 1.0 - lam


@pytest.mark.tensorflow
@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (ByNumPy, "must compute without an error"),
        (Branching, "labels must be mixed by partner and weight"),
    ],
)
def test_what_breaks_in_graphs_alone_is_told(kind, words):
    with pytest.raises(AssertionError, match=re.escape(words)) as caught:
        check_layer(kind(seed=1), sizes=[(6, 5)], worlds=["graph"])
    assert 'the law "seed" broke in the world "graph"' in str(caught.value)


def test_a_loss_that_knows_other_weights_is_told(monkeypatch):
    replay = _planning.replay

    def wrong(*arguments):
        plan = replay(*arguments)
        return plan._replace(weight=plan.weight * 0.9)

    monkeypatch.setattr(_planning, "replay", wrong)
    with pytest.raises(AssertionError, match='the law "handoff" broke'):
        check_layer(Split(seed=1), sizes=[(6, 5)], worlds=EAGER)


@pytest.mark.parametrize(
    ("layer", "arguments", "kind", "words"),
    [
        (keras.layers.Dense(3), {}, TypeError, "derives from `keras_msda.MixLayer`"),
        (Split(), {"batch": 2}, ValueError, "batch=2"),
        (Split(), {"worlds": ["moon"]}, ValueError, r"worlds=\['moon'\]"),
        (Split(), {"worlds": "eager"}, ValueError, "worlds='eager'"),
        (Split(), {"sizes": [(0,)]}, ValueError, "Received"),
    ],
    ids=["layer", "batch", "world", "word", "size"],
)
def test_arguments_are_checked(layer, arguments, kind, words):
    with pytest.raises(kind, match=words):
        check_layer(layer, **arguments)
