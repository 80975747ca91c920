"""Where the crosshair goes when a lesion is chosen: its voxel nearest to its centroid."""

from collections.abc import Sequence

import numpy as np
from scipy import ndimage

from strokeseg.arrays import BoolArray, Shape3
from strokeseg.grid import Grid
from strokeseg.lesions import label_components
from strokeseg.pages.facts import LesionRow


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
    start = [side.start for side in components.box]
    found: dict[tuple[Shape3, Shape3], list[int]] = {}
    for index, box in enumerate(ndimage.find_objects(components.labels)):
        first = _three(side.start + s for side, s in zip(box, start, strict=True))
        last = _three(side.stop - 1 + s for side, s in zip(box, start, strict=True))
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
        label = candidates[int(np.argmin(gaps))] + 1
        local = tuple(
            slice(a - s, b - s + 1)
            for a, b, s in zip(lesion.start_vox, lesion.stop_vox, start, strict=True)
        )
        inside = np.argwhere(components.labels[local] == label) + lesion.start_vox
        places = inside @ grid.affine[:3, :3].T + grid.affine[:3, 3]
        nearest = np.argmin(np.linalg.norm(places - lesion.centroid_mm, axis=1))
        voxels.append(_three(inside[nearest]))
    return voxels


def _three(values: object) -> Shape3:
    i, j, k = (int(value) for value in values)  # type: ignore[attr-defined]
    return i, j, k
