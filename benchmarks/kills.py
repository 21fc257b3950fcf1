"""Kills trainings at random moments, resumes them, and compares them bit for bit.

A training with `keras.callbacks.BackupAndRestore` is killed by SIGKILL, started again,
killed again, until it ends. It notes the mixed images and the labels of each step. Each
step that was done again must have the same ones as in a training that nobody killed,
and the network must be the same at the end. The layer is in the pipeline and inside the
model in turn. There is no Dropout: the state of its seeds is none of the weights that
Keras saves.
"""

import argparse
import hashlib
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

from judging import print_row, print_summary

PLACES = ("pipeline", "model")
EPOCHS, STEPS, BATCH, CLASSES = 6, 16, 16, 4
#: A step waits, so that a training lasts longer than the start of its process.
WAIT = 0.03
#: A training that was killed so often may end.
KILLS_EACH = 3


class Run(NamedTuple):
    """What a training left behind.

    Attributes:
        steps: Hashes of mixes by "epoch/step", each with all that were noted.
        weights: Hash of the network and of the optimizer at the end.
        starts: Epochs that its processes began with.
        torn: Processes that found weights of another epoch than Keras's notes.
    """

    steps: dict[str, list[str]]
    weights: str
    starts: list[int]
    torn: int


# Run in a process of its own.


def make_layer(place: str) -> Any:
    """Returns a layer that mixes each batch by one of three methods."""
    import keras_msda as msda

    layers = [msda.CutMixLayer(), msda.HMixLayer(), msda.FMixLayer()]
    classes = CLASSES if place == "pipeline" else None
    return msda.RandomMixLayer(layers, num_classes=classes, seed=1)


def train(place: str, folder: Path) -> None:
    """Trains from the last backup to the end, and notes what it does."""
    import keras
    import numpy as np
    import tensorflow as tf

    import keras_msda as msda

    keras.utils.set_random_seed(1)
    tf.config.experimental.enable_op_determinism()
    rng = np.random.default_rng(1)
    images = rng.random((STEPS * BATCH, 16, 16, 3)).astype("float32")
    ids = rng.integers(0, CLASSES, len(images)).astype("int32")
    layer, epoch = make_layer(place), tf.Variable(0, dtype=tf.int64)
    data = tf.data.Dataset.from_tensor_slices((images, ids)).batch(BATCH)
    if place == "pipeline":
        data = data.apply(msda.mixing(layer, seed=7, epoch=epoch))
    seen = [tf.Variable(tf.zeros(x)) for x in ([BATCH], [BATCH, CLASSES])]
    model = make_model(layer, place, seen)
    note = make_note(seen, folder, epoch)
    backup = keras.callbacks.BackupAndRestore(
        str(folder / "backup"), delete_checkpoint=False
    )
    model.fit(data, epochs=EPOCHS, callbacks=[backup, note], verbose=0, shuffle=False)
    values = [np.asarray(x) for x in (*model.weights, *model.optimizer.variables)]
    digest = hashlib.sha256(b"".join(x.tobytes() for x in values)).hexdigest()
    (folder / "end.txt").write_text(digest)


def make_model(layer: Any, place: str, seen: Any) -> Any:
    """Returns a compiled network that keeps what its last step saw in variables."""
    import keras
    import tensorflow as tf

    class Seen(keras.layers.Layer):
        """Keeps the means of the images that come in, which show the mixes."""

        def call(self, images: Any) -> Any:
            seen[0].assign(tf.reduce_mean(images, [1, 2, 3]))
            return images

    class Labels(keras.metrics.Mean):
        """Keeps the labels that come in: soft ones, or ids."""

        def update_state(self, y_true: Any, *_: Any, **__: Any) -> None:
            columns = tf.reshape(tf.cast(y_true, "float32"), [BATCH, -1])
            seen[1].assign(columns + tf.zeros([BATCH, CLASSES]))

    parts = [layer] if place == "model" else []
    model = keras.Sequential([keras.Input((16, 16, 3)), *parts, Seen()])
    model.add(keras.layers.Conv2D(8, 3, strides=2, activation="relu"))
    model.add(keras.layers.Flatten())
    model.add(keras.layers.Dense(CLASSES, activation="softmax"))
    loss = "categorical_crossentropy"
    if place == "model":
        loss = layer.loss("sparse_categorical_crossentropy")
    model.compile("adam", loss, metrics=[Labels()], jit_compile=False)
    return model


