"""A few voxels that stand for all of a scan: what is told of intensities costs no copy of it."""

from collections.abc import Callable

import numpy as np

from strokeseg.arrays import AnyArray, BoolArray, FloatArray

SAMPLE_VOXELS = 1 << 18


def lattice(image: FloatArray, voxels: int = SAMPLE_VOXELS) -> FloatArray:
    """Take every so-many-th voxel along each axis of (I, J, K), so that about `voxels` are left."""
    step = int(np.ceil((image.size / voxels) ** (1 / 3)))
    taken: FloatArray = image[::step, ::step, ::step].ravel()
    return taken


def count_planes(image: AnyArray, test: Callable[[AnyArray], BoolArray]) -> int:
    """Count the voxels that pass a test, plane by plane."""
    return sum(int(np.count_nonzero(test(plane))) for plane in image)


def share(sample: FloatArray, low: float, high: float) -> float:
    """Tell which share of a sample lies from `low` to `high`; 0 of an empty one."""
    if not sample.size:
        return 0.0
    return float(np.count_nonzero((sample >= low) & (sample <= high)) / sample.size)
