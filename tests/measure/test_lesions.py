"""The table with one row per lesion, held against numbers worked out by hand."""

import math
from functools import partial

import numpy as np
import pytest

from strokeseg.errors import DataError, UsageError
from strokeseg.measure import lesions
from strokeseg.measure.components import bounding_box, label_components
from strokeseg.measure.lesions import (
    find_lesions,
    hemisphere_of,
    label_lesions,
    large_enough,
    mask_volume_ml,
    threshold_probability,
)
from strokeseg.measure.surface_area import _are_cubes, direction_weights, surface_area_mm2
from strokeseg.space.grid import Grid


def _grid(shape=(20, 22, 24), zooms=(1.0, 1.0, 1.0), origin=(0.0, 0.0, 0.0)):
    affine = np.diag([*zooms, 1.0])
    affine[:3, 3] = origin
    return Grid(shape, affine)


def _oblique(shape, zooms):
    cos, sin = math.cos(0.3), math.sin(0.3)
    turn = np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1.0]])
    affine = np.eye(4)
    affine[:3, :3] = turn @ np.diag(zooms)
    return Grid(shape, affine)


def _mask(shape, *boxes):
    mask = np.zeros(shape, dtype=bool)
    for i, j, k in boxes:
        mask[slice(*i), slice(*j), slice(*k)] = True
    return mask


def _ball(radius_mm, zooms):
    shape = tuple(int(2 * radius_mm / size) + 5 for size in zooms)
    axes = [(np.arange(n) - (n - 1) / 2) * size for n, size in zip(shape, zooms, strict=True)]
    x, y, z = np.meshgrid(*axes, indexing="ij")
    return x**2 + y**2 + z**2 <= radius_mm**2


def _find(mask, grid, midline_mm=None, probability=None):
    if probability is None:
        probability = mask.astype(np.float32)
    return find_lesions(mask, probability, grid, midline_mm)


def test_no_lesion_gives_no_row():
    grid = _grid()
    assert _find(np.zeros(grid.shape, dtype=bool), grid, 0.0) == ()


def test_one_box_measured_by_hand():
    grid = _grid(zooms=(1.0, 2.0, 3.0), origin=(-10.0, 5.0, 7.0))
    mask = _mask(grid.shape, ((2, 4), (3, 6), (4, 9)))
    probability = np.zeros(grid.shape, dtype=np.float32)
    probability[mask] = 0.5
    probability[2, 3, 4] = 0.8
    (lesion,) = _find(mask, grid, 0.0, probability)
    assert lesion.index == 1
    assert lesion.volume_ml == pytest.approx(2 * 3 * 5 * 6.0 / 1000.0)
    assert lesion.centroid_mm == pytest.approx((-10 + 2.5, 5 + 2 * 4.0, 7 + 3 * 6.0))
    assert lesion.start_vox == (2, 3, 4)
    assert lesion.stop_vox == (3, 5, 8)
    assert lesion.mean_probability == pytest.approx((29 * 0.5 + 0.8) / 30)
    assert lesion.max_probability == pytest.approx(0.8)
    assert lesion.hemisphere == "left"
    assert not lesion.touches_border


def test_rows_come_largest_first():
    grid = _grid()
    mask = _mask(grid.shape, ((1, 3), (1, 3), (1, 3)), ((6, 10), (6, 10), (6, 10)), ((15, 18),) * 3)
    lesions = _find(mask, grid)
    assert [lesion.index for lesion in lesions] == [1, 2, 3]
    assert [lesion.volume_ml for lesion in lesions] == pytest.approx([0.064, 0.027, 0.008])
    assert [lesion.start_vox for lesion in lesions] == [(6, 6, 6), (15, 15, 15), (1, 1, 1)]


def test_voxels_that_share_a_corner_are_one_lesion():
    grid = _grid()
    corner = _mask(grid.shape, ((3, 4),) * 3, ((4, 5),) * 3)
    apart = _mask(grid.shape, ((3, 4),) * 3, ((5, 6),) * 3)
    assert len(_find(corner, grid)) == 1
    assert len(_find(apart, grid)) == 2


