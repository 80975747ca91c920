"""What a registration looks at: a coarse copy of an image along the world's axes."""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from strokeseg.arrays import AffineArray, BoolArray, FloatArray
from strokeseg.space.grid import Grid
from strokeseg.space.resample import coverage, resample_image, resample_labels

STEP_MM = 2.0


@dataclass(frozen=True, eq=False)
class Picture:
    """An image along the world's axes, and which of its voxels count.

    Parameters
    ----------
    image : (I, J, K) float32 array
        Intensities, their extremes cut off.
    counts : (I, J, K) bool array
        What is to be brought onto the other: the head, the brain, what is no lesion.
    reach : (I, J, K) bool array
        Where the scan reaches at all.
    grid : Grid
        Of all of them.
    """

    image: FloatArray
    counts: BoolArray
    reach: BoolArray
    grid: Grid

    @property
    def centre_mm(self) -> AffineArray:
        """Centre of what counts."""
        index = np.argwhere(self.counts).mean(axis=0) if self.counts.any() else 0.0
        return np.asarray(self.grid.affine[:3, :3] @ (index * np.ones(3)) + self.grid.affine[:3, 3])


def picture_of(
    data: FloatArray, grid: Grid, counts: BoolArray | None = None, step_mm: float = STEP_MM
) -> Picture:
    """Bring an image onto a grid along the world's axes, for registration.

    Parameters
    ----------
    data : (I, J, K) float32 array
        The image.
    grid : Grid
        Of it.
    counts : (I, J, K) bool array, optional
        Which of its voxels count; else what is brighter than air, and around it.
    step_mm : float
        Of the new grid.
    """
    target = _upright(grid, step_mm)
    low, high = np.percentile(data[::2, ::2, ::2], (1, 99))
    cut = np.clip(data, low, high, dtype=np.float32)
    sigmas = [max(0.0, 0.4 * step_mm / size - 0.4) for size in grid.voxel_size_mm]
    image = resample_image(np.ascontiguousarray(ndimage.gaussian_filter(cut, sigmas)), grid, target)
    reach = coverage(grid, target, slice(None))
    if counts is None:
        wide = ndimage.binary_dilation(image > 0.5 * (low + float(cut.mean())), iterations=2)
    else:
        wide = resample_labels(counts.view(np.uint8), grid, target) > 0
    return Picture(np.where(reach, image, np.float32(low)), wide & reach, reach, target)


def _upright(grid: Grid, step_mm: float) -> Grid:
    """Lay a grid along the world's axes over a field of view."""
    low, high = grid.corners_mm.min(axis=0), grid.corners_mm.max(axis=0)
    shape = np.maximum(np.ceil((high - low) / step_mm).astype(int), 8)
    affine = np.diag([step_mm, step_mm, step_mm, 1.0])
    affine[:3, 3] = low + step_mm / 2
    return Grid((int(shape[0]), int(shape[1]), int(shape[2])), affine)


def weighted_correlation(a: FloatArray, b: FloatArray, weight: FloatArray) -> float:
    """Correlate two images of one grid, each voxel by its weight; 0 where one is of one value."""
    total = weight.sum()
    a = a - (weight * a).sum() / total
    b = b - (weight * b).sum() / total
    scale = np.sqrt((weight * a * a).sum() * (weight * b * b).sum())
    return float((weight * a * b).sum() / scale) if scale > 0 else 0.0
