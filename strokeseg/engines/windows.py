"""Where the network's windows lie on an image, and how much each voxel of one counts.

Positions, padding and weights are those of MONAI's ``SlidingWindowInferer`` with Gaussian blending
and constant padding, so that results can be compared voxel by voxel. Of a network without norms
over its window a window's voxel is exact where all that the network looks at lies in the window:
such windows overlap by that much, each counts where it is exact and nowhere else, and their number
changes nothing.
"""

from dataclasses import dataclass, replace
from itertools import product

import numpy as np

from strokeseg.arrays import FloatArray, Shape3
from strokeseg.errors import UsageError
from strokeseg.network.state import Spec

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
    reach
        How far around a voxel a window must see for the voxel to count; 0 where windows are
        blended.
    """

    image_shape: Shape3
    padded_shape: Shape3
    window: Shape3
    starts: tuple[Shape3, ...]
    pad_before: Shape3
    padding: float = 0.0
    reach: int = 0

    @property
    def overlaps(self) -> tuple[Overlap, ...]:
        """For each window, the part of the image that it speaks for."""
        return tuple(self._overlap(start) for start in self.starts)

    @property
    def weights(self) -> FloatArray:
        """How much each voxel of a window counts, where windows meet."""
        return np.ones(self.window, np.float32) if self.reach else gaussian_weights(self.window)

    def _overlap(self, start: Shape3) -> Overlap:
        image, window = [], []
        for axis, first in enumerate(start):
            low, high = self._spoken_for(axis, first)
            before, size = self.pad_before[axis], self.image_shape[axis]
            high = max(min(high - before, size), 0)
            low = min(max(low - before, 0), high)
            image.append(slice(low, high))
            window.append(slice(low + before - first, high + before - first))
        return Overlap((image[0], image[1], image[2]), (window[0], window[1], window[2]))

    def _spoken_for(self, axis: int, first: int) -> tuple[int, int]:
        """Give the padded image's voxels along an axis that a window counts for."""
        end = first + self.window[axis]
        if not self.reach:
            return first, end
        # What a window shares with its neighbour is parted where both are exact.
        firsts = sorted({start[axis] for start in self.starts})
        place = firsts.index(first)
        low = first if place == 0 else firsts[place - 1] + self.window[axis] - self.reach
        return low, end if place == len(firsts) - 1 else end - self.reach


def plan_for(
    spec: Spec, shape: Shape3, window: int, overlap: float, least: Shape3 = (1, 1, 1)
) -> WindowPlan:
    """Lay windows over an image as a network can take them.

    Parameters
    ----------
    spec
        The network.
    shape
        Shape of the image (I, J, K).
    window
        Largest edge of a window, in voxels.
    overlap
        Fraction of a window that the next one covers again, where windows are blended.
    least
        The image is padded to this size at least, where windows are not blended.

    Raises
    ------
    UsageError
        The window is empty or too small for what the network looks at, or the overlap is out of
        range.
    """
    if spec.window_rule == "blended":
        return plan_windows(shape, window, overlap, spec.stride_product)
    i, j, k = (max(size, lowest) for size, lowest in zip(shape, least, strict=True))
    if spec.window_rule == "whole" or window >= max(i, j, k):
        return replace(plan_windows(shape, (i, j, k), 0.0, 1), reach=spec.reach_vox)
    return plan_exact_windows(shape, (i, j, k), window, spec.reach_vox)


def plan_exact_windows(shape: Shape3, padded: Shape3, window: int, reach: int) -> WindowPlan:
    """Lay windows that give together what one window over all would.

    Parameters
    ----------
    shape
        Shape of the image (I, J, K).
    padded
        Its shape once it is padded.
    window
        Largest edge of a window, in voxels.
    reach
        How far around a voxel the network looks.

    Raises
    ------
    UsageError
        No voxel of a window would be exact.
    """
    if window <= 2 * reach:
        raise UsageError(
            f"window is {window}: the network looks {reach} voxels to every side, so give "
            f"{2 * reach + 1} or more"
        )
    i, j, k = (min(window, size) for size in padded)
    firsts = []
    for size, edge in zip(padded, (i, j, k), strict=True):
        count = -(-(size - edge) // max(edge - 2 * reach, 1)) + 1
        step = -(-(size - edge) // max(count - 1, 1))
        firsts.append([min(index * step, size - edge) for index in range(count)])
    starts = tuple((a, b, c) for a, b, c in product(*firsts))
    before = tuple((full - size) // 2 for full, size in zip(padded, shape, strict=True))
    return WindowPlan(
        shape, padded, (i, j, k), starts, (before[0], before[1], before[2]), reach=reach
    )


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
