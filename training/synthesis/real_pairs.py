"""Real images with lesion masks, augmented in a branch of their own.

Crop, affine and elastic (one interpolation), histogram equalisation, histogram shift, bias field,
gamma, flips (within the warp) and the normalisation.
"""

from dataclasses import dataclass
from typing import cast

import numpy as np
import torch

from strokeseg.arrays import FloatArray
from strokeseg.images.intensity import Normalisation
from strokeseg.training.data.label_table import LESION
from strokeseg.training.data.pairs import UNKNOWN, Pair
from strokeseg.training.settings import TrainConfig
from strokeseg.training.synthesis.filters import carry, smooth_field
from strokeseg.training.synthesis.normalising import equalise, normalise
from strokeseg.training.synthesis.scanner import apply_gamma
from strokeseg.training.synthesis.warp import (
    Warp,
    canvas_vox,
    draw_warp,
    sample_linear,
    sample_nearest,
    sampling_grid,
)


@dataclass(frozen=True)
class RealParams:
    """All that was drawn for one real sample."""

    pair: int
    warp: Warp
    equalise: bool
    shift: FloatArray | None
    bias: FloatArray
    gamma: float


def draw_real(rng: np.random.Generator, pairs: tuple[Pair, ...], config: TrainConfig) -> RealParams:
    """Draw a pair and its augmentation."""
    index = int(rng.integers(len(pairs)))
    shape = pairs[index].image.shape
    centre = ((np.asarray(shape) - 1) / 2).astype(np.float32)
    settings = config.intensity
    bias_points = rng.integers(2, settings.bias_points + 1, 3)
    strength = rng.uniform(0, settings.bias_strength)
    return RealParams(
        pair=index,
        warp=draw_warp(rng, shape, centre, config.spatial),
        equalise=bool(rng.random() < config.real.equalise_share),
        shift=draw_histogram_shift(rng, config.real.shift_points, config.real.shift_share),
        bias=np.exp(rng.normal(0, strength, bias_points)).astype(np.float32),
        gamma=float(np.exp(rng.normal(0, settings.gamma_std))),
    )


def draw_histogram_shift(rng: np.random.Generator, points: int, share: float) -> FloatArray | None:
    """Draw a rising curve on [0, 1]: even control points, the inner ones moved between neighbours.

    None for a share of images that are left as they are.
    """
    if rng.random() >= share:
        return None
    curve = np.linspace(0, 1, points)
    for inner in range(1, points - 1):
        curve[inner] = rng.uniform(curve[inner - 1], curve[inner + 1])
    return curve.astype(np.float32)


def apply_histogram_shift(image: torch.Tensor, curve: FloatArray | None) -> torch.Tensor:
    """Scale an image to [0, 1] and send it through the curve."""
    low, high = image.min(), image.max()
    scaled = (image - low) / (high - low).clamp_min(1e-6)
    if curve is None:
        return scaled
    levels = carry(np.append(curve, curve[-1]), image.device)
    position = scaled * (curve.size - 1)
    below = position.long()
    return torch.lerp(levels[below], levels[below + 1], position - below)


def build_real(
    params: RealParams, pairs: tuple[Pair, ...], config: TrainConfig, device: torch.device
) -> tuple[torch.Tensor, torch.Tensor]:
    """Make the image (float32) and target (uint8, I J K) that were drawn.

    The target is lesion or `UNKNOWN`: nothing is said about which healthy tissue a voxel is.
    """
    pair = pairs[params.pair]
    canvas = canvas_vox(config.spatial)
    where = sampling_grid(params.warp, canvas, pair.image.shape, device)
    image = carry(pair.image, device)
    # Measured from the darkest voxel, so that what lies outside the scan is dark too.
    image = sample_linear((image - image.min())[None], where)[0]
    lesion = sample_nearest(carry(pair.lesion, device), where) > 0
    if params.equalise:
        image = equalise(image)
    image = apply_histogram_shift(image, params.shift)
    image = image * smooth_field(params.bias, canvas, device)
    image = apply_gamma(image, params.gamma)
    image = normalise(image, cast(Normalisation, config.intensity.normalisation))
    lesion_class = 1 if config.lesion_only else LESION
    other = 0 if config.lesion_only else UNKNOWN
    target = torch.where(lesion, lesion_class, other).to(torch.uint8)
    return image, target
