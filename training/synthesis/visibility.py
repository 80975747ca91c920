"""Whether a drawn lesion can be seen at all.

A contrast table has sequences and stages in which a lesion is as bright as its tissue, and noise
drowns others. A target that asks for what no image shows teaches to guess.
"""

import torch

from strokeseg.training.data.label_table import TISSUES
from strokeseg.training.data.pairs import BRAIN

# Real scans without labels know no more than that a voxel is brain.
MATTER = (*(TISSUES.index(name) for name in ("GM", "GM/WM", "WM")), BRAIN)
# Voxels that are looked at of each side; fewer than LEAST say nothing.
MOST, LEAST = 4096, 24


def visibility(image: torch.Tensor, lesion: torch.Tensor, tissue: torch.Tensor) -> float:
    """Tell how far a lesion's intensities differ from those of its tissue elsewhere.

    Parameters
    ----------
    image : (I, J, K) float32
        As the network sees it.
    lesion : (I, J, K) bool
    tissue : (I, J, K) integer
        What is, or under the lesion was, there.

    Returns
    -------
    float
        The Kolmogorov-Smirnov distance between the two distributions, 0 to 1; the mean over grey
        and white matter, by their shares of the lesion (over the brain, where no more is known). 1
        where too little of either is seen.
    """
    total, weight = 0.0, 0
    for kind in MATTER:
        of_kind = tissue == kind
        inside, outside = image[of_kind & lesion], image[of_kind & ~lesion]
        if len(inside) < LEAST or len(outside) < LEAST:
            continue
        total += len(inside) * _distance(_thinned(inside), _thinned(outside))
        weight += len(inside)
    return total / weight if weight else 1.0


def _thinned(values: torch.Tensor) -> torch.Tensor:
    return values[:: -(-len(values) // MOST)].sort().values


def _distance(first: torch.Tensor, second: torch.Tensor) -> float:
    both = torch.cat((first, second))
    below = (torch.searchsorted(part, both, right=True) / len(part) for part in (first, second))
    return float(torch.sub(*below).abs().max())
