"""The nodes and tensors of a network's ONNX graph."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from strokeseg.arrays import AnyArray, Shape3
from strokeseg.network.blueprint import Block, Conv, blueprint
from strokeseg.network.folding import LANES, conv_fold, fold_conv, fold_transposed
from strokeseg.network.onnx_writer import GraphWriter
from strokeseg.network.spec import LEAKY_SLOPE, NetworkSpec


def unet_graph(spec: NetworkSpec, state: Mapping[str, AnyArray], *, folded: bool) -> GraphWriter:
    """Write the network's nodes and tensors; see `strokeseg.network.state.build_onnx`.

    Parameters
    ----------
    spec
        The architecture.
    state
        Its tensors by MONAI's names, already checked.
    folded
        Whether the finest convolutions are folded.
    """
    graph = _Graph(spec, state, folded=folded)
    plan = blueprint(spec)
    features, skips = "patch", []
    for level in plan.levels:
        features = graph.block(level.down, features)
        skips.append(features)
    features = graph.block(plan.bottom, features)
    for level in reversed(plan.levels):
        joined = graph.node("Concat", [skips.pop(), features], f"{level.name}.join", axis=1)
        features = graph.conv(level.up, joined)
        if level.after is not None:
            features = graph.block(level.after, features, is_finest=level is plan.levels[0])
    graph.node("Identity", [features], "logits")
    return graph


@dataclass
class _Kernel:
    """What an ONNX convolution is told; `fold` neighbours along K come out as features."""

    op: str
    weight: AnyArray
    bias: AnyArray | None
    strides: Shape3
    pads: tuple[int, ...]
    output_padding: Shape3 | None
    fold: int = 1


class _Graph(GraphWriter):
    """The U-Net's own parts."""

    def __init__(self, spec: NetworkSpec, state: Mapping[str, AnyArray], *, folded: bool) -> None:
        super().__init__(spec.out_channels, spec.in_channels)
        self.spec = spec
        self.state = state
        self.folded = folded

    def block(self, block: Block, features: str, *, is_finest: bool = False) -> str:
        """Add convolutions in a row and, for a residual unit, the sum with its input."""
        first = block.convs[0]
        if block.residual and block.shortcut is None and len(block.convs) == 1 and first.bare:
            # A convolution plus its own input is one convolution, with 1 more in its centre.
            return self.conv(first, features, plus_input=True, is_finest=is_finest)
        result = features
        for conv in block.convs:
            result = self.conv(conv, result)
        if not block.residual:
            return result
        shortcut = features if block.shortcut is None else self.conv(block.shortcut, features)
        return self.node("Add", [result, shortcut], f"{block.name}.sum")

    def conv(
        self, conv: Conv, features: str, *, plus_input: bool = False, is_finest: bool = False
    ) -> str:
        """Add a convolution and what follows it."""
        stem = conv.name if conv.name.endswith(".residual") else f"{conv.name}.conv"
        kernel = self.kernel(conv, stem, plus_input=plus_input)
        if self.folded:
            self.fold(kernel, conv, is_finest=is_finest)
        inputs = [features, self.tensor(f"{stem}.weight", kernel.weight)]
        if kernel.bias is not None:
            inputs.append(self.tensor(f"{stem}.bias", kernel.bias))
        attributes: dict[str, object] = {
            "kernel_shape": kernel.weight.shape[2:],
            "strides": kernel.strides,
            "pads": kernel.pads,
        }
        if kernel.output_padding is not None:
            attributes["output_padding"] = kernel.output_padding
        name = f"{stem}.out"
        if kernel.fold == 1:
            result = self.node(kernel.op, inputs, name, **attributes)
        else:
            result = self.node(kernel.op, inputs, f"{stem}.folded", **attributes)
            result = self.unfold(result, conv.outputs, name)
        if conv.bare:
            return result
        for letter in self.spec.adn_ordering.replace("D", ""):
            step = self.norm if letter == "N" else self.activation
            result = step(conv, result)
        return result

    def kernel(self, conv: Conv, stem: str, *, plus_input: bool) -> _Kernel:
        """Collect what ONNX is told about a convolution."""
        weight = self.state[f"{stem}.weight"].astype(np.float32)
        if plus_input:
            i, j, k = conv.padding
            features = np.arange(conv.outputs)
            weight[features, features, i, j, k] += 1
        bias = self.state[f"{stem}.bias"].astype(np.float32) if self.spec.bias else None
        if not conv.transposed:
            return _Kernel("Conv", weight, bias, conv.stride, conv.padding * 2, None)
        i, j, k = conv.stride
        extra = (i - 1, j - 1, k - 1)
        return _Kernel("ConvTranspose", weight, bias, conv.stride, conv.padding * 2, extra)

    def fold(self, kernel: _Kernel, conv: Conv, *, is_finest: bool) -> None:
        """Fold a kernel along K where that pays."""
        i, j, k = conv.stride
        pi, pj, pk = conv.padding
        if conv.transposed and 1 < k <= LANES // conv.outputs:
            kernel.fold = k
            kernel.weight, before, after = fold_transposed(kernel.weight, k)
            kernel.strides = (i, j, 1)
            kernel.pads = (pi, pj, before, pi, pj, after)
            kernel.output_padding = (i - 1, j - 1, 0)
        elif is_finest and not conv.transposed and pk > 0:
            kernel.fold = conv_fold(conv.outputs, self.spec.stride_product[2])
            kernel.weight = fold_conv(kernel.weight, kernel.fold)
            kernel.strides = (i, j, kernel.fold)
        if kernel.bias is not None:
            kernel.bias = np.tile(kernel.bias, kernel.fold)

    def unfold(self, features: str, count: int, name: str) -> str:
        """Lay the neighbours that come as features side by side along K again."""
        # 0 keeps a length as it is, -1 makes it fit.
        shape = self.tensor(f"rows.{count}", np.array([0, 0, 0, -1, count], np.int64))
        last = self.node("Transpose", [features], f"{name}.last", perm=[0, 2, 3, 4, 1])
        rows = self.node("Reshape", [last, shape], f"{name}.rows")
        return self.node("Transpose", [rows], name, perm=[0, 4, 1, 2, 3])

    def norm(self, conv: Conv, features: str) -> str:
        """Add an instance norm without scale and shift."""
        return self.instance_norm(features, f"{conv.name}.N")

    def activation(self, conv: Conv, features: str) -> str:
        """Add the activation."""
        name = f"{conv.name}.A.out"
        if self.spec.act == "RELU":
            return self.node("Relu", [features], name)
        if self.spec.act == "LEAKYRELU":
            return self.node("LeakyRelu", [features], name, alpha=LEAKY_SLOPE)
        slope = f"{conv.name}.adn.A.weight"
        # One slope for all channels, shaped so that it broadcasts along them in every runtime.
        value = self.state[slope].astype(np.float32).reshape(1, 1, 1, 1)
        return self.node("PRelu", [features, self.tensor(slope, value)], name)
