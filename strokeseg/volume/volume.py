"""Scans in, results out: NIfTI and MGH are read and checked, NIfTI is written."""

import os
import zlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from nibabel.spatialimages import SpatialImage

from strokeseg.arrays import AnyArray, FloatArray
from strokeseg.errors import CannotCreateError, DataError, StrokesegError
from strokeseg.files.atomic import write_atomically
from strokeseg.machine import thread_count
from strokeseg.space.grid import Grid
from strokeseg.volume.checks import checked_intensities, geometry_warnings
from strokeseg.volume.header import ImageHeader, SpaceHeader, nifti_start
from strokeseg.volume.outline import Outline, outline_array, outline_file, outline_image
from strokeseg.volume.stream import read_voxels

_STORED_TYPES = (np.uint8, np.int16, np.int32, np.float32)
_GZIP_HEADER = b"\x1f\x8b\x08\0\0\0\0\0\x04\xff"
_GZIP_BLOCK_BYTES = 1 << 20


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
    """

    data: FloatArray
    grid: Grid
    header: SpaceHeader
    path: Path | None = None
    warnings: tuple[str, ...] = ()


Source = str | os.PathLike[str] | SpatialImage | tuple[npt.ArrayLike, npt.ArrayLike] | Volume


def read(source: Source, *, scan: bool = True) -> Volume:
    """Read one scan and check that it can be segmented.

    Headers are checked before voxels are read, and nothing is unpacked or allocated that the file
    does not have. ``scl_slope`` and ``scl_inter`` are applied in float32. A fourth axis of one
    volume is dropped. NaN and infinite voxels become the smallest finite value, with a warning.

    Parameters
    ----------
    source : path, nibabel image, (array, affine) or Volume
        NIfTI-1, NIfTI-2 (.nii, .nii.gz, .img/.hdr), .mgz or .mgh; or an image in memory, whose
        affine maps voxels to RAS+ mm; or a scan that was read before, which is given back.
    scan : bool
        Whether it is to be a scan. A mask or a map is none: it may be of one value.

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
    if isinstance(source, Volume):
        return source
    if isinstance(source, SpatialImage):
        return _read_image(source, scan)
    if isinstance(source, tuple):
        return _read_array(source, scan)
    return _read_file(Path(source), scan)


def write(path: Path, data: AnyArray | Sequence[AnyArray], like: Volume) -> None:
    """Write a result on the grid of a scan, with that scan's qform, sform and codes.

    The same data make the same bytes, whatever the number of threads. The file appears under its
    name only when it is whole.

    Parameters
    ----------
    path : Path
        Ends in .nii.gz (packed fast, at level 1) or .nii; a file that is there is replaced.
    data : (I, J, K) array, or a sequence of them
        uint8, int16, int32, float32, or bool (stored as uint8); several volumes on one grid, all of
        one type, go along the fourth axis.
    like : Volume
        The scan.

    Raises
    ------
    CannotCreateError
        If the name is of another format or the file cannot be created.
    ReadWriteError
        If writing failed half-way.
    """
    given = (data,) if isinstance(data, np.ndarray) else tuple(data)
    volumes = [array.view(np.uint8) if array.dtype == np.bool_ else array for array in given]
    for array in volumes:
        if array.dtype.type not in _STORED_TYPES or array.shape != like.grid.shape:
            raise StrokesegError(
                f"{path}: an array of {array.dtype} {array.shape} cannot be written on a grid of "
                f"{like.grid.shape}; this is a fault of strokeseg, please report it"
            )
    if not path.name.endswith((".nii", ".nii.gz")):
        raise CannotCreateError(f"{path}: results are NIfTI; name the file .nii.gz or .nii")
    pieces = _nifti_pieces(volumes, like)
    write_atomically(path, _gzip_pieces(pieces) if path.name.endswith(".gz") else pieces)


def outline(source: Source) -> Outline:
    """Check a scan as far as its header goes; no voxel of a file is read.

    Parameters
    ----------
    source : path, nibabel image, (array, affine) or Volume
        As for `read`.

    Raises
    ------
    InputNotFoundError, DataError, ReadWriteError
        As `read` does.
    """
    if isinstance(source, Volume):
        shape, affine = source.grid.shape, source.grid.affine
        header = ImageHeader(shape, source.data.dtype, affine, source.header)
        return Outline(str(source.path or "array"), source.grid, header, source.path, 0)
    if isinstance(source, SpatialImage):
        return outline_image(source)
    if isinstance(source, tuple):
        return outline_array(source)
    return outline_file(Path(source))


def _read_file(path: Path, scan: bool) -> Volume:
    """Read and check a file."""
    found = outline_file(path)
    header = found.header
    data = _scaled(
        read_voxels(header.voxels or path, found.grid.shape, header.dtype, header.offset),
        header.slope,
        header.inter,
    )
    return _checked(found, data, scan)


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


def _nifti_pieces(volumes: Sequence[AnyArray], like: Volume) -> Iterator[bytes]:
    """Make the bytes of a NIfTI file: header, then one plane after the other."""
    little = volumes[0].dtype.newbyteorder("<")
    shape = like.grid.shape if len(volumes) == 1 else (*like.grid.shape, len(volumes))
    yield nifti_start(like.header, shape, little)
    for volume in volumes:
        for plane in range(volume.shape[2]):
            yield volume[:, :, plane].astype(little, copy=False).tobytes(order="F")


def _gzip_pieces(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """One gzip member, without name and time, its blocks of 1 MiB packed in threads."""
    threads = thread_count()
    yield _GZIP_HEADER
    checksum, length = 0, 0
    with ThreadPoolExecutor(threads) as pool:
        for batch in _batches(pieces, threads * _GZIP_BLOCK_BYTES):
            checksum = zlib.crc32(batch, checksum)
            length += len(batch)
            starts = range(0, len(batch), _GZIP_BLOCK_BYTES)
            yield from pool.map(_deflate, (batch[at : at + _GZIP_BLOCK_BYTES] for at in starts))
    yield _packer().flush()
    yield checksum.to_bytes(4, "little") + (length % (1 << 32)).to_bytes(4, "little")


def _batches(pieces: Iterator[bytes], size: int) -> Iterator[bytes]:
    """Join pieces into runs of a whole number of blocks (the last one may be shorter)."""
    waiting = bytearray()
    for piece in pieces:
        waiting += piece
        whole = len(waiting) - len(waiting) % size
        if whole:
            yield bytes(waiting[:whole])
            del waiting[:whole]
    if waiting:
        yield bytes(waiting)


def _deflate(block: bytes) -> bytes:
    """Pack one block so that another can follow it."""
    packer = _packer()
    return packer.compress(block) + packer.flush(zlib.Z_SYNC_FLUSH)


def _packer() -> "zlib._Compress":
    """Make a packer that looks for runs only: three times faster on floats, smaller on masks."""
    return zlib.compressobj(1, zlib.DEFLATED, -zlib.MAX_WBITS, zlib.DEF_MEM_LEVEL, zlib.Z_RLE)
