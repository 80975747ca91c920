"""Steps between grids whose axes run along each other: one-dimensional gathers, or plain slices."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from strokeseg.arrays import AffineArray, BoolArray, FloatArray, IntArray
from strokeseg.space.grid import Grid

EDGE_VOX = 1e-4
_OFF_AXIS_VOX = 5e-4
_WHOLE_VOX = 5e-4
_PIECE_BYTES = 32 << 20


@dataclass(frozen=True)
class Axis:
    """Where the voxels of one target axis lie on the source axis that it runs along.

    Parameters
    ----------
    source_axis : int
        The array axis of the source.
    positions : float64 array
        Source voxel coordinate of each target voxel, whole where it is whole to within rounding.
    size : int
        Voxels along the source axis.
    """

    source_axis: int
    positions: AffineArray
    size: int

    @property
    def nearest(self) -> IntArray:
        """The source voxel of each target voxel, held inside the source; ties go up."""
        whole = np.floor(self.positions + (0.5 + EDGE_VOX)).astype(np.intp)
        return np.clip(whole, 0, self.size - 1)

    @property
    def is_whole(self) -> bool:
        """Whether no target voxel falls between two source voxels."""
        return bool((self.positions == np.rint(self.positions)).all())

    @property
    def inside(self) -> BoolArray:
        """Which target voxels lie in the source's field of view."""
        low, high = -0.5 - EDGE_VOX, self.size - 0.5 + EDGE_VOX
        return np.asarray((self.positions >= low) & (self.positions <= high))


def index_map(source: Grid, target: Grid) -> AffineArray:
    """Make the matrix from target voxel indices to source voxel coordinates.

    Parameters
    ----------
    source, target : Grid
        Where voxels are taken from, and where they go.

    Returns
    -------
    (4, 4) float64 array
        In voxels of the source per voxel of the target.
    """
    return np.asarray(np.linalg.solve(source.affine, target.affine))


def axes_along(source: Grid, target: Grid, slab: slice) -> tuple[Axis, Axis, Axis] | None:
    """Describe a step between grids whose axes run along each other; None if they do not.

    They do if, over the whole target, no voxel strays from its axis by more than 0.0005 voxels.

    Parameters
    ----------
    source, target : Grid
        Where voxels are taken from, and where they go.
    slab : slice
        Which planes of the target's first axis are wanted (step 1).

    Returns
    -------
    tuple of three Axis, or None
        One for each target axis.
    """
    matrix = index_map(source, target)
    linear, shift = matrix[:3, :3], matrix[:3, 3]
    last = np.array(target.shape) - 1.0
    chosen = np.argmax(np.abs(linear), axis=0).tolist()
    if sorted(chosen) != [0, 1, 2]:
        return None
    stray = linear.copy()
    stray[chosen, [0, 1, 2]] = 0.0
    if (np.abs(stray) @ last).max() > _OFF_AXIS_VOX:
        return None
    centred = shift + stray @ (last / 2.0)
    wanted = (slab, slice(None), slice(None))
    axes = []
    for axis, row in enumerate(chosen):
        positions = linear[row, axis] * np.arange(target.shape[axis]) + centred[row]
        whole = np.rint(positions)
        if np.abs(positions - whole).max() <= _WHOLE_VOX:
            positions = whole
        axes.append(Axis(row, positions[wanted[axis]], source.shape[row]))
    return axes[0], axes[1], axes[2]


def turns_of(axes: tuple[Axis, Axis, Axis]) -> list[int]:
    """Order target axes by when to interpolate along them: those that shrink most come first."""
    return sorted(range(3), key=lambda a: (len(axes[a].positions) / axes[a].size, axes[a].is_whole))


