import numpy as np
import pytest

from strokeseg.report.blocks import Blocks
from strokeseg.space.grid import Grid
from tests.factories import KINDS, affine_of


def grid_of(kind):
    return Grid(KINDS[kind].shape, affine_of(KINDS[kind]))


@pytest.mark.parametrize("kind", ["ras", "lps", "oblique", "anisotropic"])
def test_the_centre_of_a_block_is_the_centre_of_its_voxels(kind):
    grid = grid_of(kind)
    coarse = Blocks((2, 3, 1)).grid(grid)
    corners = np.array([[i, j, 0, 1] for i in (4, 5) for j in (9, 10, 11)], dtype=float)
    places = (corners @ grid.affine.T)[:, :3]
    assert coarse.affine @ [2, 3, 0, 1] == pytest.approx([*places.mean(axis=0), 1.0])


def test_the_axis_with_the_smallest_voxels_becomes_coarser_first():
    grid = grid_of("anisotropic")  # 0.9 x 0.9 x 5 mm
    steps = [Blocks()]
    for _ in range(4):
        steps.append(steps[-1].coarser(grid))
    assert [step.factors for step in steps] == [
        (1, 1, 1),
        (2, 1, 1),
        (2, 2, 1),
        (3, 2, 1),
        (3, 3, 1),
    ]


def test_means_are_over_blocks_of_which_the_last_may_be_smaller():
    data = np.arange(5, dtype=np.float32).reshape(5, 1, 1)
    assert Blocks((2, 1, 1)).mean(data).ravel().tolist() == [0.5, 2.5, 4.0]
    assert Blocks((1, 1, 1)).mean(data) is data


def test_labels_are_those_of_the_middle_voxel():
    labels = np.arange(7, dtype=np.uint8).reshape(7, 1, 1)
    assert Blocks((3, 1, 1)).middle(labels).ravel().tolist() == [1, 4, 6]


def test_a_block_is_lesion_if_half_of_it_is_or_it_is_wanted():
    mask = np.zeros((4, 4, 2), dtype=bool)
    mask[0, :2] = True  # half of the first block
    mask[3, 3, 0] = True  # an eighth of the last one
    blocks = Blocks((2, 2, 2))
    assert np.argwhere(blocks.mask(mask, [])).tolist() == [[0, 0, 0]]
    assert np.argwhere(blocks.mask(mask, [(3, 3, 0)])).tolist() == [[0, 0, 0], [1, 1, 0]]
