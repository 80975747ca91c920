"""The hull of the model's brain: where a lesion may be.

A lesion must touch the brain (`strokeseg.brain`); but one that touches it may run on into a cheek.
The hull is the largest piece of tissue, closed widely enough to bridge a lesion at its surface, and
filled; a lesion is cut to it, and a margin.
"""

import numpy as np
from scipy import ndimage

from strokeseg.arrays import BoolArray, LabelArray
from strokeseg.brain import BLOCK_MM
from strokeseg.brain_box import tissue_piece
from strokeseg.counting import count_in_blocks, spread_blocks
from strokeseg.grid import Grid

HULL_CLOSING_MM = 20.0


def brain_hull(
    labels: LabelArray,
    grid: Grid,
    tissue_labels: tuple[int, ...],
    margin_mm: float,
    closing_mm: float = HULL_CLOSING_MM,
) -> BoolArray:
    """Find the hull of the brain in the label map of a model that knows tissues.

    On blocks of about 2.5 mm: the largest face-connected piece of those that are half tissue,
    closed by a ball, its holes filled, and grown by the margin.

    Parameters
    ----------
    labels : (I, J, K) uint8 array
        Most likely class of each voxel.
    grid : Grid
        Of `labels`.
    tissue_labels : tuple of int
        Classes that are brain tissue or cerebrospinal fluid.
    margin_mm : float
        How far beyond the hull still counts.
    closing_mm : float
        Radius of the ball: openings up to twice as wide are closed.

    Returns
    -------
    (I, J, K) bool array
        Empty where no tissue was found.
    """
    block = tuple(max(1, int(BLOCK_MM / size + 0.5)) for size in grid.voxel_size_mm)
    sampling_mm = tuple(n * size for n, size in zip(block, grid.voxel_size_mm, strict=True))
    wanted = np.zeros(256, dtype=np.bool_)
    wanted[list(tissue_labels)] = True
    count = count_in_blocks(labels, wanted, block)
    piece = tissue_piece((2 * count >= np.prod(block)).view(np.uint8))
    if not piece.any():
        return np.zeros(labels.shape, np.bool_)
    return spread_blocks(_grown(piece, sampling_mm, closing_mm, margin_mm), block, labels.shape)


def _grown(
    piece: BoolArray, sampling_mm: tuple[float, ...], closing_mm: float, margin_mm: float
) -> BoolArray:
    """Close a piece by a ball, fill it, and grow it by a margin; by maps of distance."""
    room = [int(np.ceil((closing_mm + margin_mm) / size)) + 1 for size in sampling_mm]
    padded = np.pad(piece, [(n, n) for n in room])
    closed = padded
    if closing_mm > 0:
        near = _distance(~padded, sampling_mm) <= closing_mm
        closed = _distance(near, sampling_mm) > closing_mm
        closed |= padded
    filled: BoolArray = ndimage.binary_fill_holes(closed)
    if margin_mm > 0:
        filled = _distance(~filled, sampling_mm) <= margin_mm
    i, j, k = (slice(n, -n) for n in room)
    return filled[i, j, k]


def _distance(mask: BoolArray, sampling_mm: tuple[float, ...]) -> np.ndarray:
    """Give how far each voxel of a mask is from the nearest one that is not in it."""
    return ndimage.distance_transform_edt(mask, sampling=sampling_mm).astype(np.float32)
