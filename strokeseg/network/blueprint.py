"""How a U-Net is put together: its convolutions, their order, and the names of their tensors.

The ONNX graph (`strokeseg.network`) and the torch module (`strokeseg.network.torch_unet`) are
both built from the blueprint; the tensors carry the names that MONAI's ``UNet`` gives them.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from strokeseg.arrays import Shape3
from strokeseg.network.spec import NetworkSpec


@dataclass(frozen=True)
class Conv:
    """One convolution, with its norm, dropout and activation unless `bare`."""

    name: str
    inputs: int
    outputs: int
    kernel: Shape3
    stride: Shape3
    transposed: bool = False
    bare: bool = False

    @property
    def padding(self) -> Shape3:
        """Zeros on either side, so that stride 1 keeps the shape."""
        i, j, k = ((edge - 1) // 2 for edge in self.kernel)
        return i, j, k

    @property
    def weight_shape(self) -> tuple[int, ...]:
        """Shape of the kernel's tensor: (out, in, I, J, K), or (in, out, ...) if transposed."""
        pair = (self.inputs, self.outputs) if self.transposed else (self.outputs, self.inputs)
        return (*pair, *self.kernel)


@dataclass(frozen=True)
class Block:
    """Convolutions in a row; the block's input is added to their result if `residual`.

    `shortcut` is the convolution that fits the input to the sum, None where none is needed.
    """

    name: str
    convs: tuple[Conv, ...]
    residual: bool
    shortcut: Conv | None = None


@dataclass(frozen=True)
class Level:
    """One resolution: `down` towards the bottom, then `up` and `after` on the way back."""

    name: str
    down: Block
    up: Conv
    after: Block | None


@dataclass(frozen=True)
class Blueprint:
    """The whole network, finest level first."""

    levels: tuple[Level, ...]
    bottom: Block

    def convs(self) -> Iterator[Conv]:
        """Yield every convolution that has weights."""
        blocks = [level.down for level in self.levels] + [self.bottom]
        blocks += [level.after for level in self.levels if level.after is not None]
        for block in blocks:
            yield from block.convs
            if block.shortcut is not None:
                yield block.shortcut
        for level in self.levels:
            yield level.up


def blueprint(spec: NetworkSpec) -> Blueprint:
    """Lay out the network that `spec` describes.

    Parameters
    ----------
    spec
        The architecture.

    Returns
    -------
    Blueprint
        Every convolution with its name in MONAI's state dict.
    """
    levels = []
    depth = len(spec.channels) - 1
    name, inputs, outputs = "model", spec.in_channels, spec.out_channels
    for index, stride in enumerate(spec.strides):
        features = spec.channels[index]
        is_top = index == 0
        below = features if index < depth - 1 else spec.channels[index + 1]
        down = _down(spec, f"{name}.0", inputs, features, stride)
        up_name = f"{name}.2.0" if spec.num_res_units else f"{name}.2"
        bare = is_top and spec.num_res_units == 0
        up = Conv(
            up_name,
            features + below,
            outputs,
            spec.up_kernel_size,
            stride,
            transposed=True,
            bare=bare,
        )
        after = None
        if spec.num_res_units:
            unit = Conv(
                f"{name}.2.1.conv.unit0", outputs, outputs, spec.kernel_size, (1, 1, 1), bare=is_top
            )
            after = Block(f"{name}.2.1", (unit,), residual=True)
        levels.append(Level(name, down, up, after))
        name, inputs, outputs = f"{name}.1.submodule", features, features
    bottom = _down(spec, name, spec.channels[-2], spec.channels[-1], (1, 1, 1))
    return Blueprint(tuple(levels), bottom)


def parameter_shapes(spec: NetworkSpec) -> dict[str, tuple[int, ...]]:
    """Name every tensor of the network, as MONAI's ``UNet`` names it.

    Parameters
    ----------
    spec
        The architecture.

    Returns
    -------
    dict
        Shape of each tensor by its name in the state dict.
    """
    shapes: dict[str, tuple[int, ...]] = {}
    for conv in blueprint(spec).convs():
        # A shortcut is a convolution itself; the others sit one name deeper, beside their norm.
        stem = conv.name if conv.name.endswith(".residual") else f"{conv.name}.conv"
        shapes[f"{stem}.weight"] = conv.weight_shape
        if spec.bias:
            shapes[f"{stem}.bias"] = (conv.outputs,)
        if not conv.bare and spec.act == "PRELU" and "A" in spec.adn_ordering:
            shapes[f"{conv.name}.adn.A.weight"] = (1,)
    return shapes


def _down(spec: NetworkSpec, name: str, inputs: int, outputs: int, stride: Shape3) -> Block:
    if spec.num_res_units == 0:
        return Block(name, (Conv(name, inputs, outputs, spec.kernel_size, stride),), residual=False)
    convs = [Conv(f"{name}.conv.unit0", inputs, outputs, spec.kernel_size, stride)]
    convs += [
        Conv(f"{name}.conv.unit{index}", outputs, outputs, spec.kernel_size, (1, 1, 1))
        for index in range(1, spec.num_res_units)
    ]
    shortcut = None
    if math.prod(stride) != 1 or inputs != outputs:
        kernel = spec.kernel_size if math.prod(stride) != 1 else (1, 1, 1)
        shortcut = Conv(f"{name}.residual", inputs, outputs, kernel, stride, bare=True)
    return Block(name, tuple(convs), residual=True, shortcut=shortcut)
