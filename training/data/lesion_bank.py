"""A bank of real lesion masks in MNI space, each cut to its bounding box."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import ndimage

from strokeseg.arrays import AffineArray, LabelArray
from strokeseg.errors import DataError
from strokeseg.images.reading import read_map

MARGIN_VOX = 2


@dataclass(frozen=True)
class LesionMask:
    """One mask, cut to its bounding box. `affine`: voxel of the cut to MNI152 mm."""

    name: str
    mask: LabelArray
    affine: AffineArray
    volume_ml: float
    centre_mm: tuple[float, float, float]


def read_bank(paths: Sequence[Path]) -> tuple[LesionMask, ...]:
    """Read lesion masks (any orientation, in MNI space); empty ones are left out."""
    bank = []
    for path in paths:
        volume = read_map(path)
        mask = volume.data > 0.5
        if not mask.any():
            continue
        found = ndimage.find_objects(mask.astype(np.uint8))[0]
        box = tuple(slice(max(s.start - MARGIN_VOX, 0), s.stop + MARGIN_VOX) for s in found)
        affine = volume.grid.affine.copy()
        affine[:3, 3] += affine[:3, :3] @ [s.start for s in box]
        centre = np.argwhere(mask[box]).mean(axis=0) @ affine[:3, :3].T + affine[:3, 3]
        bank.append(
            LesionMask(
                path.name.split(".")[0],
                np.ascontiguousarray(mask[box]).astype(np.uint8),
                affine,
                float(mask.sum()) * volume.grid.voxel_volume_ml,
                (float(centre[0]), float(centre[1]), float(centre[2])),
            )
        )
    if not bank:
        raise DataError("the lesion bank is empty: no mask holds a voxel over 0.5")
    return tuple(bank)
