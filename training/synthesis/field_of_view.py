"""Fields of view that end early: a sample is cut at drawn planes, with air beyond.

Scans are cut at any height and side, and what an upright crop about the brain never shows must not
be new to a network that meets it.
"""

from dataclasses import dataclass

import numpy as np
import torch

from strokeseg.training.settings import SpatialConfig


@dataclass(frozen=True)
class Cut:
    """Shares of the canvas that are cut off: (axis, whether at its end, share)."""

    planes: tuple[tuple[int, bool, float], ...] = ()


def draw_cut(rng: np.random.Generator, config: SpatialConfig) -> Cut:
    """Draw up to two cuts for `cut_share` of the samples."""
    if config.cut_share == 0 or rng.random() >= config.cut_share:
        return Cut()
    count = 1 + int(rng.random() < 0.4)
    axes = rng.choice(3, size=count, replace=False)
    return Cut(
        tuple(
            (int(axis), bool(rng.random() < 0.5), float(rng.uniform(0.05, config.cut_limit)))
            for axis in axes
        )
    )


def apply_cut(
    image: torch.Tensor, target: torch.Tensor, cut: Cut
) -> tuple[torch.Tensor, torch.Tensor]:
    """Darken what was cut off of an image (I, J, K), and call it background in the target.

    Gives the two back, written over. `target` is (I, J, K), or (C, I, J, K) of shares.
    """
    for axis, at_end, share in cut.planes:
        size = image.shape[axis]
        width = round(share * size)
        start = size - width if at_end else 0
        image.narrow(axis, start, width).fill_(float(image.min()))
        if target.ndim == image.ndim:
            target.narrow(axis, start, width).fill_(0)
        else:
            outside = target.narrow(axis + 1, start, width)
            outside.fill_(0)
            outside[0] = 1
    return image, target
