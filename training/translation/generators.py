"""Networks that draw an image from labels, or labels from an image, of two or three axes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional

from strokeseg.training.translation.classes import NAMES, one_hot
from strokeseg.training.translation.settings import GeneratorConfig, TranslatorConfig

SLOPE = 0.2


@dataclass(frozen=True)
class Layers:
    """What networks of one number of axes are made of."""

    convolution: type[nn.Conv2d] | type[nn.Conv3d]
    norm: type[nn.InstanceNorm2d] | type[nn.InstanceNorm3d]
    dropout: Callable[..., torch.Tensor]
    pool: Callable[..., torch.Tensor]


LAYERS = {
    2: Layers(nn.Conv2d, nn.InstanceNorm2d, functional.dropout2d, functional.avg_pool2d),
    3: Layers(nn.Conv3d, nn.InstanceNorm3d, functional.dropout3d, functional.avg_pool3d),
}


class ConvUnit(nn.Module):
    """Convolution, instance norm, leaky rectifier."""

    def __init__(self, inside: int, outside: int, layers: Layers, stride: int = 1) -> None:
        super().__init__()
        self.convolution = layers.convolution(
            inside, outside, 3, stride=stride, padding=1, bias=False
        )
        self.norm = layers.norm(outside, affine=True)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Map (N, inside, A, B) to (N, outside, A', B'), or with a third axis."""
        return functional.leaky_relu(self.norm(self.convolution(features)), SLOPE)


class SmallUNet(nn.Module):
    """A U-Net: down by strides, up by repetition, the finer level joined in.

    `dropout` acts on the decoder, also where images are drawn: it makes them differ.
    """

    def __init__(
        self,
        inside: int,
        outside: int,
        channels: tuple[int, ...],
        dropout: float = 0.0,
        dimensions: int = 2,
    ) -> None:
        super().__init__()
        self.dropout = dropout
        self.layers = LAYERS[dimensions]
        self.first = ConvUnit(inside, channels[0], self.layers)
        pairs = list(pairwise(channels))
        self.down = nn.ModuleList(
            nn.Sequential(
                ConvUnit(fine, coarse, self.layers, 2), ConvUnit(coarse, coarse, self.layers)
            )
            for fine, coarse in pairs
        )
        self.up = nn.ModuleList(
            ConvUnit(coarse + fine, fine, self.layers) for fine, coarse in reversed(pairs)
        )
        self.last = self.layers.convolution(channels[0], outside, 3, padding=1)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Map (N, inside, A, B), or with a third axis, to (N, outside, A, B)."""
        features = self.first(image)
        levels = []
        for block in self.down:
            levels.append(features)
            features = block(features)
        for block in self.up:
            features = self.layers.dropout(features, self.dropout, training=True)
            features = functional.interpolate(features, scale_factor=2.0)
            features = block(torch.cat((features, levels.pop()), dim=1))
        drawn: torch.Tensor = self.last(features)
        return drawn


class UNetGenerator(nn.Module):
    """Labels and noise through a U-Net (Isola et al., arXiv 1611.07004)."""

    def __init__(self, config: GeneratorConfig, dimensions: int = 2) -> None:
        super().__init__()
        self.noise_channels = config.noise_channels
        inside = len(NAMES) + config.noise_channels
        self.network = SmallUNet(inside, 1, config.channels, config.dropout, dimensions)

    def noise(self, count: int, edges: Sequence[int], generator: torch.Generator) -> torch.Tensor:
        """Draw what makes images of the same labels differ."""
        shape = (count, self.noise_channels, *edges)
        return torch.randn(shape, generator=generator)

    def forward(self, labels: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        """Draw images (N, 1, A, B) in -1 to 1 from labels (N, A, B), or with a third axis."""
        return self.draw_shares(one_hot(labels), noise)

    def draw_shares(self, shares: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        """Draw images from the share of each class, (N, C, A, B)."""
        drawn: torch.Tensor = self.network(torch.cat((shares, noise), dim=1))
        return torch.tanh(drawn)


class SpadeNorm(nn.Module):
    """Instance norm whose scale and shift are read off the labels (Park et al., 1903.07291)."""

    def __init__(self, channels: int, label_channels: int, layers: Layers) -> None:
        super().__init__()
        self.norm = layers.norm(channels)
        self.shared = layers.convolution(len(NAMES), label_channels, 3, padding=1)
        self.modulation = layers.convolution(label_channels, 2 * channels, 3, padding=1)

    def forward(self, features: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Normalise features, then scale and shift them by labels (N, C, A, B) of their size."""
        scale, shift = self.modulation(functional.relu(self.shared(labels))).chunk(2, dim=1)
        modulated: torch.Tensor = self.norm(features) * (1 + scale) + shift
        return modulated


