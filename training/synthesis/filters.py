"""Linear filters and box growth on tensors, axis by axis, on the CPU and on CUDA alike.

Blur, thick slices and smooth fields are each a small matrix along one axis. A matrix product is
the fastest thing on either device (on one core it beats torch's own 1-D convolution, interpolation
and pooling several times, on a GPU it is one call), costs the same however wide the blur, and two
filters along an axis are one product of matrices.
"""

import math
from functools import lru_cache

import numpy as np
import torch

from strokeseg.arrays import AnyArray, FloatArray

FWHM_PER_SIGMA = 2 * math.sqrt(2 * math.log(2))
NARROWEST_FWHM_VOX = 0.3


def carry(array: AnyArray, device: torch.device) -> torch.Tensor:
    """Bring an array to a device, without waiting for what the device is doing.

    Plain `torch.as_tensor` waits for all kernels that are queued on a GPU, and a sample has dozens
    of small arrays. CUDA stages what is not pinned before the call returns, so it may change then.
    """
    return torch.from_numpy(np.ascontiguousarray(array)).to(device, non_blocking=True)


def apply_along(image: torch.Tensor, matrix: FloatArray, axis: int) -> torch.Tensor:
    """Multiply an axis of (I, J, K), `axis` 0 to 2, by `matrix` (new size, old size)."""
    weights = carry(matrix, image.device)
    if axis == 0:
        rest = tuple(image.shape[1:])
        return (weights @ image.reshape(image.shape[0], -1)).reshape(-1, *rest)
    return weights @ image if axis == 1 else image @ weights.T


def gaussian_matrix(size: int, fwhm_vox: float) -> FloatArray:
    """Matrix (size, size) that blurs by a Gaussian of this FWHM, edges replicated."""
    if fwhm_vox < NARROWEST_FWHM_VOX:
        return np.eye(size, dtype=np.float32)
    sigma = fwhm_vox / FWHM_PER_SIGMA
    radius = max(1, math.ceil(2.5 * sigma))
    taps = np.arange(-radius, radius + 1)
    kernel = np.exp(-0.5 * (taps / sigma) ** 2)
    kernel /= kernel.sum()
    matrix = np.zeros((size, size))
    rows = np.arange(size)
    for tap, weight in zip(taps, kernel, strict=True):
        np.add.at(matrix, (rows, np.clip(rows + tap, 0, size - 1)), weight)
    return matrix.astype(np.float32)


def slice_matrix(size: int, thickness_vox: float) -> FloatArray:
    """Matrix (size, size): average into slices of this thickness, and interpolate them back."""
    count = max(2, round(size / thickness_vox))
    blurred = gaussian_matrix(size, 0.8 * thickness_vox)
    down = linear_matrix(count, size)
    return (linear_matrix(size, count) @ down @ blurred).astype(np.float32)


def linear_matrix(new: int, old: int) -> FloatArray:
    """Matrix (new, old) that resamples an axis linearly; both cover the same extent."""
    position = np.clip((np.arange(new) + 0.5) * old / new - 0.5, 0, old - 1)
    below = np.minimum(position.astype(np.int64), max(old - 2, 0))
    share = position - below
    matrix = np.zeros((new, old), dtype=np.float32)
    rows = np.arange(new)
    matrix[rows, below] = 1 - share
    matrix[rows, np.minimum(below + 1, old - 1)] += share
    return matrix


@lru_cache(maxsize=1024)
def spline_matrix(size: int, points: int) -> FloatArray:
    """Matrix (size, points): cubic B-spline through the field of view, ends replicated.

    Its weights are positive and sum to 1: a field stays within its control points' range.
    """
    position = np.linspace(0, points - 1, size)
    matrix = np.zeros((size, points))
    for knot in range(-2, points + 2):
        distance = np.abs(position - knot)
        near = 2 / 3 - distance**2 + distance**3 / 2
        far = np.maximum(2 - distance, 0) ** 3 / 6
        matrix[:, min(max(knot, 0), points - 1)] += np.where(distance < 1, near, far)
    return matrix.astype(np.float32)


def smooth_field(points: FloatArray, shape: tuple[int, ...], device: torch.device) -> torch.Tensor:
    """Spread control points (a, b, c) smoothly over a volume (I, J, K)."""
    field = carry(points, device)
    for axis in range(3):
        field = apply_along(field, spline_matrix(shape[axis], points.shape[axis]), axis)
    return field


def gaussian_smooth(
    image: torch.Tensor, fwhm_vox: float | tuple[float, float, float]
) -> torch.Tensor:
    """Smooth (I, J, K) by a Gaussian of the given full width at half maximum, edges replicated."""
    widths = (fwhm_vox,) * 3 if isinstance(fwhm_vox, float | int) else fwhm_vox
    for axis, width in enumerate(widths):
        if width >= NARROWEST_FWHM_VOX:
            image = apply_along(image, gaussian_matrix(image.shape[axis], width), axis)
    return image


def dilate(mask: torch.Tensor, radius: int) -> torch.Tensor:
    """Grow a bool mask (I, J, K) by a box of 2 radius + 1 voxels, axis by axis."""
    for axis in range(3):
        grown = mask.clone()
        size = mask.shape[axis]
        for step in range(1, min(radius, size - 1) + 1):
            upper = grown.narrow(axis, step, size - step)
            upper |= mask.narrow(axis, 0, size - step)
            lower = grown.narrow(axis, 0, size - step)
            lower |= mask.narrow(axis, step, size - step)
        mask = grown
    return mask


def erode(mask: torch.Tensor, radius: int) -> torch.Tensor:
    """Shrink a bool mask (I, J, K) by a box of 2 radius + 1 voxels; the outside counts as mask."""
    return ~dilate(~mask, radius)


def fill_holes(mask: torch.Tensor) -> torch.Tensor:
    """Fill what a bool mask (I, J, K) encloses along all six directions.

    A flood fill does not suit a GPU; for a brain the two differ in deep folds alone.
    """
    enclosed = torch.ones_like(mask)
    numbers = mask.to(torch.uint8)
    for axis in range(3):
        before = numbers.cummax(axis).values
        after = numbers.flip(axis).cummax(axis).values.flip(axis)
        enclosed &= (before & after).bool()
    return mask | enclosed
