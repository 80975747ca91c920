"""The torch twin of a `HalfSpec`: a module whose state dict has the spec's names.

Training optimises it and the torch engine runs it; it needs torch alone. Training works on packed
tensors (`pack`): eight neighbouring voxels as eight channels, at half the resolution, so that
nothing at full resolution is ever computed but the loss.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from strokeseg.network.half_spec import FOLD, SUBVOXELS, HalfSpec
from strokeseg.network.spec import LEAKY_SLOPE, NORM_EPSILON


def pack(volumes: Tensor) -> Tensor:
    """Turn 2^3 neighbours into channels: (N, C, I, J, K) to (N, 8 C, I/2, J/2, K/2)."""
    count, channels, i, j, k = volumes.shape
    blocks = volumes.reshape(count, channels, i // FOLD, FOLD, j // FOLD, FOLD, k // FOLD, FOLD)
    moved = blocks.permute(0, 1, 3, 5, 7, 2, 4, 6)
    return moved.reshape(count, channels * SUBVOXELS, i // FOLD, j // FOLD, k // FOLD)


def unpack(packed: Tensor) -> Tensor:
    """Undo `pack`: (N, 8 C, I, J, K) to (N, C, 2 I, 2 J, 2 K)."""
    count, channels, i, j, k = packed.shape
    blocks = packed.reshape(count, channels // SUBVOXELS, FOLD, FOLD, FOLD, i, j, k)
    moved = blocks.permute(0, 1, 5, 2, 6, 3, 7, 4)
    return moved.reshape(count, channels // SUBVOXELS, FOLD * i, FOLD * j, FOLD * k)


class HalfUNet(nn.Module):
    """A half-resolution U-Net, built from its spec.

    Parameters
    ----------
    spec
        The architecture.
    depths
        For training: how many coarser levels of the way up also tell the classes, each by a 1^3
        convolution under `aux` in the state dict. Inference has none.
    """

    def __init__(self, spec: HalfSpec, depths: int = 0) -> None:
        super().__init__()
        inputs = (SUBVOXELS * spec.in_channels, *spec.channels)
        self.encoder = nn.ModuleList(
            _units(before, after, units, 1 if level == 0 else 2)
            for level, (before, after, units) in enumerate(
                zip(inputs, spec.channels, spec.encoder_units, strict=False)
            )
        )
        pairs = list(zip(spec.channels, spec.channels[1:], strict=False))
        self.reduce = nn.ModuleList(nn.Conv3d(low, up, 1, bias=False) for up, low in pairs)
        self.skip = nn.ModuleList(nn.Conv3d(up, up, 1, bias=False) for up, _ in pairs)
        self.decoder = nn.ModuleList(
            _units(up, up, units, 1)
            for (up, _), units in zip(pairs, spec.decoder_units, strict=True)
        )
        self.head = _Head(spec.channels[0], spec.out_channels)
        self.aux = nn.ModuleList(
            nn.Conv3d(spec.channels[level], spec.out_channels, 1) for level in range(1, depths + 1)
        )

    def forward(self, image: Tensor) -> Tensor:
        """Compute the logits of a batch of images.

        Parameters
        ----------
        image : (N, images, I, J, K)
            Edges must be multiples of the spec's `stride_product`.

        Returns
        -------
        (N, C, I, J, K) Tensor
            Logits.
        """
        return unpack(self.packed(image)[0])

    def packed(self, image: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Compute packed logits (N, 8 C, I/2, J/2, K/2), and those of coarser levels.

        The coarser ones (N, C, ...) come finest first, each of half the resolution of the one
        before, beginning with a quarter of the image's.
        """
        features = pack(image).contiguous(memory_format=torch.channels_last_3d)
        down = []
        for units in self.encoder:
            features = _run(units, features)
            down.append(features)
        coarse: list[Tensor] = []
        for level in reversed(range(len(self.decoder))):
            below = functional.interpolate(
                self.reduce[level](features), scale_factor=FOLD, mode="nearest"
            )
            features = _run(self.decoder[level], below + self.skip[level](down[level]))
            if 1 <= level <= len(self.aux):
                coarse.insert(0, self.aux[level - 1](features))
        return self.head(features), coarse


class _Unit(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv = nn.Conv3d(inputs, outputs, 3, stride, 1, bias=False)
        self.scale = nn.Parameter(torch.ones(outputs))
        self.shift = nn.Parameter(torch.zeros(outputs))

    def forward(self, features: Tensor) -> Tensor:
        features = self.conv(features)
        if len(features) == 1:
            # The batch norm of one image, by its own statistics, keeps channels last.
            normed = functional.batch_norm(
                features, None, None, self.scale, self.shift, training=True, eps=NORM_EPSILON
            )
        else:
            normed = functional.instance_norm(
                features, weight=self.scale, bias=self.shift, eps=NORM_EPSILON
            )
        return functional.leaky_relu(normed, LEAKY_SLOPE)


class _Head(nn.Conv3d):
    """A 1^3 convolution that gives the packed logits; neighbours share the bias of a class."""

    def __init__(self, inputs: int, classes: int) -> None:
        super().__init__(inputs, classes * SUBVOXELS, 1, bias=False)
        self.bias = nn.Parameter(torch.zeros(classes))

    def forward(self, features: Tensor) -> Tensor:
        if self.bias is None:
            raise ValueError("the head has lost its bias")
        return functional.conv3d(features, self.weight, self.bias.repeat_interleave(SUBVOXELS))


def _units(inputs: int, outputs: int, count: int, stride: int) -> nn.ModuleList:
    first = _Unit(inputs, outputs, stride)
    return nn.ModuleList([first, *(_Unit(outputs, outputs, 1) for _ in range(count - 1))])


def _run(units: nn.Module, features: Tensor) -> Tensor:
    first, *others = units.children()
    features = first(features)
    for unit in others:
        features = features + unit(features)
    return features
