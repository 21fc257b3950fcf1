"""What layers draw for a seed, in few numbers, and the program that notes it.

`KERAS_BACKEND=... python -m tests.support.draws` writes the numbers of one backend into
tests/fixtures/draws.json. To be run only when draws are to change.
"""

import json
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

import keras_msda as msda

FIXTURE = Path(__file__).parents[1] / "fixtures" / "draws.json"
BACKEND = keras.config.backend()
BATCH, SEED, PAIR = 6, 11, (3, 5)
CALLS = 3
FLAT, LINE, SOLID = (9, 14), (31,), (5, 6, 9)


def random_mix(**arguments):
    members = [msda.MixUpLayer(alpha=0.8), msda.CutMixLayer(), msda.FMixLayer()]
    return msda.RandomMixLayer(members, weights=[1, 2, 3], **arguments)


#: Name -> layer class, size of images, arguments. Other backends than TensorFlow take
#: the first of each class: their libraries draw other bits, and JAX compiles each one.
SETTINGS = {
    "mixup": (msda.MixUpLayer, FLAT, {}),
    "cutmix": (msda.CutMixLayer, FLAT, {}),
    "hmix": (msda.HMixLayer, FLAT, {}),
    "gmix": (msda.GMixLayer, FLAT, {}),
    "fmix": (msda.FMixLayer, FLAT, {}),
    "random": (random_mix, FLAT, {}),
    "random-sample": (random_mix, FLAT, {"per": "sample"}),
    "mixup-alpha": (msda.MixUpLayer, FLAT, {"alpha": 0.2}),
    "mixup-alphas": (msda.MixUpLayer, FLAT, {"alpha": (2.0, 5.0)}),
    "mixup-probability": (msda.MixUpLayer, FLAT, {"probability": 0.5}),
    "mixup-own": (msda.MixUpLayer, FLAT, {"targets": "own"}),
    "mixup-fold": (msda.MixUpLayer, FLAT, {"fold": True}),
    "mixup-pair": (msda.MixUpLayer, FLAT, {"per": "pair"}),
    "mixup-batch": (msda.MixUpLayer, FLAT, {"per": "batch"}),
    "mixup-derangement": (msda.MixUpLayer, FLAT, {"pairing": "derangement"}),
    "mixup-reverse": (msda.MixUpLayer, FLAT, {"pairing": "reverse"}),
    "mixup-roll": (msda.MixUpLayer, FLAT, {"pairing": "roll"}),
    "mixup-groups": (msda.MixUpLayer, FLAT, {"groups": 2}),
    "mixup-uneven": (msda.MixUpLayer, FLAT, {"groups": 4, "pairing": "derangement"}),
    "cutmix-odd": (msda.CutMixLayer, FLAT, {"border": "clip_odd"}),
    "cutmix-wrap": (msda.CutMixLayer, FLAT, {"border": "wrap"}),
    "cutmix-inside": (msda.CutMixLayer, FLAT, {"border": "inside"}),
    "cutmix-range": (msda.CutMixLayer, FLAT, {"ratio_range": (0.2, 0.8)}),
    "cutmix-range-open": (
        msda.CutMixLayer,
        FLAT,
        {"ratio_range": (0.2, 0.8), "ratio_endpoint": False},
    ),
    "cutmix-drawn": (msda.CutMixLayer, FLAT, {"exact_weight": False}),
    "cutmix-line": (msda.CutMixLayer, LINE, {"border": "wrap"}),
    "cutmix-solid": (msda.CutMixLayer, SOLID, {}),
    "cutmix-rows": (msda.CutMixLayer, FLAT, {"mask_axes": (1,)}),
    "cutmix-pair": (msda.CutMixLayer, FLAT, {"per": "pair", "pairing": "reverse"}),
    "cutmix-groups": (msda.CutMixLayer, FLAT, {"groups": 2, "per": "pair"}),
    "cutmix-half": (
        msda.CutMixLayer,
        FLAT,
        {"per": "batch", "probability": 0.5, "border": "inside"},
    ),
    "hmix-wrap": (msda.HMixLayer, FLAT, {"border": "wrap"}),
    "hmix-inside": (msda.HMixLayer, FLAT, {"border": "inside", "box_ratio": 0.8}),
    "hmix-solid": (msda.HMixLayer, SOLID, {"border": "clip_odd"}),
    "hmix-batch": (msda.HMixLayer, FLAT, {"per": "batch"}),
    "gmix-wrap": (msda.GMixLayer, FLAT, {"border": "wrap"}),
    "gmix-own": (msda.GMixLayer, FLAT, {"targets": "own"}),
    "gmix-line": (msda.GMixLayer, LINE, {}),
    "gmix-solid": (msda.GMixLayer, SOLID, {"border": "wrap"}),
    "fmix-official": (msda.FMixLayer, FLAT, {"spectrum": "official"}),
    "fmix-decay": (msda.FMixLayer, FLAT, {"decay_power": 1.5}),
    "fmix-soft": (msda.FMixLayer, FLAT, {"max_soft": 0.3}),
    "fmix-own": (msda.FMixLayer, FLAT, {"targets": "own"}),
    "fmix-line": (msda.FMixLayer, LINE, {}),
    "fmix-solid": (msda.FMixLayer, SOLID, {}),
    "fmix-columns": (msda.FMixLayer, FLAT, {"mask_axes": (2,), "fold": True}),
    "fmix-pair": (msda.FMixLayer, FLAT, {"per": "pair", "probability": 0.7}),
    "random-uneven": (random_mix, FLAT, {"groups": 4, "per": "sample"}),
    "random-half": (random_mix, SOLID, {"probability": 0.5, "per": "sample"}),
}
NAMES = list(SETTINGS) if BACKEND == "tensorflow" else list(SETTINGS)[:6]
#: What pipelines draw is TensorFlow's, whatever Keras's backend is.
PIPED = ["mixup", "cutmix-half", "hmix-batch", "gmix", "fmix-own", "random-sample"]


