"""The brain from tissue classes, on drawn heads: a brain in a skull, with eyes below it."""

import numpy as np
import pytest

from strokeseg.errors import DataError
from strokeseg.measure.brain import (
    brain_mask,
    brain_volume_ml,
    brain_warnings,
    find_midline_mm,
    is_hardly_any_brain,
)
from strokeseg.measure.components import label_components
from strokeseg.space.grid import Grid

LESION = 5
TISSUES = (1, 2, 3, 4)
SIZE_MM = 170


def keep_lesions_touching(mask, brain):
    """Keep what shares a voxel with the brain, as the decision does."""
    components = label_components(mask)
    return components.select(components.touching(brain))


def _distance(axes, centre, radii):
    parts = ((a - c) / r for a, c, r in zip(axes, centre, radii, strict=True))
    return np.sqrt(sum(part**2 for part in parts))


class Head:
    """A brain of 60 x 75 x 55 mm half axes, eyes of tissue in front of it, all else background."""

    def __init__(self, voxel_mm=2.0):
        n = int(SIZE_MM / voxel_mm)
        affine = np.diag([voxel_mm, voxel_mm, voxel_mm, 1.0])
        affine[:3, 3] = -SIZE_MM / 2 + voxel_mm / 2
        self.grid = Grid((n, n, n), affine)
        axis = np.arange(n) * voxel_mm + affine[0, 3]
        self.axes = np.meshgrid(axis, axis, axis, indexing="ij", sparse=True)
        depth = _distance(self.axes, (0, -5, 0), (60, 70, 55))
        self.brain = depth <= 1.0
        self.labels = np.zeros(self.grid.shape, dtype=np.uint8)
        self.labels[self.brain] = 4
        self.labels[depth <= 0.95] = 1
        self.labels[depth <= 0.85] = 3
        self.labels[self.ball((32, 75, -40), 9)] = 1
        self.labels[self.ball((-32, 75, -40), 9)] = 1

    def ball(self, centre, radius):
        return _distance(self.axes, centre, (radius,) * 3) <= 1.0

    def find(self):
        return brain_mask(self.labels, self.grid, TISSUES, LESION)

    def lesions_kept(self):
        return keep_lesions_touching(self.labels == LESION, self.find())


def _dice(a, b):
    return 2 * (a & b).sum() / (a.sum() + b.sum())


@pytest.mark.parametrize("voxel_mm", [1.0, 2.0, 3.0])
def test_the_brain_is_found_without_the_eyes(voxel_mm):
    head = Head(voxel_mm)
    brain = head.find()
    assert brain.shape == head.grid.shape
    assert _dice(brain, head.brain) > 0.97
    assert not brain[head.ball((32, 75, -40), 7)].any()


def test_cavities_and_clefts_are_part_of_it():
    head = Head()
    cavity = head.ball((0, 0, -10), 20)
    cleft = head.brain & (np.abs(head.axes[0]) <= 3) & (head.axes[2] > 15)
    head.labels[cavity | cleft] = 0
    brain = head.find()
    assert brain[cavity].all()
    assert brain[cleft].mean() > 0.9


def test_a_lesion_inside_is_kept_and_one_in_an_eye_or_the_skull_is_not():
    head = Head()
    inside = head.ball((30, 0, 10), 12)
    eye = head.ball((32, 75, -40), 9)
    skull = head.ball((0, 0, 75), 5)
    head.labels[inside | eye | skull] = LESION
    kept = head.lesions_kept()
    assert np.array_equal(kept, inside)


def test_a_cortical_lesion_open_to_the_skull_is_kept_whole():
    head = Head()
    cortical = head.ball((62, 0, 0), 25) & head.brain
    head.labels[cortical] = LESION
    brain = head.find()
    assert np.array_equal(keep_lesions_touching(cortical, brain), cortical)
    assert brain[cortical].mean() > 0.95
    # Drawn back from the tissue by a high threshold, it still belongs to the brain.
    core = head.ball((62, 0, 0), 12) & head.brain
    assert np.array_equal(keep_lesions_touching(core, brain), core)


