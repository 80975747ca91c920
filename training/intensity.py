"""What a scanner does to an image: bias, gamma, blur, thick slices, noise, skull-stripping."""

from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

from strokeseg.arrays import FloatArray
from strokeseg.training.config import IntensityConfig
from strokeseg.training.filters import dilate, erode, gaussian_smooth
from strokeseg.training.softcp import smooth_field


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
    )


def _draw_blur(rng: np.random.Generator, config: IntensityConfig) -> tuple[float, float, float]:
    widths = rng.uniform(0, config.blur_fwhm_limit_vox, 3) * (rng.random() < config.blur_share)
    return float(widths[0]), float(widths[1]), float(widths[2])


def apply_scanner(image: torch.Tensor, brain: torch.Tensor, scanner: Scanner) -> torch.Tensor:
    """Degrade an image (I, J, K); `brain` (bool) is what skull-stripping keeps."""
    image = image * smooth_field(scanner.bias, image)
    image = apply_gamma(image, scanner.gamma)
    image = gaussian_smooth(image, scanner.blur_fwhm_vox)
    image = thicken(image, scanner.thick_axis, scanner.thickness_vox)
    image = add_noise(image, brain, scanner)
    if scanner.strip:
        image = image * strip_mask(brain, scanner.strip_dilation_vox)
    return image


def apply_gamma(image: torch.Tensor, gamma: float) -> torch.Tensor:
    """Raise an image, scaled to [0, 1], to the power of gamma."""
    low, high = image.min(), image.max()
    return ((image - low) / (high - low).clamp_min(1e-6)).pow(gamma)


def thicken(image: torch.Tensor, axis: int, thickness_vox: float) -> torch.Tensor:
    """Average slices of `thickness_vox` along an axis, and interpolate back to the voxels."""
    if thickness_vox < 1.2:
        return image
    widths = [0.0, 0.0, 0.0]
    widths[axis] = 0.8 * thickness_vox
    smooth = gaussian_smooth(image, (widths[0], widths[1], widths[2]))[None, None]
    shape = list(image.shape)
    shape[axis] = max(4, round(shape[axis] / thickness_vox))
    coarse = functional.interpolate(smooth, size=shape, mode="trilinear", align_corners=False)
    back = functional.interpolate(
        coarse, size=tuple(image.shape), mode="trilinear", align_corners=False
    )
    return back[0, 0]


def add_noise(image: torch.Tensor, brain: torch.Tensor, scanner: Scanner) -> torch.Tensor:
    """Add complex Gaussian noise of a drawn SNR, its level varying as a g-factor map; magnitude."""
    generator = torch.Generator(image.device).manual_seed(scanner.seed)
    inside = image[brain]
    signal = inside.mean() if inside.numel() else image.mean()
    level = signal / scanner.snr * smooth_field(scanner.g_factor, image)
    real = image + level * torch.randn(image.shape, generator=generator, device=image.device)
    imaginary = level * torch.randn(image.shape, generator=generator, device=image.device)
    return torch.hypot(real, imaginary)


def strip_mask(brain: torch.Tensor, dilation_vox: int) -> torch.Tensor:
    """Close a brain mask, then grow (positive) or shrink it; float32 (I, J, K)."""
    mask = erode(dilate(brain.float(), 3), 3)
    if dilation_vox > 0:
        mask = dilate(mask, dilation_vox)
    elif dilation_vox < 0:
        mask = erode(mask, -dilation_vox)
    return mask
