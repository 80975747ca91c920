"""Paint a head: a Gaussian mixture over its classes, with the lesion as a class of its own."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from strokeseg.arrays import FloatArray
from strokeseg.training.settings import ContrastConfig
from strokeseg.training.synthesis.contrasts import Contrast
from strokeseg.training.synthesis.filters import carry, gaussian_smooth, smooth_field


@dataclass(frozen=True)
class LesionTexture:
    """How core and rim share a lesion: control points of a field, added to its depth."""

    points: FloatArray
    rim_depth_vox: float


def draw_lesion_texture(rng: np.random.Generator) -> LesionTexture:
    """Draw how thick the rim is (0 to 2.5 voxels) and how raggedly the core begins."""
    points = rng.uniform(-0.35, 0.35, rng.integers(4, 12, 3)).astype(np.float32)
    return LesionTexture(points, float(rng.uniform(0.0, 2.5)))


@dataclass(frozen=True)
class Mixture:
    """A head's classes as tensors (I, J, K): int64 indices and the float32 share of `first`."""

    first: torch.Tensor
    second: torch.Tensor
    share: torch.Tensor


def paint(
    head: Mixture, contrast: Contrast, config: ContrastConfig
) -> tuple[torch.Tensor, torch.Tensor]:
    """Paint healthy tissue: image, and the unit noise that a lesion is textured with.

    The texture of a class is unit noise smoothed to the class's FWHM. A bank of noise fields of
    evenly spread FWHMs serves all classes (each takes the nearest) unless the configuration asks
    for a field per class. Both results are float32 (I, J, K).
    """
    device = head.first.device
    count = contrast.means.size if config.texture_per_class else config.texture_bank
    widths, which = _texture_widths(contrast.fwhm_vox, count, exact=config.texture_per_class)
    field_of_voxel = carry(which, device)[head.first]
    texture = lesion_noise = torch.zeros((), device=device)
    for number, field in enumerate(noise_fields(head.share.shape, contrast.seed, widths, device)):
        texture = torch.where(field_of_voxel == number, field, texture)
        if number == which[-2]:
            lesion_noise = field
    means = carry(contrast.means, device)
    stds = carry(contrast.stds, device)
    rest = 1 - head.share
    mean = means[head.first] * head.share + means[head.second] * rest
    std = stds[head.first] * head.share + stds[head.second] * rest
    return mean + std * texture, lesion_noise


def noise_fields(
    shape: tuple[int, ...], seed: int, fwhm_vox: tuple[float, ...], device: torch.device
) -> Iterator[torch.Tensor]:
    """Give a field (I, J, K) of unit variance for each FWHM, all from one white noise.

    One after the other: a field per class at 1 mm would fill memory.
    """
    generator = torch.Generator(device).manual_seed(seed)
    white = torch.randn(shape, generator=generator, device=device)
    for width in fwhm_vox:
        smooth = gaussian_smooth(white, width)
        yield smooth / smooth.std().clamp_min(1e-6)


def _texture_widths(
    fwhm_vox: FloatArray, count: int, *, exact: bool
) -> tuple[tuple[float, ...], np.ndarray[tuple[int], np.dtype[np.int64]]]:
    """Give the FWHMs of the noise fields, and for each class the index of its own."""
    if exact:
        return tuple(float(width) for width in fwhm_vox), np.arange(count)
    widest = max(float(fwhm_vox.max()), 1e-6)
    widths = tuple(widest * step / max(count - 1, 1) for step in range(count))
    return widths, np.round(fwhm_vox / widest * (count - 1)).astype(np.int64)


def core_share(weight: torch.Tensor, texture: LesionTexture) -> torch.Tensor:
    """Give how much of a lesion of `weight` is its core, 0 to 1; the rim is the rest."""
    depth = gaussian_smooth(weight, 2 * texture.rim_depth_vox)
    ragged = depth + smooth_field(texture.points, tuple(weight.shape), weight.device)
    return torch.clamp((ragged - 0.55) * 5, 0, 1)


def paint_lesion(
    image: torch.Tensor,
    weight: torch.Tensor,
    noise: torch.Tensor,
    contrast: Contrast,
    texture: LesionTexture,
) -> torch.Tensor:
    """Replace `weight` (0 to 1) of the tissue by the lesion, core inside and rim around."""
    core = core_share(weight, texture)
    mean = float(contrast.means[-2]) * core + float(contrast.means[-1]) * (1 - core)
    std = float(contrast.stds[-2]) * core + float(contrast.stds[-1]) * (1 - core)
    return image + weight * (mean + std * noise - image)
