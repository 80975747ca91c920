"""Paint a head: a Gaussian mixture over its classes, with the lesion as a class of its own."""

from dataclasses import dataclass

import numpy as np
import torch

from strokeseg.arrays import FloatArray
from strokeseg.training.contrasts import Contrast
from strokeseg.training.filters import gaussian_smooth
from strokeseg.training.softcp import smooth_field


@dataclass(frozen=True)
class LesionTexture:
    """How core and rim share a lesion: control points of a field, added to its depth."""

    points: FloatArray
    rim_depth_vox: float


def draw_lesion_texture(rng: np.random.Generator) -> LesionTexture:
    """Draw how thick the rim is (0 to 2.5 voxels) and how raggedly the core begins."""
    points = rng.uniform(-0.35, 0.35, rng.integers(4, 12, 3)).astype(np.float32)
    return LesionTexture(points, float(rng.uniform(0.0, 2.5)))


def paint(
    first: torch.Tensor, second: torch.Tensor, share: torch.Tensor, contrast: Contrast, bank: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Paint healthy tissue: image and texture noise, both float32 (I, J, K).

    `first`, `second` (int64 class indices) and `share` (float32 in [0, 1]) as in `Subject`.
    The texture of a class is unit noise smoothed to the class's FWHM; `bank` noise fields of
    evenly spread FWHMs serve all classes (each takes the nearest), which is what makes a
    sample cheap.
    """
    device = first.device
    noise = noise_bank(tuple(first.shape), contrast, bank, device)
    which = torch.as_tensor(_nearest_texture(contrast.fwhm_vox, bank), device=device)
    means = torch.as_tensor(contrast.means, device=device)
    stds = torch.as_tensor(contrast.stds, device=device)
    mean = means[first] * share + means[second] * (1 - share)
    std = stds[first] * share + stds[second] * (1 - share)
    texture = torch.gather(noise, 0, which[first][None])[0]
    return mean + std * texture, noise[-1]


def noise_bank(
    shape: tuple[int, ...], contrast: Contrast, bank: int, device: torch.device
) -> torch.Tensor:
    """`bank` fields of unit variance, smoothed to FWHMs from 0 to the largest drawn."""
    generator = torch.Generator(device).manual_seed(contrast.seed)
    widest = float(contrast.fwhm_vox.max())
    white = torch.randn(shape, generator=generator, device=device)
    fields = [white]
    for step in range(1, bank):
        smooth = gaussian_smooth(white, widest * step / (bank - 1))
        fields.append(smooth / smooth.std().clamp_min(1e-6))
    return torch.stack(fields)


def _nearest_texture(fwhm_vox: FloatArray, bank: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """For each class the index of the field with the nearest FWHM."""
    scaled = fwhm_vox / max(float(fwhm_vox.max()), 1e-6) * (bank - 1)
    return np.round(scaled).astype(np.int64)


def paint_lesion(
    image: torch.Tensor,
    weight: torch.Tensor,
    noise: torch.Tensor,
    contrast: Contrast,
    texture: LesionTexture,
) -> torch.Tensor:
    """Replace `weight` (0 to 1) of the tissue by the lesion, core inside and rim around."""
    if not bool(weight.any()):
        return image
    depth = gaussian_smooth(weight, 2 * texture.rim_depth_vox)
    ragged = depth + smooth_field(texture.points, image)
    core = torch.clamp((ragged - 0.55) * 5, 0, 1)
    mean = float(contrast.means[-2]) * core + float(contrast.means[-1]) * (1 - core)
    std = float(contrast.stds[-2]) * core + float(contrast.stds[-1]) * (1 - core)
    return image * (1 - weight) + weight * (mean + std * noise)


