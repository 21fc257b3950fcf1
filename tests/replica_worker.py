"""What a process of a strategy does: trains by hand or by `fit`, and tells its draws.

Run as `python -m tests.replica_worker KIND`, where KIND is "mirrored" (four logical
devices) or "worker" (one of the processes that TF_CONFIG names). Prints JSON.
"""

import json
import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import tensorflow as tf

# Before anything else computes, which importing Keras does.
KIND = sys.argv[1]
if KIND == "mirrored":
    tf.config.set_logical_device_configuration(
        tf.config.list_physical_devices("CPU")[0],
        [tf.config.LogicalDeviceConfiguration()] * 4,
    )
    strategy = tf.distribute.MirroredStrategy([f"CPU:{n}" for n in range(4)])
else:
    strategy = tf.distribute.MultiWorkerMirroredStrategy()

import keras
import numpy as np

import keras_msda as msda
from tests.test_handoff import answering, compiled, residual, revealing


def mirrored():
    """Returns the history of `fit` over four devices."""
    images, labels, weights = answering(61)
    with strategy.scope():
        layer = msda.HMixLayer(seed=3)
        model = compiled(revealing(layer), layer)
    # 61 leave 13 for the last batch of 16: 4, 4, 4 and 1.
    fit = model.fit(images, labels, 16, verbose=0, sample_weight=weights)
    return fit.history


def worker():
    """Returns what this worker drew in three steps of a loop, and its losses."""
    with strategy.scope():
        layer = msda.HMixLayer(seed=3, pairing="derangement")
        layer.build((None, 8, 8, 2))
        head = keras.layers.Dense(2, use_bias=False, kernel_initializer="identity")
        head.build((None, 2))
        optimizer = keras.optimizers.SGD(0.0)
        optimizer.build(head.trainable_variables)
    loss = layer.loss(residual, reduction="none")

    @tf.function
    def step(images, labels, weights):
        def run(images, labels, weights):
            with tf.GradientTape() as tape:
                mixed = layer(images, training=True)
                values = loss(labels, head(tf.reduce_mean(mixed, [1, 2])), weights)
                total = tf.reduce_sum(tf.abs(values))
            variables = head.trainable_variables
            optimizer.apply(tape.gradient(total, variables), variables)
            plan = layer.replay(8)
            return values, plan.weight

        return strategy.run(run, (images, labels, weights))

    losses, drawn = [], []
    for seed in range(3):
        values, weight = step(*(tf.constant(x) for x in answering(8, seed=seed)))
        losses.append(float(np.abs(values.numpy()).max()))
        drawn.append(weight.numpy().tolist())
    return {"losses": losses, "weights": drawn}


if __name__ == "__main__":
    print(json.dumps({"mirrored": mirrored, "worker": worker}[KIND]()))
