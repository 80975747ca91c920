"""Scans in: NIfTI and MGH, images and arrays, are read and checked."""

import os
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from nibabel.spatialimages import SpatialImage

from strokeseg.arrays import AnyArray, FloatArray
from strokeseg.errors import DataError, UsageError
from strokeseg.images.checks import checked_intensities, geometry_warnings
from strokeseg.images.file_names import is_itk_name
from strokeseg.images.header import ImageHeader, SpaceHeader
from strokeseg.images.itk import itk_voxels
from strokeseg.images.outline import Outline, outline_array, outline_file, outline_image
from strokeseg.images.stream import has_junk, read_voxels
from strokeseg.space.grid import Grid


@dataclass(frozen=True, eq=False)
class Volume:
    """One scan as it was stored: no reorientation, no resampling.

    Parameters
    ----------
    data : (I, J, K) float32 array
        Finite intensities, any strides.
    grid : Grid
        Where the voxels lie.
    header : SpaceHeader
        The qform, sform and codes that said so.
    path : Path or None
        The file that it came from.
    warnings : tuple of str
        What was unusual about it, one line each.
    scanner : mapping
        What DICOM says of how it was acquired.
    """

    data: FloatArray
    grid: Grid
    header: SpaceHeader
    path: Path | None = None
    warnings: tuple[str, ...] = ()
    scanner: Mapping[str, Any] = field(default_factory=dict)


Source = str | os.PathLike[str] | SpatialImage | tuple[npt.ArrayLike, npt.ArrayLike] | Volume


def read_scan(source: Source) -> Volume:
    """Read one scan and check that it can be segmented.

    Headers are checked before voxels are read, and nothing is unpacked or allocated that the file
    does not have. ``scl_slope`` and ``scl_inter`` are applied in float32. A fourth axis of one
    volume is dropped. NaN and infinite voxels become the smallest finite value, with a warning.

    Parameters
    ----------
    source : path, nibabel image, (array, affine) or Volume
        NIfTI-1, NIfTI-2 (.nii, .nii.gz, .img/.hdr), .mgz or .mgh, NRRD or MetaImage; or an image
        in memory, whose affine maps voxels to RAS+ mm; or a scan that was read before, which is
        given back.

    Returns
    -------
    Volume
        The scan, float32.

    Raises
    ------
    InputNotFoundError
        If there is no such file.
    DataError
        If it is no image, or one that cannot be segmented; the message says what to do.
    ReadWriteError
        If reading failed half-way.
    """
    return _read(source, scan=True)


def read_map(source: Source) -> Volume:
    """Read a mask, a label image or a map of probabilities, as `read_scan` reads a scan.

    It may be of one value, and NaN and infinite voxels become 0, with a warning.

    Raises
    ------
    InputNotFoundError, DataError, ReadWriteError
        As `read_scan` does.
    """
    return _read(source, scan=False)


def outline(source: Source) -> Outline:
    """Check a scan as far as its header goes; no voxel of a file is read.

    Parameters
    ----------
    source : path, nibabel image, (array, affine) or Volume
        As for `read_scan`.

    Raises
    ------
    InputNotFoundError, DataError, ReadWriteError
        As `read_scan` does.
    """
    if isinstance(source, Volume):
        shape, affine = source.grid.shape, source.grid.affine
        header = ImageHeader(shape, source.data.dtype, affine, source.header)
        return Outline(str(source.path or "array"), source.grid, header, source.path, 0)
    if isinstance(source, SpatialImage):
        return outline_image(source)
    if isinstance(source, tuple):
        return outline_array(source)
    return outline_file(path_of(source))


def path_of(source: object) -> Path:
    """Give the path that a scan is told by.

    Raises
    ------
    UsageError
        If it is none, nor an image.
    """
    if isinstance(source, str | os.PathLike):
        path = os.fspath(source)
        if isinstance(path, str) and path:
            return Path(path)
    what = "an empty path" if source == "" else f"of type {type(source).__name__}"
    raise UsageError(
        f"a scan is {what}: give a path, a nibabel image, or a pair (array, affine) as a tuple"
    )


def _read(source: Source, *, scan: bool) -> Volume:
    """Read what is to be a scan, or a map of one."""
    if isinstance(source, Volume):
        return source
    if isinstance(source, SpatialImage):
        return _read_image(source, scan)
    if isinstance(source, tuple):
        return _read_array(source, scan)
    return _read_file(path_of(source), scan)


def _read_file(path: Path, scan: bool) -> Volume:
    """Read and check a file."""
    found = outline_file(path)
    header = found.header
    if is_itk_name(path.name):
        return _checked(found, _scaled(itk_voxels(path).reshape(found.grid.shape), 1, 0), scan)
    voxels = header.voxels or path
    stored = read_voxels(voxels, found.grid.shape, header.dtype, header.offset)
    volume = _checked(found, _scaled(stored, header.slope, header.inter), scan)
    if not has_junk(voxels, header.offset + stored.nbytes):
        return volume
    told = "bytes that are no gzip follow its gzip stream, which is whole: they were passed over"
    return replace(volume, warnings=(*volume.warnings, told))


def _read_image(image: SpatialImage, scan: bool) -> Volume:
    """Read and check a nibabel image."""
    found = outline_image(image)
    try:
        stored = np.asanyarray(image.dataobj)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(
            f"{found.name}: its voxels cannot be read ({error}); load it again"
        ) from error
    data = _scaled(stored.reshape(found.grid.shape, order="A"), 1.0, 0.0)
    return _checked(found, data, scan)


def _read_array(source: tuple[npt.ArrayLike, npt.ArrayLike], scan: bool) -> Volume:
    """Check an array and its affine."""
    found = outline_array(source)
    stored = np.asarray(source[0]).reshape(found.grid.shape, order="A")
    return _checked(found, _scaled(stored, 1.0, 0.0), scan)


def _scaled(stored: AnyArray, slope: float, inter: float) -> FloatArray:
    """Turn stored values to float32 intensities; float32 without scaling is not copied."""
    with np.errstate(over="ignore", invalid="ignore"):
        if (slope, inter) == (1.0, 0.0):
            return stored.astype(np.float32, copy=False)
        data = stored.astype(np.float32)
        data *= np.float32(slope)
        data += np.float32(inter)
    return data


def _checked(found: Outline, data: FloatArray, scan: bool) -> Volume:
    """Check the voxels and gather the warnings."""
    data, doubts = checked_intensities(found.name, data, scan=scan)
    warnings = (*found.header.warnings, *geometry_warnings(found.grid), *doubts)
    return Volume(data, found.grid, found.header.space, found.path, warnings)
