"""Z-score by the foreground, which no single voxel, stripe or padding can spoil.

Limits are found first, on what is not padding; what lies beyond them is no intensity of a head. One
code for inference and training.
"""

from dataclasses import dataclass

import numpy as np

from strokeseg.arrays import AnyArray, FloatArray, IntArray
from strokeseg.images.sampling import lattice

CLIPPED_TO = (-5.0, 10.0)
# Padding is the value at this percentile, if this share of the voxels have it: the few that ring
# below it are no other padding.
PADDING_PERCENTILE = 0.5
LEAST_PADDING = 1e-2
LEAST_AIR = 0.1
# How much of the range from the darkest to the brightest value is one value all the same: what
# interpolation makes of a constant is not equal to it.
SAME_VALUE = 1e-4
# Padding of a magnitude image lies further below 0 than this share of the central range; what
# rings there by interpolation does not.
RINGING = 0.25
# Up to this share of the voxels is mended one by one.
MOST_BROKEN = 1e-2
# The limits lie one central range beyond these percentiles.
PERCENTILES = (1.0, 99.0)


@dataclass(frozen=True)
class Limits:
    """Between which intensities a head lies: what is beyond them is padding, or broken."""

    floor: float
    ceiling: float


def find_limits(image: FloatArray) -> Limits:
    """Find the robust limits of an image's intensities.

    Padding is the darkest value that a hundredth of the voxels have, and nothing is darker; where
    a tenth of the voxels share the darkest value above it, that is padding, too (an air of zeros
    within a frame). Of those above it the 1st and 99th percentile are a central range, and the
    limits lie that range beyond them. Where that range has nothing negative and the padding is far
    below 0, the lower limit is 0 at least, as magnitude images have it. Up to a hundredth of the
    voxels can be of any brightness, and padding of any depth.

    Parameters
    ----------
    image : (I, J, K) float32 array
        Finite intensities, any strides. Of more than 262,144 voxels an even lattice is looked at.

    Returns
    -------
    Limits
        Those of the image itself where it has hardly two values.
    """
    sample = lattice(image)
    darkest = float(image.min())
    padding, low, high = np.percentile(sample, (PADDING_PERCENTILE, *PERCENTILES)).tolist()
    above = _above(sample, padding, high, LEAST_PADDING * sample.size)
    is_padded = above is not None
    if above is not None:
        air, most = np.percentile(above, (PADDING_PERCENTILE, PERCENTILES[1])).tolist()
        inner = _above(above, air, most, LEAST_AIR * sample.size)
        if inner is not None:
            padding, above = air, inner
        low, high = np.percentile(above, PERCENTILES).tolist()
    if low == high:
        return Limits(darkest, float(image.max()))
    floor, ceiling = 2 * low - high, 2 * high - low
    if low >= 0 and darkest < RINGING * (low - high):
        floor = max(floor, 0.0)
    return Limits(max(floor, padding) if is_padded else floor, ceiling)


def _above(sample: FloatArray, value: float, high: float, least: float) -> FloatArray | None:
    """Give what is brighter than a value that at least so many voxels have; None if fewer do."""
    margin = SAME_VALUE * (high - value)
    same = np.count_nonzero(np.abs(sample - np.float32(value)) <= margin)
    above: FloatArray = sample[sample > value + margin]
    return above if above.size > 0 and same >= least else None


def within_limits(image: FloatArray) -> FloatArray:
    """Bring what lies beyond an image's robust limits to them; itself where nothing does.

    For a scan as it was stored, before interpolation makes many voxels of one. A voxel that is too
    bright becomes the median of the 27 around it first: a hot one, or a stripe, vanishes, and the
    inside of something bright stays as bright as the limit.
    """
    limits = find_limits(image)
    broken = image > limits.ceiling
    count = int(np.count_nonzero(broken))
    if count == 0 and image.min() >= limits.floor:
        return image
    held = np.clip(image, np.float32(limits.floor), np.float32(limits.ceiling))
    if 0 < count <= MOST_BROKEN * image.size:
        places = np.nonzero(broken)
        held[places] = _medians(held, places)
    return held


def _medians(image: FloatArray, places: tuple[IntArray, ...]) -> FloatArray:
    """Give the median of the 27 voxels around each of some; the border is repeated."""
    around = np.empty((27, places[0].size), np.float32)
    for row, step in enumerate(np.ndindex(3, 3, 3)):
        moved = (
            np.clip(place + by - 1, 0, size - 1)
            for place, by, size in zip(places, step, image.shape, strict=True)
        )
        around[row] = image[tuple(moved)]
    return np.median(around, axis=0).astype(np.float32)


def zscore_foreground(image: FloatArray) -> FloatArray:
    """Z-score by the voxels brighter than the image's mean, clipped to -5 to 10.

    Roughly the head without the air, so that how much air a field of view holds changes nothing.
    Mean and deviation are those of intensities held within the image's limits, see `find_limits`;
    padding below the lower limit becomes that limit. The order of intensities is kept.

    Parameters
    ----------
    image : (I, J, K) float32 array
        Finite intensities, any strides.

    Returns
    -------
    (I, J, K) float32 array
        A new one; all 0 if the image is constant.
    """
    limits = find_limits(image)
    # Measured from the darkest voxel, so that a large offset costs no digits.
    darkest = max(float(image.min()), limits.floor)
    shifted = np.maximum(image, np.float32(darkest))
    shifted -= np.float32(darkest)
    held = np.minimum(shifted, np.float32(limits.ceiling - darkest))
    bright = held > held.mean(dtype=np.float64)
    count = int(np.count_nonzero(bright))
    if count == 0:
        return np.zeros_like(shifted)
    mean = np.float32(_total(held, bright) / count)
    held -= mean
    np.square(held, out=held)
    deviation = (_total(held, bright) / count) ** 0.5
    shifted -= mean
    if deviation > 0:
        shifted /= np.float32(deviation)
    return np.clip(shifted, *CLIPPED_TO, out=shifted)


def _total(values: FloatArray, where: AnyArray) -> float:
    return float(np.sum(values, where=where, dtype=np.float64))
