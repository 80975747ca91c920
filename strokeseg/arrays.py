"""Array types used throughout; axes are (I, J, K), channels first."""

from typing import Any

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]
AffineArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]
LabelArray = npt.NDArray[np.uint8]
IntArray = npt.NDArray[np.intp]
AnyArray = npt.NDArray[Any]

Shape3 = tuple[int, int, int]
