"""Files that older versions saved: they load, predict the same and train on.

The files of 0.1.0 were written by its code, those of 0.2.0 by 0.2.0; a release adds its
own by `tests/support/version_files.py`, and none is ever replaced.
"""

from pathlib import Path

import keras
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import keras_msda as msda
from tests.support import version_files
from tests.support.marks import written_by_newer

FOLDER = Path(__file__).parent / "fixtures" / "versions"
VERSIONS = sorted(path.stem for path in FOLDER.glob("*.keras"))
pytestmark = written_by_newer
each_version = pytest.mark.parametrize("version", VERSIONS)


def loaded(version):
    return keras.saving.load_model(FOLDER / f"{version}.keras")


def mixing_layers(model):
    return {x.name: x for x in model.layers if isinstance(x, msda.MixLayer)}


def expected(version):
    with np.load(FOLDER / f"{version}.npz") as found:
        return dict(found)


def assert_weights(model, version):
    values = expected(version)
    for number, weights in enumerate(model.trainable_variables):
        assert_array_equal(np.asarray(weights), values[f"weights_{number}"])
    predicted = model.predict(version_files.make_images(), verbose=0)
    assert_allclose(predicted, values["predicted"], rtol=1e-5, atol=1e-6)


def test_there_are_files_of_every_minor_version():
    minor = {version.rpartition(".")[0] for version in VERSIONS}
    major, _, last = msda.__version__.rpartition(".")[0].partition(".")
    assert minor == {f"{major}.{n}" for n in range(1, int(last) + 1)}


@pytest.mark.long
@each_version
def test_a_model_of_an_older_version_predicts_the_same_and_trains_on(version):
    model = loaded(version)
    assert_weights(model, version)
    assert model.loss.layer is mixing_layers(model)["hmixlayer"]
    # The other layers have no loss here, of which they warn.
    with pytest.warns(msda.MixWarning):
        assert np.isfinite(version_files.train(model))


@pytest.mark.long
@each_version
def test_layers_of_an_older_version_have_their_arguments(version):
    model = loaded(version)
    found = mixing_layers(model)
    assert len(found) == model.get_layer(index=-2).output.shape[-1]
    for name, arguments in version_files.ARGUMENTS.items():
        layer = found.pop(name.lower(), None)
        for key, value in arguments.items() if layer else ():
            assert getattr(layer, key) == value, (name, key)
    assert found.keys() == {"randommixlayer"}
    assert [type(x) for x in found["randommixlayer"].layers] == [
        msda.MixUpLayer,
        msda.FMixLayer,
    ]


@pytest.mark.tensorflow
@pytest.mark.long
@each_version
def test_the_draws_of_an_older_version_go_on(version):
    images = version_files.make_images()
    first, second = (mixing_layers(loaded(version)) for _ in range(2))
    for name, layer in first.items():
        anew = type(layer).from_config(layer.get_config())
        mixed = np.asarray(layer(images, training=True))
        assert_array_equal(mixed, np.asarray(second[name](images, training=True)))
        # The saved model has drawn once. A shuffle can leave few samples mixed.
        assert np.any(mixed != np.asarray(anew(images, training=True))), name


@pytest.mark.long
@each_version
def test_weights_of_an_older_version_load_into_a_model_of_this_one(version):
    names = mixing_layers(loaded(version))
    layers = version_files.make_layers()
    layers = {k: v for k, v in layers.items() if k.lower() in names}
    model = version_files.make_model(layers)
    model.optimizer.build(model.trainable_variables)
    model.load_weights(FOLDER / f"{version}.weights.h5")
    assert_weights(model, version)
