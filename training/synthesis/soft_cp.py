"""Fade a lesion (grades of infarction) and stitch it softly into its surroundings (Soft-CP).

Source: Chalcroft et al., Synthetic Data for Robust Stroke Segmentation, arXiv 2404.01946.
"""

from dataclasses import dataclass

import numpy as np
import torch

from strokeseg.arrays import FloatArray
from strokeseg.training.settings import LesionConfig
from strokeseg.training.synthesis.filters import dilate, erode, smooth_field


@dataclass(frozen=True)
class Fade:
    """Control points of a smooth field in [minimum, 1]; None for no fading."""

    points: FloatArray | None


def draw_fade(rng: np.random.Generator, config: LesionConfig) -> Fade:
    """Draw a fading field of 2 to `fade_points` control points an axis."""
    if rng.random() >= config.fade_share:
        return Fade(None)
    shape = rng.integers(2, config.fade_points + 1, 3)
    points = rng.uniform(config.fade_minimum, 1.0, shape).astype(np.float32)
    return Fade(points)


def apply_fade(lesion: torch.Tensor, fade: Fade) -> torch.Tensor:
    """Multiply a lesion (I, J, K) by the field."""
    if fade.points is None:
        return lesion
    return lesion * smooth_field(fade.points, tuple(lesion.shape), lesion.device)


def soften(lesion: torch.Tensor, erode_rings: int, dilate_rings: int, alpha: float) -> torch.Tensor:
    """Soft-CP weights of a lesion: 1 in the eroded core, alpha^j in the j-th ring around.

    Rings grow by 3x3x3 boxes from the core, `erode_rings + dilate_rings` of them (none: the
    lesion stays as it was sampled, right for voxels as large as the rings); a lesion that
    erosion would delete keeps itself as its core. Returns float32 (I, J, K) in [0, 1].
    """
    if erode_rings + dilate_rings == 0:
        return lesion
    mask = lesion > 0.5
    reached = erode(mask, erode_rings) if erode_rings else mask
    reached = torch.where(reached.any(), reached, mask)
    weight = reached.float()
    for ring in range(1, erode_rings + dilate_rings + 1):
        grown = dilate(reached, 1)
        weight += alpha**ring * (grown & ~reached)
        reached = grown
    return weight
