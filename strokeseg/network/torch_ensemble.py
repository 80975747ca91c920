"""The torch twin of an `EnsembleSpec`: a module whose state dict has the spec's names."""

from collections.abc import Iterable

from torch import Tensor, nn


class Ensemble(nn.Module):
    """Networks whose logits are averaged.

    Parameters
    ----------
    networks
        The torch twin of each.
    """

    def __init__(self, networks: Iterable[nn.Module]) -> None:
        super().__init__()
        self.networks = nn.ModuleList(networks)

    def forward(self, image: Tensor) -> Tensor:
        """Compute the mean of the logits (N, C, I, J, K) of images (N, images, I, J, K)."""
        # One after the other, so that the features of one network alone are in memory.
        first, *others = self.networks
        total: Tensor = first(image)
        for network in others:
            total = total + network(image)
        return total / len(self.networks)
