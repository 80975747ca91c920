"""The box of a brain in an image, from what a network takes for tissue there; pure geometry.

The tissue of a look may go on into face and neck. What hangs on by a neck of 16 mm, as the spinal
cord does and most of a face, is left away. No brain is longer than some 200 mm, nor is it taller
than 170 mm; what exceeds that is cut off at the end that is further from the brain's white matter,
the lower one unless it is plain that the scan is upside down.
"""

import numpy as np
from scipy import ndimage

from strokeseg.arrays import AffineArray, BoolArray, LabelArray
from strokeseg.measure.components import Box, bounding_box
from strokeseg.space.grid import Grid

LONGEST_MM = 210.0
TALLEST_MM = 170.0
# Of an axis longer than any brain it is known that it reaches beyond the brain.
BEYOND_BRAIN_MM = 200.0
# Upside down is a scan whose white matter is this much nearer to its lower end.
UPSIDE_DOWN = 0.6
# Of less tissue than this, or of so little white matter in it, muscles of the neck may be half.
LEAST_BRAIN_ML = 950.0
LEAST_WHITE_SHARE = 0.17
# The brain is thicker than twice this everywhere it matters; what comes back around its core is as
# thick, and a little more.
CORE_DEPTH_MM = 8.0
AROUND_CORE_MM = 14.0
UP = 2


def tissue_piece(labels: LabelArray | BoolArray) -> BoolArray:
    """Give the largest face-connected piece of what is not background, all False for none."""
    pieces, count = ndimage.label(labels > 0)
    if count == 0:
        return np.zeros(labels.shape, np.bool_)
    sizes = np.bincount(pieces.ravel())
    sizes[0] = 0
    return np.asarray(pieces == sizes.argmax())


def without_appendages(piece: BoolArray, grid: Grid) -> BoolArray:
    """Leave away what hangs on to a piece by less than 16 mm.

    The core, deeper than 8 mm, falls apart where the piece is thin; the largest part of it stays,
    and what of the piece is within 14 mm of that. The edge of the image is no surface.
    """
    mm = grid.voxel_size_mm
    core = tissue_piece(ndimage.distance_transform_edt(piece, mm) > CORE_DEPTH_MM)
    if piece.all() or not core.any():
        return piece
    return np.asarray(piece & (ndimage.distance_transform_edt(~core, mm) <= AROUND_CORE_MM))


def brain_box(labels: LabelArray, grid: Grid, white: int) -> Box | None:
    """Find the box around the brain in a network's label map.

    Parameters
    ----------
    labels : (I, J, K) uint8 array
        Classes on a RAS grid; 0 is background.
    grid : Grid
        Of `labels`.
    white : int
        The class of white matter, which is where the brain is and nowhere else in such a bulk.

    Returns
    -------
    tuple of three slices, or None
        None where less than 950 ml of tissue hang together, or hardly any of it is white matter:
        among what a field of view shows of a neck a part of a brain is not told for certain.
    """
    piece = without_appendages(tissue_piece(labels), grid)
    box = bounding_box(piece)
    if box is None or np.count_nonzero(piece) * grid.voxel_volume_ml < LEAST_BRAIN_ML:
        return None
    inner = (labels == white) & piece
    if np.count_nonzero(inner) < LEAST_WHITE_SHARE * np.count_nonzero(piece):
        return None
    middle = _middle(inner)
    sides = [
        _shortened(side, middle[axis], size_mm, axis)
        for axis, (side, size_mm) in enumerate(zip(box, grid.voxel_size_mm, strict=True))
    ]
    return sides[0], sides[1], sides[2]


def _middle(mask: BoolArray) -> tuple[float, ...]:
    """Give the median place of a mask's voxels along each axis; nothing where it is empty."""
    places = np.nonzero(mask)
    return tuple(float(np.median(p)) for p in places) if places[0].size else ()


def _shortened(side: slice, middle: float, size_mm: float, axis: int) -> slice:
    """Cut what is longer than any brain off at the end that is further from the middle."""
    length_mm = (side.stop - side.start) * size_mm
    most_mm = TALLEST_MM if axis == UP else LONGEST_MM
    if length_mm <= max(most_mm, BEYOND_BRAIN_MM):
        return side
    kept = round(most_mm / size_mm)
    below, above = middle - side.start, side.stop - 1 - middle
    if below < (UPSIDE_DOWN if axis == UP else 1.0) * above:
        return slice(side.start, side.start + kept)
    return slice(side.stop - kept, side.stop)


def widened(box: Box, by_mm: float, grid: Grid, window: int | None = None) -> Box:
    """Widen a box on every side, as far as the grid reaches.

    Along an axis on which it then exceeds `window` voxels, but not with half of the margin, it is
    widened to these.
    """
    i, j, k = (
        _widened(side, by_mm / mm, size, window)
        for side, mm, size in zip(box, grid.voxel_size_mm, grid.shape, strict=True)
    )
    return i, j, k


def _widened(side: slice, by_vox: float, size: int, window: int | None) -> slice:
    most, least = _whole(by_vox), _whole(by_vox / 2)
    length = side.stop - side.start
    wide = slice(max(side.start - most, 0), min(side.stop + most, size))
    if window is None or wide.stop - wide.start <= window or length + 2 * least > window:
        return wide
    start = max(side.start - (window - length) // 2, 0)
    stop = min(start + window, size)
    return slice(max(stop - window, 0), stop)


def _whole(length_vox: float) -> int:
    return int(np.ceil(length_vox - 1e-6))


def moved(box: Box, outer: Box) -> Box:
    """Give a box within another one in the voxels that the other one counts in."""
    i, j, k = (slice(a.start + b.start, a.stop + b.start) for a, b in zip(box, outer, strict=True))
    return i, j, k


def grid_of(box: Box, grid: Grid) -> Grid:
    """Give the grid of a box of voxels."""
    affine: AffineArray = grid.affine.copy()
    affine[:3, 3] = (grid.affine @ [*(s.start for s in box), 1.0])[:3]
    i, j, k = (s.stop - s.start for s in box)
    return Grid((i, j, k), affine)
