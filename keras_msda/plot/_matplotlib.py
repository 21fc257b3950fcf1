"""Checks for Matplotlib, and says how to install it."""

import importlib.util

from keras_msda import _errors

if importlib.util.find_spec("matplotlib") is None:
    _errors.fail(
        "keras_msda.plot",
        "figures are drawn by Matplotlib.",
        "a Python without Matplotlib",
        "Install it by `pip install 'keras_msda[demo]'`.",
        ImportError,
    )
