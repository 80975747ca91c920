"""What lies opposite a lesion: whether its mirror position is cerebrospinal fluid throughout.

A ventricle, a cistern or a wide sulcus that is taken for a lesion has its like on the other side.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from strokeseg.arrays import AffineArray, IntArray, LabelArray
from strokeseg.space.grid import Grid

# The plane between the hemispheres is right to some millimetres: of a lesion that lies wholly in
# fluid, a twentieth of its voxels may miss it.
WHOLLY = 0.95
_AT_ONCE = 1 << 18


@dataclass(frozen=True, eq=False)
class Opposite:
    """The other side of the head, about an upright plane.

    Parameters
    ----------
    labels : (I, J, K) uint8 array
        Class of each voxel, the lesion not among them: what a voxel would be without it.
    fluid : int
        The class that is ventricles and outer cerebrospinal fluid.
    grid : Grid
        Of `labels`.
    midline_mm : float
        World x of the plane, see `strokeseg.measure.brain.find_midline_mm`.
    """

    labels: LabelArray
    fluid: int
    grid: Grid
    midline_mm: float

    def is_wholly_fluid(self, index_vox: Sequence[IntArray]) -> bool:
        """Tell whether the mirror positions of voxels are fluid, but for a twentieth at most.

        What lies beyond the image is none.

        Parameters
        ----------
        index_vox : three (N,) arrays
            The voxels, along I, J and K; at least one.
        """
        count, found = len(index_vox[0]), 0
        size = np.reshape(self.grid.shape, (3, 1))
        for low in range(0, count, _AT_ONCE):
            voxels = np.stack([axis[low : low + _AT_ONCE] for axis in index_vox])
            there = np.rint(self._turn[:3, :3] @ voxels + self._turn[:3, 3:]).astype(np.int64)
            inside = there[:, ((there >= 0) & (there < size)).all(axis=0)]
            found += int(np.count_nonzero(self.labels[tuple(inside)] == self.fluid))
        return found >= WHOLLY * count

    @cached_property
    def _turn(self) -> AffineArray:
        """From a voxel to the one opposite."""
        mirror = np.diag([-1.0, 1.0, 1.0, 1.0])
        mirror[0, 3] = 2 * self.midline_mm
        return np.asarray(np.linalg.solve(self.grid.affine, mirror @ self.grid.affine))
