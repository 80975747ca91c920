"""The U-Net: its architecture from a config, its tensors checked, its graph built without torch."""

from strokeseg.network.blueprint import parameter_shapes
from strokeseg.network.spec import NetworkSpec
from strokeseg.network.state import build_onnx, check_state, strip_prefix

__all__ = ["NetworkSpec", "build_onnx", "check_state", "parameter_shapes", "strip_prefix"]
