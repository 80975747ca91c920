"""Images of ITK's own formats, NRRD and MetaImage, by SimpleITK: RAS here, LPS in files."""
# mypy: untyped-calls-exclude=SimpleITK

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from strokeseg.arrays import AnyArray
from strokeseg.errors import CannotCreateError, DataError, EngineError, ReadWriteError
from strokeseg.images.header import ImageHeader, space_from_affine
from strokeseg.space.grid import Grid

if TYPE_CHECKING:
    from types import ModuleType

_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
_COMPLEX = "complex"


def itk_header(path: Path) -> ImageHeader:
    """Read the header of a NRRD or MetaImage file; no voxel is read.

    Raises
    ------
    DataError
        If it is none, or damaged, or has several values for each voxel.
    EngineError
        If SimpleITK is not installed.
    """
    sitk = _simpleitk(path)
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
    except RuntimeError as error:
        raise _unreadable(path) from error
    values = reader.GetNumberOfComponents()
    if values > 1:
        raise DataError(
            f"{path}: has {values} values for each voxel (colours, or volumes); give one volume"
        )
    axes = reader.GetDimension()
    shape = tuple(int(size) for size in reader.GetSize())
    affine = np.eye(4)
    if axes >= 3:
        direction = np.array(reader.GetDirection()).reshape(axes, axes)[:3, :3]
        affine[:3, :3] = direction * np.array(reader.GetSpacing()[:3])
        affine[:3, 3] = reader.GetOrigin()[:3]
    affine = _LPS @ affine
    kind = sitk.GetPixelIDValueAsString(reader.GetPixelID()).lower()
    if _COMPLEX in kind:
        raise DataError(f"{path}: has complex voxels; give the magnitude image")
    dtype = np.dtype(np.float64 if "64" in kind else np.float32)
    return ImageHeader(shape, dtype, affine, space_from_affine(affine), voxels=path)


def itk_voxels(path: Path) -> AnyArray:
    """Read the voxels of a NRRD or MetaImage file, first axis fastest.

    Raises
    ------
    DataError
        If the file is damaged.
    """
    try:
        image: Any = _simpleitk(path).ReadImage(str(path))
    except RuntimeError as error:
        raise _unreadable(path) from error
    voxels: AnyArray = _simpleitk(path).GetArrayFromImage(image)
    return voxels.transpose(range(voxels.ndim)[::-1])


def _simpleitk(path: Path) -> "ModuleType":
    try:
        import SimpleITK
    except ImportError as error:
        raise EngineError(
            f"{path}: NRRD and MetaImage need SimpleITK: pip install 'strokeseg[itk]', or convert "
            "the scan to NIfTI"
        ) from error
    SimpleITK.ProcessObject.SetGlobalWarningDisplay(False)
    return SimpleITK


def _unreadable(path: Path) -> DataError:
    return DataError(
        f"{path}: is no NRRD or MetaImage that can be read, or its data file is missing; copy or "
        "convert it again"
    )


def write_itk(path: Path, data: AnyArray, grid: Grid) -> None:
    """Write a map as NRRD or MetaImage, packed, in LPS as ITK has it.

    Parameters
    ----------
    path : Path
        Ends in .nrrd or .mha.
    data : (I, J, K) array
        uint8, int16, int32, float32, or bool (stored as uint8).
    grid : Grid
        Of it.

    Raises
    ------
    CannotCreateError
        If its axes are not at right angles, which these formats cannot say here.
    ReadWriteError
        If it cannot be written.
    EngineError
        If SimpleITK is not installed.
    """
    sitk = _simpleitk(path)
    frame = grid.affine[:3, :3] / grid.voxel_size_mm
    if not np.allclose(frame.T @ frame, np.eye(3), atol=1e-3):
        raise CannotCreateError(
            f"{path}: the scan's axes are not at right angles, which ITK does not write; leave "
            "--save-format out: NIfTI has them"
        )
    stored = data.astype(np.uint8) if data.dtype == np.bool_ else data
    image: Any = sitk.GetImageFromArray(np.ascontiguousarray(stored.transpose(2, 1, 0)))
    image.SetSpacing([float(size) for size in grid.voxel_size_mm])
    image.SetDirection([float(part) for part in (_LPS[:3, :3] @ frame).ravel()])
    image.SetOrigin([float(part) for part in (_LPS @ grid.affine)[:3, 3]])
    try:
        sitk.WriteImage(image, str(path), True)
    except RuntimeError as error:
        raise ReadWriteError(f"{path}: cannot be written ({error})") from error
