"""The ONNX graph of a three-plane U-Net: slices are its batch, and a kernel is stored once."""

from collections.abc import Mapping

import numpy as np

from strokeseg.arrays import AnyArray
from strokeseg.network.onnx_writer import GraphWriter
from strokeseg.network.planar_spec import (
    FOLD,
    PLANES,
    STEM_KERNEL,
    PlanarBlock,
    PlanarSpec,
    planar_blocks,
)
from strokeseg.network.spec import LEAKY_SLOPE

_TO_THE_END = np.iinfo(np.int64).max


def planar_graph(spec: PlanarSpec, state: Mapping[str, AnyArray]) -> GraphWriter:
    """Write the network's nodes and tensors; see `strokeseg.network.state.build_onnx`.

    Parameters
    ----------
    spec
        The architecture.
    state
        Its tensors by the names of `planar_parameter_shapes`, already checked.
    """
    graph = _Graph(spec, state)
    total = ""
    for axis in range(PLANES):
        logits = graph.plane(axis, graph.after(total, f"plane.{axis}"))
        total = graph.node("Add", [total, logits], f"sum.{axis}") if total else logits
    graph.mean(total, PLANES)
    return graph


class _Graph(GraphWriter):
    """The three-plane network's own parts; names of nodes begin with their plane."""

    def __init__(self, spec: PlanarSpec, state: Mapping[str, AnyArray]) -> None:
        super().__init__(spec.out_channels)
        self.spec = spec
        self.state = state
        self.name = ""

    def plane(self, axis: int, patch: str) -> str:
        """Add what looks at the slices across an axis; returns logits (1, C, I, J, K)."""
        self.name = f"plane.{axis}"
        others = [other for other in range(3) if other != axis]
        front = [axis + 2, 0, *(other + 2 for other in others), 1]
        slices = self.node("Transpose", [patch], f"{self.name}.front", perm=front)
        last = self.tensor("axes.last", np.array([4], np.int64))
        slices = self.node("Squeeze", [slices, last], f"{self.name}.slices")
        logits = self.unet(self.with_neighbours(slices))
        first = self.tensor("axes.first", np.array([0], np.int64))
        logits = self.node("Unsqueeze", [logits, first], f"{self.name}.stack")
        # (1, slices, C, A, B): where each of I, J and K is.
        places = {axis: 1, others[0]: 3, others[1]: 4}
        back = [0, 2, *(places[each] for each in range(3))]
        logits = self.node("Transpose", [logits], f"{self.name}.logits", perm=back)
        if self.spec.every_vox == 1:
            return logits
        scales = np.ones(5, np.float32)
        scales[axis + 2] = self.spec.every_vox
        return self.nearest(logits, self.tensor(f"{self.name}.every", scales), f"{self.name}.all")

    def with_neighbours(self, slices: str) -> str:
        """Add the neighbours of each slice that is looked at, (n, 1, A, B), as channels."""
        gap = self.spec.gap_vox
        pads = self.tensor("gap.pads", np.array([gap, 0, 0, 0, gap, 0, 0, 0], np.int64))
        padded = self.node("Pad", [slices, pads], f"{self.name}.padded", mode="edge")
        axis = self.tensor("axes.first", np.array([0], np.int64))
        every = self.tensor("every", np.array([self.spec.every_vox], np.int64))
        ends = {"before": (0, -2 * gap), "middle": (gap, -gap), "after": (2 * gap, _TO_THE_END)}
        three = []
        for name, two in ends.items():
            first, last = (self.tensor(f"gap.{n}", np.array([n], np.int64)) for n in two)
            inputs = [padded, first, last, axis, every]
            three.append(self.node("Slice", inputs, f"{self.name}.{name}"))
        return self.node("Concat", three, f"{self.name}.neighbours", axis=1)

    def unet(self, slices: str) -> str:
        """Add the network of slices (n, 3, A, B); returns logits (n, C, A, B)."""
        down, up = planar_blocks(self.spec)
        features = self.conv("stem", slices, STEM_KERNEL, stride=FOLD)
        skips: list[str] = []
        for block in down:
            if skips:
                features = self.node(
                    "MaxPool",
                    [features],
                    f"{self.name}.{block.name}.pool",
                    kernel_shape=(FOLD, FOLD),
                    strides=(FOLD, FOLD),
                )
            features = self.block(block, features)
            skips.append(features)
        skips.pop()
        for block in reversed(up):
            above = self.repeat(features, f"{self.name}.{block.name}.repeat")
            joined = [above, skips.pop()]
            features = self.node("Concat", joined, f"{self.name}.{block.name}.join", axis=1)
            features = self.block(block, features)
        packed = self.conv("head", features, 1)
        return self.node(
            "DepthToSpace", [packed], f"{self.name}.unpacked", blocksize=FOLD, mode="CRD"
        )

    def block(self, block: PlanarBlock, features: str) -> str:
        """Add a block."""
        first = self.leaky(self.conv(f"{block.name}.first", features, 3))
        second = self.conv(f"{block.name}.second", first, 3)
        if block.shortcut:
            features = self.conv(f"{block.name}.shortcut", features, 1)
        return self.leaky(self.node("Add", [features, second], f"{self.name}.{block.name}.sum"))

    def conv(self, name: str, features: str, edge: int, stride: int = 1) -> str:
        """Add a convolution that keeps a slice's size, or divides it by its stride."""
        tensors = [
            self.tensor(f"{name}.{part}", self.state[f"{name}.{part}"].astype(np.float32))
            for part in ("weight", "bias")
        ]
        return self.node(
            "Conv",
            [features, *tensors],
            f"{self.name}.{name}.out",
            kernel_shape=(edge, edge),
            strides=(stride, stride),
            pads=((edge - 1) // 2,) * 4,
        )

    def leaky(self, features: str) -> str:
        """Add the activation."""
        return self.node("LeakyRelu", [features], f"{features}.A", alpha=LEAKY_SLOPE)

    def repeat(self, features: str, name: str) -> str:
        """Repeat each pixel along both axes."""
        scales = self.tensor("repeat.scales", np.array([1, 1, FOLD, FOLD], np.float32))
        return self.nearest(features, scales, name)
