"""The form of every error: owner, rule, what was received, remedy."""

import contextlib
import re

import pytest
from numpy.testing import assert_equal

#: One line: owner, rule, what was received, remedy.
FORM = (
    r"{}: (?P<rule>.+\.) Received: (?P<received>.+)\. (?P<remedy>[A-Z0-9`].+\.)(?=\s|$)"
)


def check_error(call, owner, kind, rule, received):
    """Checks that a call raises the error, in the house's form."""
    with pytest.raises(kind) as caught:
        call()
    found = _read(caught.value, owner, kind)
    assert rule in found["rule"], found[0]
    assert received in found["received"], found[0]


@contextlib.contextmanager
def refused(owner, *words, kind=ValueError):
    """Checks that a block raises an error of the house's form, with these words."""
    with pytest.raises(kind) as caught:
        yield
    found = _read(caught.value, owner, kind)
    for word in words:
        assert word in found[0], found[0]


def _read(error, owner, kind):
    """Returns the match of an error of exactly this kind with the form."""
    assert_equal(type(error), kind)
    # Keras adds colours, and lines before and behind.
    text = re.sub(r"\x1b\[\d*m", "", str(error.args[0]))
    found = re.search(FORM.format(owner), text)
    assert found, text
    return found
