"""Voxels that lie so far from all others that they set a scan's range: broken, overflown, padding.

Whether they change a result depends on how a model normalises; they are told for every model.
"""

import numpy as np

from strokeseg.arrays import FloatArray
from strokeseg.images.sampling import count_planes, lattice
from strokeseg.phrases import counted

FEW = 1e-4
_OFTEN = 1e-3
# One voxel in ten thousand of a good scan is up to 2.5 times as bright as all the others.
_TIMES = 3.0
# What rings around a head, or is noise in a map, lies less far below 0.
_FAR_BELOW = 0.5


def range_warnings(data: FloatArray) -> list[str]:
    """Say which few voxels set a scan's range, and what lies far below the rest.

    Parameters
    ----------
    data : (I, J, K) float32 array
        Finite intensities, any strides; no CT, which has a range of its own.
    """
    sample = lattice(data)
    return _bright(data, sample) + _dark(data, sample)


def _bright(data: FloatArray, sample: FloatArray) -> list[str]:
    """Tell of the upper two thirds of the range, if less than 1 in 10,000 voxels are in them."""
    low, largest = float(np.quantile(sample, 0.01)), float(data.max())
    third = np.float32(low + (largest - low) / _TIMES)
    count = count_planes(data, lambda plane: plane > third)
    rest = sample[sample <= third]
    if count >= FEW * data.size or not rest.size:
        return []
    return [
        f"{counted(count, 'voxel')} of {data.size} {'reaches' if count == 1 else 'reach'} up to "
        f"{largest:g}, where {1 - FEW:.2%} lie below {float(rest.max()):.4g}: so few set the "
        "range, they may be broken"
    ]


def _dark(data: FloatArray, sample: FloatArray) -> list[str]:
    """Tell of negative values that lie far below the rest."""
    lowest = float(data.min())
    if lowest >= 0:
        return []
    padding = count_planes(data, lambda plane: plane == np.float32(lowest))
    is_constant = padding >= _OFTEN * data.size
    body = sample[sample != np.float32(lowest)] if is_constant else sample
    if not body.size:
        return []
    low, high = np.quantile(body, (0.01, 0.99)).tolist()
    floor = np.float32(low - _FAR_BELOW * (high - low))
    if lowest >= floor:
        return []
    below = count_planes(data, lambda plane: plane < floor)
    told = []
    if is_constant:
        below -= padding
        told = [
            f"{padding / data.size:.1%} of the voxels have the value {lowest:g}, far below the "
            f"rest ({low:.4g} and more): padding, set it to 0 if results look wrong"
        ]
    if below:
        told.append(
            f"{counted(below, 'voxel')} lie{'s' if below == 1 else ''} far below the rest, down to "
            f"{lowest:g}: broken, or bright ones that overflowed 16 bits when the scan was "
            "converted"
        )
    return told
