import itertools

import numpy as np
import pytest

from strokeseg.measure.lesions import find_lesions
from strokeseg.measure.opposite import WHOLLY, Opposite
from strokeseg.space.grid import Grid

FLUID = 4
SHAPE = (21, 12, 12)
# The plane between the hemispheres is at world x 0, which is I = 10.
RAS = Grid(SHAPE, np.array([[1.0, 0, 0, -10], [0, 1, 0, 3], [0, 0, 1, -7], [0, 0, 0, 1]]))


def head(*boxes, shape=SHAPE):
    labels = np.ones(shape, np.uint8)
    for box in boxes:
        labels[tuple(slice(*ends) for ends in box)] = FLUID
    return labels


def lesion(*boxes, shape=SHAPE):
    return head(*boxes, shape=shape) == FLUID


def judged(mask, labels, grid=RAS, midline_mm=0.0):
    opposite = Opposite(labels, FLUID, grid, midline_mm)
    rows = find_lesions(mask, mask.astype(np.float32), grid, midline_mm, opposite)
    return [row.opposite_fluid for row in rows]


def test_a_lesion_opposite_a_ventricle_is_marked_and_others_are_not():
    # I = 3 to 5 lie opposite 15 to 17.
    ventricle = ((15, 18), (4, 8), (4, 8))
    there, elsewhere = ((3, 6), (4, 8), (4, 8)), ((3, 6), (0, 2), (0, 2))
    assert judged(lesion(there, elsewhere), head(ventricle)) == [True, False]


def test_a_lesion_in_both_ventricles_is_its_own_opposite():
    both = ((3, 18), (4, 8), (4, 8))
    assert judged(lesion(both), head(both)) == [True]


def test_wholly_is_all_but_a_twentieth():
    ventricle = np.ones(SHAPE, np.uint8)
    mask = np.zeros(SHAPE, bool)
    mask[0, 0:10, 0:10] = True
    ventricle[20, 0:10, 0:10] = FLUID
    missing = round((1 - WHOLLY) * 100)
    ventricle[20, 0, :missing] = 1
    assert judged(mask, ventricle) == [True]
    ventricle[20, 1, 0] = 1
    assert judged(mask, ventricle) == [False]


def test_what_lies_opposite_beyond_the_image_is_no_fluid():
    everywhere = np.full(SHAPE, FLUID, np.uint8)
    at_the_side = lesion(((3, 6), (4, 8), (4, 8)))
    assert judged(at_the_side, everywhere) == [True]
    assert judged(at_the_side, everywhere, midline_mm=9.0) == [False]


@pytest.mark.parametrize("flips", list(itertools.product((1, -1), repeat=3)))
def test_the_other_side_is_the_worlds_whatever_the_axes(flips):
    mask, labels = lesion(((3, 6), (4, 8), (4, 8))), head(((15, 18), (4, 8), (4, 8)))
    turn = np.diag([*map(float, flips), 1.0])
    turn[:3, 3] = [0 if step > 0 else size - 1 for step, size in zip(flips, SHAPE, strict=True)]
    grid = Grid(tuple(SHAPE[a] for a in (2, 0, 1)), RAS.affine @ turn @ np.eye(4)[:, [2, 0, 1, 3]])

    def moved(array):
        return np.ascontiguousarray(array[tuple(slice(None, None, f) for f in flips)]).transpose(
            2, 0, 1
        )

    assert judged(moved(mask), moved(labels), grid) == [True]
    assert judged(moved(mask), moved(np.ones(SHAPE, np.uint8)), grid) == [False]


def test_without_another_side_nothing_is_said():
    mask = lesion(((3, 6), (4, 8), (4, 8)))
    (row,) = find_lesions(mask, mask.astype(np.float32), RAS, 0.0)
    assert row.opposite_fluid is None
