"""The layers, the worlds they are called in and the plan that a call draws."""

import functools
import math

import keras
import numpy as np
import tensorflow as tf
from numpy.testing import assert_allclose, assert_array_equal, assert_equal

import keras_msda as msda
from keras_msda import _backend
from tests.support import oracles

SIZES = [(31,), (9, 14), (5, 6, 9), (1, 7)]
SEED = 11
BACKEND = keras.config.backend()


@keras.saving.register_keras_serializable(package="tests")
def pink(frequency):
    """A user's spectrum, for NumPy arrays and tensors."""
    return (frequency + 0.1) ** -1.5


def random_mix(*members, **arguments):
    return msda.RandomMixLayer([msda.MixUpLayer(alpha=0.8), *members], **arguments)


#: Every method and mode: name -> layer of some shared arguments.
LAYERS = {
    "mixup": msda.MixUpLayer,
    "cutmix": msda.CutMixLayer,
    "cutmix-wrap": lambda **kw: msda.CutMixLayer(border="wrap", **kw),
    "cutmix-inside": lambda **kw: msda.CutMixLayer(border="inside", **kw),
    "cutmix-range": lambda **kw: msda.CutMixLayer(ratio_range=(0.2, 0.8), **kw),
    "cutmix-drawn": lambda **kw: msda.CutMixLayer(exact_weight=False, **kw),
    "hmix": msda.HMixLayer,
    "hmix-wrap": lambda **kw: msda.HMixLayer(border="wrap", **kw),
    "hmix-inside": lambda **kw: msda.HMixLayer(border="inside", **kw),
    "gmix": msda.GMixLayer,
    "gmix-wrap": lambda **kw: msda.GMixLayer(border="wrap", **kw),
    "fmix": msda.FMixLayer,
    "fmix-soft": lambda **kw: msda.FMixLayer(max_soft=0.3, **kw),
    "fmix-official": lambda **kw: msda.FMixLayer(spectrum="official", **kw),
    "fmix-callable": lambda **kw: msda.FMixLayer(spectrum=pink, **kw),
    "random-batch": lambda **kw: random_mix(msda.CutMixLayer(), **kw),
    "random-sample": lambda **kw: random_mix(
        msda.FMixLayer(), **{"per": "sample"} | kw
    ),
}
#: One mode a class.
METHODS = ["mixup", "cutmix", "hmix", "gmix", "fmix", "random-batch"]


def make(name, **arguments):
    """Returns a layer of a fixed seed."""
    return LAYERS[name](**{"seed": SEED} | arguments)


def train_with(layer):
    """Returns the loss of a model that is trained with a layer inside."""
    head = keras.layers.Dense(3, "softmax")
    steps = [keras.Input((6, 5, 1)), layer, keras.layers.Flatten(), head]
    model = keras.Sequential(steps)
    model.compile("sgd", layer.loss("sparse_categorical_crossentropy"))
    x = images(8, (6, 5), 1)
    history = model.fit(x, np.arange(8) % 3, batch_size=4, verbose=0)
    return history.history["loss"][0]


def next_plan(layer, batch, size, world="eager"):
    """Returns, as NumPy arrays, the plan that the layer's next call will draw."""
    return next_plans(layer, [batch], size, world)[0]


def next_plans(layer, batches, size, world="eager"):
    """Returns the plans of the layer's next calls, of batches of the given lengths.

    All at once, for pipelines, which work ahead of who reads them. Where Keras's
    backend is not TensorFlow, a pipeline draws by TensorFlow and has its own state.
    """
    copy = type(layer).from_config(layer.get_config())
    copy._seed_state.assign(layer._seed_state.value)
    ops, state = _backend.get_backend_ops(), copy._seed_state
    if world == "mapped" and BACKEND != "tensorflow":
        ops = _backend.get_tensorflow_ops()
        state = ops.make_variable(ops.make_seed_state(layer.seed))
        if layer._pipeline_state is not None:
            state.assign(layer._pipeline_state)
    seeds = [ops.next_seed(state) for _ in batches]
    pairs = zip(batches, seeds, strict=True)
    return [arrays(copy.sample(batch, size, seed=seed)) for batch, seed in pairs]


def sample(layer, batch, size, seed, lam=None):
    """Returns a plan of `layer.sample`, drawn in the fastest way there is.

    JAX outside of a trace compiles each operation anew for each shape.
    """
    if BACKEND == "jax":
        lam = None if lam is None else np.asarray(lam, np.float32)
        return _jitted_sample()(layer, batch, size, np.asarray(seed, np.int32), lam)
    return layer.sample(batch, size, seed=seed, lam=lam)