def make_note(seen: Any, folder: Path, epoch: Any) -> Any:
    """Returns a callback that appends a hash of each step's mixes to a file."""
    import keras

    class Note(keras.callbacks.Callback):
        """Appends a line per step."""

        def on_train_begin(self, *_: Any, **__: Any) -> None:
            self.file = (folder / "steps.txt").open("a", buffering=1)
            start = self.model._initial_epoch or 0
            done = int(self.model.optimizer.iterations)
            self.file.write(f"start {start} {done - STEPS * start}\n")
            print("training", flush=True)

        def on_epoch_begin(self, number: int, *_: Any, **__: Any) -> None:
            self.number = number
            epoch.assign(number)

        def on_train_batch_end(self, batch: int, *_: Any, **__: Any) -> None:
            mixed = b"".join(x.numpy().tobytes() for x in seen)
            digest = hashlib.sha256(mixed).hexdigest()[:16]
            self.file.write(f"{self.number}/{batch} {digest}\n")
            time.sleep(WAIT)

    return Note()


# Killing and comparing.


def start(place: str, folder: Path) -> subprocess.Popen[str]:
    """Starts a process, and returns it when it begins to train."""
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", __file__, "--worker", place, str(folder)],
        env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    if process.stdout is None or process.stdout.readline() != "training\n":
        raise RuntimeError(f"{place} failed:\n{process.communicate()[1]}")
    return process


def finish(place: str, folder: Path) -> float:
    """Trains to the end, and returns the seconds that training took."""
    process = start(place, folder)
    begun = time.perf_counter()
    _, errors = process.communicate()
    if process.returncode:
        raise RuntimeError(f"{place} failed:\n{errors}")
    return time.perf_counter() - begun


def kill_often(
    place: str, folder: Path, seconds: float, kills: int, rng: random.Random
) -> int:
    """Kills a training several times, lets it end, and returns how often it was."""
    done = 0
    for left in range(kills, 0, -1):
        process = start(place, folder)
        # An equal part of the training for each of the kills to come.
        time.sleep(rng.uniform(0, 2 * seconds / (left + 1)))
        alive = process.poll() is None
        process.kill()
        process.communicate()
        done += alive
        if not alive:
            return done
    finish(place, folder)
    return done


def read(folder: Path) -> Run:
    """Returns what a training noted; the last line of a killed one may be cut off."""
    steps: dict[str, list[str]] = {}
    starts, torn = [], 0
    for line in (folder / "steps.txt").read_text().splitlines():
        words = line.replace("start", "\nstart").split("\n")[-1].split()
        if words[:1] == ["start"]:
            starts.append(int(words[1]))
            torn += words[2] != "0"
        elif len(words) == 2 and len(words[1]) == 16:
            steps.setdefault(words[0], []).append(words[1])
    return Run(steps, (folder / "end.txt").read_text(), starts, torn)


def compare(found: Run, expected: Run) -> dict[str, Any]:
    """Returns how a training that was killed differs from one that was not."""
    wrong = [
        name
        for name, values in expected.steps.items()
        if set(found.steps.get(name, [])) != set(values)
    ]
    return {
        "starts": found.starts,
        "torn": found.torn,
        "steps done": sum(map(len, found.steps.values())),
        "steps with other mixes": wrong,
        "weights equal": found.weights == expected.weights,
    }


def run_place(place: str, kills: int, rng: random.Random) -> list[dict[str, Any]]:
    """Kills trainings of a place until there were enough kills."""
    found = []
    with tempfile.TemporaryDirectory() as name:
        whole = Path(name) / "whole"
        whole.mkdir()
        seconds = finish(place, whole)
        expected, left = read(whole), kills
        while left > 0:
            folder = Path(name) / f"run{len(found)}"
            folder.mkdir()
            count = kill_often(place, folder, seconds, min(left, KILLS_EACH), rng)
            found.append({"kills": count, **compare(read(folder), expected)})
            print(f"{place}: {json.dumps(found[-1])}", flush=True)
            left -= count
    return found


def main() -> int:
    """Kills trainings in both places, and returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=20, help="of both places together")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--out", type=Path, help="write the trainings as JSON")
    parser.add_argument("--worker", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        train(options.worker[0], Path(options.worker[1]))
        return 0
    rng = random.Random(options.seed)
    rows, trainings = [], {}
    for place, kills in zip(
        PLACES, ((options.kills + 1) // 2, options.kills // 2), strict=True
    ):
        found = trainings[place] = run_place(place, kills, rng)
        survived = [x["kills"] for x in found]
        wrong = [len(x["steps with other mixes"]) for x in found]
        other = [not x["weights equal"] for x in found]
        rows.append(print_row(f"{place}: kills", [sum(survived)], kills, least=True))
        rows.append(print_row(f"{place}: steps with other mixes", [sum(wrong)], 0))
        rows.append(print_row(f"{place}: other networks at the end", [sum(other)], 0))
    code = print_summary(rows)
    if options.out:
        result = {"seed": options.seed, "rows": rows, "trainings": trainings}
        options.out.write_text(json.dumps(result, indent=1) + "\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
