"""How much two masks share."""

import numpy as np

from strokeseg.arrays import BoolArray


def dice(first: BoolArray, second: BoolArray) -> float:
    """Dice coefficient of two masks of one shape: 2 |A and B| / (|A| + |B|); 1 if none has any."""
    total = int(np.count_nonzero(first)) + int(np.count_nonzero(second))
    return 2 * int(np.count_nonzero(first & second)) / total if total else 1.0
