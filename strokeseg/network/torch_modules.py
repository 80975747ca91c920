"""The torch twin of any spec."""

from torch import nn

from strokeseg.network.half_spec import HalfSpec
from strokeseg.network.mesh_spec import MeshSpec
from strokeseg.network.state import Spec
from strokeseg.network.torch_half import HalfUNet
from strokeseg.network.torch_mesh import MeshNet
from strokeseg.network.torch_unet import UNet


def build_module(spec: Spec) -> nn.Module:
    """Build the torch twin of a network."""
    if isinstance(spec, HalfSpec):
        return HalfUNet(spec)
    return MeshNet(spec) if isinstance(spec, MeshSpec) else UNet(spec)
