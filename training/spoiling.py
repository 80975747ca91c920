"""Voxels that no head has, as files have them: hot ones, hot stripes, padding of any depth.

The normalisation minds none of them (`strokeseg.foreground`), but for the voxels themselves; a
network should have seen what is left of them.
"""

from dataclasses import dataclass

import numpy as np
import torch

from strokeseg.training.settings import IntensityConfig

PADDINGS = (-1024.0, -2000.0, -32768.0)
THICKEST_PADDING = 0.15


@dataclass(frozen=True)
class Spoil:
    """`kind` is "voxel", "stripe" or "padding"; `place` (0 to 1, per axis) where, `axis` along.

    `value` is a padding's own, or by how often a hot voxel is brighter than the image's brightest.
    """

    kind: str
    place: tuple[float, float, float]
    axis: int
    value: float


def draw_spoil(rng: np.random.Generator, config: IntensityConfig) -> Spoil | None:
    """Draw what is broken in an image; None for most."""
    if config.spoil_share == 0 or rng.random() >= config.spoil_share:
        return None
    kind = ("voxel", "stripe", "padding")[int(rng.integers(3))]
    x, y, z = (float(value) for value in rng.uniform(0, 1, 3))
    value = float(np.exp(rng.uniform(np.log(2), np.log(1e4))))
    if kind == "padding":
        value = PADDINGS[int(rng.integers(len(PADDINGS)))]
    return Spoil(kind, (x, y, z), int(rng.integers(3)), value)


def apply_spoil(image: torch.Tensor, spoil: Spoil | None) -> torch.Tensor:
    """Break the drawn voxels of an image (I, J, K); itself where none was drawn."""
    if spoil is None:
        return image
    spoilt = image.clone()
    if spoil.kind == "padding":
        # A slab at one end of the field of view that nothing was scanned in.
        size = image.shape[spoil.axis]
        thickness = 1 + int(spoil.place[0] * THICKEST_PADDING * size)
        first = 0 if spoil.place[1] < 0.5 else size - thickness
        spoilt.narrow(spoil.axis, first, thickness).fill_(spoil.value)
        return spoilt
    where: list[int | slice] = [
        min(int(share * size), size - 1)
        for share, size in zip(spoil.place, image.shape, strict=True)
    ]
    if spoil.kind == "stripe":
        where[spoil.axis] = slice(None)
    spoilt[tuple(where)] = image.max() * spoil.value
    return spoilt
