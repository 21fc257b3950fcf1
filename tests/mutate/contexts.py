"""A plugin of pytest that tells coverage which test runs."""

from collections.abc import Iterator
from typing import Any

import coverage
import pytest


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: Any) -> Iterator[None]:
    """Names what is run after the test, its fixtures included."""
    watcher = coverage.Coverage.current()
    if watcher is not None:
        watcher.switch_context(item.nodeid)
    result = yield
    if watcher is not None:
        watcher.switch_context("")
    return result