def test_two_lesions_with_overlapping_boxes_do_not_mix():
    grid = _grid()
    mask = np.zeros(grid.shape, dtype=bool)
    mask[2:12, 2, 2] = mask[2, 2:12, 2] = True
    mask[8:10, 8:10, 2] = True
    probability = np.where(mask, np.float32(0.9), np.float32(0.0))
    probability[8:10, 8:10, 2] = 0.6
    large, small = _find(mask, grid, None, probability)
    assert large.volume_ml == pytest.approx(0.019)
    assert large.mean_probability == pytest.approx(0.9)
    assert small.mean_probability == pytest.approx(0.6)
    assert small.centroid_mm == pytest.approx((8.5, 8.5, 2.0))


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("side", ["first", "last"])
def test_a_lesion_in_the_outermost_layer_touches_the_border(axis, side):
    grid = _grid()
    mask = np.zeros(grid.shape, dtype=bool)
    where = [8, 8, 8]
    where[axis] = 0 if side == "first" else grid.shape[axis] - 1
    mask[tuple(where)] = True
    assert _find(mask, grid)[0].touches_border


def test_the_side_follows_the_world_and_not_the_array():
    ras = _grid(origin=(-10.0, 0.0, 0.0))
    las = Grid(ras.shape, np.diag([-1.0, 1.0, 1.0, 1.0]) @ ras.affine)
    mask = _mask(ras.shape, ((0, 3),) * 3)
    assert _find(mask, ras, 0.0)[0].hemisphere == "left"
    assert _find(mask, las, 0.0)[0].hemisphere == "right"


def test_the_side_is_measured_from_the_midline_and_unknown_without_one():
    grid = _grid()
    mask = _mask(grid.shape, ((0, 3),) * 3)
    assert _find(mask, grid, 12.0)[0].hemisphere == "left"
    assert _find(mask, grid, -12.0)[0].hemisphere == "right"
    assert _find(mask, grid)[0].hemisphere is None


@pytest.mark.parametrize(
    ("offsets", "side"),
    [
        ([-4.0, 5.0], "midline"),
        ([-5.1, -1.0], "left"),
        ([5.1, 0.0], "right"),
        ([-6.0] + [6.0] * 9, "both"),
        ([-6.0] + [6.0] * 10, "right"),
        ([6.0] + [-6.0] * 10, "left"),
    ],
)
def test_sides_by_hand(offsets, side):
    assert hemisphere_of(np.array(offsets)) == side


def test_mask_probability_and_grid_of_different_shapes_are_refused():
    grid = _grid()
    mask = np.zeros(grid.shape, dtype=bool)
    with pytest.raises(DataError, match=r"\(20, 22, 23\).*bring them onto one grid"):
        find_lesions(mask, np.zeros((20, 22, 23), dtype=np.float32), grid)


def test_volume_counts_voxels():
    grid = _grid(zooms=(0.5, 2.0, 3.0))
    assert mask_volume_ml(_mask(grid.shape, ((0, 10),) * 3), grid) == pytest.approx(3.0)


def test_small_lesions_go_and_one_of_exactly_the_least_volume_stays():
    grid = _grid(zooms=(0.1, 1.0, 1.0))
    mask = _mask(grid.shape, ((1, 4), (1, 2), (1, 2)), ((8, 10), (8, 9), (8, 9)))
    components = label_components(mask)
    assert large_enough(components, 0.0003, grid).tolist() == [True, False]
    assert large_enough(components, 0.0, grid).all()
    assert not large_enough(components, 1.0, grid).any()


def test_the_threshold_itself_is_inside():
    probability = np.array([[[0.2, 0.3, 0.31]]], dtype=np.float32)
    assert threshold_probability(probability, 0.3).tolist() == [[[False, True, True]]]


@pytest.mark.parametrize("threshold", [0.0, 1.0, -0.5, math.nan])
def test_a_threshold_that_is_no_probability_is_refused(threshold):
    with pytest.raises(UsageError, match="above 0 and below 1"):
        threshold_probability(np.zeros((2, 2, 2), dtype=np.float32), threshold)


def test_bounding_box_is_tight_and_none_when_empty():
    mask = _mask((9, 9, 9), ((2, 4), (0, 1), (8, 9)))
    assert bounding_box(mask) == (slice(2, 4), slice(0, 1), slice(8, 9))
    assert bounding_box(np.zeros((3, 3, 3), dtype=bool)) is None


def test_components_are_held_on_the_box_of_the_mask_alone():
    mask = _mask((60, 60, 60), ((10, 14),) * 3)
    components = label_components(mask)
    assert components.source.shape == (4, 4, 4)
    assert components.voxels.tolist() == [64]
    assert np.array_equal(components.select(np.array([True])), mask)


