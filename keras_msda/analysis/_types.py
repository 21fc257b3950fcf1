"""Types that all of the analysis uses."""

import numpy as np
import numpy.typing as npt

#: Everything is computed in float64.
Array = npt.NDArray[np.float64]
#: Spatial lengths of an image, one to three.
Shape = tuple[int, ...]
