"""How well voxels agree: what two masks share, and how well a probability map ranks."""

import math

import numpy as np

from strokeseg.arrays import BoolArray, FloatArray


def average_precision(probability: FloatArray, truth: BoolArray) -> float:
    """Sum precision over the steps of recall: AP = sum_n (R_n - R_(n-1)) P_n.

    The thresholds are the distinct probabilities, from the highest down; voxels of one probability
    enter together and nothing is interpolated between steps, as in scikit-learn's
    ``average_precision_score``.

    Parameters
    ----------
    probability : (I, J, K) float32 array
        Any finite score that grows with the belief in a lesion.
    truth : (I, J, K) bool array

    Returns
    -------
    float
        From 0 to 1; NaN if the truth is empty, as recall is then 0 / 0.
    """
    inside = np.sort(probability[truth])
    if inside.size == 0:
        return math.nan
    # Recall rises at the probabilities that true voxels have, and nowhere else.
    steps, gained = np.unique(inside, return_counts=True)
    outside = probability[~truth]
    outside = np.sort(outside[outside >= steps[0]])
    hits = inside.size - np.searchsorted(inside, steps, side="left")
    false = outside.size - np.searchsorted(outside, steps, side="left")
    return float(np.sum(gained / inside.size * (hits / (hits + false))))


def dice(first: BoolArray, second: BoolArray) -> float:
    """Dice coefficient of two masks of one shape: 2 |A and B| / (|A| + |B|); 1 if none has any."""
    total = int(np.count_nonzero(first)) + int(np.count_nonzero(second))
    return 2 * int(np.count_nonzero(first & second)) / total if total else 1.0
