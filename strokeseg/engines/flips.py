"""The eight mirror images of a scan that a prediction is averaged over."""

from itertools import combinations
from typing import TypeVar

import numpy as np

from strokeseg.arrays import AnyArray

Array = TypeVar("Array", bound=AnyArray)

FLIPS: tuple[tuple[int, ...], ...] = tuple(
    axes for count in range(4) for axes in combinations((0, 1, 2), count)
)
"""Every subset of the axes (I, J, K); the first is the scan itself."""


def flip(array: Array, axes: tuple[int, ...]) -> Array:
    """Mirror an array along some of its last three axes.

    Parameters
    ----------
    array : (..., I, J, K)
        Image or logits.
    axes
        Axes of (I, J, K), from 0 to 2; none leaves the array as it is.

    Returns
    -------
    (..., I, J, K) array
        A view; the same call on it gives the array back.
    """
    mirrored: Array = np.flip(array, tuple(axis - 3 for axis in axes))
    return mirrored
