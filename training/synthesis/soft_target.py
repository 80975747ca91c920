"""Targets of shares: how much of a voxel each tissue is, and how much the lesion."""

import torch

from strokeseg.training.data.label_table import LESION
from strokeseg.training.settings import TrainConfig
from strokeseg.training.synthesis.painting import Mixture
from strokeseg.training.synthesis.warp import sample_linear


def soft_target(
    mixture: Mixture,
    weight: torch.Tensor,
    tissue_of_class: torch.Tensor,
    where: torch.Tensor,
    config: TrainConfig,
) -> torch.Tensor:
    """Carry the share of each tissue and of the lesion onto the canvas; (C, I, J, K) of sum 1."""
    first = tissue_of_class[mixture.first]
    second = tissue_of_class[mixture.second]
    rest = 1 - weight
    # The background (0) is what the others leave over, outside the head too.
    shares = [
        rest * (mixture.share * (first == tissue) + (1 - mixture.share) * (second == tissue))
        for tissue in range(1, LESION)
    ]
    if config.lesion_only:
        shares = []
    carried = sample_linear(torch.stack([*shares, weight]), where)
    background = (1 - carried.sum(dim=0, keepdim=True)).clamp_min(0)
    whole = torch.cat((background, carried))
    return whole / whole.sum(dim=0, keepdim=True)