def make(name):
    """Returns a new layer of a setting, and the size of its images."""
    kind, size, arguments = SETTINGS[name]
    # Compiling would take most of the time; other tests compare it with this.
    arguments = {"jit_compile": False, "num_classes": BATCH} | arguments
    return kind(seed=SEED, **arguments), size


def inputs(size):
    """Returns images that show the plan that mixed them, and their labels.

    Image i is 1 in channel i and 0 in the others: of a mixed image the own channel is
    the mask, and the partner's is 1 less the mask.
    """
    eye = np.eye(BATCH, dtype=np.float32).reshape(BATCH, *[1] * len(size), BATCH)
    images = np.broadcast_to(eye, (BATCH, *size, BATCH)).copy()
    return images, np.arange(BATCH)


def array(x):
    return np.asarray(x.detach().cpu() if hasattr(x, "detach") else x)


def summary(partner, weight, mask):
    """Returns partners, weights and one number for each mask.

    That number is the mean of the mask times a fixed pattern in [0, 1) without any
    symmetry, so that no two masks of zeros and ones share it.
    """
    flat = array(mask).astype(np.float64).reshape(BATCH, -1)
    pattern = np.arange(1, flat.shape[1] + 1) * (np.sqrt(5) - 1) / 2 % 1
    columns = array(weight).astype(np.float64), flat @ pattern / flat.shape[1]
    return {
        "partner": array(partner).tolist(),
        "weight": [float(f"{x:.9g}") for x in columns[0]],
        "mask": [float(f"{x:.9g}") for x in columns[1]],
    }


def shown(outputs):
    """Returns the summary of the plan that a mixed batch of `inputs` shows.

    A partner that no pixel shows counts as the sample itself.
    """
    images, labels = map(array, outputs)
    own = np.arange(BATCH)
    mask = images[own, ..., own]
    totals = images.reshape(BATCH, -1, BATCH).sum(axis=1, dtype=np.float64)
    totals[own, own] = 0
    partner = np.where(totals.max(axis=1) > 0, totals.argmax(axis=1), own)
    return summary(partner, labels[own, own], mask)


def sampled(name):
    """Returns what `layer.sample` draws for a seed."""
    layer, size = make(name)
    return summary(*_named(layer.sample(batch=BATCH, size=size, seed=PAIR)))


def _named(plan):
    return plan.partner, plan.weight, plan.mask


def called(name):
    """Returns what calls draw in a row, by the layer's own sequence."""
    layer, size = make(name)
    images, labels = inputs(size)
    return [shown(layer(images, labels, training=True)) for _ in range(CALLS)]


def piped(name):
    """Returns what a pipeline draws in two epochs of two batches, by `mixing`."""
    layer, size = make(name)
    data = tf.data.Dataset.from_tensors(inputs(size)).repeat(2)
    data = data.apply(msda.mixing(layer, seed=SEED))
    return [shown(batch) for _ in range(2) for batch in data]


def mapped(name):
    """Returns what a pipeline draws by `Dataset.map` and the layer's own sequence."""
    layer, size = make(name)
    data = tf.data.Dataset.from_tensors(inputs(size)).repeat(CALLS).map(layer)
    return [shown(batch) for batch in data]


def all_draws():
    """Returns the draws of this backend, by kind and setting."""
    return {
        "sample": {name: sampled(name) for name in NAMES},
        "calls": {name: called(name) for name in NAMES},
    }


def pipeline_draws():
    """Returns the draws of pipelines, by kind and setting."""
    return {
        "mixing": {name: piped(name) for name in PIPED},
        "map": {name: mapped(name) for name in PIPED[:1]},
    }


def read():
    """Returns the committed draws."""
    return json.loads(FIXTURE.read_text()) if FIXTURE.exists() else {}


def write():
    """Notes the draws of this backend, and of pipelines where it is TensorFlow."""
    draws = read() | {BACKEND: all_draws()}
    if BACKEND == "tensorflow":
        draws["pipeline"] = pipeline_draws()
    lines = []
    for section, kinds in sorted(draws.items()):
        for kind, names in kinds.items():
            rows = [f"  {json.dumps(n)}: {json.dumps(d)}" for n, d in names.items()]
            lines.append((section, kind, ",\n".join(rows)))
    text = {section: [] for section, _, _ in lines}
    for section, kind, rows in lines:
        text[section].append(f" {json.dumps(kind)}: {{\n{rows}\n }}")
    parts = [f"{json.dumps(s)}: {{\n" + ",\n".join(k) + "\n}" for s, k in text.items()]
    FIXTURE.write_text("{" + ",\n".join(parts) + "}\n")


if __name__ == "__main__":
    write()
