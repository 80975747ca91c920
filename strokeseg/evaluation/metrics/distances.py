"""How far the surfaces of two masks are apart, in mm.

The surface of a mask is its voxels that share a face with a voxel outside, or with the border of
the image. Distances run between voxel centres in the world, to the nearest by a k-d tree: exact for
any voxel sizes and for sheared axes, and no more work for lesions far apart than for near ones.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree

from strokeseg.arrays import AffineArray, BoolArray
from strokeseg.measure.components import bounding_box

_PERCENTILE = 95.0


@dataclass(frozen=True)
class SurfaceDistances:
    """Two figures of one pair of masks.

    Attributes
    ----------
    hd95_mm : float
        The larger of the two directed 95th percentiles (linear between ranks), as MONAI's.
    assd_mm : float
        Mean over the surface voxels of both masks together, as MONAI's.
    """

    hd95_mm: float
    assd_mm: float


def surface_distances(
    prediction: BoolArray, truth: BoolArray, axes_mm: AffineArray
) -> SurfaceDistances:
    """Measure the surface distances of two masks of one shape (I, J, K).

    Parameters
    ----------
    prediction, truth : (I, J, K) bool arrays
        On one grid.
    axes_mm : (3, 3) float64 array
        One column per array axis: the step to the next voxel, in mm.

    Returns
    -------
    SurfaceDistances
        Both infinite where one mask is empty, both 0 where both are: between the empty set and
        itself there is nothing that lies apart.
    """
    empty = [not mask.any() for mask in (prediction, truth)]
    if any(empty):
        apart = 0.0 if all(empty) else math.inf
        return SurfaceDistances(apart, apart)
    here = surface_points_mm(prediction, axes_mm)
    there = surface_points_mm(truth, axes_mm)
    # Unbalanced trees are built several times faster on a lattice, and answer as fast.
    trees = [cKDTree(points, balanced_tree=False, compact_nodes=False) for points in (here, there)]
    directed = (_lengths(trees[1].query(here)), _lengths(trees[0].query(there)))
    return SurfaceDistances(
        hd95_mm=max(float(np.percentile(lengths, _PERCENTILE)) for lengths in directed),
        assd_mm=float(np.concatenate(directed).mean()),
    )


def surface_points_mm(mask: BoolArray, axes_mm: AffineArray) -> AffineArray:
    """Place the surface voxels of a mask that is not empty: (n, 3) in mm, from voxel (0, 0, 0)."""
    box = bounding_box(mask)
    if box is None:
        return np.zeros((0, 3))
    padded = np.pad(mask[box], 1)
    surface = padded & ~ndimage.binary_erosion(padded)
    start = np.array([side.start - 1 for side in box])
    return np.asarray((np.argwhere(surface) + start) @ np.asarray(axes_mm).T, dtype=np.float64)


def _lengths(answer: Iterable[object]) -> AffineArray:
    """Take the distances from a tree's answer."""
    lengths, _ = answer
    return np.asarray(lengths, dtype=np.float64)
