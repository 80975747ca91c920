"""Whether the scans of a case lie on each other: the brain that a network sees in each, compared.

Headers say where a scan lies, and nothing says that they are right. Each scan's own brain is looked
at in world space; where two seem to disagree, the shift and the turn that bring one onto the other
are found from brain and matter on a coarse grid.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy import ndimage

from strokeseg.arrays import AffineArray, BoolArray, FloatArray, LabelArray
from strokeseg.measure.brain import brain_mask
from strokeseg.models.classes import is_matter
from strokeseg.prediction.ensemble import Member
from strokeseg.space.grid import Grid
from strokeseg.space.pictures import weighted_correlation
from strokeseg.space.resample import coverage, resample_labels

FAR_MM = 25.0
FAR_DEGREES = 20.0
_STEP_MM = 4.0
_LEAST_ML = 100.0
_CUT_SHARE = 0.02
_BLUR_VOX = 1.5
# A fit that correlates hardly better than no move at all is none.
_LEAST_GAIN = 0.005
_TRIED_DEGREES = (0.0, -20.0, 20.0)


@dataclass(frozen=True)
class Alignment:
    """How a scan's brain lies to the reference's.

    Parameters
    ----------
    overlap : float
        Dice of the two brains, where both scans reach.
    apart_mm : float
        How far the centre of the brain would have to be moved.
    turned_degrees : float
        How far it would have to be turned.
    to_scan : (4, 4) array
        The reference's mm to the scan's mm.
    """

    overlap: float
    apart_mm: float
    turned_degrees: float
    to_scan: AffineArray = field(default_factory=lambda: np.eye(4), compare=False, repr=False)

    @property
    def is_far(self) -> bool:
        """Whether the two scans should not be averaged as they lie."""
        return self.apart_mm >= FAR_MM or self.turned_degrees >= FAR_DEGREES

    def as_record(self) -> dict[str, Any]:
        """Give it as plain values, rounded."""
        figures = ("overlap", "apart_mm", "turned_degrees")
        return {name: round(getattr(self, name), 3) for name in figures}


@dataclass(frozen=True, eq=False)
class _Brain:
    """A brain and its matter, on the working grid of its scan or where that was cut to.

    What was cut off there is taken to hold no brain; only `native` says where the scan ends.
    """

    brain: BoolArray
    matter: BoolArray
    working: Grid
    native: Grid


@dataclass(frozen=True, eq=False)
class _Coarse:
    """The same on a grid that two scans share, and where the scan reaches."""

    brain: BoolArray
    matter: BoolArray
    reach: BoolArray

    @property
    def is_cut(self) -> bool:
        """Whether the field of view cuts the brain."""
        outside = ndimage.binary_dilation(~np.pad(self.reach, 1))[1:-1, 1:-1, 1:-1]
        cut = np.count_nonzero(self.brain & outside)
        return bool(cut > _CUT_SHARE * np.count_nonzero(self.brain))


def compare_brains(
    members: Sequence[Member], reference: str, class_names: Sequence[str]
) -> dict[str, Alignment]:
    """Compare every scan's own brain with the reference's.

    Parameters
    ----------
    members : sequence of Member
        What networks saw of each, all of it or the brain alone; the first of each scan is taken.
    reference : str
        The scan to compare with.
    class_names : sequence of str
        The network's; without tissues there is nothing to compare.

    Returns
    -------
    dict of str to Alignment
        By the other scans; those in which hardly a brain is seen are left out.
    """
    by_name: dict[str, Member] = {}
    for member in members:
        if member.tells_classes:
            by_name.setdefault(member.modality, member)
    if len(by_name) < 2 or len(class_names) < 3 or reference not in by_name:
        return {}
    fixed = _see(by_name[reference], class_names)
    found = {}
    for name, member in by_name.items():
        if name != reference:
            alignment = _compare(fixed, _see(member, class_names))
            if alignment is not None:
                found[name] = alignment
    return found


def alignment_warnings(found: Mapping[str, Alignment], reference: str) -> list[str]:
    """Say which scans do not lie on the reference, one line each."""
    return [
        f"{name} and {reference} do not lie on each other: the brain in {name} is "
        f"{one.apart_mm:.0f} mm and {one.turned_degrees:.0f} degrees off (overlap "
        f"{one.overlap:.2f}); align them first, or use --register"
        for name, one in found.items()
        if one.is_far
    ]


def brain_of(member: Member, class_names: Sequence[str]) -> BoolArray | None:
    """Give the brain that a network sees in a scan, on its working grid; None for hardly one."""
    if len(class_names) < 3 or not member.tells_classes:
        return None
    seen = _see(member, class_names)
    enough = np.count_nonzero(seen.brain) * member.working.voxel_volume_ml >= _LEAST_ML
    return seen.brain if enough else None


def _see(member: Member, class_names: Sequence[str]) -> _Brain:
    """Find the brain in one scan's own logits."""
    logits, lesion = member.logits.mean, len(class_names) - 1
    labels: LabelArray = np.empty(logits.shape[1:], np.uint8)
    for plane in range(labels.shape[0]):
        labels[plane] = logits[:, plane].argmax(axis=0)
    brain = brain_mask(labels, member.working, tuple(range(1, lesion)), lesion)
    is_in = np.array([is_matter(name) or index == lesion for index, name in enumerate(class_names)])
    return _Brain(brain, brain & is_in[labels], member.working, member.native)


