"""What a second stage sees: the scan, and what the first stage said of it, as images of one grid.

Pure arrays, so that training makes them by the same lines.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from strokeseg.arrays import AffineArray, FloatArray
from strokeseg.models.second_stage import Channel
from strokeseg.space.grid import Grid

# Log-odds beyond this say no more, and a network likes numbers of about 1.
FURTHEST_ODDS = 8.0
ODDS_SCALE = 4.0
_LEAST_SPREAD_MM = 5.0


@dataclass(frozen=True, eq=False)
class HeadFrame:
    """Coordinates of a head's own: from the middle of its tissue, by how far that spreads.

    Parameters
    ----------
    centre_mm, spread_mm : (3,) arrays
        Mean and standard deviation of the tissue's voxels along R, A and S, in mm of the world.
    """

    centre_mm: AffineArray
    spread_mm: AffineArray

    def places(self, grid: Grid) -> FloatArray:
        """Give the coordinates (3, I, J, K) of a grid's voxels; 1 is two deviations off."""
        images = np.empty((3, *grid.shape), np.float32)
        lines = [np.arange(size, dtype=np.float64) for size in grid.shape]
        for axis in range(3):
            i, j, k = (step * line for step, line in zip(grid.affine[axis], lines, strict=False))
            world = i[:, None, None] + j[:, None] + k + grid.affine[axis, 3]
            images[axis] = (world - self.centre_mm[axis]) / (2 * self.spread_mm[axis])
        return images


def head_frame(logits: FloatArray, grid: Grid) -> HeadFrame:
    """Find a head's own frame from the tissues of a first stage.

    Nothing is registered: the middle of the tissue is the midline's, and that of front and back.

    Parameters
    ----------
    logits : (C, I, J, K) float32 array
        Background first, lesion last.
    grid : Grid
        Of the logits. Where there is no tissue, all of it stands for the head.
    """
    voxels = np.argwhere(logits[:-1].argmax(axis=0) > 0)
    if len(voxels) == 0:
        voxels = np.argwhere(np.ones(grid.shape, np.bool_))
    world = voxels @ grid.affine[:3, :3].T + grid.affine[:3, 3]
    return HeadFrame(world.mean(axis=0), np.maximum(world.std(axis=0), _LEAST_SPREAD_MM))


def stage_images(
    channels: Sequence[Channel],
    scan: FloatArray,
    logits: FloatArray,
    grid: Grid,
    frame: HeadFrame | None = None,
) -> FloatArray:
    """Lay a second stage's channels one behind the other.

    Parameters
    ----------
    channels
        Which, in their order.
    scan : (I, J, K) float32 array
        Normalised.
    logits : (C, I, J, K) float32 array
        The first stage's on the same grid, background first and lesion last.
    grid : Grid
        Of both.
    frame
        Of the head; where ``place`` is no channel it is not needed.

    Returns
    -------
    (images, I, J, K) float32 array
    """
    images: list[FloatArray] = []
    if "scan" in channels:
        images.append(scan)
    numbers = [len(logits) - 1] if "lesion" in channels else []
    numbers += range(1, len(logits) - 1) if "tissues" in channels else []
    images += _scaled_odds(logits, numbers)
    if "place" in channels and frame is not None:
        images += list(frame.places(grid))
    return np.stack(images)


def corrected(said: FloatArray, images: FloatArray, channels: Sequence[Channel]) -> FloatArray:
    """Add the first stage's log-odds of the lesion, as they were seen, to the parts' logits.

    Parameters
    ----------
    said : (1 + P, I, J, K) float32 array
        A second stage's logits, background first; written to.
    images, channels
        What it saw, ``lesion`` among it.
    """
    said[1:] += images[channels.index("lesion")] * np.float32(ODDS_SCALE)
    return said


def _scaled_odds(logits: FloatArray, numbers: Sequence[int]) -> list[FloatArray]:
    """Give some classes' log-odds against all others, held within bounds and scaled."""
    highest = logits.max(axis=0)
    shares = np.exp(logits - highest)
    total = shares.sum(axis=0)
    scaled = []
    for number in numbers:
        rest = np.maximum(total - shares[number], np.float32(1e-12))
        odds = logits[number] - highest - np.log(rest)
        clipped = np.clip(odds, -FURTHEST_ODDS, FURTHEST_ODDS)
        scaled.append(np.asarray(clipped / ODDS_SCALE, np.float32))
    return scaled
