"""What the headers of NIfTI and MGH files say, in one form; nibabel knows the fields."""
# mypy: untyped-calls-exclude=nibabel

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from nibabel.freesurfer.mghformat import MGHHeader
from nibabel.nifti1 import Nifti1Header
from nibabel.nifti2 import Nifti2Header
from nibabel.spatialimages import HeaderDataError, SpatialImage

from strokeseg.arrays import AffineArray
from strokeseg.errors import DataError
from strokeseg.images.filetype import LONGEST_HEADER_BYTES, header_and_voxels, kind_of
from strokeseg.images.placement import check_codes, check_units, check_zooms, place_warnings
from strokeseg.images.stream import read_start
from strokeseg.space.grid import affine_problem

_NIFTI1_BYTES, _MGH_BYTES = 348, 90
_MGH_VOXELS_AT = 284
_MGH_GOOD_RAS = slice(28, 30)
_FREESURFER_AXES = ((-1, 0, 0), (0, 0, -1), (0, 1, 0))
_MAX_OFFSET = 1 << 28
_MAX_NIFTI1_SIZE = 32767
_MILLIMETRES = 2
_UNITS_MASK = 7
_PLACE_FIELDS = (
    *("qform_code", "quatern_b", "quatern_c", "quatern_d", "qoffset_x", "qoffset_y", "qoffset_z"),
    *("sform_code", "srow_x", "srow_y", "srow_z"),
)


@dataclass(frozen=True, eq=False)
class SpaceHeader:
    """How a header places its voxels; kept so that results place theirs the same way.

    Parameters
    ----------
    qform, sform : (4, 4) float64 arrays or None
        The two affines in mm; None where the code is 0.
    qform_code, sform_code : int
        NIfTI's codes (0 unknown, 1 scanner, 2 aligned, 3 Talairach, 4 MNI).
    units : str
        ``"mm"``, or ``"unknown"`` where the header names no unit.
    nifti : Nifti1Header
        The fields as they were stored. Not to be changed.
    """

    qform: AffineArray | None
    sform: AffineArray | None
    qform_code: int
    sform_code: int
    units: str
    nifti: Nifti1Header


