"""What an image must be to be segmented: its shape before it is read, its voxels after."""

import numpy as np

from strokeseg.arrays import AffineArray, FloatArray, Shape3
from strokeseg.errors import DataError
from strokeseg.images.placement import unusable
from strokeseg.machine import available_memory_bytes
from strokeseg.phrases import counted
from strokeseg.space.grid import Grid

_MIN_FIELD_OF_VIEW_MM = 32.0
_MAX_FIELD_OF_VIEW_MM = 1000.0
_LARGE_VOXEL_MM = 5.0
_MAX_VOXEL_MM = 30.0
_ROUNDING_MM = 1e-3
_CONSTANT_FRACTION = 0.99
_SAMPLE_VOXELS = 9999
# Float32 holds more, but not the squares of more, nor the reciprocal of less.
_MAX_INTENSITY = 1e15
_MIN_RANGE = 1e-20


def spatial_shape(name: str, shape: tuple[int, ...]) -> Shape3:
    """Reduce the shape of an image of one volume to its three spatial sizes.

    Parameters
    ----------
    name : str
        What messages call the image.
    shape : tuple of int
        All sizes; those beyond the third must be 1.

    Raises
    ------
    DataError
        If a size is not positive, or there are fewer than three axes, or more than one volume.
    """
    if any(size < 1 for size in shape):
        raise DataError(f"{name}: its shape {shape} is not positive; the header is damaged")
    if len(shape) < 3:
        raise DataError(
            f"{name}: has {len(shape)} axes, shape {shape}; a volume of three axes is needed, "
            "convert the whole series and not one slice"
        )
    volumes = int(np.prod(shape[3:], dtype=object))
    if volumes > 1:
        raise DataError(
            f"{name}: holds {volumes} volumes (0 to {volumes - 1}), shape {shape}; extract the one "
            "to segment (for diffusion one with b near 1000), e.g. volume 0 with "
            f"`fslroi {name} volume.nii.gz 0 1`"
        )
    return shape[0], shape[1], shape[2]


def check_dtype(name: str, dtype: np.dtype[np.generic]) -> None:
    """Refuse voxels that are not real numbers (RGB, complex, text).

    Parameters
    ----------
    name : str
        What messages call the image.
    dtype : numpy.dtype
        The stored type.
    """
    if dtype.names is not None:
        raise DataError(
            f"{name}: is an RGB picture (a colour per voxel); give the scan that it was made from"
        )
    if dtype.kind == "c":
        raise DataError(
            f"{name}: has complex voxels; give the magnitude image (e.g. "
            f"`fslcomplex -realabs {name} magnitude.nii.gz`)"
        )
    if dtype.kind not in "biuf":
        raise DataError(f"{name}: has voxels of type {dtype}; real numbers are needed")


def checked_grid(name: str, shape: Shape3, affine: AffineArray) -> Grid:
    """Make the grid of an image whose affine and field of view make sense for a head.

    Parameters
    ----------
    name : str
        What messages call the image.
    shape : (I, J, K)
        Spatial sizes.
    affine : (4, 4) array
        Voxel index to RAS+ mm.

    Raises
    ------
    DataError
        If the affine is singular or not finite, the field of view is under 32 mm or over 1 m, or a
        voxel is over 30 mm.
    """
    problem = unusable(affine)
    if problem:
        raise DataError(
            f"{name}: its affine cannot be used: {problem}; repair the sform or qform, or convert "
            "the scan again"
        )
    grid = Grid(shape, affine)
    extent = " x ".join(f"{length:.4g}" for length in grid.field_of_view_mm)
    if min(grid.field_of_view_mm) < _MIN_FIELD_OF_VIEW_MM - _ROUNDING_MM:
        raise DataError(
            f"{name}: its field of view is {extent} mm; at least {_MIN_FIELD_OF_VIEW_MM:.0f} mm "
            "are needed along each axis, check the voxel sizes or give a scan of the whole brain"
        )
    if max(grid.field_of_view_mm) > _MAX_FIELD_OF_VIEW_MM:
        raise DataError(
            f"{name}: its field of view is {extent} mm; over {_MAX_FIELD_OF_VIEW_MM:.0f} mm is no "
            "head, check the voxel sizes or crop the scan"
        )
    if max(grid.voxel_size_mm) > _MAX_VOXEL_MM:
        raise DataError(
            f"{name}: its voxels are up to {max(grid.voxel_size_mm):.4g} mm long; beyond "
            f"{_MAX_VOXEL_MM:.0f} mm no brain is seen, check the voxel sizes"
        )
    return grid


