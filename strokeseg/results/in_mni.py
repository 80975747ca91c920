"""A lesion in MNI152: its mask and its probability on the grid that lesion maps have."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from strokeseg.arrays import AffineArray, BoolArray, FloatArray
from strokeseg.files.atomic import write_text
from strokeseg.files.json_files import write_json
from strokeseg.images.header import space_from_affine
from strokeseg.images.reading import Volume
from strokeseg.images.writing import write
from strokeseg.space.grid import Grid
from strokeseg.space.mni import MNI_CODE, mni_grid
from strokeseg.space.resample import coverage, resample_image
from strokeseg.space.tfm import tfm_text

STEP_MM = 1.0
_HALF = 0.5


@dataclass(frozen=True, eq=False)
class InMni:
    """Mask (I, J, K) bool and probability (I, J, K) float32 in MNI152, and a scan on that grid.

    `to_scan` (4, 4) brings MNI152 mm to those of the case.
    """

    mask: BoolArray
    probability: FloatArray
    like: Volume
    to_scan: AffineArray

    @property
    def volume_ml(self) -> float:
        """Volume of the mask there."""
        return float(np.count_nonzero(self.mask)) * self.like.grid.voxel_volume_ml

    def writers(
        self, mask: Mapping[str, Any], probability: Mapping[str, Any]
    ) -> dict[str, Callable[[Path], None]]:
        """Give what writes each file, by the fields of `OutputNames`; sidecars are given."""
        return {
            "mni_mask": lambda path: write(path, self.mask, self.like),
            "mni_mask_sidecar": lambda path: write_json(path, mask),
            "mni_probability": lambda path: write(path, self.probability, self.like),
            "mni_transform": lambda path: write_text(path, tfm_text(self.to_scan)),
            "mni_probability_sidecar": lambda path: write_json(path, probability),
        }


def bring_to_mni(
    mask: BoolArray, probability: FloatArray, grid: Grid, to_mni: AffineArray
) -> InMni:
    """Bring a lesion to MNI152; a voxel there is lesion where half of it or more is.

    Parameters
    ----------
    mask : (I, J, K) bool array
        The lesion on its own grid.
    probability : (I, J, K) float32 array
        Of it.
    grid : Grid
        Of both.
    to_mni : (4, 4) array
        The grid's mm to MNI152 mm.
    """
    target = mni_grid(STEP_MM)
    moved = Grid(grid.shape, to_mni @ grid.affine)
    inside = coverage(moved, target, slice(None))
    share, likely = (
        np.where(inside, resample_image(image, moved, target), np.float32(0))
        for image in (mask.astype(np.float32), np.ascontiguousarray(probability))
    )
    like = Volume(likely, target, space_from_affine(target.affine, MNI_CODE))
    to_scan: AffineArray = np.asarray(np.linalg.inv(to_mni), np.float64)
    return InMni(share >= _HALF, likely, like, to_scan)
