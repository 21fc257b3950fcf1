"""Runs the command line: `python -m keras_msda`."""

import sys

from keras_msda.cli import main

if __name__ == "__main__":
    sys.exit(main())
