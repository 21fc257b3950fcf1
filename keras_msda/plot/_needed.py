"""Says how to install Matplotlib, where it is missing."""

import importlib.util

from keras_msda import _checks

if importlib.util.find_spec("matplotlib") is None:
    _checks.fail_no_matplotlib()
