"""Configs and lines of experiments, without any training."""

import pytest

from keras_msda.experiments import _config, _lines

SMALL = """
title: A test
data: mnist-5k
train_images: 64
test_images: 50
robust_images: 20
epochs: 1
batch_size: 32
warmup_epochs: 0
seeds: [0, 1]
scores: {fgsm: [4], noise: [0.1]}
methods:
  none:
  mixup:
"""


@pytest.fixture
def write_config(tmp_path):
    """Writes a config, with keys replaced or added, and returns its path."""

    def write(rows="", name="small.yaml", **changes):
        lines = [
            x for x in SMALL.strip().splitlines() if x.split(":")[0] not in changes
        ]
        added = [f"{key}: {value}" for key, value in changes.items() if value != ""]
        path = tmp_path / name
        path.write_text("\n".join([*added, *lines, rows]) + "\n")
        return path

    return write


@pytest.fixture
def make_lines():
    """Returns lines as finished runs leave them, with the accuracies of a function."""

    def make(config, accuracy=lambda run: 0.5 + 0.01 * run.seed):
        return [
            {
                **_lines.describe_run(run),
                "versions": VERSIONS,
                "curve": {"loss": [1.0], "accuracy": [0.5]},
                "scores": scores(accuracy(run), config),
                "seconds": 1.0,
            }
            for run in config.list_runs()
        ]

    return make


@pytest.fixture
def small(write_config):
    return _config.read_config(write_config())


VERSIONS = {"python": "3.11", "keras": "3", "tensorflow": "2", "numpy": "2"}
VERSIONS |= {"keras_msda": "0", "backend": "tensorflow", "device": "cpu:0"}
VERSIONS |= {"threads": 1, "workers": 1}


def scores(accuracy, config):
    levels = config.settings["scores"]
    robust = {
        name: {f"{x:g}": accuracy / 2 for x in each} for name, each in levels.items()
    }
    clean = {"accuracy": accuracy, "nll": 1.0, "ece": 0.1}
    return {**clean, "unchanged": {"0": accuracy}, **robust}
