"""Bytes of image files, plain or gzip, read with limits: never more than a header claims."""

import gzip
import os
import re
import stat
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np

from strokeseg.arrays import AnyArray
from strokeseg.errors import DataError, InputNotFoundError, ReadWriteError

_GZIP_MAGIC = b"\x1f\x8b"
_ANNEX = ".git/annex/objects/"
_WINDOWS = re.compile(r"[A-Za-z]:[\\/]|\\\\|[^/]*\\[^/]*$")
_NO_GZIP = "Not a gzipped file"
_PIECE_BYTES = 1 << 20
_FIRST_ROOM_BYTES = 1 << 20
# Deflate stores at best 258 bytes in 2 bits.
_MAX_DEFLATE_RATIO = 1032


def require_file(path: Path) -> None:
    """Refuse a path that does not lead to a regular file.

    Parameters
    ----------
    path : Path
        The input.

    Raises
    ------
    InputNotFoundError
        If nothing is there, or a folder, or a device.
    """
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError) as error:
        raise InputNotFoundError(_why_absent(path)) from error
    except (OSError, ValueError) as error:
        raise InputNotFoundError(f"{path}: cannot be reached ({error}); check the path") from error
    if stat.S_ISDIR(mode):
        raise InputNotFoundError(
            f"{path}: is a folder without DICOM, not an image file; name a file, or convert the "
            "series with strokeseg convert"
        )
    if not stat.S_ISREG(mode):
        raise InputNotFoundError(f"{path}: is not a regular file; name an image file")


def _why_absent(path: Path) -> str:
    """Say why nothing is found at a path."""
    if path.is_symlink() and _ANNEX in os.fspath(path.readlink()).replace("\\", "/"):
        return not_here(path)
    return f"{path}: no such file; {windows_hint(os.fspath(path)) or 'check the path'}"


def windows_hint(text: str) -> str:
    """Say that a path is written as Windows has them, where that is so and this is none."""
    if os.sep == "/" and _WINDOWS.match(text):
        return "it is written as Windows has paths, here they are like /data/t1.nii"
    return ""


def not_here(path: Path, how: str = "datalad get") -> str:
    """Say that a file of a dataset stands for content that was not fetched."""
    return f"{path}: its content is not here: `{how}` fetches it"


def read_start(path: Path, count: int) -> bytes:
    """Read the first bytes of a file, after decompression; fewer if the file is shorter.

    Parameters
    ----------
    path : Path
        A plain or gzip file.
    count : int
        How many bytes are wanted.
    """
    with _opened(path) as stream:
        return stream.read(count)


def read_voxels(
    path: Path, shape: tuple[int, ...], dtype: np.dtype[np.generic], offset: int
) -> AnyArray:
    """Read the stored voxels of an image file, first axis fastest.

    Before room is made for the voxels, the file must show that it has as many: a plain file by its
    size, a gzip file by the length in its trailer or else by being unpacked piece by piece. A
    trailer that lies is found out at the cost of twice what the file holds. What lies more than
    1 MiB beyond the voxels is not unpacked; a gzip stream that ends before has its checksum
    checked, and one that should end with the voxels, by its trailer, must.

    Parameters
    ----------
    path : Path
        A plain or gzip file.
    shape : tuple of int
        What the header claims.
    dtype : numpy.dtype
        The stored type, byte order included.
    offset : int
        Bytes before the first voxel.

    Returns
    -------
    array of `shape` and `dtype`
        In Fortran order.

    Raises
    ------
    DataError
        If the file is cut short or damaged.
    """
    voxels = int(np.prod(shape, dtype=object))
    needed = offset + voxels * dtype.itemsize
    ends_there = _require_bytes(path, needed, voxels)
    total = needed - offset
    # A gzip trailer may lie: room grows with what has been unpacked, which costs no copy.
    room = bytearray(min(total, max(_FIRST_ROOM_BYTES, 8 * path.stat().st_size)))
    filled = 0
    with _opened(path) as stream:
        _skip(stream, offset)
        while filled < total:
            if filled == len(room):
                room.extend(bytes(min(total - filled, filled)))
            with memoryview(room)[filled : filled + (_PIECE_BYTES << 3)] as piece:
                count = cast("int", stream.readinto(piece))  # type: ignore[attr-defined]
            if not count:
                raise _cut_short(path, offset + filled, needed, voxels)
            filled += count
        if _skip_end(stream) and ends_there:
            raise DataError(
                f"{path}: its gzip stream is damaged (it holds more than it says at its end); copy "
                "or download it again"
            )
    return np.frombuffer(room, dtype).reshape(shape, order="F")


