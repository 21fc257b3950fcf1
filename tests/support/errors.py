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
    assert_equal(type(caught.value), kind)
    # Keras adds colours, and lines before and behind.
    text = re.sub(r"\x1b\[\d*m", "", str(caught.value.args[0]))
    found = re.search(FORM.format(owner), text)
    assert found, text
    assert rule in found["rule"], text
    assert received in found["received"], text


@contextlib.contextmanager
def refused(owner, *words, kind=ValueError):
    """Checks that a block raises an error of the house's form, with these words."""
    with pytest.raises(kind) as caught:
        yield
    text = re.sub(r"\x1b\[\d*m", "", str(caught.value.args[0]))
    assert re.search(FORM.format(owner), text), text
    for word in words:
        assert word in text, text
