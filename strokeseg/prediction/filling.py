"""A lesion is filled with what lies opposite: mirrored tissue, matched to what is around it.

For programs that expect a healthy head: segmentation, surfaces, registration. The voxels of the
lesion alone change.
"""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from strokeseg.arrays import BoolArray, FloatArray, LabelArray
from strokeseg.images.reading import Volume
from strokeseg.prediction.options import Options
from strokeseg.results.filled import FILLED_SCAN, Filled
from strokeseg.space.grid import Grid
from strokeseg.space.mirror import reflection_of
from strokeseg.space.resample import resample_image, resample_labels

_RING_MM = 8.0
_LEAST_RING = 30
_GAINS = (0.5, 2.0)
_SPREAD_MM = 4.0
_ROUNDS = 4
# Halves that are less alike than this have no plane between them.
_LEAST_ALIKE = 0.3


@dataclass(frozen=True, eq=False)
class Filling:
    """What became of the wish for a filled scan: the scan, if there is one, and what to mind."""

    filled: Filled | None = None
    warnings: tuple[str, ...] = ()


def filled_case(
    options: Options, scan: Volume, name: str, mask: BoolArray, tissue: LabelArray
) -> Filling:
    """Fill the lesion of a case's T1w, where `options` want that and it is the reference."""
    if not options.filled:
        return Filling()
    if name != FILLED_SCAN:
        told = f"no filled T1w was written: results are on the grid of {name}"
        return Filling(warnings=(told,))
    brain = tissue != 0
    if np.count_nonzero(brain) <= 2 * np.count_nonzero(mask):  # a model without tissues
        low = float(np.percentile(scan.data[::2, ::2, ::2], 1))
        brain = scan.data > 0.5 * (low + float(scan.data.mean()))
    return fill_lesion(scan.data, scan.grid, mask, brain)


def fill_lesion(data: FloatArray, grid: Grid, mask: BoolArray, brain: BoolArray) -> Filling:
    """Fill a lesion with the mirrored other side, its intensity matched to what is around.

    Where the other side is no healthy brain, what lies around the lesion is spread into it.

    Parameters
    ----------
    data : (I, J, K) float32 array
        The scan.
    grid : Grid
        Of it.
    mask : (I, J, K) bool array
        The lesion.
    brain : (I, J, K) bool array
        The brain, with the lesion or without.
    """
    healthy = brain & ~mask
    image = np.array(data, np.float32)
    if not (mask.any() and healthy.any()):
        return Filling(Filled(image, {"voxels": 0}))
    mirror, alike = reflection_of(data, grid, healthy)
    there = Grid(grid.shape, mirror @ grid.affine)
    opposite = resample_image(np.ascontiguousarray(data), there, grid)
    usable = resample_labels(healthy.view(np.uint8), there, grid) > 0
    usable &= alike >= _LEAST_ALIKE
    ring = _ring(mask, grid) & healthy
    gain, shift = _match(data, opposite, ring & usable)
    mirrored = mask & usable
    image[mirrored] = gain * opposite[mirrored] + shift
    rest = mask & ~usable
    if rest.any():
        _spread(image, (healthy | mirrored) & ~rest, rest, grid)
    voxels, spread = int(np.count_nonzero(mask)), int(np.count_nonzero(rest))
    how = {
        "voxels": voxels,
        "mirrored": int(np.count_nonzero(mirrored)),
        "spread_from_around": spread,
        "symmetry": round(alike, 3),
        "gain": round(gain, 4),
        "shift": round(shift, 4),
        "reflection": [[round(float(value), 6) for value in row] for row in mirror],
    }
    share = spread / voxels
    doubts = (
        (f"{share:.0%} of the filled lesion has no healthy tissue opposite: it is smooth there",)
        if share > 0.25
        else ()
    )
    return Filling(Filled(image, how), doubts)


def _ring(mask: BoolArray, grid: Grid) -> BoolArray:
    """Give what is near a lesion, but for the voxels that touch it."""
    away_mm = ndimage.distance_transform_edt(~mask, sampling=grid.voxel_size_mm)
    touching = max(grid.voxel_size_mm)
    ring: BoolArray = (away_mm > touching) & (away_mm <= touching + _RING_MM)
    return ring


def _match(data: FloatArray, opposite: FloatArray, ring: BoolArray) -> tuple[float, float]:
    """Find the gain, or where intensities are below 0 the shift, from the opposite side to this."""
    if np.count_nonzero(ring) < _LEAST_RING:
        return 1.0, 0.0
    here, other = float(np.median(data[ring])), float(np.median(opposite[ring]))
    if min(float(data[ring].min()), here, other) > 0:
        return float(np.clip(here / other, *_GAINS)), 0.0
    return 1.0, here - other


def _spread(image: FloatArray, known: BoolArray, rest: BoolArray, grid: Grid) -> None:
    """Spread what is known into the rest: a blur that looks at the known alone, ever wider."""
    waiting = rest.copy()
    for doubling in range(_ROUNDS):
        sigmas = [_SPREAD_MM * 2**doubling / size for size in grid.voxel_size_mm]
        weight = ndimage.gaussian_filter(known.astype(np.float32), sigmas)
        blurred = ndimage.gaussian_filter(np.where(known, image, np.float32(0)), sigmas)
        reached = waiting & (weight > 1e-3)
        image[reached] = blurred[reached] / weight[reached]
        waiting &= ~reached
        if not waiting.any():
            return
    image[waiting] = image[known].mean()
