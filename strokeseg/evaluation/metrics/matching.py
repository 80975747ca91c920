"""Lesion against lesion: which true ones were found, which predicted ones are none."""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage, sparse
from scipy.sparse.csgraph import maximum_bipartite_matching

from strokeseg.arrays import BoolArray, IntArray
from strokeseg.measure.components import bounding_box

_CONNECTIVITY_26 = np.ones((3, 3, 3), dtype=np.bool_)


@dataclass(frozen=True)
class LesionMatch:
    """What became of the 26-connected lesions of one case.

    Attributes
    ----------
    truth_count, prediction_count : int
        How many there are.
    truth_hit, prediction_hit : int
        How many of them share a voxel with the other mask.
    one_to_one : int
        The most pairs that can be made, each lesion used once, with an intersection over union of
        at least 0.25.
    """

    truth_count: int
    prediction_count: int
    truth_hit: int
    prediction_hit: int
    one_to_one: int

    @property
    def count_difference(self) -> int:
        """ALD: how far the numbers of lesions are apart."""
        return abs(self.truth_count - self.prediction_count)

    @property
    def lf1(self) -> float:
        """F1 over lesions, one shared voxel a hit: 2 hit / (2 hit + missed + false); 1 if none."""
        missed = self.truth_count - self.truth_hit
        false = self.prediction_count - self.prediction_hit
        total = 2 * self.truth_hit + missed + false
        return 2 * self.truth_hit / total if total else 1.0

    @property
    def lf1_iou25(self) -> float:
        """F1 over lesions matched one to one at IoU >= 0.25; 1 if there is none in either."""
        total = self.truth_count + self.prediction_count
        return 2 * self.one_to_one / total if total else 1.0


def match_lesions(prediction: BoolArray, truth: BoolArray) -> LesionMatch:
    """Label the 26-connected lesions of two masks of one shape (I, J, K), and match them."""
    box = bounding_box(prediction | truth)
    if box is None:
        return LesionMatch(0, 0, 0, 0, 0)
    true_labels, true_count = ndimage.label(truth[box], _CONNECTIVITY_26)
    found_labels, found_count = ndimage.label(prediction[box], _CONNECTIVITY_26)
    both = prediction[box] & truth[box]
    # Each voxel that both have belongs to one pair of lesions.
    codes = true_labels[both].astype(np.int64) * (found_count + 1) + found_labels[both]
    pairs, shared = np.unique(codes, return_counts=True)
    true, found = np.divmod(pairs, found_count + 1)
    union = (
        np.bincount(true_labels.ravel(), minlength=true_count + 1)[true]
        + np.bincount(found_labels.ravel(), minlength=found_count + 1)[found]
        - shared
    )
    close = 4 * shared >= union
    return LesionMatch(
        truth_count=int(true_count),
        prediction_count=int(found_count),
        truth_hit=int(np.unique(true).size),
        prediction_hit=int(np.unique(found).size),
        one_to_one=_most_pairs(true[close], found[close], (int(true_count), int(found_count))),
    )


def _most_pairs(true: IntArray, found: IntArray, counts: tuple[int, int]) -> int:
    """Count the largest one-to-one matching along the edges (true[i], found[i]), from 1."""
    if not true.size:
        return 0
    edges = sparse.csr_matrix((np.ones(true.size, np.int8), (true - 1, found - 1)), shape=counts)
    return int(np.count_nonzero(maximum_bipartite_matching(edges) >= 0))
