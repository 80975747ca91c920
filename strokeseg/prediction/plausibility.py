"""Whether what was found can be: a brain that lies where the head is, lesions that are no air."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from strokeseg.arrays import BoolArray, FloatArray
from strokeseg.images.reading import Volume
from strokeseg.images.sampling import lattice
from strokeseg.measure.lesions import Lesion
from strokeseg.phrases import lesions_named

FAR_MM = 80.0
_AIR = 0.08
_LEAST_CONTRAST = 0.25
_HOUNSFIELD_AIR = -800.0
_LATTICE_VOXELS = 1 << 18


@dataclass(frozen=True)
class Doubts:
    """What is doubtful about a brain, a line each, and how dark no lesion should be.

    `air_below` is None where no air is known.
    """

    lines: tuple[str, ...]
    air_below: float | None

    def with_lesions(
        self, mask: BoolArray, lesions: Sequence[Lesion], data: FloatArray
    ) -> list[str]:
        """Add which lesions of a mask are mostly as dark as air; `data` is on the same grid."""
        if self.air_below is None:
            return list(self.lines)
        return [*self.lines, *air_warnings(mask, lesions, data, self.air_below)]


def doubts_about(brain: BoolArray | None, scan: Volume, modality: str) -> Doubts:
    """Look at where a brain lies in the scan that it was found in, and how dark that is outside."""
    lines = () if brain is None else tuple(place_warnings(brain, scan))
    return Doubts(lines, air_ceiling(scan, brain, is_ct=modality == "ct"))


def place_warnings(brain: BoolArray, scan: Volume) -> list[str]:
    """Say if the centre of the brain lies far from that of what a scan shows.

    Parameters
    ----------
    brain : (I, J, K) bool array
        On the grid of the scan.
    scan : Volume
        What it was found in.
    """
    step = int(np.ceil((brain.size / _LATTICE_VOXELS) ** (1 / 3)))
    seen = scan.data[::step, ::step, ::step]
    shown = _centre(seen > seen.mean(dtype=np.float64))
    found = _centre(brain[::step, ::step, ::step])
    if shown is None or found is None:
        return []
    apart_mm = float(np.linalg.norm(scan.grid.affine[:3, :3] @ (found - shown) * step))
    if apart_mm <= FAR_MM:
        return []
    return [
        f"the brain found lies {apart_mm:.0f} mm from the centre of what the scan shows: look at "
        "the picture before using the result"
    ]


def air_ceiling(scan: Volume, brain: BoolArray | None, *, is_ct: bool) -> float | None:
    """Tell up to which intensity a voxel is as dark as the air around the head.

    Parameters
    ----------
    scan : Volume
        The reference.
    brain : (I, J, K) bool array or None
        What shows how bright a brain is.
    is_ct : bool
        Whether the scan is in Hounsfield units, where air is known.

    Returns
    -------
    float or None
        None where no air is seen at the border of the field of view.
    """
    if is_ct:
        return _HOUNSFIELD_AIR
    if brain is None:
        return None
    data = scan.data
    step = int(np.ceil((data.size / _LATTICE_VOXELS) ** (1 / 3)))
    inside = data[::step, ::step, ::step][brain[::step, ::step, ::step]]
    lowest = float(np.percentile(lattice(data), 0.5))
    if not inside.size:
        return None
    faces = [side for axis in (0, 1) for side in np.moveaxis(data, axis, 0)[[0, -1]]]
    border = float(np.median(np.concatenate([face.ravel() for face in faces])))
    middle = float(np.median(inside))
    if middle <= border or border - lowest > _LEAST_CONTRAST * (middle - lowest):
        return None
    return border + _AIR * (middle - border)


def air_warnings(
    mask: BoolArray, lesions: Sequence[Lesion], data: FloatArray, ceiling: float
) -> list[str]:
    """Say which lesions are mostly as dark as the air around the head.

    Parameters
    ----------
    mask : (I, J, K) bool array
        The lesions.
    lesions : sequence of Lesion
        Where they lie in it.
    data : (I, J, K) float32 array
        The scan on the same grid.
    ceiling : float
        See `air_ceiling`.
    """
    airy = []
    for lesion in lesions:
        box = tuple(
            slice(first, last + 1)
            for first, last in zip(lesion.start_vox, lesion.stop_vox, strict=True)
        )
        if float(np.median(data[box][mask[box]])) <= ceiling:
            airy.append(str(lesion.index))
    if not airy:
        return []
    return [
        f"{lesions_named(airy)} {'are' if len(airy) > 1 else 'is'} as dark as the air around the "
        "head: look at the picture before using the result"
    ]


def _centre(mask: BoolArray) -> FloatArray | None:
    """Give the mean index of a mask; None if it is empty."""
    counts = [mask.sum(axis=others, dtype=np.int64) for others in ((1, 2), (0, 2), (0, 1))]
    total = int(counts[0].sum())
    if total == 0:
        return None
    return np.array([np.arange(len(c)) @ c / total for c in counts], dtype=np.float32)
