"""What tells real from drawn: a patch discriminator, least squares, a pool of old fakes."""

from itertools import pairwise

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from strokeseg.training.translation.generators import LAYERS, SLOPE


class PatchDiscriminator(nn.Module):
    """Judge patches of an image (N, C, A, B), or with a third axis: 1 where real, 0 where drawn."""

    def __init__(self, inside: int, channels: tuple[int, ...], dimensions: int = 2) -> None:
        super().__init__()
        layers = LAYERS[dimensions]
        self.first = layers.convolution(inside, channels[0], 4, stride=2, padding=1)
        pairs = pairwise(channels)
        self.deeper = nn.ModuleList(
            nn.Sequential(
                layers.convolution(fine, coarse, 4, stride=2, padding=1, bias=False),
                layers.norm(coarse, affine=True),
            )
            for fine, coarse in pairs
        )
        self.last = layers.convolution(channels[-1], 1, 3, padding=1)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Give a verdict for each patch, (N, 1, A', B')."""
        features = functional.leaky_relu(self.first(image), SLOPE)
        for block in self.deeper:
            features = functional.leaky_relu(block(features), SLOPE)
        verdict: torch.Tensor = self.last(features)
        return verdict


def verdict_loss(verdict: torch.Tensor, *, real: bool) -> torch.Tensor:
    """Least squares distance of a verdict to "real" or "drawn" (Mao et al., 1611.04076)."""
    return ((verdict.float() - float(real)) ** 2).mean()


class FakePool:
    """Keeps fakes; half of the time the discriminator is shown an old one (Shrivastava, 2017)."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.kept: list[torch.Tensor] = []

    def exchange(self, fakes: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
        """Give a fake or an older one for each of (N, C, A, B), and keep what was given up."""
        chosen = []
        for fake in fakes.detach():
            if len(self.kept) < self.size:
                self.kept.append(fake.clone())
            elif self.size and rng.random() < 0.5:
                place = int(rng.integers(self.size))
                chosen.append(self.kept[place])
                self.kept[place] = fake.clone()
                continue
            chosen.append(fake)
        return torch.stack(chosen)

    def state(self) -> torch.Tensor:
        """Give what is kept, for a checkpoint."""
        return torch.stack(self.kept) if self.kept else torch.zeros(0)

    def restore(self, kept: torch.Tensor) -> None:
        """Take what a checkpoint kept."""
        self.kept = [one.clone() for one in kept]
