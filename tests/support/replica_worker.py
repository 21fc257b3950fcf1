"""What a process of a strategy does: trains by hand or by `fit`, and tells its draws.

Run as `python -m tests.support.replica_worker KIND`, where KIND is "mirrored" (four
logical devices) or "worker" (one of the processes that TF_CONFIG names). Prints JSON.

A worker may be given a folder to keep its state in after each step, from which it goes
on where it finds one, and the number of a step that it is killed in.
"""

import json
import os
import signal
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import tensorflow as tf

# Before anything else computes, which importing Keras does.
KIND = sys.argv[1]
STEPS = 4
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
from tests.support.handing_off import answering, compiled, residual, revealing


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
    """Returns number, loss and draws of this worker's steps in a loop."""
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

    folder, killed = Path(sys.argv[2]), int(sys.argv[3])
    # Each worker its own: all must read and write, and the chief's alone would be kept.
    state = folder / f"state-{strategy.cluster_resolver.task_id}"
    done = tf.Variable(0, dtype=tf.int64)
    checkpoint = tf.train.Checkpoint(layer=layer, done=done)
    if Path(f"{state}.index").exists():
        checkpoint.read(str(state)).assert_consumed()
    steps = []
    for number in range(int(done.numpy()), STEPS):
        batch = [tf.constant(x) for x in answering(8, seed=number)]
        if number == killed:
            os.kill(os.getpid(), signal.SIGKILL)
        values, weight = step(*batch)
        loss = float(np.abs(values.numpy()).max())
        steps.append((number, loss, weight.numpy().tolist()))
        print(json.dumps(steps), flush=True)
        done.assign_add(1)
        checkpoint.write(str(state))
    return steps


if __name__ == "__main__":
    print(json.dumps({"mirrored": mirrored, "worker": worker}[KIND]()))
