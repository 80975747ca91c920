"""Counts over large label arrays, piece by piece: what is held meanwhile does not grow."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from strokeseg.arrays import BoolArray, IntArray

Labels = npt.NDArray[np.integer]
Counts = npt.NDArray[np.uint16]

_PIECE_VOXELS = 1 << 21


def count_labels(labels: Labels, least: int) -> IntArray:
    """Count the voxels of each label.

    NumPy's own ``bincount`` makes an int64 copy of all of them first.

    Parameters
    ----------
    labels : (I, J, K) integer array
        From 0.
    least : int
        How many labels to count, at the least.

    Returns
    -------
    (n,) intp array
        n is `least`, or one more than the highest label.
    """
    counts = np.zeros(least, np.intp)
    for rows in _pieces(len(labels), 1, labels[:1].size):
        found = np.bincount(labels[rows].ravel(order="K"), minlength=counts.size)
        found[: counts.size] += counts
        counts = found.astype(np.intp, copy=False)
    return counts


def count_in_blocks(
    labels: npt.NDArray[np.uint8], wanted: BoolArray, block: tuple[int, ...]
) -> Counts:
    """Count, in each block of voxels, those whose label is wanted.

    Parameters
    ----------
    labels : (I, J, K) uint8 array
        Of any shape; blocks at the far ends may reach beyond it.
    wanted : (256,) bool array
        Which labels count.
    block : tuple of 3 int
        Voxels along each edge of a block.

    Returns
    -------
    uint16 array
        One count a block.
    """
    pieces = [
        _sum_blocks(wanted[labels[rows]], block)
        for rows in _pieces(len(labels), block[0], labels[:1].size)
    ]
    return np.concatenate(pieces)


def among(labels: tuple[int, ...]) -> BoolArray:
    """Give which of the 256 labels are among some, (256,), as `count_in_blocks` takes it."""
    wanted = np.zeros(256, dtype=np.bool_)
    wanted[list(labels)] = True
    return wanted


def spread_blocks(blocks: BoolArray, block: tuple[int, ...], shape: tuple[int, ...]) -> BoolArray:
    """Give every voxel its block's value.

    Parameters
    ----------
    blocks : bool array
        One value a block.
    block : tuple of 3 int
        Voxels along each edge of a block.
    shape : (I, J, K)
        Of the voxels; blocks at the far ends may reach beyond it.

    Returns
    -------
    (I, J, K) bool array
        C-contiguous.
    """
    out = np.empty(shape, np.bool_)
    for index, layer in enumerate(blocks):
        plane = np.repeat(np.repeat(layer, block[1], axis=0), block[2], axis=1)
        out[index * block[0] : (index + 1) * block[0]] = plane[: shape[1], : shape[2]]
    return out


def _pieces(size: int, step: int, plane: int) -> Iterator[slice]:
    """Cut the first axis into pieces of some million voxels, each a multiple of `step` long."""
    length = step * max(1, _PIECE_VOXELS // (plane * step))
    for first in range(0, size, length):
        yield slice(first, min(first + length, size))


def _sum_blocks(mask: BoolArray, block: tuple[int, ...]) -> Counts:
    counts = mask.astype(np.uint16)
    for axis, n in enumerate(block):
        padding = [(0, 0)] * 3
        padding[axis] = (0, -counts.shape[axis] % n)
        padded = np.moveaxis(np.pad(counts, padding), axis, 0)
        total = padded[0::n].copy()
        for first in range(1, n):
            total += padded[first::n]
        counts = np.moveaxis(total, 0, axis)
    return counts