@functools.cache
def _jitted_sample():
    import jax

    def sample(layer, batch, size, seed, lam):
        return layer.sample(batch, size, seed=seed, lam=lam)

    # Compiling takes all the time: less of it without LLVM's optimiser, in one piece.
    options = {
        "xla_backend_optimization_level": 0,
        "xla_cpu_parallel_codegen_split_count": 1,
    }
    return jax.jit(sample, static_argnums=(0, 1, 2), compiler_options=options)


def arrays(plan):
    return msda.MixPlan(*map(array, plan))


def dtype(x):
    """Returns the name of the dtype of a tensor of any library."""
    return keras.backend.standardize_dtype(x.dtype)


def array(x):
    """Returns a tensor of any library as a NumPy array."""
    if hasattr(x, "detach"):
        x = x.detach().cpu()
        return x.float().numpy() if str(x.dtype) == "torch.bfloat16" else x.numpy()
    return np.asarray(x)


def numbers(x):
    """Returns integers as they are and any floats as float64."""
    x = tf.convert_to_tensor(x)
    return (tf.cast(x, "float64") if x.dtype.is_floating else x).numpy()


def images(batch, size, channels=3, seed=0):
    """Returns random images in [0, 1)."""
    return np.random.default_rng(seed).random((batch, *size, channels), np.float32)


def signatures(batch, size):
    """Returns images that show the plan that mixed them.

    Image i is 1 in channel i and 0 in the others: of a mixed image the own channel is
    the mask, and the partner's is 1 less the mask, both bit for bit.
    """
    eye = np.eye(batch, dtype=np.float32).reshape(batch, *[1] * len(size), batch)
    return np.broadcast_to(eye, (batch, *size, batch)).copy()


def pixel_means(mask):
    return mask.astype(np.float64).reshape(len(mask), -1).mean(axis=1)


def count(size):
    return math.prod(size)


def check_common(outputs, inputs, plan, classes):
    """Checks the keys of a dictionary, its images, class ids and names of samples."""
    assert_equal(sorted(outputs), sorted(inputs))
    images = oracles.mix_images(inputs["images"], plan.partner, plan.mask)
    assert_allclose(outputs["images"], images, rtol=0, atol=1e-6)
    if "labels" in inputs:
        labels = oracles.one_hot(inputs["labels"], classes)
        labels = oracles.mix_labels(labels, plan.partner, plan.weight)
        assert_allclose(outputs["labels"], labels, rtol=0, atol=1e-6)
    if "id" in inputs:
        assert_array_equal(outputs["id"], inputs["id"])


# Worlds: each takes a layer and what it is called with, and returns the layer that
# drew and what that returned.


def eager(layer, *inputs, **options):
    return layer(*inputs, **options)


def graph(layer, *inputs, **options):
    return tf.function(lambda *args: layer(*args, **options))(*inputs)


def compiled(layer, *inputs, **options):
    call = tf.function(lambda *args: layer(*args, **options), jit_compile=True)
    return call(*inputs)


def jitted(layer, *inputs, **options):
    import jax

    images = inputs[0]["images"] if isinstance(inputs[0], dict) else inputs[0]
    if not layer.built:
        layer.build(images.shape)
        layer.built = True

    def step(state, *inputs):
        return layer.stateless_call([], state, *inputs, **options)

    state = [variable.value for variable in layer.non_trainable_variables]
    outputs, state = jax.jit(step)(state, *inputs)
    for variable, value in zip(layer.non_trainable_variables, state, strict=True):
        variable.assign(value)
    return outputs


def dynamo(layer, *inputs, **options):
    import torch

    inputs = keras.tree.map_structure(keras.ops.convert_to_tensor, inputs)
    layer(*inputs, **options | {"training": False})  # Builds it.
    # Traced as for any compiler; what that makes of it is another test's.
    call = torch.compile(lambda *args: layer(*args, **options), backend="aot_eager")
    return call(*inputs)


def mapped(layer, *inputs, **options):
    dataset = tf.data.Dataset.from_tensors(inputs)
    return next(iter(dataset.map(lambda *args: layer(*args, **options))))


WORLDS = {
    "tensorflow": {
        "eager": eager,
        "graph": graph,
        "compiled": compiled,
        "mapped": mapped,
    },
    "jax": {"eager": eager, "compiled": jitted, "mapped": mapped},
    "torch": {"eager": eager, "compiled": dynamo, "mapped": mapped},
}[BACKEND]


def worlds(*names):
    """Returns the named worlds, those that Keras's backend has."""
    return [name for name in names if name in WORLDS]
