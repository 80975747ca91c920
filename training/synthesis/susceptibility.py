"""Bright rims where air bends the field, as echo-planar images have them over sinuses and ears.

Signal piles up along some parts of the brain's edge. A network that has never seen it takes the rim
of a temporal pole for an infarct.
"""

import numpy as np
import torch

from strokeseg.arrays import FloatArray
from strokeseg.training.settings import IntensityConfig
from strokeseg.training.synthesis.filters import carry, gaussian_smooth


def draw_rims(rng: np.random.Generator, config: IntensityConfig) -> FloatArray | None:
    """Draw the bright rims of an image; None for most.

    Returns
    -------
    (N, 5) float32 array or None
        For each the direction from the brain's centre (a unit vector), its half width as an angle
        (rad), and by which part of itself the image is brighter there.
    """
    if config.rim_share == 0 or rng.random() >= config.rim_share:
        return None
    count = int(rng.integers(1, config.rim_count + 1))
    directions = rng.normal(size=(count, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    widths = rng.uniform(0.1, 0.4, (count, 1))
    gains = np.exp(rng.uniform(np.log(0.3), np.log(config.rim_gain), (count, 1)))
    return np.hstack((directions, widths, gains)).astype(np.float32)


def brighten_rims(
    image: torch.Tensor, brain: torch.Tensor, rims: FloatArray, depth_vox: float
) -> torch.Tensor:
    """Brighten the drawn parts of the brain's edge.

    Parameters
    ----------
    image : (I, J, K) float32
        The image.
    brain : (I, J, K) bool
        Where the brain is; without any the image is given back.
    rims : (N, 5)
        From `draw_rims`.
    depth_vox
        How far a rim reaches into the brain, as the full width at half maximum of a blur.
    """
    inside = brain.float()
    count = inside.sum().clamp_min(1)
    # Half of a blurred mask is outside at its edge: 1 there, falling to 0 inside.
    edge = (2 * (1 - gaussian_smooth(inside, depth_vox))).clamp(0, 1) * inside
    axes = []
    for axis, size in enumerate(image.shape):
        steps = torch.arange(size, dtype=torch.float32, device=image.device)
        others = [other for other in range(3) if other != axis]
        centre = (inside.sum(dim=others) * steps).sum() / count
        axes.append(steps - centre)
    i, j, k = axes
    distance = torch.sqrt((i**2)[:, None, None] + (j**2)[:, None] + k**2).clamp_min(1)
    gain = torch.zeros_like(image)
    for x, y, z, width, strength in carry(rims, image.device):
        along = ((x * i)[:, None, None] + (y * j)[:, None] + z * k) / distance
        # For small angles 1 - cos is half of the squared angle.
        gain += strength * torch.exp((along - 1) / width**2)
    return image * (1 + gain * edge)
