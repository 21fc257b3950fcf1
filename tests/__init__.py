"""Tests. What they share is in `tests.support`."""

import pytest

# Asserts there say what they compared, as those of tests do.
pytest.register_assert_rewrite("tests.support")
