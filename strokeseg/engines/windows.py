"""Where the network's windows lie on an image, and how much each voxel of one counts.

Positions, padding and weights are those of MONAI's ``SlidingWindowInferer`` with Gaussian blending
and constant padding, so that results can be compared voxel by voxel.
"""

from dataclasses import dataclass
from itertools import product

import numpy as np

from strokeseg.arrays import FloatArray, Shape3
from strokeseg.errors import UsageError

SIGMA_SCALE = 0.125
LEAST_WEIGHT = 1e-3


@dataclass(frozen=True)
class Overlap:
    """Where one window meets the image: the same voxels, as slices of either."""

    image: tuple[slice, slice, slice]
    window: tuple[slice, slice, slice]


@dataclass(frozen=True)
class WindowPlan:
    """The windows that cover one image.

    Parameters
    ----------
    image_shape
        Shape of the image (I, J, K).
    padded_shape
        Shape once it is padded to hold at least one window.
    window
        Shape of each window.
    starts
        First voxel of each window in the padded image, in the order in which they are computed.
    pad_before
        Padding before the image's first voxel, per axis.
    padding
        The intensity that is taken to lie there.
    """

    image_shape: Shape3
    padded_shape: Shape3
    window: Shape3
    starts: tuple[Shape3, ...]
    pad_before: Shape3
    padding: float = 0.0

    @property
    def overlaps(self) -> tuple[Overlap, ...]:
        """For each window, the part of the image that it covers."""
        return tuple(self._overlap(start) for start in self.starts)

    def _overlap(self, start: Shape3) -> Overlap:
        image, window = [], []
        for first, before, size, edge in zip(
            start, self.pad_before, self.image_shape, self.window, strict=True
        ):
            low, high = max(first - before, 0), min(first - before + edge, size)
            image.append(slice(low, high))
            window.append(slice(low + before - first, high + before - first))
        return Overlap((image[0], image[1], image[2]), (window[0], window[1], window[2]))


def plan_windows(
    shape: Shape3, window: int | Shape3, overlap: float, multiple_of: int | Shape3
) -> WindowPlan:
    """Lay windows over an image.

    Parameters
    ----------
    shape
        Shape of the image (I, J, K).
    window
        Edges of the window in voxels, rounded up to what the network can take.
    overlap
        Fraction of a window that the next one covers again, from 0 to below 1.
    multiple_of
        What the edges must be multiples of: the network's stride, once for all axes or per axis.

    Returns
    -------
    WindowPlan
        Windows in MONAI's order, the last axis running fastest.

    Raises
    ------
    UsageError
        If the window is empty or the overlap out of range.
    """
    edges = (window,) * 3 if isinstance(window, int) else window
    multiples = (multiple_of,) * 3 if isinstance(multiple_of, int) else multiple_of
    if min(edges) < 1:
        raise UsageError(f"window is {window}; give an edge of at least 1 voxel, such as 192")
    if not 0 <= overlap < 1:
        raise UsageError(f"overlap is {overlap}; give a fraction from 0 to below 1, such as 0.5")
    i, j, k = (-(-edge // step) * step for edge, step in zip(edges, multiples, strict=True))
    padded = max(shape[0], i), max(shape[1], j), max(shape[2], k)
    pi, pj, pk = ((full - size) // 2 for full, size in zip(padded, shape, strict=True))
    firsts = [_starts(full, edge, overlap) for full, edge in zip(padded, (i, j, k), strict=True)]
    starts = tuple((a, b, c) for a, b, c in product(*firsts))
    return WindowPlan(shape, padded, (i, j, k), starts, (pi, pj, pk))


def gaussian_weights(window: Shape3, sigma_scale: float = SIGMA_SCALE) -> FloatArray:
    """Weigh the voxels of a window, the most in its centre.

    Parameters
    ----------
    window
        Shape of the window (I, J, K).
    sigma_scale
        Standard deviation of the Gaussian, as a fraction of each edge.

    Returns
    -------
    (I, J, K) float32 array
        Weights from `LEAST_WEIGHT` to 1, so that no voxel is lost.
    """
    curves = []
    for edge in window:
        offset = np.arange(edge, dtype=np.float32) - np.float32((edge - 1) / 2)
        curves.append(np.exp(offset**2 / np.float32(-2 * (sigma_scale * edge) ** 2)))
    i, j, k = curves
    weights: FloatArray = i[:, None, None] * j[:, None] * k
    return np.maximum(weights, np.float32(LEAST_WEIGHT))


def _starts(size: int, edge: int, overlap: float) -> list[int]:
    if size == edge:
        return [0]
    step = max(int(edge * (1 - overlap)), 1)
    count = -(-(size - edge) // step) + 1
    return [min(index * step, size - edge) for index in range(count)]