@pytest.mark.parametrize(
    ("radius_mm", "zooms", "error"),
    [
        (10.0, (1.0, 1.0, 1.0), 0.02),
        (20.0, (1.0, 1.0, 1.0), 0.02),
        (20.0, (2.0, 2.0, 2.0), 0.02),
        (20.0, (1.0, 1.0, 3.0), 0.02),
        (20.0, (0.45, 0.45, 5.0), 0.05),
    ],
)
def test_area_of_a_ball(radius_mm, zooms, error):
    mask = _ball(radius_mm, zooms)
    true = 4 * math.pi * radius_mm**2
    assert surface_area_mm2(mask, _grid(mask.shape, zooms)) == pytest.approx(true, rel=error)
    assert surface_area_mm2(mask, _oblique(mask.shape, zooms)) == pytest.approx(true, rel=error)


def test_area_of_a_cube_by_hand():
    # Changes along an edge, a face's and a space diagonal of a cube of n voxels: 2 n^2,
    # 2 (n^3 - n (n - 1)^2) and 2 (n^3 - (n - 1)^3); weights of the 13 directions from the paper.
    n = 7
    edges = 3 * 2 * 0.0457778 * 2 * n**2
    faces = 6 * 2 * 0.0369806 * 2 * (n**3 - n * (n - 1) ** 2) / math.sqrt(2)
    space = 4 * 2 * 0.0351956 * 2 * (n**3 - (n - 1) ** 3) / math.sqrt(3)
    mask = _mask((20, 20, 20), ((5, 5 + n),) * 3)
    area = surface_area_mm2(mask, _grid(mask.shape))
    assert area == pytest.approx(2 * (edges + faces + space), rel=1e-4)
    assert area == pytest.approx(6 * n**2, rel=0.15)


@pytest.mark.parametrize("zoom", [0.7, 1.0, 3.0])
def test_cubes_have_the_weights_that_any_other_voxel_would_get(zoom):
    # A ten-millionth from a cube is none, and its weights are worked out.
    nearly = np.diag([zoom, zoom, zoom * (1 + 1e-7), 1.0])
    cube = np.diag([zoom, zoom, zoom, 1.0])
    turned = _oblique((4, 4, 4), (zoom,) * 3).affine
    assert not _are_cubes(nearly)
    assert _are_cubes(cube)
    assert _are_cubes(turned)
    for affine in (cube, turned):
        assert direction_weights(affine) == pytest.approx(direction_weights(nearly), rel=1e-6)


def test_area_at_the_border_of_the_image_counts():
    inside = _mask((20, 20, 20), ((5, 12),) * 3)
    corner = _mask((20, 20, 20), ((0, 7),) * 3)
    grid = _grid((20, 20, 20))
    assert surface_area_mm2(corner, grid) == pytest.approx(surface_area_mm2(inside, grid))
    assert surface_area_mm2(np.zeros((20, 20, 20), dtype=bool), grid) == 0.0
    assert _find(corner, grid)[0].surface_area_mm2 == pytest.approx(surface_area_mm2(inside, grid))


@pytest.mark.parametrize("held", [None, 500])
def test_labels_are_the_numbers_of_the_rows(held, monkeypatch):
    grid = Grid((30, 30, 30), np.diag([1.0, 1.0, 2.0, 1.0]))
    mask = np.zeros(grid.shape, bool)
    for start, size in ((2, 3), (10, 5), (20, 3), (26, 2)):
        mask[start : start + size, start : start + size, start : start + size] = True
    if held is not None:  # as in masks that are too large to hold their labels
        monkeypatch.setattr(
            lesions, "label_components", partial(label_components, held_voxels=held)
        )
    rows = find_lesions(mask, mask.astype(np.float32), grid)
    labels = label_lesions(mask)
    assert labels.dtype == np.uint8
    assert np.array_equal(labels > 0, mask)
    for row in rows:
        inside = np.argwhere(labels == row.index)
        assert tuple(inside.min(axis=0)) == row.start_vox
        assert tuple(inside.max(axis=0)) == row.stop_vox
        assert len(inside) * grid.voxel_volume_ml == pytest.approx(row.volume_ml)


def test_more_lesions_than_a_byte_holds_have_a_label_each():
    mask = np.zeros((40, 40, 40), bool)
    mask[::4, ::4, ::4] = True
    labels = label_lesions(mask)
    assert labels.dtype == np.int32
    assert np.array_equal(np.unique(labels), np.arange(1001))


def test_no_lesion_has_no_label():
    assert not label_lesions(np.zeros((4, 5, 6), bool)).any()
