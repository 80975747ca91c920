"""The torch twin of a `NetworkSpec`: a module whose state dict has the names of MONAI's ``UNet``.

Training optimises it and the torch engine runs it; it needs torch alone.
"""

import torch
from torch import Tensor, nn

from strokeseg.network.blueprint import Block, Conv, Level, blueprint
from strokeseg.network.spec import LEAKY_SLOPE, NORM_EPSILON, NetworkSpec


class UNet(nn.Module):
    """A 3D U-Net with residual units, built from its spec.

    Weights start as torch's own defaults. Dropout acts in training mode only.

    Parameters
    ----------
    spec
        The architecture.
    """

    def __init__(self, spec: NetworkSpec) -> None:
        super().__init__()
        plan = blueprint(spec)
        inner: nn.Module = _block(spec, plan.bottom)
        for level in reversed(plan.levels):
            inner = _Level(spec, level, inner)
        self.model = inner

    def forward(self, image: Tensor) -> Tensor:
        """Compute the logits of a batch of images.

        Parameters
        ----------
        image : (N, 1, I, J, K)
            Edges must be multiples of the spec's `stride_product`.

        Returns
        -------
        (N, C, I, J, K) Tensor
            Logits.
        """
        logits: Tensor = self.model(image)
        return logits


class _Level(nn.Sequential):
    def __init__(self, spec: NetworkSpec, level: Level, inner: nn.Module) -> None:
        up: nn.Module = _ConvUnit(spec, level.up)
        if level.after is not None:
            up = nn.Sequential(up, _block(spec, level.after))
        super().__init__(_block(spec, level.down), _Skip(inner), up)


class _Skip(nn.Module):
    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.submodule = inner

    def forward(self, features: Tensor) -> Tensor:
        return torch.cat((features, self.submodule(features)), dim=1)


class _ResidualUnit(nn.Module):
    def __init__(self, spec: NetworkSpec, block: Block) -> None:
        super().__init__()
        self.conv = nn.Sequential()
        for index, conv in enumerate(block.convs):
            self.conv.add_module(f"unit{index}", _ConvUnit(spec, conv))
        self.residual = nn.Identity() if block.shortcut is None else _layer(spec, block.shortcut)

    def forward(self, features: Tensor) -> Tensor:
        total: Tensor = self.conv(features) + self.residual(features)
        return total


class _ConvUnit(nn.Sequential):
    def __init__(self, spec: NetworkSpec, conv: Conv) -> None:
        super().__init__()
        self.add_module("conv", _layer(spec, conv))
        if not conv.bare:
            adn = nn.Sequential()
            for letter in spec.adn_ordering:
                adn.add_module(letter, _adn_module(spec, letter, conv.outputs))
            self.add_module("adn", adn)


def _block(spec: NetworkSpec, block: Block) -> nn.Module:
    if block.residual:
        return _ResidualUnit(spec, block)
    return _ConvUnit(spec, block.convs[0])


def _layer(spec: NetworkSpec, conv: Conv) -> nn.Module:
    if conv.transposed:
        i, j, k = (step - 1 for step in conv.stride)
        return nn.ConvTranspose3d(
            conv.inputs,
            conv.outputs,
            conv.kernel,
            stride=conv.stride,
            padding=conv.padding,
            output_padding=(i, j, k),
            bias=spec.bias,
        )
    return nn.Conv3d(
        conv.inputs,
        conv.outputs,
        conv.kernel,
        stride=conv.stride,
        padding=conv.padding,
        bias=spec.bias,
    )


def _adn_module(spec: NetworkSpec, letter: str, features: int) -> nn.Module:
    if letter == "N":
        return nn.InstanceNorm3d(features, eps=NORM_EPSILON)
    if letter == "D":
        return nn.Dropout(spec.dropout)
    if spec.act == "PRELU":
        return nn.PReLU()
    return nn.ReLU() if spec.act == "RELU" else nn.LeakyReLU(LEAKY_SLOPE)
