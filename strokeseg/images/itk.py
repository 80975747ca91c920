"""Images of ITK's own formats, NRRD and MetaImage: read by SimpleITK, turned from LPS to RAS."""
# mypy: untyped-calls-exclude=SimpleITK

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from strokeseg.arrays import AnyArray
from strokeseg.errors import DataError, EngineError
from strokeseg.images.header import ImageHeader, space_from_affine

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
