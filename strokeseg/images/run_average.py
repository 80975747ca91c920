"""Several runs of one scan become one: each is brought onto the first, and the mean is taken."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from strokeseg.arrays import BoolArray, FloatArray
from strokeseg.images.reading import Volume
from strokeseg.space.grid import Grid
from strokeseg.space.pictures import picture_of
from strokeseg.space.registration import register
from strokeseg.space.resample import coverage, resample_image


def average_runs(first: Volume, others: Sequence[Volume]) -> Volume:
    """Give the mean of runs of one scan, on the grid of the first.

    Each is brought onto the first by a rigid transform, where that makes it lie better, and its
    intensities are scaled to those of the first. Where a run does not reach, it does not count.

    Parameters
    ----------
    first : Volume
        The run whose grid, header and path the mean has.
    others : sequence of Volume
        The further runs.

    Raises
    ------
    EngineError
        SimpleITK is not installed.
    """
    still = picture_of(first.data, first.grid)
    total = first.data.astype(np.float32, copy=True)
    count = np.ones(first.grid.shape, np.float32)
    moved_mm = []
    for other in others:
        fit = register(still, picture_of(other.data, other.grid))
        to_other = fit.to_moving if fit.is_better else np.eye(4)
        there = Grid(other.grid.shape, np.linalg.inv(to_other) @ other.grid.affine)
        reach = coverage(there, first.grid, slice(None))
        image = resample_image(np.ascontiguousarray(other.data), there, first.grid)
        total[reach] += _gain(first, image, reach) * image[reach]
        count[reach] += 1
        centre = np.append(still.centre_mm, 1.0)
        moved_mm.append(float(np.linalg.norm((to_other @ centre - centre)[:3])))
    shifts = ", ".join(f"{shift:.1f}" for shift in moved_mm)
    told = f"the mean of {len(others) + 1} runs, the others moved by {shifts} mm onto the first"
    return replace(first, data=total / count, warnings=(*first.warnings, told))


def _gain(first: Volume, image: FloatArray, reach: BoolArray) -> np.float32:
    """Find by how much a run is to be scaled: one scanner's gain differs between two runs."""
    shown = reach & (first.data > first.data[reach].mean()) if reach.any() else reach
    here, there = (float(one[shown].mean()) if shown.any() else 0.0 for one in (first.data, image))
    return np.float32(here / there) if here > 0 and there > 0 else np.float32(1)
