"""Results out: NIfTI is written, whole, with the header of the scan that it belongs to."""

import zlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from strokeseg.arrays import AnyArray
from strokeseg.errors import CannotCreateError, StrokesegError
from strokeseg.files.atomic import write_atomically
from strokeseg.images.header import nifti_start
from strokeseg.images.reading import Volume
from strokeseg.machine import thread_count

_STORED_TYPES = (np.uint8, np.int16, np.int32, np.float32)
_GZIP_HEADER = b"\x1f\x8b\x08\0\0\0\0\0\x04\xff"
_GZIP_BLOCK_BYTES = 1 << 20


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
