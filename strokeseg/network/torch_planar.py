"""The torch twin of a `PlanarSpec`: a module whose state dict has the spec's names.

Training optimises it with a batch norm after each 3^2 convolution, which inference has folded into
the convolution (`strokeseg.network.batch_norms`).
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from strokeseg.network.planar_spec import (
    FOLD,
    PLANES,
    SLICES,
    STEM_KERNEL,
    SUBPIXELS,
    PlanarBlock,
    PlanarSpec,
    planar_blocks,
)
from strokeseg.network.spec import LEAKY_SLOPE, NORM_EPSILON

# So many slices run together: more take memory and are no quicker.
SLICES_AT_ONCE = 32


class PlanarNet(nn.Module):
    """A three-plane U-Net, built from its spec.

    Parameters
    ----------
    spec
        The architecture.
    normed
        For training: whether there are batch norms, which the spec's tensors have folded.
    """

    def __init__(self, spec: PlanarSpec, *, normed: bool = False) -> None:
        super().__init__()
        down, up = planar_blocks(spec)
        self.stem = nn.Conv2d(SLICES, spec.channels[0], STEM_KERNEL, FOLD, 1)
        self.encoder = nn.ModuleList(_Block(block, normed=normed) for block in down)
        self.decoder = nn.ModuleList(_Block(block, normed=normed) for block in up)
        self.head = nn.Conv2d(spec.channels[0], spec.out_channels * SUBPIXELS, 1)
        self.gap_vox = spec.gap_vox
        self.every_vox = spec.every_vox

    def forward(self, image: Tensor) -> Tensor:
        """Compute the logits of a batch of images, as inference does.

        Parameters
        ----------
        image : (N, 1, I, J, K)
            Edges must be multiples of the spec's `stride_product`.

        Returns
        -------
        (N, C, I, J, K) Tensor
            Logits.
        """
        planes = (self._plane(image[:, 0], axis) for axis in range(PLANES))
        total = next(planes)
        for logits in planes:
            total = total + logits
        return total / PLANES

    def _plane(self, image: Tensor, axis: int) -> Tensor:
        stacked = with_neighbours(image.movedim(axis + 1, 1), self.gap_vox)[:, :: self.every_vox]
        parts = torch.split(stacked.flatten(0, 1), SLICES_AT_ONCE)
        logits = torch.cat([self.of_slices(part) for part in parts])
        apart = logits.reshape(*stacked.shape[:2], *logits.shape[1:])
        whole: Tensor = apart.repeat_interleave(self.every_vox, dim=1)
        return whole.movedim(1, 2).movedim(2, axis + 2)

    def of_slices(self, slices: Tensor) -> Tensor:
        """Compute the logits (N, C, A, B) of slices (N, 3, A, B): each beside its neighbours."""
        features = self.stem(slices.contiguous(memory_format=torch.channels_last))
        skips = []
        for level, block in enumerate(self.encoder):
            features = block(functional.max_pool2d(features, FOLD) if level else features)
            skips.append(features)
        skips.pop()
        for block in reversed(self.decoder):
            above = functional.interpolate(features, scale_factor=FOLD, mode="nearest")
            features = block(torch.cat((above, skips.pop()), dim=1))
        return functional.pixel_shuffle(self.head(features), FOLD)


def with_neighbours(volumes: Tensor, gap_vox: int) -> Tensor:
    """Put each slice between its neighbours: (N, slices, A, B) to (N, slices, 3, A, B).

    Beyond the first and the last slice those count again.
    """
    count = volumes.shape[1]
    places = torch.arange(count, device=volumes.device)
    before, after = (places - gap_vox).clamp_min(0), (places + gap_vox).clamp_max(count - 1)
    return torch.stack((volumes[:, before], volumes, volumes[:, after]), dim=2)


class _Block(nn.Module):
    def __init__(self, block: PlanarBlock, *, normed: bool) -> None:
        super().__init__()
        kind = _NormedConv if normed else _BiasedConv
        self.first = kind(block.inputs, block.outputs)
        self.second = kind(block.outputs, block.outputs)
        self.shortcut = (
            nn.Conv2d(block.inputs, block.outputs, 1) if block.shortcut else nn.Identity()
        )

    def forward(self, features: Tensor) -> Tensor:
        inner = functional.leaky_relu(self.first(features), LEAKY_SLOPE)
        return functional.leaky_relu(self.shortcut(features) + self.second(inner), LEAKY_SLOPE)


class _BiasedConv(nn.Conv2d):
    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, 3, padding=1)


class _NormedConv(nn.Module):
    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(outputs, eps=NORM_EPSILON)

    def forward(self, features: Tensor) -> Tensor:
        normed: Tensor = self.norm(self.conv(features))
        return normed
