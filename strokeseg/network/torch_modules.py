"""The torch twin of any spec, and how its tensors lie in memory."""

import torch
from torch import nn

from strokeseg.network.ensemble_spec import EnsembleSpec
from strokeseg.network.half_spec import HalfSpec
from strokeseg.network.mesh_spec import MeshSpec
from strokeseg.network.planar_spec import PlanarSpec
from strokeseg.network.state import Spec
from strokeseg.network.torch_ensemble import Ensemble
from strokeseg.network.torch_half import HalfUNet
from strokeseg.network.torch_mesh import MeshNet
from strokeseg.network.torch_planar import PlanarNet
from strokeseg.network.torch_unet import UNet

_CHANNELS_LAST = {4: torch.channels_last, 5: torch.channels_last_3d}


def build_module(spec: Spec) -> nn.Module:
    """Build the torch twin of a network."""
    if isinstance(spec, EnsembleSpec):
        return Ensemble(build_module(network) for network in spec.networks)
    if isinstance(spec, HalfSpec):
        return HalfUNet(spec)
    if isinstance(spec, PlanarSpec):
        return PlanarNet(spec)
    return MeshNet(spec) if isinstance(spec, MeshSpec) else UNet(spec)


def put_channels_last(network: nn.Module) -> None:
    """Lay out a network's kernels, of two and of three dimensions, with their channels last."""
    for parameter in network.parameters():
        if parameter.ndim in _CHANNELS_LAST:
            layout = _CHANNELS_LAST[parameter.ndim]
            parameter.data = parameter.data.contiguous(memory_format=layout)
