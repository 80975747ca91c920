"""Connected components of masks of any size.

A label takes four bytes, a voxel of a mask one. Up to some million voxels, labels are held; of a
larger mask they are found again, piece by piece, whenever they are needed, and what is held are the
numbers by which pieces fit together. The answers are the same.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from strokeseg.arrays import AnyArray, BoolArray, IntArray, Shape3
from strokeseg.measure.counting import count_labels

Box = tuple[slice, slice, slice]
Labels = npt.NDArray[np.int32]

# Up to this many voxels, labels are held; pieces of a larger mask have about as many as the second.
HELD_VOXELS = 1 << 24
PIECE_VOXELS = 1 << 22

_STRUCTURE = np.ones((3, 3, 3), dtype=np.bool_)


@dataclass(frozen=True, eq=False)
class Components:
    """The 26-connected components of a mask, from 1 in the order of their first voxels.

    Attributes
    ----------
    shape : tuple of 3 int
        Of the mask.
    box : tuple of 3 slice
        Where the components are in the mask.
    source : bool array
        The mask in its box: a view, so the mask must stay as it is.
    pieces : tuple of (slice, array)
        Planes of `source`, and the components of the labels that these planes alone give, by label.
    held : int32 array or None
        Labels of the whole of `source`, if they are held.
    voxels : (n,) intp array
        Voxels in each component.
    boxes : tuple of n boxes
        Of each component, in the mask.
    firsts : (n, 3) intp array
        The first voxel of each, in the mask.
    """

    shape: Shape3
    box: Box
    source: BoolArray
    pieces: tuple[tuple[slice, Labels], ...]
    held: Labels | None
    voxels: IntArray
    boxes: tuple[Box, ...]
    firsts: IntArray

    def select(self, keep: BoolArray) -> BoolArray:
        """Return the mask of the components for which `keep`, of shape (n,), is true."""
        mask = np.zeros(self.shape, dtype=np.bool_)
        wanted = np.concatenate(([False], keep))
        for rows, labels in self._labels():
            mask[self.box][rows] = wanted[labels]
        return mask

    def numbered(self, numbers: IntArray) -> AnyArray:
        """Return an image that holds for each component its number, of `numbers`, shape (n,).

        uint8 where they fit, else int32.
        """
        kind = np.uint8 if numbers.max(initial=0) <= np.iinfo(np.uint8).max else np.int32
        image = np.zeros(self.shape, dtype=kind)
        lookup = np.concatenate(([0], numbers)).astype(kind)
        for rows, labels in self._labels():
            image[self.box][rows] = lookup[labels]
        return image

    def touching(self, place: BoolArray) -> BoolArray:
        """Tell of each component whether it shares a voxel with a mask of the same shape."""
        hit = np.zeros(self.voxels.size + 1, dtype=np.bool_)
        for rows, labels in self._labels():
            hit[labels[place[self.box][rows]]] = True
        return hit[1:]

    def reaching(self, values: AnyArray, least: float) -> BoolArray:
        """Tell of each component whether an image of the mask's shape has `least` in a voxel."""
        hit = np.zeros(self.voxels.size + 1, dtype=np.bool_)
        for rows, labels in self._labels():
            hit[labels[values[self.box][rows] >= np.float32(least)]] = True
        return hit[1:]

    def inside(self, index: int) -> BoolArray:
        """Return one component, of index from 0, as a mask of its box."""
        local = _shifted(self.boxes[index], [-side.start for side in self.box])
        if self.held is not None:
            return np.asarray(self.held[local] == index + 1)
        alone = label_components(self.source[local])
        first = self.firsts[index] - [side.start for side in self.boxes[index]]
        return alone.select(np.arange(alone.voxels.size) == alone.at(first) - 1)

    def at(self, voxel: IntArray) -> int:
        """Return the number of the component that has a voxel of the mask, 0 for none."""
        row, j, k = (int(v) - side.start for v, side in zip(voxel, self.box, strict=True))
        for rows, _ in self.pieces:
            if rows.start <= row < rows.stop:
                return int(self._piece(rows)[row - rows.start, j, k])
        return 0

    def _labels(self) -> Iterator[tuple[slice, Labels]]:
        for rows, _ in self.pieces:
            yield rows, self._piece(rows)

    def _piece(self, rows: slice) -> Labels:
        if self.held is not None:
            return self.held[rows]
        numbers = next(numbers for planes, numbers in self.pieces if planes == rows)
        return np.asarray(numbers[_label(self.source[rows])[0]])


