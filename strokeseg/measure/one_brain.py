"""A brain model's answer as one brain: its largest piece, without holes."""

import numpy as np
from scipy import ndimage

from strokeseg.arrays import BoolArray
from strokeseg.measure.components import bounding_box


def one_brain(mask: BoolArray) -> BoolArray:
    """Keep the largest face-connected piece of a mask, and fill what it encloses.

    Parameters
    ----------
    mask : (I, J, K) bool array
        Voxels that a network takes for brain.

    Returns
    -------
    (I, J, K) bool array
        Empty where the mask is.
    """
    box = bounding_box(mask)
    if box is None:
        return mask.copy()
    pieces, _ = ndimage.label(mask[box])
    sizes = np.bincount(pieces.ravel())
    sizes[0] = 0
    kept = np.zeros_like(mask)
    kept[box] = ndimage.binary_fill_holes(pieces == sizes.argmax())
    return kept