def _compare(fixed: _Brain, moving: _Brain) -> Alignment | None:
    """Compare two brains; None where there is hardly one."""
    grid = _shared_grid(fixed.native, moving.native)
    a, b = _coarse(fixed, grid), _coarse(moving, grid)
    if min(np.count_nonzero(x.brain) for x in (a, b)) * grid.voxel_volume_ml < _LEAST_ML:
        return None
    from scipy.spatial.transform import Rotation

    both = np.ones_like(a.reach) if not (a.is_cut or b.is_cut) else a.reach & b.reach
    one, other = a.brain & both, b.brain & both
    total = np.count_nonzero(one) + np.count_nonzero(other)
    overlap = float(2 * np.count_nonzero(one & other)) / max(float(total), 1.0)
    fit = _fit(a, b)
    apart_mm, turned = float(np.linalg.norm(fit[:3])) * _STEP_MM, float(np.linalg.norm(fit[3:]))
    pivot = grid.affine[:3, :3] @ _centre(a.brain) + grid.affine[:3, 3]
    to_scan = np.eye(4)
    to_scan[:3, :3] = Rotation.from_rotvec(fit[3:]).as_matrix()
    to_scan[:3, 3] = pivot + _STEP_MM * fit[:3] - to_scan[:3, :3] @ pivot
    return Alignment(overlap, apart_mm, float(np.degrees(turned)), to_scan)


def _shared_grid(first: Grid, second: Grid) -> Grid:
    """Lay a coarse grid along the world's axes over two fields of view."""
    corners = np.concatenate([first.corners_mm, second.corners_mm])
    low, high = corners.min(axis=0), corners.max(axis=0)
    shape = np.ceil((high - low) / _STEP_MM).astype(int) + 1
    affine: AffineArray = np.diag([_STEP_MM, _STEP_MM, _STEP_MM, 1.0])
    affine[:3, 3] = low
    return Grid((int(shape[0]), int(shape[1]), int(shape[2])), affine)


def _coarse(seen: _Brain, grid: Grid) -> _Coarse:
    brain, matter = (
        resample_labels(mask.view(np.uint8), seen.working, grid) > 0
        for mask in (seen.brain, seen.matter)
    )
    return _Coarse(brain, matter, coverage(seen.native, grid, slice(0, grid.shape[0])))


def _centre(mask: BoolArray) -> FloatArray:
    return np.asarray(np.argwhere(mask).mean(axis=0), dtype=np.float32)


def _fit(fixed: _Coarse, moving: _Coarse) -> FloatArray:
    """Find the shift of the brain's centre (voxels) and its turn (rotation vector) to `moving`."""
    # Imported here, and above: they are slow, and a scan by itself needs none of it.
    from scipy import optimize
    from scipy.spatial.transform import Rotation

    image, other = _soft(fixed), _soft(moving)
    reach = moving.reach.astype(np.float32)
    near = ndimage.binary_dilation(fixed.brain, iterations=3) & fixed.reach
    points = np.argwhere(near).astype(np.float32)[::3]
    values = image[near][::3]
    pivot = _centre(fixed.brain)

    def cost(parameters: np.ndarray[tuple[int], np.dtype[np.float64]]) -> float:
        moved = (
            Rotation.from_rotvec(parameters[3:]).apply(points - pivot) + pivot + parameters[:3]
        ).T
        seen = ndimage.map_coordinates(other, moved, order=1)
        weight = ndimage.map_coordinates(reach, moved, order=1)
        if weight.sum() < 0.2 * weight.size:
            return 1.0
        return 1.0 - weighted_correlation(values, seen, weight)

    shift = _centre(moving.brain) - pivot
    starts = [np.zeros(6), np.concatenate([shift, np.zeros(3)])]
    for axis in range(3):
        starts += [
            np.concatenate([shift, np.radians(degrees) * np.eye(3)[axis]])
            for degrees in _TRIED_DEGREES[1:]
        ]
    best = min(starts, key=cost)
    best = starts[0] if cost(starts[0]) < cost(best) + _LEAST_GAIN else best
    directions = np.diag([2.0, 2.0, 2.0, 0.15, 0.15, 0.15])
    how: Any = {"direc": directions, "maxfev": 600, "xtol": 1e-2}
    begin: Any = best
    found = optimize.minimize(cost, begin, method="Powell", options=how)
    is_better = found.fun < cost(starts[0]) - _LEAST_GAIN
    return np.asarray(found.x if is_better else starts[0], dtype=np.float32)


def _soft(seen: _Coarse) -> FloatArray:
    """Give brain and matter as one blurred image."""
    total = seen.brain.astype(np.float32) + seen.matter
    blurred: FloatArray = ndimage.gaussian_filter(total, _BLUR_VOX)
    return blurred
