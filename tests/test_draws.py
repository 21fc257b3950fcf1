"""Draws of every seed are those of the releases before: compared with noted numbers."""

import pytest
from numpy.testing import assert_allclose, assert_equal

from tests.support import draws

NOTED = draws.read()


def assert_drawn(received, noted, name):
    """Checks partners exactly, weights and masks as far as processors agree."""
    assert_equal(received["partner"], noted["partner"])
    # Sums of float32 in another order differ by less.
    assert_allclose(received["weight"], noted["weight"], rtol=0, atol=1e-6)
    # Where two pixels of a field differ by rounding alone, the processor decides
    # which of them is shown; one of the smallest images is 1/14 of its mask.
    size = draws.SETTINGS[name][1]
    pixels = size[1] if "columns" in name else draws.np.prod(size)
    fields = name.startswith(("fmix", "random"))
    atol = 1.0 / pixels if fields else 1e-6
    assert_allclose(received["mask"], noted["mask"], rtol=0, atol=atol)


@pytest.mark.whole
@pytest.mark.parametrize("name", draws.NAMES)
def test_a_plan_is_the_one_that_its_seed_has_always_drawn(name):
    noted = NOTED[draws.BACKEND]["sample"][name]
    assert_drawn(draws.sampled(name), noted, name)


@pytest.mark.long
@pytest.mark.whole
@pytest.mark.parametrize("name", draws.NAMES)
def test_calls_draw_what_they_have_always_drawn(name):
    noted = NOTED[draws.BACKEND]["calls"][name]
    for received, expected in zip(draws.called(name), noted, strict=True):
        assert_drawn(received, expected, name)


@pytest.mark.long
@pytest.mark.parametrize("name", draws.PIPED)
def test_pipelines_draw_what_they_have_always_drawn(name):
    noted = NOTED["pipeline"]["mixing"][name]
    for received, expected in zip(draws.piped(name), noted, strict=True):
        assert_drawn(received, expected, name)


@pytest.mark.parametrize("name", draws.PIPED[:1])
def test_a_mapped_layer_draws_what_it_has_always_drawn(name):
    noted = NOTED["pipeline"]["map"][name]
    for received, expected in zip(draws.mapped(name), noted, strict=True):
        assert_drawn(received, expected, name)


def test_two_settings_of_a_method_draw_differently():
    drawn = {name: str(noted) for name, noted in NOTED["tensorflow"]["sample"].items()}
    assert len(set(drawn.values())) == len(drawn)
