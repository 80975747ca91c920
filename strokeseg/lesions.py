"""Threshold, components, volumes and the table with one row per lesion.

A lesion is one 26-connected component of the mask. Everything that costs time or memory works on
the bounding box of the mask, or of one lesion, never on the whole image.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from scipy.spatial import SphericalVoronoi

from strokeseg.arrays import AffineArray, BoolArray, FloatArray, IntArray, Shape3
from strokeseg.errors import DataError, UsageError
from strokeseg.grid import Grid

Hemisphere = Literal["left", "right", "both", "midline"]
Box = tuple[slice, slice, slice]

MIDLINE_BAND_MM = 5.0
CROSSING_SHARE = 0.1

# One of each pair of opposite steps to the 26 neighbours of a voxel.
_STEPS = tuple(
    (i, j, k) for i in (0, 1) for j in (-1, 0, 1) for k in (-1, 0, 1) if (i, j, k) > (0, 0, 0)
)


@dataclass(frozen=True)
class Lesion:
    """One row of the lesion table.

    Attributes
    ----------
    index : int
        From 1, in descending order of volume.
    volume_ml : float
        Voxel count times voxel volume.
    centroid_mm : tuple of 3 float
        Mean of the voxel centres, world RAS+ in mm.
    hemisphere : {"left", "right", "both", "midline"} or None
        The patient's side, see `hemisphere_of`; None where no midline is known.
    start_vox, stop_vox : tuple of 3 int
        First and last voxel index of the bounding box, both inclusive.
    mean_probability, max_probability : float
        Of the lesion's voxels.
    surface_area_mm2 : float
        See `surface_area_mm2`.
    touches_border : bool
        Whether a voxel lies on the outermost layer of the field of view.
    """

    index: int
    volume_ml: float
    centroid_mm: tuple[float, float, float]
    hemisphere: Hemisphere | None
    start_vox: Shape3
    stop_vox: Shape3
    mean_probability: float
    max_probability: float
    surface_area_mm2: float
    touches_border: bool


@dataclass(frozen=True, eq=False)
class Components:
    """The 26-connected components of a mask, held on the mask's bounding box.

    Attributes
    ----------
    shape : tuple of 3 int
        Of the mask.
    box : tuple of 3 slice
        Where `labels` lies in the mask.
    labels : int32 array
        0 outside, 1..n inside.
    voxels : (n,) intp array
        Voxels in each component.
    """

    shape: Shape3
    box: Box
    labels: npt.NDArray[np.int32]
    voxels: IntArray

    def select(self, keep: BoolArray) -> BoolArray:
        """Return the mask of the components for which `keep`, of shape (n,), is true."""
        mask = np.zeros(self.shape, dtype=np.bool_)
        mask[self.box] = np.concatenate(([False], keep))[self.labels]
        return mask


def threshold_probability(probability: FloatArray, threshold: float) -> BoolArray:
    """Return the voxels whose lesion probability is at least `threshold`.

    Raises
    ------
    UsageError
        If `threshold` is not above 0 and below 1.
    """
    if not 0.0 < threshold < 1.0:
        raise UsageError(
            f"the threshold is {threshold:g}: give a probability above 0 and below 1, as 0.5"
        )
    return probability >= np.float32(threshold)


def lesion_volume_ml(mask: BoolArray, grid: Grid) -> float:
    """Return the volume of a mask in ml."""
    return int(np.count_nonzero(mask)) * grid.voxel_volume_ml


def bounding_box(mask: BoolArray) -> Box | None:
    """Return the smallest box that holds every true voxel of a 3D mask, or None if there is none.

    Each axis is looked at inside the box of those before it, so that a large image is read once.
    """
    box = [slice(0, size) for size in mask.shape]
    for axis in range(3):
        others = tuple(other for other in range(3) if other != axis)
        where = np.flatnonzero(mask[tuple(box)].any(axis=others))
        if where.size == 0:
            return None
        box[axis] = slice(int(where[0]), int(where[-1]) + 1)
    return box[0], box[1], box[2]


def label_components(mask: BoolArray) -> Components:
    """Label the 26-connected components of a mask of shape (I, J, K)."""
    shape: Shape3 = (mask.shape[0], mask.shape[1], mask.shape[2])
    box = bounding_box(mask)
    if box is None:
        one = (slice(0, 1), slice(0, 1), slice(0, 1))
        return Components(shape, one, np.zeros((1, 1, 1), np.int32), np.zeros(0, np.intp))
    inside = np.ascontiguousarray(mask[box])
    labels = np.empty(inside.shape, dtype=np.int32)
    count = ndimage.label(inside, structure=np.ones((3, 3, 3), dtype=np.bool_), output=labels)
    voxels = np.bincount(labels.ravel(), minlength=int(count) + 1)[1:]
    return Components(shape, box, labels, voxels.astype(np.intp))


def remove_small(mask: BoolArray, min_volume_ml: float, grid: Grid) -> BoolArray:
    """Return the mask without the components below `min_volume_ml`; 0 returns it as it is.

    Raises
    ------
    UsageError
        If `min_volume_ml` is negative or not finite.
    """
    if not 0.0 <= min_volume_ml < np.inf:
        raise UsageError(f"the smallest volume is {min_volume_ml:g} ml: give 0 or more")
    if min_volume_ml == 0.0:
        return mask
    components = label_components(mask)
    # A lesion of exactly the smallest volume stays, whatever the rounding of the voxel volume.
    least = min_volume_ml / grid.voxel_volume_ml * (1.0 - 1e-9)
    return components.select(components.voxels >= least)


def find_lesions(
    mask: BoolArray, probability: FloatArray, grid: Grid, midline_mm: float | None = None
) -> tuple[Lesion, ...]:
    """Measure each lesion of a mask, the largest first.

    Parameters
    ----------
    mask : (I, J, K) bool array
    probability : (I, J, K) float32 array
        Lesion probability on the same grid.
    grid : Grid
        Of both.
    midline_mm : float, optional
        World x of the plane between the hemispheres, see `strokeseg.brain.find_midline_mm`.
        Without it, `hemisphere` is None.

    Raises
    ------
    DataError
        If mask, probability and grid do not have one shape.
    """
    if not mask.shape == probability.shape == grid.shape:
        raise DataError(
            f"mask {mask.shape}, probability {probability.shape} and grid {grid.shape} differ in "
            "shape: bring them onto one grid first"
        )
    components = label_components(mask)
    around = _Surroundings(probability, grid, midline_mm, _direction_weights(grid.affine))
    # Stable, so that lesions of one volume keep the order in which they lie in the image.
    order = np.argsort(-components.voxels, kind="stable")
    boxes = ndimage.find_objects(components.labels)
    found = []
    for index, component in enumerate(order, start=1):
        local: Box = boxes[component]
        inside = components.labels[local] == component + 1
        found.append(_measure(index, inside, _within(components.box, local), around))
    return tuple(found)


def hemisphere_of(offsets_mm: npt.NDArray[np.float64]) -> Hemisphere:
    """Return the side of a lesion, given its voxels' world x minus the midline's, in mm.

    "midline" if every voxel lies within 5 mm of the plane, where a midline found without
    registration cannot tell sides; "both" if each side has at least a tenth of the voxels; else
    the side with more. World x grows towards the patient's right, so negative is left.
    """
    if np.abs(offsets_mm).max() <= MIDLINE_BAND_MM:
        return "midline"
    left = float(np.mean(offsets_mm < 0.0))
    if CROSSING_SHARE <= left <= 1.0 - CROSSING_SHARE:
        return "both"
    return "left" if left > CROSSING_SHARE else "right"


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
    return _crofton(mask[box], _direction_weights(grid.affine))


@dataclass(frozen=True, eq=False)
class _Surroundings:
    # What measuring any lesion of one image needs.
    probability: FloatArray
    grid: Grid
    midline_mm: float | None
    weights: npt.NDArray[np.float64]


def _measure(index: int, inside: BoolArray, box: Box, around: _Surroundings) -> Lesion:
    grid = around.grid
    start: Shape3 = (box[0].start, box[1].start, box[2].start)
    stop: Shape3 = (box[0].stop - 1, box[1].stop - 1, box[2].stop - 1)
    values = around.probability[box][inside]
    positions = np.argwhere(inside).astype(np.float64) + start
    centroid = grid.affine[:3, :3] @ positions.mean(axis=0) + grid.affine[:3, 3]
    hemisphere: Hemisphere | None = None
    if around.midline_mm is not None:
        offsets = positions @ grid.affine[0, :3] + (grid.affine[0, 3] - around.midline_mm)
        hemisphere = hemisphere_of(offsets)
    return Lesion(
        index=index,
        volume_ml=len(values) * grid.voxel_volume_ml,
        centroid_mm=(float(centroid[0]), float(centroid[1]), float(centroid[2])),
        hemisphere=hemisphere,
        start_vox=start,
        stop_vox=stop,
        mean_probability=float(values.mean(dtype=np.float64)),
        max_probability=float(values.max()),
        surface_area_mm2=_crofton(inside, around.weights),
        touches_border=any(
            first == 0 or last == size - 1
            for first, last, size in zip(start, stop, grid.shape, strict=True)
        ),
    )


def _within(outer: Box, inner: Box) -> Box:
    i, j, k = (
        slice(int(a.start) + int(b.start), int(a.start) + int(b.stop))
        for a, b in zip(outer, inner, strict=True)
    )
    return i, j, k


def _direction_weights(affine: AffineArray) -> npt.NDArray[np.float64]:
    # 2 c_d V / l_d for each step: mm2 of surface that one crossing along it stands for.
    vectors = np.asarray(_STEPS, dtype=np.float64) @ affine[:3, :3].T
    lengths = np.linalg.norm(vectors, axis=1)
    units = vectors / lengths[:, np.newaxis]
    cells = SphericalVoronoi(np.concatenate([units, -units])).calculate_areas()
    share = (cells[: len(units)] + cells[len(units) :]) / cells.sum()
    return np.asarray(2.0 * share * abs(np.linalg.det(affine[:3, :3])) / lengths)


def _crofton(inside: BoolArray, weights: npt.NDArray[np.float64]) -> float:
    padded = np.pad(inside, 1)
    area = 0.0
    for step, weight in zip(_STEPS, weights, strict=True):
        here = tuple(slice(max(0, -s), -s if s > 0 else None) for s in step)
        there = tuple(slice(max(0, s), s if s < 0 else None) for s in step)
        area += float(weight) * int(np.count_nonzero(padded[here] != padded[there]))
    return area
