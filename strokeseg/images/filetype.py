"""Which files make up an image, and of what kind its first bytes say it is."""

from pathlib import Path
from typing import Literal

from strokeseg.errors import DataError, InputNotFoundError
from strokeseg.images.file_names import is_header_name, is_mgh_name, other_half_names
from strokeseg.images.stream import not_here

Kind = Literal["nifti1", "nifti2", "mgh"]

LONGEST_HEADER_BYTES = 540
_SHORTEST_HEADER_BYTES = 348
_MGH_VERSION = b"\0\0\0\1"
_MGH_BYTES = 284
_ANNEX_POINTER = b"/annex/objects/"
_LFS_POINTER = b"version https://git-lfs.github.com/"
_ANALYZE_SIZE = (b"\x5c\x01\0\0", b"\0\0\x01\x5c")


def header_and_voxels(path: Path) -> tuple[Path, Path]:
    """Find the file with the header and the file with the voxels.

    Parameters
    ----------
    path : Path
        A single file, or either file of an .img/.hdr pair (one or both gzip).

    Returns
    -------
    header, voxels : Path
        The same file twice unless the name is of a pair.

    Raises
    ------
    DataError
        If the other file of a pair is missing.
    """
    names = other_half_names(path.name)
    if not names:
        return path, path
    for name in names:
        partner = path.with_name(name)
        if partner.is_file():
            return (path, partner) if is_header_name(path.name) else (partner, path)
    raise DataError(f"{path}: its other half {names[0]} is not beside it; keep the two together")


def kind_of(path: Path, start: bytes) -> Kind:
    """Tell the kind of an image from its first bytes.

    Parameters
    ----------
    path : Path
        The file, for its name and for messages.
    start : bytes
        Its first `LONGEST_HEADER_BYTES` bytes, unpacked; fewer if it has fewer.

    Raises
    ------
    DataError
        If it is none of the three kinds; the message says what it is, where that can be told.
    """
    if start[344:348] in (b"n+1\0", b"ni1\0"):
        return "nifti1"
    if start[4:8] in (b"n+2\0", b"ni2\0") and len(start) == LONGEST_HEADER_BYTES:
        return "nifti2"
    if is_mgh_name(path.name) and start[:4] == _MGH_VERSION:
        if len(start) >= _MGH_BYTES:
            return "mgh"
        raise DataError(f"{path}: ends within its MGH header; copy or convert it again")
    if start.startswith(_ANNEX_POINTER):
        raise InputNotFoundError(not_here(path))
    if start.startswith(_LFS_POINTER):
        raise InputNotFoundError(not_here(path, "git lfs pull"))
    if not start:
        raise DataError(f"{path}: is empty; copy or convert it again")
    if start[128:132] == b"DICM":
        raise DataError(
            f"{path}: is DICOM; convert the series to NIfTI first, with strokeseg convert"
        )
    if start[:4] in _ANALYZE_SIZE and len(start) >= _SHORTEST_HEADER_BYTES:
        raise DataError(
            f"{path}: is Analyze 7.5, which does not record orientation; convert the scan to NIfTI"
        )
    raise DataError(
        f"{path}: is not a NIfTI or MGH image; give .nii, .nii.gz, .img/.hdr, .mgz, .mgh, .nrrd, "
        ".mha or DICOM"
    )
