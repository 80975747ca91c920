"""The ONNX graph of a half-resolution U-Net, in terms of plain convolutions.

Eight neighbours as channels and a 3^3 convolution are one convolution of 6^3 and stride 2; the
packed logits are one transposed convolution of 2^3 and stride 2.
"""

from collections.abc import Mapping

import numpy as np

from strokeseg.arrays import AnyArray, FloatArray
from strokeseg.network.half_spec import FOLD, SUBVOXELS, HalfSpec
from strokeseg.network.onnx_writer import GraphWriter
from strokeseg.network.spec import LEAKY_SLOPE

_CHANNEL_SHAPE = (1, -1, 1, 1, 1)


def half_graph(spec: HalfSpec, state: Mapping[str, AnyArray]) -> GraphWriter:
    """Write the network's nodes and tensors; see `strokeseg.network.state.build_onnx`.

    Parameters
    ----------
    spec
        The architecture.
    state
        Its tensors by the names of `half_parameter_shapes`, already checked.
    """
    graph = _Graph(spec, state)
    features, skips = "patch", []
    for level, units in enumerate(spec.encoder_units):
        features = graph.units(f"encoder.{level}", features, units, stride=1 if level == 0 else 2)
        skips.append(features)
    for level in reversed(range(len(spec.decoder_units))):
        below = graph.repeat(graph.pointwise(f"reduce.{level}", features), f"repeat.{level}")
        joined = graph.node(
            "Add", [below, graph.pointwise(f"skip.{level}", skips[level])], f"join.{level}"
        )
        features = graph.units(f"decoder.{level}", joined, spec.decoder_units[level], stride=1)
    graph.head(features)
    return graph


class _Graph(GraphWriter):
    """The half-resolution network's own parts."""

    def __init__(self, spec: HalfSpec, state: Mapping[str, AnyArray]) -> None:
        super().__init__(spec.out_channels, spec.in_channels)
        self.state = state

    def units(self, name: str, features: str, count: int, *, stride: int) -> str:
        """Add the units of a level; all but the first are added to their input."""
        features = self.unit(f"{name}.0", features, stride)
        for number in range(1, count):
            unit = self.unit(f"{name}.{number}", features, 1)
            features = self.node("Add", [features, unit], f"{name}.{number}.sum")
        return features

    def unit(self, name: str, features: str, stride: int) -> str:
        """Add a convolution, its norm with scale and shift, and the activation."""
        weight = self.state[f"{name}.conv.weight"].astype(np.float32)
        pad = 1
        if features == "patch":
            weight, stride, pad = unfold_stem(weight), FOLD, 2
        conv = self.node(
            "Conv",
            [features, self.tensor(f"{name}.conv.weight", weight)],
            f"{name}.conv.out",
            kernel_shape=weight.shape[2:],
            strides=(stride,) * 3,
            pads=(pad,) * 6,
        )
        normed = self.instance_norm(conv, f"{name}.N")
        scaled = self.node("Mul", [normed, self.channel(f"{name}.scale")], f"{name}.scaled")
        shifted = self.node("Add", [scaled, self.channel(f"{name}.shift")], f"{name}.shifted")
        return self.node("LeakyRelu", [shifted], f"{name}.A.out", alpha=LEAKY_SLOPE)

    def pointwise(self, name: str, features: str) -> str:
        """Add a 1^3 convolution without bias."""
        weight = self.state[f"{name}.weight"].astype(np.float32)
        inputs = [features, self.tensor(f"{name}.weight", weight)]
        return self.node("Conv", inputs, f"{name}.out", kernel_shape=(1, 1, 1))

    def repeat(self, features: str, name: str) -> str:
        """Repeat each voxel along all axes."""
        scales = self.tensor("repeat.scales", np.array([1, 1, FOLD, FOLD, FOLD], np.float32))
        return self.nearest(features, scales, name)

    def head(self, features: str) -> str:
        """Add what gives the logits, at the image's resolution."""
        weight = unfold_head(self.state["head.weight"].astype(np.float32), self.classes)
        bias = self.state["head.bias"].astype(np.float32)
        inputs = [features, self.tensor("head.weight", weight), self.tensor("head.bias", bias)]
        return self.node(
            "ConvTranspose", inputs, "logits", kernel_shape=(FOLD,) * 3, strides=(FOLD,) * 3
        )

    def channel(self, name: str) -> str:
        """Add a number for each channel."""
        return self.tensor(name, self.state[name].astype(np.float32).reshape(_CHANNEL_SHAPE))


def unfold_stem(weight: FloatArray) -> FloatArray:
    """Turn a kernel (O, 8 C, 3, 3, 3) on packed voxels into one (O, C, 6, 6, 6) of stride 2."""
    outputs, packed, i, j, k = weight.shape
    images = packed // SUBVOXELS
    parts = weight.reshape(outputs, images, FOLD, FOLD, FOLD, i, j, k)
    woven = parts.transpose(0, 1, 5, 2, 6, 3, 7, 4)
    return np.ascontiguousarray(woven.reshape(outputs, images, FOLD * i, FOLD * j, FOLD * k))


def unfold_head(weight: FloatArray, classes: int) -> FloatArray:
    """Turn the kernel of packed logits, (8 C, F, 1, 1, 1), into a transposed (F, C, 2, 2, 2)."""
    features = weight.shape[1]
    parts = weight.reshape(classes, FOLD, FOLD, FOLD, features)
    return np.ascontiguousarray(parts.transpose(4, 0, 1, 2, 3))
