"""What a probability map leaves open of a lesion's volume, in ml."""

import math
from dataclasses import dataclass

import numpy as np

from strokeseg.arrays import FloatArray

# Less probable voxels say nothing: there are millions of them.
_LEAST = 1e-3
# How far from the threshold a voxel may lie, in log-odds, to be of the edge.
_EDGE = 1.0


@dataclass(frozen=True)
class Doubt:
    """How much of a lesion is open, in ml.

    Parameters
    ----------
    soft_ml
        Sum of the probabilities.
    entropy_ml
        Sum of their entropies, in bits: 1 for a voxel that is as likely lesion as not. What a voxel
        has of it where no scan says anything is none.
    wide_ml, narrow_ml
        Where the log-odds are above the threshold's less 1, and above the threshold's and 1 more.
    """

    soft_ml: float
    entropy_ml: float
    wide_ml: float
    narrow_ml: float


def measure_doubt(
    probability: FloatArray, threshold: float, voxel_volume_ml: float, silence: float = 0.0
) -> Doubt:
    """Measure what a probability map leaves open, plane by plane.

    Parameters
    ----------
    probability : (I, J, K) float32 array
        Of the lesion.
    threshold
        From which a voxel is lesion, above 0 and below 1.
    voxel_volume_ml
        Of the grid.
    silence
        The probability where no scan says anything; fusions with floors have one above 0.
    """
    unsaid = float(_bits(np.array([silence]))[0])
    wide, narrow = (_shifted(threshold, by) for by in (-_EDGE, _EDGE))
    sums = np.zeros(4)
    for plane in probability:
        found = plane[plane >= _LEAST].astype(np.float64)
        bits = np.maximum(_bits(found) - unsaid, 0)
        sums += found.sum(), bits.sum(), (found >= wide).sum(), (found >= narrow).sum()
    return Doubt(*(sums * voxel_volume_ml).tolist())


def _bits(probability: FloatArray) -> FloatArray:
    """Give the entropy of each probability."""
    found, rest = np.maximum(probability, 1e-12), np.maximum(1 - probability, 1e-12)
    return np.asarray(-(found * np.log2(found) + rest * np.log2(rest)))


def _shifted(probability: float, by: float) -> float:
    """Move a probability by some log-odds."""
    odds = math.log(probability / (1 - probability)) + by
    return 1 / (1 + math.exp(-odds))
