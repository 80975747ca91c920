"""The way of a case to MNI152: by an affine of its tissues, the lesion left out.

It starts from the brain's moments and tilt, and goes on by mutual information of the tissues' greys
and those of the mean head; voxels of the lesion do not count.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import ndimage

from strokeseg.arrays import AffineArray, BoolArray, FloatArray, LabelArray
from strokeseg.errors import DataError
from strokeseg.measure.brain import brain_mask
from strokeseg.models.classes import grey_of, is_matter
from strokeseg.prediction.options import Options
from strokeseg.results.in_mni import InMni, bring_to_mni
from strokeseg.space.fit import Fit
from strokeseg.space.grid import Grid
from strokeseg.space.mni import fit_moments, level, mean_head
from strokeseg.space.pictures import picture_of
from strokeseg.space.registration import refine_affine

_PLAUSIBLE = (0.75, 1.35)
_AROUND_LESION = 2


@dataclass(frozen=True, eq=False)
class MniCase:
    """A lesion in MNI152, how it came there, and what to mind."""

    lesion: InMni
    fit: Fit
    volume_ml: float
    doubts: tuple[str, ...]

    def as_record(self) -> dict[str, Any]:
        """Give it as plain values; the matrix brings the scan's mm to MNI152 mm."""
        return {
            **self.fit.as_record(" with the mean head"),
            "lesion_volume_ml": round(self.volume_ml, 3),
            "lesion_volume_in_mni_ml": round(self.lesion.volume_ml, 3),
        }

    def warnings(self) -> list[str]:
        """Say what to doubt: a way that no head takes, a lesion that did not arrive."""
        if not self.volume_ml or self.lesion.volume_ml:
            return list(self.doubts)
        lost = f"nothing of the lesion ({self.volume_ml:.2f} ml) is in the mask in MNI152"
        return [*self.doubts, f"{lost}: it is too small for voxels of 1 mm, or lies beyond them"]


def mni_case(
    options: Options,
    mask: BoolArray,
    found: tuple[FloatArray, LabelArray],
    grid: Grid,
    class_names: Sequence[str],
) -> MniCase | None:
    """Bring a lesion to MNI152, where `options` want that; `found` is probability and tissue."""
    return to_mni_case(mask, *found, grid, class_names) if options.mni else None


def to_mni_case(
    mask: BoolArray,
    probability: FloatArray,
    tissue: LabelArray,
    grid: Grid,
    class_names: Sequence[str],
) -> MniCase:
    """Bring a lesion to MNI152 by its case's own tissues.

    Parameters
    ----------
    mask, probability, tissue : (I, J, K) arrays
        The lesion, its probability, and the classes with the lesion as the last.
    grid : Grid
        Of all of them.
    class_names : sequence of str
        The network's.

    Raises
    ------
    DataError
        The network knows no tissues, or shows no brain.
    """
    fit = fit_to_mean_head(tissue, grid, class_names)
    to_mni: AffineArray = np.asarray(np.linalg.inv(fit.to_moving), np.float64)
    lesion = bring_to_mni(mask, probability, grid, to_mni)
    volume_ml = float(np.count_nonzero(mask)) * grid.voxel_volume_ml
    return MniCase(lesion, fit, volume_ml, _doubts(to_mni))


def fit_to_mean_head(tissue: LabelArray, grid: Grid, class_names: Sequence[str]) -> Fit:
    """Find the affine from MNI152 mm to the mm of a map of classes (I, J, K).

    Raises
    ------
    DataError
        The classes name no tissues, or there is no brain.
    """
    lesion = len(class_names) - 1
    matter = [index for index, name in enumerate(class_names) if is_matter(name)]
    if not matter:
        raise DataError(
            "--save mni needs grey and white matter, which this model does not tell: use one that "
            "knows tissues"
        )
    brain = brain_mask(tissue, grid, tuple(range(1, lesion)), lesion)
    solid = brain & np.isin(tissue, [*matter, lesion])
    tilt, _ = level(solid, grid)
    moments = fit_moments(solid.astype(np.float32), tilt @ grid.affine, "the case") @ tilt
    greys = np.array([0.0, *(grey_of(name) for name in class_names[1:])], dtype=np.float32)
    moving = picture_of(np.where(brain, greys[tissue], np.float32(0)), grid, brain)
    around = ndimage.binary_dilation(tissue == lesion, iterations=_AROUND_LESION)
    hidden = picture_of(around.astype(np.float32), grid).image > 0
    moving = type(moving)(moving.image, moving.counts, moving.reach & ~hidden, moving.grid)
    head, head_grid = mean_head()
    fixed = picture_of(head, head_grid, head > 0.1)
    start: AffineArray = np.asarray(np.linalg.inv(moments), np.float64)
    return refine_affine(fixed, moving, start)


def _doubts(to_mni: AffineArray) -> tuple[str, ...]:
    """Doubt what no head needs."""
    scales = np.linalg.svd(to_mni[:3, :3], compute_uv=False)
    low, high = _PLAUSIBLE
    if scales.min() >= low and scales.max() <= high:
        return ()
    shown = " x ".join(f"{scale:.2f}" for scale in scales)
    return (
        f"the brain was scaled by {shown} to fit MNI152, which no head needs: look at the result",
    )
