"""The networks: their architecture from a config, tensors checked, graphs built without torch."""

from strokeseg.network.half_spec import HalfSpec
from strokeseg.network.spec import NetworkSpec
from strokeseg.network.state import (
    Spec,
    build_onnx,
    check_state,
    parameter_shapes,
    read_spec,
    strip_prefix,
)

__all__ = [
    "HalfSpec",
    "NetworkSpec",
    "Spec",
    "build_onnx",
    "check_state",
    "parameter_shapes",
    "read_spec",
    "strip_prefix",
]
