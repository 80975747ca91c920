"""The ONNX graph of a MeshNet; its batch norms are folded into the convolutions before them."""

import math
from collections.abc import Mapping

import numpy as np
from onnx import TensorProto

from strokeseg.arrays import AnyArray, FloatArray
from strokeseg.network.batch_norms import folded_conv
from strokeseg.network.mesh_spec import MeshSpec, member_prefixes
from strokeseg.network.onnx_writer import GraphWriter
from strokeseg.network.spec import NORM_EPSILON


def mesh_graph(spec: MeshSpec, state: Mapping[str, AnyArray], *, even: bool = False) -> GraphWriter:
    """Write the network's nodes and tensors; see `strokeseg.network.state.build_onnx`.

    Parameters
    ----------
    spec
        The architecture.
    state
        Its tensors by the names of `mesh_parameter_shapes`, already checked.
    even
        See `strokeseg.network.state.build_onnx`.
    """
    graph = _Graph(spec, state, spec.channels % 2 if even else 0)
    total = ""
    for number, prefix in enumerate(member_prefixes(spec)):
        logits = graph.tower(prefix, graph.after(total, f"member.{number}"))
        total = graph.node("Add", [total, logits], f"sum.{number}") if total else logits
    if spec.members > 1:
        graph.mean(total, spec.members)
    else:
        graph.node("Identity", [total], "logits")
    return graph


class _Graph(GraphWriter):
    """The MeshNet's own parts."""

    def __init__(self, spec: MeshSpec, state: Mapping[str, AnyArray], added: int) -> None:
        super().__init__(spec.out_channels)
        self.spec = spec
        self.state = state
        self.added = added

    def tower(self, prefix: str, patch: str) -> str:
        """Add one network; returns its logits."""
        features = patch
        for number, dilation in enumerate(self.spec.dilations):
            stem = f"{prefix}layers.{number}"
            weight, bias = _layer(self.spec, self.state, stem)
            weight = with_zeros(weight, self.added, self.added if number else 0)
            inputs = [features, self.tensor(f"{stem}.weight", weight)]
            if bias is not None:
                inputs.append(self.tensor(f"{stem}.bias", np.pad(bias, (0, self.added))))
            features = self.node(
                "Conv",
                inputs,
                f"{stem}.out",
                kernel_shape=(3, 3, 3),
                dilations=(dilation,) * 3,
                pads=(dilation,) * 6,
            )
            if self.spec.norm == "INSTANCE":
                features = self.lean_norm(features, f"{stem}.N")
            features = self.activation(features, f"{stem}.A")
        weight = with_zeros(self.state[f"{prefix}head.weight"].astype(np.float32), 0, self.added)
        bias = self.state[f"{prefix}head.bias"].astype(np.float32)
        head = [features, self.tensor(f"{prefix}head.weight", weight)]
        head.append(self.tensor(f"{prefix}head.bias", bias))
        return self.node("Conv", head, f"{prefix}head.out", kernel_shape=(1, 1, 1))

    def lean_norm(self, features: str, name: str) -> str:
        """Add an instance norm without scale and shift that keeps no second copy of its input.

        A head's features take a gigabyte a copy. So the variance is the mean of the squares less
        the square of the mean, and the squares are summed row by row by their root, which runs
        without writing them out; norm and activation are then one step over the voxels.
        """
        mean = self.average(features, f"{name}.mean")
        lengths = self.node("ReduceL2", [features], f"{name}.lengths", axes=[4], keepdims=1)
        sums = self.node("Mul", [lengths, lengths], f"{name}.sums")
        planes = self.node("ReduceMean", [sums], f"{name}.planes", axes=[3], keepdims=1)
        back = self.node("Mul", [planes, self.minus_one()], f"{name}.planes.turned")
        total = self.node("ReduceMean", [back], f"{name}.total", axes=[2], keepdims=1)
        row = self.node("Shape", [features], f"{name}.row.int", start=4)
        length = self.node("Cast", [row], f"{name}.row", to=TensorProto.FLOAT)
        squares = self.node("Div", [total, length], f"{name}.squares.turned")
        mean_squared = self.node("Mul", [mean, mean], f"{name}.mean.squared")
        negative = self.node("Add", [squares, mean_squared], f"{name}.variance.turned")
        variance = self.node("Mul", [negative, self.minus_one()], f"{name}.variance")
        positive = self.node("Relu", [variance], f"{name}.variance.positive")
        epsilon = self.number(NORM_EPSILON)
        safe = self.node("Add", [positive, epsilon], f"{name}.safe")
        deviation = self.node("Sqrt", [safe], f"{name}.deviation")
        scale = self.node("Reciprocal", [deviation], f"{name}.scale")
        scaled_mean = self.node("Mul", [mean, scale], f"{name}.mean.scaled")
        shift = self.node("Mul", [scaled_mean, self.minus_one()], f"{name}.shift")
        scaled = self.node("Mul", [features, scale], f"{name}.scaled")
        return self.node("Add", [scaled, shift], f"{name}.out")

    def activation(self, features: str, name: str) -> str:
        """Add the activation."""
        if self.spec.act != "GELU":
            return self.node(self.spec.act.title(), [features], name)
        # x / 2 (1 + erf(x / sqrt 2)): the operator itself came with a later set.
        scaled = self.node("Mul", [features, self.number(math.sqrt(0.5))], f"{name}.scaled")
        error = self.node("Erf", [scaled], f"{name}.erf")
        gate = self.node("Add", [error, self.number(1.0)], f"{name}.gate")
        gated = self.node("Mul", [features, gate], f"{name}.gated")
        return self.node("Mul", [gated, self.number(0.5)], name)


def with_zeros(weight: FloatArray, outputs: int, inputs: int) -> FloatArray:
    """Add features that are 0 to what a kernel (out, in, 3, 3, 3) puts out and takes in."""
    return np.pad(weight, [(0, outputs), (0, inputs), *[(0, 0)] * 3])


def _layer(
    spec: MeshSpec, state: Mapping[str, AnyArray], stem: str
) -> tuple[FloatArray, FloatArray | None]:
    """Give a layer's kernel and bias, in float32."""
    if spec.norm == "BATCH":
        return folded_conv(state, stem)
    bias = state[f"{stem}.conv.bias"].astype(np.float32) if spec.bias else None
    return state[f"{stem}.conv.weight"].astype(np.float32), bias
