"""Separable Gaussian smoothing on tensors, on the CPU and on CUDA alike."""

import math

import torch
from torch.nn import functional

FWHM_PER_SIGMA = 2 * math.sqrt(2 * math.log(2))


def gaussian_smooth(
    image: torch.Tensor, fwhm_vox: float | tuple[float, float, float]
) -> torch.Tensor:
    """Smooth (I, J, K) by a Gaussian of the given full width at half maximum, edges replicated."""
    widths = (fwhm_vox,) * 3 if isinstance(fwhm_vox, float | int) else fwhm_vox
    smoothed = image[None, None]
    for axis, width in enumerate(widths):
        if width < 0.3:
            continue
        smoothed = _smooth_axis(smoothed, width / FWHM_PER_SIGMA, axis)
    return smoothed[0, 0]


def _smooth_axis(image: torch.Tensor, sigma_vox: float, axis: int) -> torch.Tensor:
    radius = max(1, math.ceil(2.5 * sigma_vox))
    taps = torch.arange(-radius, radius + 1, dtype=torch.float32, device=image.device)
    kernel = torch.exp(-0.5 * (taps / sigma_vox) ** 2)
    shape = [1, 1, 1, 1, 1]
    shape[2 + axis] = 2 * radius + 1
    padding = [0] * 6
    padding[2 * (2 - axis)] = padding[2 * (2 - axis) + 1] = radius
    padded = functional.pad(image, padding, mode="replicate")
    return functional.conv3d(padded, (kernel / kernel.sum()).reshape(shape))


def dilate(mask: torch.Tensor, radius: int) -> torch.Tensor:
    """Largest value within a box of 2 radius + 1 voxels, axis by axis; (I, J, K)."""
    grown = mask[None, None]
    for axis in range(3):
        kernel, padding = [1, 1, 1], [0, 0, 0]
        kernel[axis], padding[axis] = 2 * radius + 1, radius
        grown = functional.max_pool3d(grown, kernel, stride=1, padding=padding)
    return grown[0, 0]


def erode(mask: torch.Tensor, radius: int) -> torch.Tensor:
    """Smallest value within a box of 2 radius + 1 voxels; (I, J, K), the outside counts as large."""
    return -dilate(-mask, radius)
