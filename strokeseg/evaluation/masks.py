"""Masks from files: what counts as lesion in one, and what is no mask at all."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from strokeseg.arrays import AnyArray, BoolArray, FloatArray
from strokeseg.errors import DataError
from strokeseg.images.checks import geometry_warnings
from strokeseg.images.reading import read_map
from strokeseg.space.grid import Grid

# Written through a scale factor, a 1 comes back a little off.
_ROUNDING = 1e-3
_LISTED = 8


@dataclass(frozen=True, eq=False)
class Mask:
    """One mask on its own grid.

    Attributes
    ----------
    voxels : (I, J, K) bool array
    grid : Grid
    notes : tuple of str
        What was unusual about the file, one line each.
    """

    voxels: BoolArray
    grid: Grid
    notes: tuple[str, ...] = ()


def read_mask(path: Path, label: int | None = None) -> Mask:
    """Read a mask from a file.

    Parameters
    ----------
    path : Path
        NIfTI or MGH, one volume.
    label : int, optional
        The integer that is lesion, where there are several.

    Raises
    ------
    InputNotFoundError, ReadWriteError
        It cannot be read.
    DataError
        It is no image of one volume, or no mask.
    """
    volume = read_map(path)
    usual = geometry_warnings(volume.grid)
    doubts = tuple(doubt for doubt in volume.warnings if doubt not in usual)
    voxels, notes = binarise(str(path), volume.data, label)
    return Mask(voxels, volume.grid, doubts + notes)


def binarise(
    name: str, data: FloatArray, label: int | None = None
) -> tuple[BoolArray, tuple[str, ...]]:
    """Tell lesion from the rest.

    With a label, it is the voxels that have it. Without, a mask is 0 and one other integer, or
    values from 0 to 1, of which those above 0.5 count.

    Parameters
    ----------
    name : str
        What messages call the image.
    data : (I, J, K) float32 array
        Finite.
    label : int, optional
        The integer that is lesion.

    Returns
    -------
    mask, notes : array, tuple of str

    Raises
    ------
    DataError
        There are several labels and none was chosen, or values that no mask has.
    """
    values = np.unique(data[data != 0])
    if label is not None:
        mask = data == label
        return mask, _label_notes(label, values) if values.size and not mask.any() else ()
    if values.size and values[0] < 0:
        raise DataError(f"{name}: has values below 0 ({_listed(values)}); it is no mask")
    if not values.size or values[-1] <= 1 + _ROUNDING:
        soft = bool(((values > _ROUNDING) & (values < 1 - _ROUNDING)).any())
        return data > 0.5, ("values between 0 and 1: above 0.5 counts",) if soft else ()
    if (values != np.rint(values)).any():
        raise DataError(f"{name}: has values such as {_listed(values)}; it is no mask")
    if values.size > 1:
        raise DataError(
            f"{name}: has several labels ({_listed(values)}); say which is lesion with --label, or "
            "--prediction-label if it is a prediction"
        )
    return data > 0, ()


def _label_notes(label: int, values: AnyArray) -> tuple[str, ...]:
    return (f"no voxel has the label {label} (there are {_listed(values)})",)


def _listed(values: AnyArray) -> str:
    shown = ", ".join(f"{float(value):g}" for value in values[:_LISTED])
    return f"{shown}, ..., {float(values[-1]):g}" if values.size > _LISTED else shown
