"""Onto one grid: where a prediction and its truth are compared.

``native`` is the truth's own grid. ``paper`` is the paper's: both masks on 1 mm voxels, padded or
cropped to 256 along each axis.
"""

from dataclasses import dataclass
from typing import Literal, TypeVar

import numpy as np

from strokeseg.arrays import AnyArray, BoolArray, FloatArray
from strokeseg.errors import DataError
from strokeseg.evaluation.masks import Mask
from strokeseg.images.reading import Volume
from strokeseg.space.grid import Grid, working_grid
from strokeseg.space.resample import coverage, resample_image, resample_labels

Protocol = Literal["native", "paper"]
Comparison = Literal["same grid", "resampled", "1 mm"]

PAPER_VOXEL_MM = 1.0
PAPER_SIZE = 256
# Headers round affines in many ways; a shift below this part of a voxel is none.
_SAME_VOX = 0.1

_Array = TypeVar("_Array", bound=AnyArray)


@dataclass(frozen=True, eq=False)
class Common:
    """A prediction and its truth on one grid.

    Attributes
    ----------
    prediction, truth : (I, J, K) bool arrays
    probability : (I, J, K) float32 array or None
    grid : Grid
    how : {"same grid", "resampled", "1 mm"}
        Whether the prediction was on the truth's grid, was brought there, or both went to 1 mm.
    notes : tuple of str
        What was lost on the way, one line each.
    """

    prediction: BoolArray
    truth: BoolArray
    probability: FloatArray | None
    grid: Grid
    how: Comparison
    notes: tuple[str, ...]


def bring_together(
    prediction: Mask, truth: Mask, probability: Volume | None, protocol: Protocol
) -> Common:
    """Bring a prediction and its truth onto the grid where they are compared.

    ``native``: the truth stays as it is. Where the prediction lies on the same grid (no corner
    off by a tenth of a voxel), its voxels are compared as they are; else each voxel of the truth's
    grid takes the nearest of the prediction's, 0 beyond its field of view.

    ``paper``: the truth's axes are turned towards R, A and S and its grid is made isotropic, 1 mm,
    as by MONAI's ``Orientation`` and ``Spacing``; both masks go there in one step from their own
    grids, nearest voxel, and the result is padded with 0, or cropped, about its middle to 256^3.

    Probabilities go the same way by linear interpolation.

    Raises
    ------
    DataError
        The two fields of view have nothing in common.
    """
    if not prediction.grid.overlaps(truth.grid):
        raise DataError(
            "the fields of view of prediction and truth do not meet: they are not in one space, "
            "register them or give the truth that was drawn on this scan"
        )
    same = _same(prediction.grid, truth.grid)
    notes = () if same else _lost_outside(prediction, truth.grid)
    if protocol == "native":
        return Common(
            prediction=prediction.voxels if same else _labels(prediction, truth.grid),
            truth=truth.voxels,
            probability=None if probability is None else _scores(probability, truth.grid),
            grid=truth.grid,
            how="same grid" if same else "resampled",
            notes=notes,
        )
    target = working_grid(truth.grid, PAPER_VOXEL_MM)
    masks = [_labels(mask, target) for mask in (prediction, truth)]
    found, true = (fit_centred(mask, PAPER_SIZE) for mask in masks)
    for name, whole, kept in (("prediction", masks[0], found), ("truth", masks[1], true)):
        cut = int(np.count_nonzero(whole)) - int(np.count_nonzero(kept))
        if cut:
            lost_ml = cut * target.voxel_volume_ml
            notes += (f"{PAPER_SIZE}^3 cuts {lost_ml:.2f} ml of the {name} off",)
    scores = None if probability is None else fit_centred(_scores(probability, target), PAPER_SIZE)
    return Common(found, true, scores, _centred_grid(target, PAPER_SIZE), "1 mm", notes)


def fit_centred(data: _Array, size: int) -> _Array:
    """Pad an array (I, J, K) with zeros, or crop it, about its middle to `size` along each axis."""
    out = np.zeros((size, size, size), dtype=data.dtype)
    source, target = [], []
    for length in data.shape:
        first = _first(length, size)
        source.append(slice(max(0, first), max(0, first) + min(length, size)))
        target.append(slice(max(0, -first), max(0, -first) + min(length, size)))
    out[tuple(target)] = data[tuple(source)]
    return out  # type: ignore[return-value]


def _first(length: int, size: int) -> int:
    """Give the index of the source that becomes index 0: odd rests go behind, as in MONAI."""
    return length // 2 - size // 2 if length >= size else -((size - length) // 2)


def _centred_grid(grid: Grid, size: int) -> Grid:
    shift = np.eye(4)
    shift[:3, 3] = [_first(length, size) for length in grid.shape]
    return Grid((size, size, size), grid.affine @ shift)


def _same(a: Grid, b: Grid) -> bool:
    return a.same_as(b, tolerance_mm=_SAME_VOX * min(b.voxel_size_mm))


def _labels(mask: Mask, target: Grid) -> BoolArray:
    labels = mask.voxels.view(np.uint8)
    return resample_labels(labels, mask.grid, target).view(np.bool_)


def _scores(probability: Volume, target: Grid) -> FloatArray:
    if _same(probability.grid, target):
        return probability.data
    scores = resample_image(probability.data, probability.grid, target)
    inside = coverage(probability.grid, target, slice(None))
    return np.where(inside, scores, np.float32(0))


def _lost_outside(prediction: Mask, target: Grid) -> tuple[str, ...]:
    """Say how much of a prediction lies where the truth's grid does not reach."""
    reached = coverage(target, prediction.grid, slice(None))
    lost = int(np.count_nonzero(prediction.voxels & ~reached))
    if not lost:
        return ()
    lost_ml = lost * prediction.grid.voxel_volume_ml
    return (f"{lost_ml:.2f} ml of the prediction lie outside the truth's field of view",)
