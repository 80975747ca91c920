"""What a scanner does to an image: bias, gamma, blur, thick slices, noise, skull-stripping."""

from dataclasses import dataclass

import numpy as np
import torch

from strokeseg.arrays import FloatArray
from strokeseg.training.filters import (
    apply_along,
    dilate,
    erode,
    fill_holes,
    gaussian_matrix,
    slice_matrix,
    smooth_field,
)
from strokeseg.training.settings import IntensityConfig
from strokeseg.training.spoiling import Spoil, apply_spoil, draw_spoil
from strokeseg.training.susceptibility import brighten_rims, draw_rims

CLOSING_VOX = 3
THINNEST_VOX = 1.2
PERCENTILE_SAMPLE = 1 << 18


@dataclass(frozen=True)
class Scanner:
    """Everything drawn for one image's degradation."""

    bias: FloatArray
    gamma: float
    blur_fwhm_vox: tuple[float, float, float]
    thick_axis: int
    thickness_vox: float
    snr: float
    g_factor: FloatArray
    seed: int
    strip: bool
    strip_dilation_vox: int
    rims: FloatArray | None = None
    spoil: Spoil | None = None


def draw_scanner(rng: np.random.Generator, config: IntensityConfig) -> Scanner:
    """Draw one scanner; each effect is absent from a share of images."""
    bias_points = rng.integers(2, config.bias_points + 1, 3)
    strength = rng.uniform(0, config.bias_strength)
    g_points = rng.integers(2, config.g_factor_points + 1, 3)
    thick = rng.random() < config.thick_share
    return Scanner(
        bias=np.exp(rng.normal(0, strength, bias_points)).astype(np.float32),
        gamma=float(np.exp(rng.normal(0, config.gamma_std))),
        blur_fwhm_vox=_draw_blur(rng, config),
        thick_axis=int(rng.integers(3)),
        thickness_vox=float(rng.uniform(1, config.thickness_limit_vox)) if thick else 1.0,
        snr=float(np.exp(rng.uniform(np.log(config.snr_minimum), np.log(config.snr_maximum)))),
        g_factor=rng.uniform(0.5, 1.5, g_points).astype(np.float32),
        seed=int(rng.integers(2**31)),
        strip=bool(rng.random() < config.strip_share),
        strip_dilation_vox=int(rng.integers(-config.strip_erode_vox, config.strip_dilate_vox + 1)),
        rims=draw_rims(rng, config),
        spoil=draw_spoil(rng, config),
    )


def _draw_blur(rng: np.random.Generator, config: IntensityConfig) -> tuple[float, float, float]:
    widths = rng.uniform(0, config.blur_fwhm_limit_vox, 3) * (rng.random() < config.blur_share)
    return float(widths[0]), float(widths[1]), float(widths[2])


def apply_scanner(
    image: torch.Tensor, brain: torch.Tensor, scanner: Scanner, config: IntensityConfig
) -> torch.Tensor:
    """Degrade an image (I, J, K); `brain` (bool) is what skull-stripping keeps."""
    if scanner.rims is not None:
        image = brighten_rims(image, brain, scanner.rims, config.rim_depth_vox)
    image = image * smooth_field(scanner.bias, tuple(image.shape), image.device)
    image = apply_gamma(image, scanner.gamma)
    image = apply_psf(image, scanner)
    image = add_noise(image, brain, scanner)
    image = clip_to_percentiles(image, config.clip_percentiles)
    if scanner.strip:
        image = image * strip_mask(brain, scanner.strip_dilation_vox)
    return apply_spoil(image, scanner.spoil)


def apply_gamma(image: torch.Tensor, gamma: float) -> torch.Tensor:
    """Raise an image, scaled to [0, 1], to the power of gamma."""
    low, high = image.min(), image.max()
    return ((image - low) / (high - low).clamp_min(1e-6)).pow(gamma)


def apply_psf(image: torch.Tensor, scanner: Scanner) -> torch.Tensor:
    """Blur (motion, point spread), and average slices of the drawn thickness along an axis."""
    for axis, width in enumerate(scanner.blur_fwhm_vox):
        size = image.shape[axis]
        matrix = gaussian_matrix(size, width)
        if axis == scanner.thick_axis and scanner.thickness_vox >= THINNEST_VOX:
            matrix = slice_matrix(size, scanner.thickness_vox) @ matrix
        elif width == 0:
            continue
        image = apply_along(image, matrix, axis)
    return image


def add_noise(image: torch.Tensor, brain: torch.Tensor, scanner: Scanner) -> torch.Tensor:
    """Add complex Gaussian noise of a drawn SNR, its level varying as a g-factor map; magnitude.

    The signal is the brain's mean, or the image's where no brain is in view.
    """
    generator = torch.Generator(image.device).manual_seed(scanner.seed)
    count = brain.sum()
    signal = torch.where(count > 0, (image * brain).sum() / count.clamp_min(1), image.mean())
    level = smooth_field(scanner.g_factor, tuple(image.shape), image.device)
    level *= signal / scanner.snr
    real = torch.randn(image.shape, generator=generator, device=image.device)
    imaginary = torch.randn(image.shape, generator=generator, device=image.device)
    return torch.hypot(image + level * real, level * imaginary)


def clip_to_percentiles(image: torch.Tensor, percentiles: tuple[float, float]) -> torch.Tensor:
    """Clip an image to its percentiles, found on an even sample of 262,144 voxels or all."""
    if percentiles == (0.0, 100.0):
        return image
    flat = image.reshape(-1)
    step = -(-flat.numel() // PERCENTILE_SAMPLE)
    low, high = (torch.quantile(flat[::step], share / 100) for share in percentiles)
    return image.clamp(low, high)


def strip_mask(brain: torch.Tensor, dilation_vox: int) -> torch.Tensor:
    """Close a brain mask (bool), fill it, then grow (positive) or shrink it."""
    mask = fill_holes(erode(dilate(brain, CLOSING_VOX), CLOSING_VOX))
    if dilation_vox > 0:
        return dilate(mask, dilation_vox)
    return erode(mask, -dilation_vox) if dilation_vox < 0 else mask
