"""The command line: `python -m keras_msda`, also `keras-msda`."""

from keras_msda.cli._main import main

__all__ = ["main"]
