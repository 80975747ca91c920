"""The nodes and tensors of a network's ONNX graph."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from strokeseg.arrays import AnyArray, Shape3
from strokeseg.network.blueprint import Block, Conv, blueprint
from strokeseg.network.folding import LANES, conv_fold, fold_conv, fold_transposed
from strokeseg.network.spec import LEAKY_SLOPE, NORM_EPSILON, NetworkSpec

OPSET = 17
IR_VERSION = 8


def write_graph(spec: NetworkSpec, state: Mapping[str, AnyArray], *, folded: bool) -> bytes:
    """Write the network as a serialised ONNX model; see `strokeseg.network.state.build_onnx`.

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
    serialised: bytes = graph.model().SerializeToString()
    return serialised


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


class _Graph:
    """Nodes and tensors while the graph is being written; each method returns its result's name."""

    def __init__(self, spec: NetworkSpec, state: Mapping[str, AnyArray], *, folded: bool) -> None:
        self.spec = spec
        self.state = state
        self.folded = folded
        self.nodes: list[NodeProto] = []
        self.tensors: dict[str, TensorProto] = {}

    def model(self) -> ModelProto:
        """Wrap what was written into a model."""
        edges = ["I", "J", "K"]
        patch = helper.make_tensor_value_info("patch", TensorProto.FLOAT, [1, 1, *edges])
        logits = helper.make_tensor_value_info(
            "logits", TensorProto.FLOAT, [1, self.spec.out_channels, *edges]
        )
        graph = helper.make_graph(
            self.nodes, "unet", [patch], [logits], list(self.tensors.values())
        )
        return helper.make_model(
            graph,
            producer_name="strokeseg",
            ir_version=IR_VERSION,
            opset_imports=[helper.make_opsetid("", OPSET)],
        )

    def node(self, op: str, inputs: list[str], name: str, **attributes: object) -> str:
        """Add one node with one output, both called `name`."""
        node = helper.make_node(op, inputs, [name], name=name)
        node.attribute.extend(
            helper.make_attribute(key, value) for key, value in attributes.items()
        )
        self.nodes.append(node)
        return name

    def tensor(self, name: str, value: AnyArray) -> str:
        """Add a constant."""
        if name not in self.tensors:
            self.tensors[name] = numpy_helper.from_array(np.ascontiguousarray(value), name)
        return name

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
        """Add an instance norm without scale and shift.

        Written out, since OpenVINO's own sums the voxels in an order that depends on the number of
        threads. The mean is added with its sign turned: a subtraction would be recognised and
        made its own norm again.
        """
        name = f"{conv.name}.N"
        sign = self.minus_one()
        epsilon = self.tensor("epsilon", np.full((1, 1, 1, 1, 1), NORM_EPSILON, np.float32))
        mean = self.average(features, f"{name}.mean")
        shift = self.node("Mul", [mean, sign], f"{name}.shift")
        centred = self.node("Add", [features, shift], f"{name}.centred")
        squares = self.node("Mul", [centred, centred], f"{name}.squares")
        variance = self.average(squares, f"{name}.variance")
        safe = self.node("Add", [variance, epsilon], f"{name}.safe")
        deviation = self.node("Sqrt", [safe], f"{name}.deviation")
        scale = self.node("Reciprocal", [deviation], f"{name}.scale")
        return self.node("Mul", [centred, scale], f"{name}.out")

    def average(self, features: str, name: str) -> str:
        """Add the mean over the voxels, one axis after the other.

        OpenVINO adds all voxels to one running sum, which at 96^3 costs 1e-4 of the largest logit;
        sums of sums cost 1e-6. The sign is turned twice in between, since neighbouring averages
        would be made one again.
        """
        rows = self.node("ReduceMean", [features], f"{name}.rows", axes=[4], keepdims=1)
        turned = self.node("Mul", [rows, self.minus_one()], f"{name}.rows.turned")
        planes = self.node("ReduceMean", [turned], f"{name}.planes", axes=[3], keepdims=1)
        back = self.node("Mul", [planes, self.minus_one()], f"{name}.planes.turned")
        return self.node("ReduceMean", [back], name, axes=[2], keepdims=1)

    def minus_one(self) -> str:
        """Add what turns a sign."""
        return self.tensor("minus.one", np.full((1, 1, 1, 1, 1), -1, np.float32))

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
