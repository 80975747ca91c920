"""The hull of the model's brain: where a lesion may be.

A lesion must touch the brain (`strokeseg.measure.brain`); but one that touches it may run on into a
cheek. The hull is the largest piece of tissue, closed widely enough to bridge a lesion at its
surface, and filled; a lesion is cut to it, and a margin.
"""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from strokeseg.arrays import BoolArray, FloatArray, LabelArray, Shape3
from strokeseg.measure.brain import blocks_of
from strokeseg.measure.brain_box import tissue_piece
from strokeseg.measure.counting import among, count_in_blocks, spread_blocks
from strokeseg.space.grid import Grid

HULL_CLOSING_MM = 20.0


@dataclass(frozen=True, eq=False)
class Hull:
    """How far each block of voxels is from the hull, in mm; 0 within it."""

    distance_mm: FloatArray
    block: tuple[int, ...]
    shape: Shape3

    def within(self, margin_mm: float) -> BoolArray:
        """Give the voxels of the hull and a margin around it, (I, J, K)."""
        return spread_blocks(self.distance_mm <= margin_mm, self.block, self.shape)


def find_hull(
    labels: LabelArray,
    grid: Grid,
    tissue_labels: tuple[int, ...],
    closing_mm: float = HULL_CLOSING_MM,
) -> Hull:
    """Find the hull of the brain in the label map of a model that knows tissues.

    On blocks of about 2.5 mm: the largest face-connected piece of those that are half tissue,
    closed by a ball, and its holes filled.

    Parameters
    ----------
    labels : (I, J, K) uint8 array
        Most likely class of each voxel.
    grid : Grid
        Of `labels`.
    tissue_labels : tuple of int
        Classes that are brain tissue or cerebrospinal fluid.
    closing_mm : float
        Radius of the ball: openings up to twice as wide are closed.

    Returns
    -------
    Hull
        Nothing is within it where no tissue was found.
    """
    block, sampling_mm = blocks_of(grid)
    count = count_in_blocks(labels, among(tissue_labels), block)
    piece = tissue_piece((2 * count >= np.prod(block)).view(np.uint8))
    if not piece.any():
        return Hull(np.full(piece.shape, np.inf, np.float32), block, grid.shape)
    filled = _closed(piece, sampling_mm, closing_mm)
    return Hull(_distance(~filled, sampling_mm), block, grid.shape)


def _closed(piece: BoolArray, sampling_mm: tuple[float, ...], closing_mm: float) -> BoolArray:
    """Close a piece by a ball and fill it; by maps of distance."""
    room = [int(np.ceil(closing_mm / size)) + 1 for size in sampling_mm]
    padded = np.pad(piece, [(n, n) for n in room])
    closed = padded
    if closing_mm > 0:
        near = _distance(~padded, sampling_mm) <= closing_mm
        closed = padded | (_distance(near, sampling_mm) > closing_mm)
    filled: BoolArray = ndimage.binary_fill_holes(closed)
    i, j, k = (slice(n, -n) for n in room)
    return filled[i, j, k]


def _distance(mask: BoolArray, sampling_mm: tuple[float, ...]) -> FloatArray:
    """Give how far each voxel of a mask is from the nearest one that is not in it."""
    return np.asarray(ndimage.distance_transform_edt(mask, sampling=sampling_mm), dtype=np.float32)
