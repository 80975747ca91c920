"""Real scans with lesion masks, read onto the working grid."""

from dataclasses import dataclass

import numpy as np

from strokeseg.arrays import FloatArray, LabelArray
from strokeseg.errors import DataError
from strokeseg.images.reading import read_map, read_scan
from strokeseg.space.grid import working_grid
from strokeseg.space.resample import resample_image
from strokeseg.training.data.inputs import PairPaths

# What is said of voxels whose class nobody knows: not lesion, of any other class; or some tissue of
# the brain, and neither lesion nor background.
UNKNOWN = 255
BRAIN = 254


@dataclass(frozen=True)
class Pair:
    """A real image (float32) and its lesion (uint8), both (I, J, K) on the working grid."""

    name: str
    image: FloatArray
    lesion: LabelArray


def read_pair(paths: PairPaths, voxel_size_mm: float) -> Pair:
    """Read an image and its mask (any orientation) onto a RAS grid of `voxel_size_mm`.

    Raises
    ------
    DataError
        Image and mask lie on different grids.
    """
    image, mask = read_scan(paths.image), read_map(paths.mask)
    if not image.grid.same_as(mask.grid):
        raise DataError(f"{paths.mask}: is not on the grid of {paths.image}")
    grid = working_grid(image.grid, voxel_size_mm)
    inside = (mask.data > 0.5).astype(np.float32)
    lesion = resample_image(inside, image.grid, grid) > 0.5
    data = np.ascontiguousarray(resample_image(image.data, image.grid, grid))
    return Pair(paths.name, data, lesion.astype(np.uint8))
