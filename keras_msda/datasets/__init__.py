"""Real pictures to try the layers on: included ones, a folder, or Keras's own.

Loads and splits data sets. Only the split is random, by its seed. A deep-learning
library computes nothing here; Keras downloads where a name asks for it.
"""

from keras_msda.datasets._dataset import Dataset
from keras_msda.datasets._load import CIFAR_NAMES, FASHION_NAMES, INCLUDED, NAMES, load
from keras_msda.datasets._split import Split, split

__all__ = [
    "CIFAR_NAMES",
    "FASHION_NAMES",
    "INCLUDED",
    "NAMES",
    "Dataset",
    "Split",
    "load",
    "split",
]
