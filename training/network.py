"""The network that is trained: the torch twin of a `NetworkSpec`."""

from strokeseg.engines.torch_network import UNet
from strokeseg.network.spec import NetworkSpec

__all__ = ["NetworkSpec", "UNet"]