def test_a_hemisphere_that_is_lesion_throughout_is_kept_and_counted():
    head = Head()
    left = head.brain & (head.axes[0] < 0)
    head.labels[left] = LESION
    brain = head.find()
    assert np.array_equal(keep_lesions_touching(left, brain), left)
    assert brain_volume_ml(brain, head.grid) == pytest.approx(
        brain_volume_ml(head.brain, head.grid), rel=0.03
    )
    assert find_midline_mm(brain, head.grid) == pytest.approx(0.0, abs=2.0)


def test_a_lesion_that_cuts_the_brain_in_two_leaves_both_parts():
    head = Head()
    slab = head.brain & (np.abs(head.axes[1] + 20) < 12)
    head.labels[slab] = LESION
    assert _dice(head.find(), head.brain) > 0.97


def test_a_label_map_without_tissue_has_no_brain_and_keeps_no_lesion():
    head = Head()
    head.labels[:] = 0
    head.labels[head.ball((0, 0, 0), 20)] = LESION
    brain = head.find()
    assert not brain.any()
    assert not keep_lesions_touching(head.labels == LESION, brain).any()
    assert find_midline_mm(brain, head.grid) is None


def test_a_brain_cut_by_the_field_of_view_is_found_up_to_the_border():
    head = Head()
    labels = np.ascontiguousarray(head.labels[30:, :, 20:60])
    affine = head.grid.affine.copy()
    affine[:3, 3] = (head.grid.affine @ [30, 0, 20, 1])[:3]
    brain = brain_mask(labels, Grid(labels.shape, affine), TISSUES, LESION)
    assert _dice(brain, head.brain[30:, :, 20:60]) > 0.97


def test_thick_slices_work():
    head = Head(1.0)
    labels = np.ascontiguousarray(head.labels[:, :, 2::5])
    grid = Grid(labels.shape, head.grid.affine @ np.diag([1, 1, 5, 1]))
    assert _dice(brain_mask(labels, grid, TISSUES, LESION), head.brain[:, :, 2::5]) > 0.96


def test_the_same_lesion_component_is_kept_or_dropped_as_a_whole():
    mask = np.zeros((9, 9, 9), dtype=bool)
    mask[1:4, 1, 1] = mask[6:8, 6, 6] = True
    mask[4, 2, 2] = True
    brain = np.zeros_like(mask)
    brain[1, 1, 1] = True
    kept = keep_lesions_touching(mask, brain)
    assert kept[1:4, 1, 1].all()
    assert kept[4, 2, 2]
    assert kept.sum() == 4
    assert not keep_lesions_touching(np.zeros_like(mask), brain).any()


def test_midline_is_in_the_world_for_any_orientation():
    brain = np.zeros((20, 30, 40), dtype=bool)
    brain[4:9, 5:10, 6:11] = True
    affine = np.zeros((4, 4))
    affine[0, 2], affine[1, 0], affine[2, 1], affine[3, 3] = -2.0, 1.0, 1.0, 1.0
    affine[0, 3] = 50.0
    assert find_midline_mm(brain, Grid(brain.shape, affine)) == pytest.approx(50.0 - 2.0 * 8)


def test_warnings_say_what_was_found():
    assert brain_warnings(1300.0, 40.0) == ()
    assert brain_warnings(1300.0, 650.0) == ()
    (little,) = brain_warnings(150.0, 100.0)
    assert "hardly any brain found (150 ml)" in little
    (much,) = brain_warnings(1300.0, 700.0)
    assert "(700 ml) fills over half of the brain found (1300 ml)" in much
    (small,) = brain_warnings(599.0, 1.0)
    assert "the brain found is small (599 ml)" in small
    (large,) = brain_warnings(2201.0, 1.0)
    assert "the brain found is large (2201 ml)" in large
    assert brain_warnings(600.0, 1.0) == brain_warnings(2200.0, 1.0) == ()
    assert is_hardly_any_brain(199.9)
    assert not is_hardly_any_brain(200.0)


def test_arrays_that_do_not_belong_together_are_refused():
    head = Head(3.0)
    with pytest.raises(DataError, match=r"labels .* and grid .* differ in shape"):
        brain_mask(head.labels[1:], head.grid, TISSUES, LESION)
    with pytest.raises(DataError, match="class 4 cannot be both tissue and lesion"):
        brain_mask(head.labels, head.grid, TISSUES, 4)
