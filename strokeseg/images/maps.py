"""One volume of a file of ours that holds several, such as the map of uncertainty."""

import zlib
from pathlib import Path

import nibabel as nib
import numpy as np
from nibabel.filebasedimages import ImageFileError
from nibabel.nifti1 import Nifti1Image
from nibabel.spatialimages import HeaderDataError

from strokeseg.errors import DataError
from strokeseg.images.reading import Volume, read_map
from strokeseg.images.stream import require_file

_FAULTS = (OSError, EOFError, ValueError, zlib.error, ImageFileError, HeaderDataError)


def read_volume(path: Path, index: int = 0) -> Volume:
    """Read one volume along the fourth axis of a NIfTI file; no other is unpacked into memory.

    Raises
    ------
    InputNotFoundError
        There is no such file.
    DataError
        It is no NIfTI file of that many volumes, or is cut.
    """
    require_file(path)
    try:
        image = nib.load(path)
        if not isinstance(image, Nifti1Image) or image.ndim != 4 or not index < image.shape[3]:
            raise DataError(f"{path}: is no NIfTI file with a volume {index}")
        data = np.asarray(image.dataobj[..., index], dtype=np.float32)
    except _FAULTS as error:
        raise DataError(f"{path}: cannot be read ({error})") from error
    return read_map((data, image.affine))
