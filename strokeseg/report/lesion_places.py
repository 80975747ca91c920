"""Where the crosshair goes when a lesion is chosen: its voxel nearest to its centroid."""

from collections.abc import Sequence

import numpy as np

from strokeseg.arrays import BoolArray, Shape3
from strokeseg.measure.components import label_components
from strokeseg.report.facts import LesionRow
from strokeseg.space.grid import Grid


def lesion_voxels(mask: BoolArray, grid: Grid, lesions: Sequence[LesionRow]) -> list[Shape3 | None]:
    """Find a voxel of each lesion of the table in the mask.

    The centroid of a bent lesion can lie outside it. A component is known by its bounding box,
    and by its volume where two have the same.

    Parameters
    ----------
    mask : (I, J, K) bool array
        The lesions.
    grid : Grid
        Of the mask.
    lesions : sequence of LesionRow
        Rows of the table.

    Returns
    -------
    list of voxel indices
        None where a row is of no component, as the mask or the table was changed.
    """
    components = label_components(mask)
    found: dict[tuple[Shape3, Shape3], list[int]] = {}
    for index, box in enumerate(components.boxes):
        first = _three(side.start for side in box)
        last = _three(side.stop - 1 for side in box)
        found.setdefault((first, last), []).append(index)
    voxels: list[Shape3 | None] = []
    for lesion in lesions:
        if lesion.start_vox is None or lesion.stop_vox is None or lesion.centroid_mm is None:
            voxels.append(None)
            continue
        candidates = found.get((lesion.start_vox, lesion.stop_vox), [])
        volumes = [components.voxels[i] * grid.voxel_volume_ml for i in candidates]
        if not candidates:
            voxels.append(None)
            continue
        gaps = [abs(volume - (lesion.volume_ml or 0.0)) for volume in volumes]
        nearest_volume = candidates[int(np.argmin(gaps))]
        inside = np.argwhere(components.inside(nearest_volume)) + lesion.start_vox
        places = inside @ grid.affine[:3, :3].T + grid.affine[:3, 3]
        nearest = np.argmin(np.linalg.norm(places - lesion.centroid_mm, axis=1))
        voxels.append(_three(inside[nearest]))
    return voxels


def _three(values: object) -> Shape3:
    i, j, k = (int(value) for value in values)  # type: ignore[attr-defined]
    return i, j, k
