"""The README's code runs as it stands there, one block after the other."""

import re
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose

from tests.support import examples

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = examples.readme_blocks(ROOT)

pytestmark = [
    pytest.mark.slow,
    # Keras says so of every data set, unless `fit` is given `shuffle=False`.
    pytest.mark.filterwarnings("ignore:`shuffle=True` was passed:UserWarning"),
]


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """The names after each block; the blocks share them, as when they are pasted."""
    folder = tmp_path_factory.mktemp("reader")
    examples.write_photos(folder)
    names, found = {"__name__": "__main__"}, []
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for block in BLOCKS:
            exec(compile(block, "README.md", "exec"), names)
            found.append(dict(names))
        yield found


def test_each_of_the_three_places_is_a_script_of_its_own():
    assert len(BLOCKS) == 3
    for block in BLOCKS:
        assert block.startswith("import keras\nimport keras_msda as msda\n")
        assert "image_dataset_from_directory(" in block


def test_the_first_script_has_at_most_eighteen_lines():
    assert len([line for line in BLOCKS[0].split("\n") if line]) <= 18


def test_the_pipeline_mixes_training_data_alone(found):
    names = found[0]
    soft = np.concatenate([labels for _, labels in names["train"]])
    plain = np.concatenate([labels for _, labels in names["val"]])
    assert_allclose(soft.sum(1), 1, rtol=0, atol=1e-6)
    assert soft.shape[1] == plain.shape[1] == len(examples.CLASSES)
    assert ((soft > 0.01) & (soft < 0.99)).any()
    assert set(np.unique(plain)) <= {0.0, 1.0}


@pytest.mark.parametrize("block", [0, 1])
def test_the_models_of_the_readme_are_evaluated(found, block):
    names = found[block]
    scores = names["model"].evaluate(names["val"], verbose=0)
    assert np.isfinite(scores).all()


def test_the_layer_inside_the_model_does_not_mix_in_evaluate(found):
    names = found[1]
    images = np.concatenate([images for images, _ in names["val"]])
    assert_allclose(names["hmix"](images, training=False), images, rtol=0, atol=0)


def test_the_step_of_its_own_learns_on_finite_losses(found):
    losses = np.array([float(x) for x in found[2]["losses"]])
    assert np.isfinite(losses).all()


def test_the_readme_says_which_method_in_five_lines_and_lists_five_mistakes():
    methods = re.search(r"## Which method\?\n\n(.*?)\n\n\[", README, re.DOTALL)[1]
    assert len(re.findall(r"^- ", methods, re.MULTILINE)) == 5
    mistakes = re.search(r"## Five mistakes\n(.*?)\n## ", README, re.DOTALL)[1]
    assert len(re.findall(r"^\d\. ", mistakes, re.MULTILINE)) == 5