def has_junk(path: Path, needed: int) -> bool:
    """Tell whether bytes that are no gzip follow a gzip stream, as gzip and nibabel pass over.

    Parameters
    ----------
    path : Path
        A file that was read whole.
    needed : int
        How many bytes its voxels and what lies before them have. Up to 1 MiB more are looked at.
    """
    if not _is_gzip(path) or _trailer_says(path, needed):
        return False
    try:
        with gzip.open(path, "rb") as stream:
            _skip(cast("BinaryIO", stream), needed + _PIECE_BYTES)
    except gzip.BadGzipFile as error:
        return str(error).startswith(_NO_GZIP)
    except (OSError, EOFError, zlib.error):
        return False
    return False


def _trailer_says(path: Path, needed: int) -> bool:
    """Tell whether the end of a gzip file says that it holds a number of bytes."""
    with path.open("rb") as stream:
        stream.seek(-4, 2)
        return int.from_bytes(stream.read(4), "little") == needed % (1 << 32)


def _skip_end(stream: BinaryIO) -> int:
    """Skip what may follow the voxels; bytes after a whole gzip stream are none of it."""
    try:
        return _skip(stream, _PIECE_BYTES)
    except gzip.BadGzipFile as error:
        if not str(error).startswith(_NO_GZIP):
            raise
        return 0


def _require_bytes(path: Path, needed: int, voxels: int) -> bool:
    """Refuse a file that holds fewer bytes than its header claims.

    Returns
    -------
    bool
        Whether it is a gzip file whose trailer says that it holds no more either.
    """
    size = path.stat().st_size
    if not _is_gzip(path):
        if size < needed:
            raise _cut_short(path, size, needed, voxels)
        return False
    if size * _MAX_DEFLATE_RATIO < needed:
        raise _cut_short(path, size, needed, voxels)
    if _trailer_says(path, needed):
        return True
    with _opened(path) as unpacked:
        held = _skip(unpacked, needed)
    if held < needed:
        raise _cut_short(path, held, needed, voxels)
    return False


def _cut_short(path: Path, held: int, needed: int, voxels: int) -> DataError:
    """Make the error for a file that ends before its voxels do."""
    return DataError(
        f"{path}: its header claims {voxels} voxels ({needed} bytes), the file holds {held} bytes; "
        "it is cut short or its header is wrong, copy or convert it again"
    )


def _skip(stream: BinaryIO, count: int) -> int:
    """Read and forget up to `count` bytes; return how many there were."""
    passed = 0
    while passed < count:
        piece = stream.read(min(_PIECE_BYTES, count - passed))
        if not piece:
            break
        passed += len(piece)
    return passed


def _is_gzip(path: Path) -> bool:
    """Whether a file starts as gzip files do, whatever its name."""
    with path.open("rb") as stream:
        return stream.read(2) == _GZIP_MAGIC


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    """Open for reading, unpacking gzip; what goes wrong inside becomes an error that says so."""
    try:
        opener = gzip.open if _is_gzip(path) else open
        with opener(path, "rb") as stream:
            yield cast("BinaryIO", stream)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(
            f"{path}: its gzip stream is cut short or damaged ({error}); copy or download it again"
        ) from error
    except PermissionError as error:
        raise InputNotFoundError(f"{path}: may not be read (permission denied)") from error
    except OSError as error:
        raise ReadWriteError(
            f"{path}: reading failed ({error}); check the disk or the mount"
        ) from error
