"""Surface area of a mask, from crossings along 13 directions."""

import numpy as np

from strokeseg.arrays import AffineArray, BoolArray, IntArray
from strokeseg.measure.components import bounding_box
from strokeseg.space.grid import Grid

_PIECE_VOXELS = 1 << 22

# One of each pair of opposite steps to the 26 neighbours of a voxel.
_STEPS = tuple(
    (i, j, k) for i in (0, 1) for j in (-1, 0, 1) for k in (-1, 0, 1) if (i, j, k) > (0, 0, 0)
)

# Of a cube's directions to a face, an edge and a corner (Legland et al., for both signs).
_CUBE_SHARES = {1: 0.0915557824095217, 2: 0.0739612557521503, 3: 0.0703912795646333}


def direction_weights(affine: AffineArray) -> AffineArray:
    """Give the mm2 of surface that one crossing along each direction stands for: 2 c_d V / l_d.

    Parameters
    ----------
    affine : (4, 4) array
        Voxel index to RAS+ mm.

    Returns
    -------
    (13,) float64 array
        One for each direction.
    """
    vectors = np.asarray(_STEPS, dtype=np.float64) @ affine[:3, :3].T
    lengths = np.linalg.norm(vectors, axis=1)
    share = _shares(vectors / lengths[:, np.newaxis], is_cube=_are_cubes(affine))
    return np.asarray(2.0 * share * abs(np.linalg.det(affine[:3, :3])) / lengths)


def _are_cubes(affine: AffineArray) -> bool:
    """Tell whether voxels are cubes, turned in any way."""
    products = affine[:3, :3].T @ affine[:3, :3]
    cube = np.eye(3) * products[0, 0]
    return bool(np.allclose(products, cube, rtol=0.0, atol=1e-9 * products[0, 0]))


def _shares(units: AffineArray, *, is_cube: bool) -> AffineArray:
    """Give the share of the sphere that is nearer to each direction than to any other one."""
    if is_cube:
        return np.array([_CUBE_SHARES[sum(map(abs, step))] for step in _STEPS])
    # Imported here: it is slow, and most voxels are cubes.
    from scipy.spatial import SphericalVoronoi

    cells = SphericalVoronoi(np.concatenate([units, -units])).calculate_areas()
    return np.asarray((cells[: len(units)] + cells[len(units) :]) / cells.sum())


def crofton(inside: BoolArray, weights: AffineArray) -> float:
    """Sum up the crossings between inside and outside, each with its direction's weight, in mm2."""
    counts = np.zeros(len(_STEPS), np.intp)
    planes = max(1, _PIECE_VOXELS // inside[0].size)
    for low in range(0, len(inside) + 1, planes):
        counts += _crossings(inside, low, min(low + planes, len(inside) + 1))
    return float(sum(weight * count for weight, count in zip(weights, counts, strict=True)))


def _crossings(inside: BoolArray, low: int, high: int) -> IntArray:
    """Count crossings that start on planes low to high - 1, where plane 0 is outside, before all.

    There is a voxel of outside all round.
    """
    padded = np.zeros((high - low + 1, inside.shape[1] + 2, inside.shape[2] + 2), np.bool_)
    there = inside[max(low - 1, 0) : high]
    first = max(low - 1, 0) - (low - 1)
    padded[first : first + len(there), 1:-1, 1:-1] = there
    counts = []
    for i, j, k in _STEPS:
        before = padded[:-1, _from(j), _from(k)]
        after = padded[i : len(padded) - 1 + i, _from(-j), _from(-k)]
        counts.append(int(np.count_nonzero(before != after)))
    return np.array(counts, np.intp)


def _from(shift: int) -> slice:
    """Where a row meets itself once it is shifted back."""
    return slice(max(0, -shift), -shift if shift > 0 else None)


def surface_area_mm2(mask: BoolArray, grid: Grid) -> float:
    """Estimate the surface area of a mask by the Cauchy-Crofton formula in 13 directions.

    Lines through the voxel centres along the 13 directions to the neighbours are intersected with
    the surface: ``S = 2 sum_d c_d N_d V / l_d``, with N_d the changes between inside and outside
    along direction d, V the voxel volume, l_d the step's length and c_d the share of the unit
    sphere nearer to d than to any other direction, so that voxels need be neither cubes nor right
    angled. What lies at the border of the field of view counts as surface. A ball of 10 voxels'
    radius comes out within 2 %; a large cube along the axes 7 % low; counting voxel faces would
    read a ball 50 % high.

    Source: Legland, Kieu, Devaux, "Computation of Minkowski measures on 2D and 3D binary images",
    Image Analysis and Stereology 26:83-92, 2007.
    """
    box = bounding_box(mask)
    if box is None:
        return 0.0
    return crofton(mask[box], direction_weights(grid.affine))
