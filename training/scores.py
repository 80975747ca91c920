"""How well a segmentation agrees with the truth, lesion by lesion."""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from strokeseg.arrays import BoolArray

CONNECTIVITY_26 = np.ones((3, 3, 3), dtype=bool)


@dataclass(frozen=True)
class LesionCounts:
    """Lesions of one case: true ones found, true ones missed, predicted ones that are none."""

    hit: int
    missed: int
    false: int

    @property
    def f1(self) -> float:
        """F1 over lesions (LF1); 1 where there is none and none was predicted."""
        total = 2 * self.hit + self.missed + self.false
        return 1.0 if total == 0 else 2 * self.hit / total


def count_lesions(predicted: BoolArray, true: BoolArray) -> LesionCounts:
    """Count 26-connected lesions (I, J, K); one shared voxel is a hit."""
    true_labels, true_count = ndimage.label(true, CONNECTIVITY_26)
    found_labels, found_count = ndimage.label(predicted, CONNECTIVITY_26)
    hit = np.unique(true_labels[predicted & true]).size
    supported = np.unique(found_labels[predicted & true]).size
    return LesionCounts(hit, true_count - hit, found_count - supported)
