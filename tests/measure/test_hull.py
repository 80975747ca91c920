import numpy as np
import pytest

from strokeseg.measure.hull import find_hull
from strokeseg.space.grid import Grid

GRID = Grid((70, 70, 70), np.diag([3.0, 3.0, 3.0, 1.0]))


def ball(centre, radius):
    index = np.indices(GRID.shape)
    return sum((i - c) ** 2 for i, c in zip(index, centre, strict=True)) <= radius**2


BRAIN = ball((35, 35, 35), 20)


def hull(tissue, margin_mm=0.0, **changes):
    return find_hull(tissue.astype(np.uint8), GRID, (1, 2, 3, 4), **changes).within(margin_mm)


def test_a_brain_that_is_whole_is_its_own_hull():
    found = hull(BRAIN)
    assert (found & BRAIN).sum() == BRAIN.sum()
    assert found.sum() < 1.1 * BRAIN.sum()


def test_a_lesion_at_the_edge_is_within():
    bite = ball((35, 35, 52), 5)
    lesion = bite & BRAIN
    found = hull(BRAIN & ~bite, 4.0)
    assert found[lesion].mean() > 0.9
    assert hull(BRAIN & ~bite, closing_mm=0.0)[lesion].mean() < 0.05


def test_a_cavity_is_filled():
    cavity = ball((35, 35, 35), 9)
    assert hull(BRAIN & ~cavity)[cavity].all()


def test_smaller_pieces_are_left_out():
    eye = ball((35, 64, 20), 3)
    found = hull(BRAIN | eye)
    assert not found[eye].any()


@pytest.mark.parametrize("margin_mm", [3.0, 9.0])
def test_the_margin_is_as_wide_as_it_says(margin_mm):
    along = hull(BRAIN, margin_mm)[35, 35]
    assert along.sum() - hull(BRAIN)[35, 35].sum() == 2 * margin_mm / 3


def test_no_tissue_has_no_hull():
    assert not hull(np.zeros(GRID.shape, bool)).any()
