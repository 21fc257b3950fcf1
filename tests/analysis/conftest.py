"""What tests of derivatives share."""

import pytest

from tests.support import quadratic


@pytest.fixture
def float64():
    """Lets JAX have float64."""
    if quadratic.BACKEND != "jax":
        yield
        return
    import jax

    with jax.enable_x64(True):
        yield