def label_components(mask: BoolArray, held_voxels: int = HELD_VOXELS) -> Components:
    """Find the 26-connected components of a mask of shape (I, J, K).

    Up to `held_voxels` of the box of the mask, labels are held.
    """
    box = bounding_box(mask) or (slice(0, 1), slice(0, 1), slice(0, 1))
    source = mask[box]
    thickness = max(1, min(PIECE_VOXELS, held_voxels) // source[0].size)
    rows = [
        slice(low, min(low + thickness, len(source))) for low in range(0, len(source), thickness)
    ]
    found = _Found()
    held = None
    if source.size <= held_voxels:
        held, _ = _label(source)
        found.add(slice(0, len(source)), held)
        pieces = tuple((planes, np.zeros(0, np.int32)) for planes in rows)
    else:
        last = None
        for planes in rows:
            labels, _ = _label(source[planes])
            found.add(planes, labels)
            if last is not None:
                found.join(last, labels[0])
            last = labels[-1].copy()
        pieces = tuple(zip(rows, found.numbers(), strict=True))
    start = [side.start for side in box]
    voxels, boxes, firsts = found.merged()
    return Components(
        shape=(mask.shape[0], mask.shape[1], mask.shape[2]),
        box=box,
        source=source,
        pieces=pieces,
        held=held,
        voxels=voxels,
        boxes=tuple(_shifted(part, start) for part in boxes),
        firsts=firsts + start,
    )


def bounding_box(mask: BoolArray) -> Box | None:
    """Return the smallest box that holds every true voxel of a 3D mask, or None if there is none.

    Each axis is looked at inside the box of those before it, so that a large image is read once.
    """
    box = [slice(0, size) for size in mask.shape]
    for axis in range(3):
        others = tuple(other for other in range(3) if other != axis)
        where = np.flatnonzero(mask[tuple(box)].any(axis=others))
        if where.size == 0:
            return None
        box[axis] = slice(int(where[0]), int(where[-1]) + 1)
    return box[0], box[1], box[2]


class _Found:
    """The labels of pieces, each piece by itself, and which of them are one component."""

    def __init__(self) -> None:
        self._voxels: list[IntArray] = []
        self._boxes: list[Box] = []
        self._firsts: list[IntArray] = []
        self._pairs: list[IntArray] = [np.zeros((2, 0), np.intp)]

    def add(self, rows: slice, labels: Labels) -> None:
        """Take the labels of the next piece."""
        boxes = [(box[0], box[1], box[2]) for box in ndimage.find_objects(labels)]
        self._voxels.append(count_labels(labels, len(boxes) + 1)[1:])
        self._boxes += [_shifted(box, (rows.start, 0, 0)) for box in boxes]
        places = np.flatnonzero(labels)
        first = np.zeros(len(boxes) + 1, np.intp)
        # Of several assignments to one place the last one stays: that of the first voxel.
        first[labels.ravel()[places][::-1]] = places[::-1]
        firsts = np.stack(np.unravel_index(first[1:], labels.shape), axis=-1)
        self._firsts.append(firsts + np.array([rows.start, 0, 0]))

    def join(self, last: Labels, next_plane: Labels) -> None:
        """Note which labels of the last two pieces meet, where one's last plane is before."""
        after = sum(len(voxels) for voxels in self._voxels[:-1])
        before = after - len(self._voxels[-2])
        for j, k in np.ndindex(3, 3):
            a = last[_overlap(j - 1)][:, _overlap(k - 1)]
            b = next_plane[_overlap(1 - j)][:, _overlap(1 - k)]
            both = (a > 0) & (b > 0)
            if both.any():
                pairs = np.unique(np.stack([a[both] - 1 + before, b[both] - 1 + after]), axis=1)
                self._pairs.append(pairs.astype(np.intp))

    def numbers(self) -> list[Labels]:
        """Give, for each piece, the number of the component by the piece's label."""
        ends = np.cumsum([len(voxels) for voxels in self._voxels])[:-1]
        whole = (self._ids() + 1).astype(np.int32)
        return [np.concatenate(([0], part)).astype(np.int32) for part in np.split(whole, ends)]

    def merged(self) -> tuple[IntArray, list[Box], IntArray]:
        """Give voxels, box and first voxel of each component."""
        ids = self._ids()
        count = int(ids.max(initial=-1)) + 1
        voxels = np.zeros(count, np.intp)
        np.add.at(voxels, ids, np.concatenate(self._voxels))
        boxes: dict[int, Box] = {}
        for number, box in zip(ids.tolist(), self._boxes, strict=True):
            boxes[number] = _hull(boxes[number], box) if number in boxes else box
        _, leads = np.unique(ids, return_index=True)
        firsts = np.concatenate(self._firsts)[leads].reshape(count, 3)
        return voxels, [boxes[number] for number in range(count)], firsts

    def _ids(self) -> IntArray:
        """Give each label the number of its component, from 0 in the order of first labels."""
        size = sum(len(voxels) for voxels in self._voxels)
        a, b = np.concatenate(self._pairs, axis=1)
        if not a.size:
            return np.arange(size)
        # Imported here: they are slow, and a mask that is held whole needs none of it.
        from scipy.sparse import coo_array
        from scipy.sparse.csgraph import connected_components

        graph = coo_array((np.ones(len(a), np.bool_), (a, b)), shape=(size, size))
        raw = connected_components(graph, directed=False)[1]
        _, leads, where = np.unique(raw, return_index=True, return_inverse=True)
        rank = np.empty(len(leads), np.intp)
        rank[np.argsort(leads)] = np.arange(len(leads))
        return rank[where]


def _label(mask: BoolArray) -> tuple[Labels, int]:
    labels = np.empty(mask.shape, dtype=np.int32)
    return labels, int(ndimage.label(mask, structure=_STRUCTURE, output=labels))


def _overlap(shift: int) -> slice:
    """Where a row overlaps itself once it is shifted."""
    return slice(max(0, -shift), min(0, -shift) or None)


def _shifted(box: Box, by: "tuple[int, ...] | list[int]") -> Box:
    i, j, k = (slice(s.start + n, s.stop + n) for s, n in zip(box, by, strict=True))
    return i, j, k


def _hull(a: Box, b: Box) -> Box:
    i, j, k = (slice(min(m.start, n.start), max(m.stop, n.stop)) for m, n in zip(a, b, strict=True))
    return i, j, k