def gather_in_pieces(data: FloatArray, axes: tuple[Axis, Axis, Axis]) -> FloatArray:
    """Do what `gather` does, to the last bit, some planes of the source at a time.

    What is in between takes no more memory for a large image than for a small one.

    Parameters
    ----------
    data : (I, J, K) float32 array
        The image on the source grid, any strides.
    axes : tuple of three Axis
        Where each target axis runs.

    Returns
    -------
    (I, J, K) float32 array
        The image on the target, C-contiguous.
    """
    out = np.empty([len(axis.positions) for axis in axes], np.float32)
    turns = turns_of(axes)
    slowest = int(np.argmax([abs(data.strides[axis.source_axis]) for axis in axes]))
    plane_bytes = data.nbytes // axes[slowest].size
    to, at = [slice(None)] * 3, [slice(None)] * 3
    for rows, planes in _pieces(axes[slowest], max(1, _PIECE_BYTES // plane_bytes)):
        to[slowest], at[axes[slowest].source_axis] = rows, planes
        part = replace(
            axes[slowest],
            positions=_held_inside(axes[slowest])[rows] - planes.start,
            size=planes.stop - planes.start,
        )
        i, j, k = (part if axis == slowest else axes[axis] for axis in range(3))
        out[tuple(to)] = gather(data[tuple(at)], (i, j, k), turns)
    return out


def _pieces(axis: Axis, planes: int) -> Iterator[tuple[slice, slice]]:
    """Cut a target axis so that each part needs about `planes` of the source; give both."""
    positions = _held_inside(axis)
    step = max(1, round(planes * len(positions) / axis.size))
    for first in range(0, len(positions), step):
        part = positions[first : first + step]
        low, high = int(part.min()), int(part.max())
        yield slice(first, first + len(part)), slice(low, min(high + 2, axis.size))


def _held_inside(axis: Axis) -> AffineArray:
    return np.clip(axis.positions, 0.0, axis.size - 1.0)


def gather(
    data: FloatArray, axes: tuple[Axis, Axis, Axis], turns: Sequence[int] | None = None
) -> FloatArray:
    """Interpolate along each axis in turn, then put the axes in the target's order.

    The array is worked on as it lies in memory.

    Parameters
    ----------
    data : (I, J, K) float32 array
        The image on the source grid, any strides.
    axes : tuple of three Axis
        Where each target axis runs.
    turns : sequence of three int, optional
        The order in which to take the target's axes, on which rounding depends; else `turns_of`.

    Returns
    -------
    (I, J, K) float32 array
        The image on the target; a view where no voxel falls between two others.
    """
    order = np.argsort([-abs(stride) for stride in data.strides], kind="stable").tolist()
    moved = data.transpose(order)
    for axis in (axes[turn] for turn in turns or turns_of(axes)):
        moved = _along(moved, order.index(axis.source_axis), axis)
    logical = moved.transpose(np.argsort(order))
    return logical.transpose([axis.source_axis for axis in axes])


def _along(data: FloatArray, place: int, axis: Axis) -> FloatArray:
    """Interpolate along one axis; a slice where positions are whole and evenly spaced."""
    positions = _held_inside(axis)
    lower = np.floor(positions).astype(np.intp)
    weight = (positions - lower).astype(np.float32)
    if not weight.any():
        step = _even_step(lower)
        if step is None:
            return np.take(data, lower, axis=place)
        first, stop = int(lower[0]), int(lower[-1]) + step
        index: list[slice] = [slice(None)] * data.ndim
        index[place] = slice(first, None if stop < 0 else stop, step)
        return data[tuple(index)]
    shape = [1] * data.ndim
    shape[place] = len(weight)
    data = np.ascontiguousarray(data)
    out = np.take(data, lower, axis=place)
    rise = np.take(data, np.minimum(lower + 1, axis.size - 1), axis=place)
    rise -= out
    rise *= weight.reshape(shape)
    out += rise
    return out


def _even_step(indices: IntArray) -> int | None:
    """Find the one step between neighbouring indices, never 0; None if there is none."""
    if len(indices) < 2:
        return 1 if len(indices) else None
    steps = np.diff(indices)
    return int(steps[0]) if steps[0] and (steps == steps[0]).all() else None
