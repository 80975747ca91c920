"""What is known of a scan before its voxels are read: its grid, its type and its header."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from nibabel.spatialimages import SpatialImage

from strokeseg.errors import DataError
from strokeseg.images.checks import check_dtype, check_memory, checked_grid, spatial_shape
from strokeseg.images.file_names import is_itk_name
from strokeseg.images.header import ImageHeader, header_of_image, read_header, space_from_affine
from strokeseg.images.itk import itk_header
from strokeseg.images.stream import require_file
from strokeseg.space.grid import Grid


@dataclass(frozen=True, eq=False)
class Outline:
    """A scan whose voxels are not read.

    Parameters
    ----------
    name : str
        What messages call it.
    grid : Grid
        Where its voxels will lie.
    header : ImageHeader
        What its header says.
    path : Path or None
        The file that it will come from.
    stored_bytes : int
        Of a voxel, as it is read; 0 where it is in memory already, in the form that it needs.
    """

    name: str
    grid: Grid
    header: ImageHeader
    path: Path | None
    stored_bytes: int


def outline_file(path: Path) -> Outline:
    """Read and check the header of a file; the errors are those of `reading.read_scan`."""
    require_file(path)
    header = itk_header(path) if is_itk_name(path.name) else read_header(path)
    return _outline(str(path), path, header, fits=True)


def outline_image(image: SpatialImage) -> Outline:
    """Check the header of a nibabel image."""
    filename = image.get_filename()
    name = str(filename or "nibabel image")
    header = header_of_image(name, image)
    path = Path(filename) if filename else None
    found = _outline(name, path, header, fits=True)
    # nibabel scales in float64.
    return replace(found, stored_bytes=np.dtype(np.float64).itemsize)


def outline_array(source: tuple[npt.ArrayLike, npt.ArrayLike]) -> Outline:
    """Check the shape, the type and the affine of an array."""
    name = "array"
    if len(source) != 2:
        raise DataError(f"{name}: a pair (array, affine) is needed, not {len(source)} things")
    stored = np.asarray(source[0])
    try:
        affine = np.array(source[1], dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(
            f"{name}: its affine is no array of numbers ({error}); give (4, 4)"
        ) from error
    header = ImageHeader(stored.shape, stored.dtype, affine, space_from_affine(affine))
    return _outline(name, None, header, fits=False)


def _outline(name: str, path: Path | None, header: ImageHeader, *, fits: bool) -> Outline:
    """Check what a header says; with `fits` also that the voxels fit into memory."""
    shape = spatial_shape(name, header.shape)
    check_dtype(name, header.dtype)
    grid = checked_grid(name, shape, header.affine)
    if fits:
        check_memory(name, shape, header.dtype)
    return Outline(name, grid, header, path, header.dtype.itemsize)
