"""The classes that a translator draws from: a head's tissues, hyperintensities and the lesion."""

import numpy as np
import torch

from strokeseg.arrays import LabelArray
from strokeseg.training.data.label_table import TISSUES, LabelTable

NAMES = (*TISSUES, "hyperintensity", "lesion")
HYPERINTENSITY = NAMES.index("hyperintensity")
LESION = NAMES.index("lesion")


def codes_of(table: LabelTable) -> LabelArray:
    """Give the translator's class of each generation class of a label table, uint8."""
    codes = np.asarray(table.tissue_of_class, dtype=np.uint8)
    if table.ageing is not None:
        codes[table.ageing.hyperintensity] = HYPERINTENSITY
    return codes


def one_hot(labels: torch.Tensor) -> torch.Tensor:
    """Give labels (N, A, B), or of three axes, as float32 (N, C, A, B), a channel for each name."""
    channels = torch.arange(len(NAMES), device=labels.device)
    return (labels[:, None] == channels.reshape(-1, *(1 for _ in labels.shape[1:]))).float()
