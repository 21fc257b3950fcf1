"""What tests of derivatives share."""

import pytest

from tests.analysis import models


@pytest.fixture
def float64():
    """Lets JAX have float64."""
    if models.BACKEND != "jax":
        yield
        return
    import jax

    with jax.enable_x64(True):
        yield