@dataclass(frozen=True, eq=False)
class ImageHeader:
    """All that must be known before voxels are read.

    Parameters
    ----------
    shape : tuple of int
        As claimed; any number of axes.
    dtype : numpy.dtype
        The stored type, byte order included.
    affine : (4, 4) float64 array
        Voxel index to RAS+ mm, not yet checked.
    space : SpaceHeader
        Where it came from.
    warnings : tuple of str
        What is doubtful about it.
    slope, inter : float
        Stored value to intensity.
    voxels : Path or None
        The file with the voxels; None for an image in memory.
    offset : int
        Bytes before the first voxel.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[np.generic]
    affine: AffineArray
    space: SpaceHeader
    warnings: tuple[str, ...] = ()
    slope: float = 1.0
    inter: float = 0.0
    voxels: Path | None = None
    offset: int = 0


def read_header(path: Path) -> ImageHeader:
    """Read the header of a NIfTI-1, NIfTI-2 or MGH file; no voxel is read.

    Parameters
    ----------
    path : Path
        A single file, or either file of an .img/.hdr pair. Its bytes tell whether it is gzip.

    Raises
    ------
    DataError
        If it is no such file, or its header makes no sense.
    InputNotFoundError, ReadWriteError
        If it cannot be read.
    """
    header_path, voxels_path = header_and_voxels(path)
    start = read_start(header_path, LONGEST_HEADER_BYTES)
    kind = kind_of(path, start)
    if kind == "mgh":
        return _from_mgh(path, start)
    order = "<" if start[0] else ">"
    if kind == "nifti1":
        header = Nifti1Header(start[:_NIFTI1_BYTES], order, check=False)
    else:
        header = Nifti2Header(start, order, check=False)
    try:
        dtype = np.dtype(header.get_data_dtype())
        slope, inter = header.get_slope_inter()
    except KeyError as error:
        raise DataError(
            f"{path}: its header names an unknown voxel type {error}; convert the scan again"
        ) from error
    except HeaderDataError as error:
        raise DataError(
            f"{path}: its header is damaged ({error}); convert the scan again"
        ) from error
    single = bytes(header["magic"].tobytes())[1:2] == b"+"
    space, affine, warnings = _nifti_space(str(path), header)
    return ImageHeader(
        shape=_nifti_shape(path, header),
        dtype=dtype,
        affine=affine,
        space=space,
        warnings=warnings,
        slope=1.0 if slope is None else slope,
        inter=0.0 if inter is None else inter,
        voxels=path if single else voxels_path,
        offset=_voxel_offset(path, header, single),
    )


def header_of_image(name: str, image: SpatialImage) -> ImageHeader:
    """Describe a nibabel image; what its `affine` says goes before what its header says.

    Parameters
    ----------
    name : str
        What messages call the image.
    image : nibabel SpatialImage
        Any spatial image.
    """
    if image.affine is None:
        raise DataError(f"{name}: the nibabel image has no affine; give it one")
    shape = tuple(int(size) for size in image.shape)
    dtype = np.dtype(getattr(image.dataobj, "dtype", np.float64))
    affine = np.array(image.affine, dtype=np.float64)
    if isinstance(image.header, Nifti1Header):
        space, stored, warnings = _nifti_space(name, image.header.copy())
        if np.allclose(stored, affine, atol=1e-4, equal_nan=True):
            return ImageHeader(shape, dtype, affine, space, warnings)
    return ImageHeader(shape, dtype, affine, space_from_affine(affine))


def space_from_affine(affine: AffineArray, code: int = 1) -> SpaceHeader:
    """Make a header that places voxels by an affine.

    Sform and, unless the affine has shear, qform hold it, with NIfTI's `code` (4 for MNI152).

    Parameters
    ----------
    affine : (4, 4) array
        Voxel index to RAS+ mm. If it cannot be used, the header is an empty one.
    """
    header = Nifti1Header()
    if affine_problem(affine) is None:
        header.set_sform(affine, code=code)
        frame = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
        rigid = np.allclose(frame.T @ frame, np.eye(3), atol=1e-4)
        header.set_qform(affine, code=code if rigid else 0)
    header["xyzt_units"] = _MILLIMETRES
    return _space(header)


def nifti_start(space: SpaceHeader, shape: tuple[int, ...], dtype: np.dtype[np.generic]) -> bytes:
    """Make the bytes before the voxels of a single-file NIfTI, little-endian.

    NIfTI-1, or NIfTI-2 where a size is over 32767.

    Parameters
    ----------
    space : SpaceHeader
        Where the voxels lie.
    shape : (I, J, K) or (I, J, K, N)
        Sizes.
    dtype : numpy.dtype
        The type that will be stored.
    """
    large = max(shape) > _MAX_NIFTI1_SIZE
    header = Nifti2Header(endianness="<") if large else Nifti1Header(endianness="<")
    header.set_data_dtype(dtype)
    header.set_data_shape(shape)
    with np.errstate(all="ignore"):  # a qform of NIfTI-2 may hold what no reader can use
        for field in _PLACE_FIELDS:
            header[field] = space.nifti[field]
        header["pixdim"][:4] = space.nifti["pixdim"][:4]
    header["xyzt_units"] = _MILLIMETRES
    header["scl_slope"], header["scl_inter"] = 1.0, 0.0
    header["vox_offset"] = header.single_vox_offset
    header["magic"] = header.single_magic
    return bytes(header.binaryblock) + bytes(4)


def _nifti_shape(path: Path, header: Nifti1Header) -> tuple[int, ...]:
    """Read the sizes that a NIfTI header claims."""
    axes = int(header["dim"][0])
    if not 1 <= axes <= 7:
        raise DataError(f"{path}: its header claims {axes} axes; it is damaged, convert it again")
    return tuple(int(size) for size in header["dim"][1 : axes + 1])


def _voxel_offset(path: Path, header: Nifti1Header, single: bool) -> int:
    """Read where the voxels start; 0 in a single file stands for right behind the header."""
    offset = float(header["vox_offset"])
    if single and offset == 0:
        return int(header.single_vox_offset)
    least = header.template_dtype.itemsize if single else 0
    if not (np.isfinite(offset) and offset.is_integer() and least <= offset <= _MAX_OFFSET):
        raise DataError(
            f"{path}: its header says that voxels start at byte {offset:g}; it is damaged, convert "
            "the scan again"
        )
    return int(offset)


def _nifti_space(
    name: str, header: Nifti1Header
) -> tuple[SpaceHeader, AffineArray, tuple[str, ...]]:
    """Check and read where voxels lie: sform if coded, else qform if coded, else by size alone."""
    check_units(name, int(header["xyzt_units"]) & _UNITS_MASK)
    check_zooms(name, header["pixdim"][1:4])
    codes, qfac = (int(header["qform_code"]), int(header["sform_code"])), float(header["pixdim"][0])
    check_codes(name, codes, qfac)
    header["pixdim"][0] = -1 if qfac == -1 else 1
    try:
        with np.errstate(all="ignore"):
            space = _space(header)
            affine = np.array(header.get_best_affine(), dtype=np.float64)
    except (ValueError, HeaderDataError) as error:
        raise DataError(
            f"{name}: its qform is no rotation ({error}); repair it or convert the scan again"
        ) from error
    size = tuple(int(edge) for edge in header["dim"][1:4])
    warnings = place_warnings(affine, header["pixdim"][1:4], size, space.sform, space.qform)
    return space, affine, tuple(warnings)


def _space(header: Nifti1Header) -> SpaceHeader:
    """Gather the part of a NIfTI header that places voxels."""
    qform_code, sform_code = int(header["qform_code"]), int(header["sform_code"])
    return SpaceHeader(
        qform=np.array(header.get_qform(), dtype=np.float64) if qform_code > 0 else None,
        sform=np.array(header.get_sform(), dtype=np.float64) if sform_code > 0 else None,
        qform_code=qform_code,
        sform_code=sform_code,
        units="mm" if int(header["xyzt_units"]) & _UNITS_MASK == _MILLIMETRES else "unknown",
        nifti=header,
    )


def _from_mgh(path: Path, start: bytes) -> ImageHeader:
    """Read an MGH header; its affine becomes sform and qform.

    Where the header says that it records no orientation, FreeSurfer takes coronal slices of 1 mm.
    """
    header = MGHHeader(start[:_MGH_BYTES], check=False)
    try:
        dtype = np.dtype(header.get_data_dtype()).newbyteorder(">")
    except KeyError as error:
        raise DataError(f"{path}: its MGH header names an unknown voxel type {error}") from error
    check_zooms(str(path), header["delta"])
    oriented = any(start[_MGH_GOOD_RAS])
    if not oriented:
        header["Mdc"] = _FREESURFER_AXES
    with np.errstate(all="ignore"):
        affine = np.array(header.get_affine(), dtype=np.float64)
    return ImageHeader(
        shape=tuple(int(size) for size in header["dims"]),
        dtype=dtype,
        affine=affine,
        space=space_from_affine(affine),
        warnings=()
        if oriented
        else ("the MGH header records no orientation: FreeSurfer's default, LIA, is taken",),
        voxels=path,
        offset=_MGH_VOXELS_AT,
    )