def check_memory(name: str, shape: Shape3, dtype: np.dtype[np.generic]) -> None:
    """Refuse an image that does not fit into memory, before any room is made for it.

    Parameters
    ----------
    name : str
        What messages call the image.
    shape : (I, J, K)
        What the header claims.
    dtype : numpy.dtype
        The stored type; a float32 copy is counted beside it.
    """
    available = available_memory_bytes()
    needed = int(np.prod(shape, dtype=object)) * (dtype.itemsize + np.dtype(np.float32).itemsize)
    if available is not None and needed > available:
        raise DataError(
            f"{name}: its header claims {shape[0]} x {shape[1]} x {shape[2]} voxels, which take "
            f"{needed / 1e9:.1f} GB of memory ({available / 1e9:.1f} GB are free); crop or "
            "downsample the scan, or use a larger machine"
        )


def geometry_warnings(grid: Grid) -> list[str]:
    """Say what is unusual about how large the voxels are.

    Parameters
    ----------
    grid : Grid
        The image's grid.
    """
    largest = max(grid.voxel_size_mm)
    if largest <= _LARGE_VOXEL_MM + _ROUNDING_MM:
        return []
    return [
        f"voxels are up to {largest:.3g} mm long (over {_LARGE_VOXEL_MM:g} mm): small lesions will "
        "be missed and volumes are coarse"
    ]


def checked_intensities(name: str, data: FloatArray, *, scan: bool) -> tuple[FloatArray, list[str]]:
    """Make intensities finite, refuse a scan that shows nothing, and say what is unusual.

    Parameters
    ----------
    name : str
        What messages call the image.
    data : (I, J, K) float32 array
        As read. NaN and infinite voxels, also those beyond 1e15, are set to the smallest finite
        value in a copy; in a mask or a map to 0, as SPM and others write NaN outside.
    scan : bool
        Whether it is to be a scan; a mask may be of one value, and have only two.

    Returns
    -------
    data, warnings : array, list of str
        The array to go on with, and one line per finding.

    Raises
    ------
    DataError
        If no voxel is finite, or all of a scan have one value.
    """
    warnings = []
    finite = (data <= _MAX_INTENSITY) & (data >= -_MAX_INTENSITY)
    bad = data.size - int(np.count_nonzero(finite))
    if bad == data.size:
        raise DataError(
            f"{name}: has no finite voxel (all are NaN, infinite or beyond "
            f"{_MAX_INTENSITY:g}); check how it was made"
        )
    if bad:
        lowest = data.min(where=finite, initial=np.float32(np.inf)) if scan else np.float32(0)
        data = np.where(finite, data, lowest)
        to = f"the smallest finite value, {lowest:g}" if scan else "0, as outside"
        several = "is" if bad == 1 else "are"
        warnings.append(f"{counted(bad, 'voxel')} {several} NaN or infinite: set to {to}")
    if not scan:
        return data, warnings
    low, high = data.min(), data.max()
    if high - low < _MIN_RANGE:
        but = (
            f" but {counted(bad, 'voxel')}, not finite or beyond {_MAX_INTENSITY:g}," if bad else ""
        )
        raise DataError(
            f"{name}: all voxels{but} have the value {low:g}; it shows nothing, check the file"
        )
    return data, warnings + _contrast_warnings(data, low, high)


def _contrast_warnings(data: FloatArray, low: np.float32, high: np.float32) -> list[str]:
    """Warn of an image that is a mask, or that is almost all one value."""
    if np.count_nonzero(data == low) + np.count_nonzero(data == high) == data.size:
        return [
            f"has two values only ({low:g} and {high:g}): it looks like a mask, not like a scan"
        ]
    # A value that most voxels have is the median of an even sample.
    sample = data.ravel(order="K")[:: max(1, data.size // _SAMPLE_VOXELS)]
    common = np.median(sample)
    share = np.count_nonzero(data == common) / data.size
    if share > _CONSTANT_FRACTION:
        return [f"{share:.1%} of the voxels have the value {common:g}: hardly anything is shown"]
    return []
