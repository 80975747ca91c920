"""Nodes and tensors of an ONNX graph while it is being written, and the norm all networks share."""

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from strokeseg.arrays import AnyArray
from strokeseg.network.spec import NORM_EPSILON

OPSET = 17
IR_VERSION = 8


class GraphWriter:
    """Nodes and tensors of a network; each method returns its result's name."""

    def __init__(self, classes: int, images: int = 1) -> None:
        self.classes = classes
        self.images = images
        self.nodes: list[NodeProto] = []
        self.tensors: dict[str, TensorProto] = {}

    def model(self) -> ModelProto:
        """Wrap what was written into a model."""
        edges = ["I", "J", "K"]
        patch = helper.make_tensor_value_info("patch", TensorProto.FLOAT, [1, self.images, *edges])
        logits = helper.make_tensor_value_info(
            "logits", TensorProto.FLOAT, [1, self.classes, *edges]
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

    def serialised(self) -> bytes:
        """Give the model as the bytes of a ``ModelProto``."""
        serialised: bytes = self.model().SerializeToString()
        return serialised

    def after(self, done: str, name: str) -> str:
        """Give the patch, but not before `done` is there.

        Parts that wait for nothing would run side by side, each with its features in memory.
        """
        if not done:
            return "patch"
        mean = self.node("ReduceMean", [done], f"{name}.wait.mean", axes=[1], keepdims=1)
        nothing = self.node("Mul", [mean, self.number(0.0)], f"{name}.wait.nothing")
        return self.node("Add", ["patch", nothing], f"{name}.wait.patch")

    def mean(self, total: str, count: int) -> str:
        """Add the logits: what was summed up over so many."""
        return self.node("Mul", [total, self.number(1 / count)], "logits")

    def number(self, value: float) -> str:
        """Add a single number."""
        return self.tensor(f"number.{value:g}", np.full((1, 1, 1, 1, 1), value, np.float32))

    def nearest(self, features: str, scales: str, name: str) -> str:
        """Repeat each voxel along the axes whose scale is above 1."""
        return self.node(
            "Resize",
            [features, "", scales],
            name,
            mode="nearest",
            coordinate_transformation_mode="asymmetric",
            nearest_mode="floor",
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

    def instance_norm(self, features: str, name: str) -> str:
        """Add an instance norm without scale and shift.

        Written out, since OpenVINO's own sums the voxels in an order that depends on the number of
        threads. The mean is added with its sign turned: a subtraction would be recognised and
        made its own norm again.
        """
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
