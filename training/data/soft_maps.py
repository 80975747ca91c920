"""Soft tissue probability maps (MultiBrain, or SPM's c1 to c3) as heads.

The two strongest tissues of a voxel are kept, as with label maps; what the maps leave over is
background, so that such heads come without skull and skin. SPM has no map of the GM/WM partial
volume: where its grey and white probabilities g and w meet, 2 min(g, w) is taken for it.
"""

from pathlib import Path

import numpy as np

from strokeseg.arrays import FloatArray
from strokeseg.errors import DataError
from strokeseg.images.header import read_header
from strokeseg.images.reading import read_map, read_scan
from strokeseg.images.stream import read_voxels, require_file
from strokeseg.models.classes import BACKGROUND
from strokeseg.space.grid import Grid, working_grid
from strokeseg.space.mni import fit_moments
from strokeseg.space.resample import resample_image
from strokeseg.training.data.inputs import SOFT_CLASSES, SoftPaths
from strokeseg.training.data.label_maps import Ranking, Subject
from strokeseg.training.data.label_table import TISSUES, LabelTable

MARGIN_VOX = 4


def prepare_soft_subject(
    paths: SoftPaths, table: LabelTable, voxel_size_mm: float, *, in_mni: bool
) -> Subject:
    """Read a head's tissue probability maps and bring them to a RAS grid of `voxel_size_mm`.

    Parameters
    ----------
    paths
        The files.
    table
        Whose classes stand for the tissues (the first class of each).
    voxel_size_mm
        Of the grid.
    in_mni
        Whether the maps lie in MNI space; if not, an affine is fitted to the brain's moments.

    Raises
    ------
    DataError
        The maps of a head lie on different grids, or hold no tissue.
    """
    shares, native = _read(paths)
    shares = np.clip(shares, 0, 1)
    shares /= np.maximum(shares.sum(axis=0), 1)
    grid = working_grid(native, voxel_size_mm)
    tissues = np.stack([resample_image(share, native, grid) for share in shares])
    inside = np.argwhere(tissues.sum(axis=0) > 0.5)
    if not inside.size:
        raise DataError(f"{paths.name}: the tissue maps hold no voxel of probability over 0.5")
    low = np.maximum(inside.min(axis=0) - MARGIN_VOX, 0)
    high = np.minimum(inside.max(axis=0) + 1 + MARGIN_VOX, grid.shape)
    box = tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
    affine = grid.affine.copy()
    affine[:3, 3] += affine[:3, :3] @ low
    tissues = tissues[:, *box]
    ranking = Ranking(tissues.shape[1:])
    everywhere = (slice(None),) * 3
    names = (BACKGROUND, *SOFT_CLASSES)
    for name, share in zip(names, (1 - tissues.sum(axis=0), *tissues), strict=True):
        ranking.add(_class_of(name, table), everywhere, share)
    to_mni = np.eye(4)
    if not in_mni:
        to_mni = fit_moments(tissues[:3].sum(axis=0), affine, paths.name)
    return Subject(paths.name, *ranking.result(), affine, to_mni)


def _class_of(tissue: str, table: LabelTable) -> int:
    if tissue == TISSUES[table.tissue_of_class[table.border]]:
        return table.border
    return table.tissue_of_class.index(TISSUES.index(tissue))


def _read(paths: SoftPaths) -> tuple[FloatArray, Grid]:
    """Give the shares (4, I, J, K) in the order of `SOFT_CLASSES`, and their grid."""
    if len(paths.files) == 1 and paths.files[0] is not None:
        return _read_whole(paths.files[0])
    found = {}
    for name, path in zip(SOFT_CLASSES, paths.files, strict=True):
        if path is not None:
            volume = read_map(path)
            found[name] = volume.data
            grid = volume.grid
            if volume.data.shape != next(iter(found.values())).shape:
                raise DataError(f"{path}: its grid is not that of the head's other tissue maps")
    if "GM/WM" not in found:
        shared = np.minimum(found["GM"], found["WM"])
        found |= {"GM": found["GM"] - shared, "WM": found["WM"] - shared, "GM/WM": 2 * shared}
    return np.stack([found[name] for name in SOFT_CLASSES]), grid


def _read_whole(path: Path) -> tuple[FloatArray, Grid]:
    """Read one file of four volumes."""
    require_file(path)
    header = read_header(path)
    if len(header.shape) != 4 or header.shape[3] != len(SOFT_CLASSES):
        raise DataError(
            f"{path}: has shape {header.shape}; tissue maps are four volumes: "
            f"{', '.join(SOFT_CLASSES)}"
        )
    stored = read_voxels(header.voxels or path, header.shape, header.dtype, header.offset)
    scaled = stored.astype(np.float32) * np.float32(header.slope) + np.float32(header.inter)
    volumes = [
        read_scan((scaled[..., channel], header.affine)) for channel in range(scaled.shape[3])
    ]
    return np.stack([volume.data for volume in volumes]), volumes[0].grid
