"""What broken voxels and padding do to a scan: hot voxels, a hot line, a border far below air."""

from dataclasses import dataclass

import numpy as np
import torch

from strokeseg.training.settings import IntensityConfig

KINDS = ("hot voxels", "hot line", "padding")
MOST_HOT = 40


@dataclass(frozen=True)
class Defect:
    """One defect: its kind, how strong (in ranges of the image), where, and how large."""

    kind: str
    strength: float
    seed: int
    axis: int
    share: float


def draw_defect(rng: np.random.Generator, config: IntensityConfig) -> Defect | None:
    """Draw a defect for `defect_share` of images."""
    if config.defect_share == 0 or rng.random() >= config.defect_share:
        return None
    return Defect(
        kind=KINDS[int(rng.integers(len(KINDS)))],
        strength=float(np.exp(rng.uniform(np.log(0.5), np.log(100.0)))),
        seed=int(rng.integers(2**31)),
        axis=int(rng.integers(3)),
        share=float(rng.uniform(0.02, 0.25)),
    )


def apply_defect(image: torch.Tensor, defect: Defect | None) -> torch.Tensor:
    """Spoil an image (I, J, K), which is written over."""
    if defect is None:
        return image
    low, high = float(image.min()), float(image.max())
    reach = defect.strength * (high - low)
    if defect.kind == "padding":
        size = image.shape[defect.axis]
        image.narrow(defect.axis, 0, max(1, round(defect.share * size))).fill_(low - reach)
        return image
    generator = torch.Generator().manual_seed(defect.seed)
    places = [torch.randint(size, (MOST_HOT,), generator=generator) for size in image.shape]
    if defect.kind == "hot line":
        line = [int(place[0]) for place in places]
        where: list[int | slice] = list(line)
        where[defect.axis] = slice(None)
        image[tuple(where)] = high + reach
        return image
    count = max(1, round(defect.share * 4 * MOST_HOT))
    image[tuple(place[:count].to(image.device) for place in places)] = high + reach
    return image
