"""From one grid to another: images and logits (linear), labels (nearest), and where a scan reaches.

Between a scan's own grid and its working grid, target axes run along source axes: such a step is
made of one-dimensional gathers, or of plain slices where no voxel falls between two others. Any
other step goes through `scipy.ndimage`.
"""

import numpy as np
from scipy import ndimage

from strokeseg.arrays import AffineArray, BoolArray, FloatArray, LabelArray, Shape3
from strokeseg.machine import in_threads
from strokeseg.space.axes import EDGE_VOX, axes_along, gather, gather_in_pieces, index_map, turns_of
from strokeseg.space.grid import Grid


def resample_image(data: FloatArray, source: Grid, target: Grid) -> FloatArray:
    """Bring an image to another grid by linear interpolation, its border repeated outside.

    Parameters
    ----------
    data : (I, J, K) float32 array
        The image on `source`, any strides.
    source, target : Grid
        Where it is and where it shall be.

    Returns
    -------
    (I, J, K) float32 array
        The image on `target`, C-contiguous; `data` itself if the grids are the same.
    """
    if source.same_as(target):
        return data
    axes = axes_along(source, target, slice(None))
    if axes is not None:
        return gather_in_pieces(data, axes)
    out: FloatArray = _interpolate(data[np.newaxis], source, target, slice(None))[0]
    return out


def resample_logits(logits: FloatArray, source: Grid, target: Grid, slab: slice) -> FloatArray:
    """Bring some planes of a target grid their logits, by linear interpolation, border repeated.

    Parameters
    ----------
    logits : (C, I, J, K) float32 array
        Logits on `source`.
    source, target : Grid
        Where they are and where they shall be.
    slab : slice
        Which planes of the target's first axis are wanted (step 1); the numbers on a plane do not
        depend on which others are wanted with it.

    Returns
    -------
    (C, planes, J, K) float32 array
        Logits on those planes; a view of `logits` if the grids are the same, else C-contiguous.
    """
    if source.same_as(target):
        return logits[:, slab]
    axes = axes_along(source, target, slab)
    if axes is None:
        return _interpolate(logits, source, target, slab)
    shape = [len(axis.positions) for axis in axes]
    out = np.empty((len(logits), *shape), dtype=np.float32)
    # Along the slab first, which is thin, however thin it is: rounding depends on the order.
    turns = [0, *(turn for turn in turns_of(axes) if turn != 0)]

    def fill(channel: int) -> None:
        out[channel] = gather(logits[channel], axes, turns)

    in_threads(fill, range(len(logits)))
    return out


def resample_labels(labels: LabelArray, source: Grid, target: Grid, fill: int = 0) -> LabelArray:
    """Bring labels to another grid: each voxel takes its nearest neighbour's.

    Parameters
    ----------
    labels : (I, J, K) uint8 array
        Labels on `source`.
    source, target : Grid
        Where they are and where they shall be.
    fill : int
        The label of voxels whose centre lies outside the source's field of view.

    Returns
    -------
    (I, J, K) uint8 array
        Labels on `target`; `labels` itself if the grids are the same.
    """
    if source.same_as(target):
        return labels
    axes = axes_along(source, target, slice(None))
    if axes is not None:
        moved = labels.transpose([axis.source_axis for axis in axes])
        out = moved[np.ix_(*(axis.nearest for axis in axes))]
    else:
        matrix = index_map(source, target)
        out = np.empty(target.shape, dtype=np.uint8)
        ndimage.affine_transform(
            labels,
            matrix[:3, :3],
            matrix[:3, 3],
            output_shape=target.shape,
            output=out,
            order=0,
            mode="nearest",
        )
    out[~coverage(source, target, slice(None))] = fill
    return out


def coverage(source: Grid, target: Grid, slab: slice) -> BoolArray:
    """Which target voxels have their centre in the source's field of view.

    Half a voxel beyond the centres of the outermost source voxels still counts.

    Parameters
    ----------
    source, target : Grid
        The grid that reaches, and the grid that is asked about.
    slab : slice
        Which planes of the target's first axis are wanted (step 1).

    Returns
    -------
    (planes, J, K) bool array
        True where the source reaches.
    """
    axes = axes_along(source, target, slab)
    if axes is not None:
        i, j, k = (axis.inside for axis in axes)
        return np.asarray(i[:, np.newaxis, np.newaxis] & j[:, np.newaxis] & k)
    return _reached(index_map(source, target), source.shape, target.shape, slab)


def _reached(matrix: AffineArray, source: Shape3, target: Shape3, slab: slice) -> BoolArray:
    """Find which target voxels an index map sends into the source: per line, a run along K."""
    start, stop, _ = slab.indices(target[0])
    i, j = np.ogrid[start:stop, : target[1]]
    first, last = (
        np.zeros((stop - start, target[1])),
        np.full((stop - start, target[1]), target[2] - 1.0),
    )
    for row, size in zip(matrix[:3], source, strict=True):
        base = row[0] * i + row[1] * j + row[3]
        below, above = -0.5 - EDGE_VOX - base, size - 0.5 + EDGE_VOX - base
        if abs(row[2]) * target[2] < EDGE_VOX:
            first[(below > 0) | (above < 0)] = target[2]
            continue
        np.maximum(first, np.minimum(below / row[2], above / row[2]), out=first)
        np.minimum(last, np.maximum(below / row[2], above / row[2]), out=last)
    k = np.arange(target[2], dtype=np.int32)
    low = np.ceil(np.clip(first, 0, target[2])).astype(np.int32)[..., np.newaxis]
    high = np.floor(np.clip(last, -1, target[2])).astype(np.int32)[..., np.newaxis]
    return np.asarray((k >= low) & (k <= high))


def _interpolate(data: FloatArray, source: Grid, target: Grid, slab: slice) -> FloatArray:
    """Interpolate every channel plane by plane, in threads; any rotation between the grids.

    A plane is computed alone, so that the result depends neither on threads nor on the slab.
    """
    matrix = index_map(source, target)
    first, stop, _ = slab.indices(target.shape[0])
    out = np.empty((data.shape[0], stop - first, *target.shape[1:]), dtype=np.float32)

    def fill(task: tuple[int, int]) -> None:
        channel, start = task
        plane = out[channel, start - first : start - first + 1]
        ndimage.affine_transform(
            data[channel],
            matrix[:3, :3],
            matrix[:3, 3] + matrix[:3, 0] * start,
            output_shape=plane.shape,
            output=plane,
            order=1,
            mode="nearest",
            prefilter=False,
        )

    tasks = [(channel, start) for channel in range(len(data)) for start in range(first, stop)]
    in_threads(fill, tasks)
    return out
