"""What a second stage says of part of a scan, and how it takes the place of what the first said."""

from dataclasses import dataclass

import numpy as np

from strokeseg.arrays import BoolArray, FloatArray
from strokeseg.engines.scan import lesion_maps
from strokeseg.measure.brain_box import grid_of
from strokeseg.measure.components import Box
from strokeseg.space.grid import Grid
from strokeseg.space.resample import resample_image, resample_labels, resample_logits


@dataclass(frozen=True, eq=False)
class SecondLook:
    """A second stage's answer, on the box around its windows.

    Parameters
    ----------
    odds : (I, J, K) float32 array
        Log-odds of the lesion, the sum of its parts; where no window is, those of the first stage.
    parts : (P, I, J, K) float32 array
        Logits of the parts; they mean something where a window is.
    covered : (I, J, K) bool array
        Where a window is.
    grid : Grid
        Of all of them.
    names : tuple of str
        Of the parts.
    """

    odds: FloatArray
    parts: FloatArray
    covered: BoolArray
    grid: Grid
    names: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Sighting:
    """Where some planes of a target grid are seen by a second stage.

    `box` is in voxels of these planes, `grid` that of the box, `where` (on it) what is seen.
    """

    box: Box
    grid: Grid
    where: BoolArray


def sighting(look: SecondLook, target: Grid, slab: slice) -> Sighting | None:
    """Find what of some planes of `target` along I is seen; None where nothing is."""
    to_voxel = np.linalg.inv(target.affine)
    corners = look.grid.corners_mm @ to_voxel[:3, :3].T + to_voxel[:3, 3]
    low, high = np.floor(corners.min(axis=0)), np.ceil(corners.max(axis=0)) + 1
    first, last, _ = slab.indices(target.shape[0])
    ends = [(first, last), (0, target.shape[1]), (0, target.shape[2])]
    sides = [
        slice(int(max(start, a)), int(min(stop, b)))
        for (start, stop), a, b in zip(ends, low, high, strict=True)
    ]
    if any(side.start >= side.stop for side in sides):
        return None
    i, j, k = sides
    grid = grid_of((i, j, k), target)
    where = resample_labels(look.covered.view(np.uint8), look.grid, grid) > 0
    return Sighting((slice(i.start - first, i.stop - first), j, k), grid, where)


def with_second(logits: FloatArray, look: SecondLook, target: Grid, slab: slice) -> FloatArray:
    """Give some planes of logits the lesion's log-odds that a second stage says, where it looked.

    What the other classes share among themselves stays; so do all logits where it did not look.

    Parameters
    ----------
    logits : (C, planes, J, K) float32 array
        The first stage's, the lesion last; not written to.
    look
        What the second says.
    target, slab
        The grid of `logits`, and which planes they are.
    """
    seen = sighting(look, target, slab)
    if seen is None:
        return logits
    changed = np.array(logits, np.float32)
    part = changed[:, *seen.box]
    odds = resample_image(look.odds, look.grid, seen.grid)
    lesion = part[-1]
    lesion[seen.where] += (odds - lesion_maps(part)[0])[seen.where]
    return changed


def resampled_parts(look: SecondLook, seen: Sighting) -> FloatArray:
    """Give the parts' logits (P, I, J, K) on the box of a sighting."""
    return resample_logits(look.parts, look.grid, seen.grid, slice(0, seen.grid.shape[0]))
