"""Threshold, components, volumes and the table with one row per lesion.

A lesion is one 26-connected component of the mask. Everything that costs time or memory works on
the bounding box of the mask, or of one lesion, never on the whole image.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from strokeseg.arrays import AnyArray, BoolArray, FloatArray, Shape3
from strokeseg.errors import DataError, UsageError
from strokeseg.measure.components import Box, Components, label_components
from strokeseg.measure.opposite import Opposite
from strokeseg.measure.surface_area import crofton, direction_weights
from strokeseg.space.grid import Grid

Hemisphere = Literal["left", "right", "both", "midline"]

MIDLINE_BAND_MM = 5.0
CROSSING_SHARE = 0.1


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
    opposite_fluid : bool or None
        Whether its mirror position is cerebrospinal fluid throughout; None where that is not known.
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
    opposite_fluid: bool | None = None


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


def mask_volume_ml(mask: BoolArray, grid: Grid) -> float:
    """Return the volume of a mask in ml."""
    return int(np.count_nonzero(mask)) * grid.voxel_volume_ml


def large_enough(components: Components, min_volume_ml: float, grid: Grid) -> BoolArray:
    """Tell of each component whether it has at least `min_volume_ml`.

    One of exactly that volume has, whatever the rounding of the voxel volume.
    """
    least = min_volume_ml / grid.voxel_volume_ml * (1.0 - 1e-9)
    return np.asarray(components.voxels >= least)


def find_lesions(
    mask: BoolArray,
    probability: FloatArray,
    grid: Grid,
    midline_mm: float | None = None,
    opposite: Opposite | None = None,
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
        World x of the plane between the hemispheres, see `strokeseg.measure.brain.find_midline_mm`.
        Without it, `hemisphere` is None.
    opposite : Opposite, optional
        The other side of the head. Without it, `opposite_fluid` is None.

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
    if not components.boxes:
        return ()
    around = _Surroundings(probability, grid, midline_mm, direction_weights(grid.affine), opposite)
    order = _largest_first(components)
    return tuple(
        _measure(index, components.inside(component), components.boxes[component], around)
        for index, component in enumerate(order.tolist(), start=1)
    )


def label_lesions(mask: BoolArray) -> AnyArray:
    """Give each voxel of a mask the number of its row in the table of `find_lesions`.

    Returns
    -------
    (I, J, K) uint8 array, int32 where there are more than 255 lesions
        0 outside the mask.
    """
    components = label_components(mask)
    numbers = np.empty(components.voxels.size, np.int64)
    numbers[_largest_first(components)] = np.arange(1, numbers.size + 1)
    return components.numbered(numbers)


def _largest_first(components: Components) -> npt.NDArray[np.int64]:
    # Stable, so that lesions of one volume keep the order in which they lie in the image.
    return np.asarray(np.argsort(-components.voxels, kind="stable"), dtype=np.int64)


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


@dataclass(frozen=True, eq=False)
class _Surroundings:
    # What measuring any lesion of one image needs.
    probability: FloatArray
    grid: Grid
    midline_mm: float | None
    weights: npt.NDArray[np.float64]
    opposite: Opposite | None


def _measure(index: int, inside: BoolArray, box: Box, around: _Surroundings) -> Lesion:
    grid = around.grid
    start: Shape3 = (box[0].start, box[1].start, box[2].start)
    stop: Shape3 = (box[0].stop - 1, box[1].stop - 1, box[2].stop - 1)
    values = around.probability[box][inside]
    index_vox = np.nonzero(inside)
    middle = [float(i.mean()) + first for i, first in zip(index_vox, start, strict=True)]
    centroid = grid.affine[:3, :3] @ middle + grid.affine[:3, 3]
    hemisphere: Hemisphere | None = None
    if around.midline_mm is not None:
        offsets = np.full(len(values), grid.affine[0] @ [*start, 1.0] - around.midline_mm)
        for step, i in zip(grid.affine[0], index_vox, strict=False):
            offsets += step * i
        hemisphere = hemisphere_of(offsets)
    opposite_fluid = None
    if around.opposite is not None:
        places = [i + first for i, first in zip(index_vox, start, strict=True)]
        opposite_fluid = around.opposite.is_wholly_fluid(places)
    return Lesion(
        index=index,
        volume_ml=len(values) * grid.voxel_volume_ml,
        centroid_mm=(float(centroid[0]), float(centroid[1]), float(centroid[2])),
        hemisphere=hemisphere,
        start_vox=start,
        stop_vox=stop,
        mean_probability=float(values.mean(dtype=np.float64)),
        max_probability=float(values.max()),
        surface_area_mm2=crofton(inside, around.weights),
        touches_border=any(
            first == 0 or last == size - 1
            for first, last, size in zip(start, stop, grid.shape, strict=True)
        ),
        opposite_fluid=opposite_fluid,
    )