class SpadeBlock(nn.Module):
    """A residual block of one convolution a level, modulated by the labels."""

    def __init__(self, inside: int, outside: int, label_channels: int, layers: Layers) -> None:
        super().__init__()
        self.norm = SpadeNorm(inside, label_channels, layers)
        self.convolution = layers.convolution(inside, outside, 3, padding=1)
        self.shortcut = layers.convolution(inside, outside, 1, bias=False)

    def forward(self, features: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Map (N, inside, A, B) to (N, outside, A, B)."""
        active = functional.leaky_relu(self.norm(features, labels), SLOPE)
        mapped: torch.Tensor = self.convolution(active) + self.shortcut(features)
        return mapped


class SpadeGenerator(nn.Module):
    """Noise at the bottom, grown level by level under the labels."""

    def __init__(self, config: GeneratorConfig, dimensions: int = 2) -> None:
        super().__init__()
        channels = config.channels[::-1]
        self.layers = LAYERS[dimensions]
        self.noise_channels = config.noise_channels
        self.stride = 2 ** (len(channels) - 1)
        inside = config.noise_channels + len(NAMES)
        self.bottom = self.layers.convolution(inside, channels[0], 3, padding=1)
        pairs = zip((channels[0], *channels[:-1]), channels, strict=True)
        self.blocks = nn.ModuleList(
            SpadeBlock(coarse, fine, config.label_channels, self.layers) for coarse, fine in pairs
        )
        self.norm = SpadeNorm(channels[-1], config.label_channels, self.layers)
        self.last = self.layers.convolution(channels[-1], 1, 3, padding=1)

    def noise(self, count: int, edges: Sequence[int], generator: torch.Generator) -> torch.Tensor:
        """Draw what makes images of the same labels differ."""
        coarse = (edge // self.stride for edge in edges)
        return torch.randn((count, self.noise_channels, *coarse), generator=generator)

    def forward(self, labels: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        """Draw images (N, 1, A, B) in -1 to 1 from labels (N, A, B), or with a third axis."""
        return self.draw_shares(one_hot(labels), noise)

    def draw_shares(self, shares: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        """Draw images from the share of each class, (N, C, A, B)."""
        levels = [shares]
        for _ in self.blocks[1:]:
            levels.append(self.layers.pool(levels[-1], 2))
        features = self.bottom(torch.cat((noise, levels[-1]), dim=1))
        for number, block in enumerate(self.blocks):
            if number:
                features = functional.interpolate(features, scale_factor=2.0)
            features = block(features, levels[len(levels) - 1 - number])
        features = functional.leaky_relu(self.norm(features, shares), SLOPE)
        return torch.tanh(self.last(features))


Generator = UNetGenerator | SpadeGenerator


def build_generator(config: TranslatorConfig) -> Generator:
    """Build what a configuration trains, with weights as torch draws them."""
    if config.kind == "spade":
        return SpadeGenerator(config.generator, config.dimensions)
    return UNetGenerator(config.generator, config.dimensions)
