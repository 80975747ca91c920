"""One slice from a NIfTI file, for those who have slices and no volume."""

from pathlib import Path

import nibabel as nib
import numpy as np
from nibabel.filebasedimages import ImageFileError

from strokeseg.arrays import FloatArray
from strokeseg.errors import DataError, InputNotFoundError


def read_plane(path: Path) -> tuple[FloatArray, tuple[float, float]]:
    """Read a NIfTI of a single slice.

    Parameters
    ----------
    path
        The file, (A, B) or three axes of which one has a single voxel.

    Returns
    -------
    data : (A, B) float32 array
        Its axes towards R or A, then A or S; what is not finite is 0.
    spacing_mm
        Distance of neighbours along A and B.

    Raises
    ------
    InputNotFoundError
        There is no such file.
    DataError
        It is no NIfTI, damaged, or more than a slice.
    """
    if not path.is_file():
        raise InputNotFoundError(f"{path}: no such file")
    try:
        image = nib.as_closest_canonical(nib.load(path))  # type: ignore[no-untyped-call]
        data = np.asarray(image.dataobj, dtype=np.float32)
        spacing = tuple(float(size) for size in image.header.get_zooms()[: data.ndim])
    except (OSError, EOFError, ValueError, ImageFileError) as error:
        reason = str(error).partition("\n")[0]
        raise DataError(f"{path}: cannot be read as a slice ({reason})") from error
    kept = [axis for axis, size in enumerate(data.shape) if size > 1]
    if len(kept) != 2:
        raise DataError(f"{path}: has shape {data.shape}; one slice is needed")
    flat = np.nan_to_num(data.reshape([data.shape[axis] for axis in kept]), posinf=0, neginf=0)
    return flat, (spacing[kept[0]], spacing[kept[1]])
