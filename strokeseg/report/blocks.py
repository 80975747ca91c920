"""Fewer voxels for the viewer: blocks of whole voxels become one, on a grid that fits exactly."""

from dataclasses import dataclass

import numpy as np

from strokeseg.arrays import AnyArray, BoolArray, FloatArray, Shape3
from strokeseg.space.grid import Grid

_LESION_SHARE = 0.5


@dataclass(frozen=True)
class Blocks:
    """How many voxels along each array axis become one.

    Parameters
    ----------
    factors : (3,) tuple of int
        1 where an axis stays as it is.
    """

    factors: Shape3 = (1, 1, 1)

    @property
    def whole(self) -> bool:
        """Whether every voxel stays."""
        return self.factors == (1, 1, 1)

    def coarser(self, grid: Grid) -> "Blocks":
        """Give the next step: the axis that has the smallest voxels after this one is halved."""
        sizes = self.grid(grid)
        # An axis of a few voxels gains nothing.
        length = [
            size if count > 1 else np.inf
            for size, count in zip(sizes.voxel_size_mm, sizes.shape, strict=True)
        ]
        axis = int(np.argmin(length))
        i, j, k = (f + int(a == axis) for a, f in enumerate(self.factors))
        return Blocks((i, j, k))

    def grid(self, grid: Grid) -> Grid:
        """Give the grid of the blocks; the centre of a block is the centre of its voxels."""
        step = np.diag([*(float(f) for f in self.factors), 1.0])
        step[:3, 3] = [(f - 1) / 2 for f in self.factors]
        i, j, k = (-(-n // f) for n, f in zip(grid.shape, self.factors, strict=True))
        return Grid((i, j, k), grid.affine @ step)

    def mean(self, data: FloatArray) -> FloatArray:
        """Average an image of shape (I, J, K) over each block."""
        if self.whole:
            return data
        for axis, factor in enumerate(self.factors):
            data = _mean_along(data, axis, factor)
        return data

    def middle(self, labels: AnyArray) -> AnyArray:
        """Give each block the label of the voxel in its middle."""
        picks = [
            np.minimum(np.arange(0, n, f) + f // 2, n - 1)
            for n, f in zip(labels.shape, self.factors, strict=True)
        ]
        return labels if self.whole else labels[np.ix_(*picks)]

    def mask(self, mask: BoolArray, always: list[Shape3]) -> BoolArray:
        """Give the blocks that are half lesion or more, and those of the voxels in `always`."""
        if self.whole:
            return mask
        coarse: BoolArray = self.mean(mask.astype(np.float32)) >= _LESION_SHARE
        for voxel in always:
            coarse[tuple(v // f for v, f in zip(voxel, self.factors, strict=True))] = True
        return coarse


def _mean_along(data: FloatArray, axis: int, factor: int) -> FloatArray:
    """Average along one axis; what is left at its end is a block of its own."""
    if factor == 1:
        return data
    front = np.moveaxis(data, axis, 0)
    whole = len(front) // factor
    out = np.empty_like(front, shape=(-(-len(front) // factor), *front.shape[1:]))
    total = out[:whole]
    total[...] = front[: whole * factor : factor]
    for offset in range(1, factor):
        total += front[offset : whole * factor : factor]
    total *= np.float32(1.0 / factor)
    if len(out) > whole:
        out[whole] = front[whole * factor :].mean(axis=0)
    return np.moveaxis(out, 0, axis)
