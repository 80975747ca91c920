import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from strokeseg.errors import DataError
from strokeseg.space.grid import Grid, affine_problem, canonical_grid, closest_axes, working_grid
from tests.factories import ALL_AXCODES, KINDS, Kind, affine_of, rotation


def grid_of(kind):
    return Grid(kind.shape, affine_of(kind))


def test_grid_keeps_a_read_only_copy_of_its_affine():
    affine = np.eye(4)
    grid = Grid((2, 3, 4), affine)
    affine[0, 0] = 9.0
    assert grid.affine[0, 0] == 1.0
    with pytest.raises(ValueError, match="read-only"):
        grid.affine[0, 0] = 2.0


def test_sizes_are_those_of_the_affine():
    grid = Grid((10, 20, 30), np.diag([2.0, -3.0, 0.5, 1.0]))
    assert grid.voxel_size_mm == (2.0, 3.0, 0.5)
    assert grid.voxel_volume_ml == pytest.approx(0.003)
    assert grid.field_of_view_mm == (20.0, 60.0, 15.0)
    assert grid.axcodes == ("R", "P", "S")


def test_corners_lie_half_a_voxel_beyond_the_outer_centres():
    corners = Grid((2, 2, 2), np.diag([2.0, 2.0, 2.0, 1.0])).corners_mm
    assert corners.shape == (8, 3)
    np.testing.assert_array_equal(np.unique(corners), [-1.0, 3.0])


def test_all_48_orientations_are_named():
    assert len(set(ALL_AXCODES)) == 48
    for axcodes in ALL_AXCODES:
        assert "".join(grid_of(Kind(axcodes)).axcodes) == axcodes


@given(st.tuples(*[st.floats(-20, 20)] * 3), st.sampled_from(ALL_AXCODES))
def test_a_tilt_does_not_change_the_names_of_axes(tilt, axcodes):
    assert "".join(grid_of(Kind(axcodes, tilt_degrees=tilt)).axcodes) == axcodes


def test_axes_are_a_permutation_even_where_two_lean_to_the_same_direction():
    linear = np.array([[1.0, 0.9, 0.0], [0.1, 0.5, 0.1], [0.0, 0.1, 1.0]])
    affine = np.eye(4)
    affine[:3, :3] = linear
    assert sorted(closest_axes(affine)[0]) == [0, 1, 2]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda a: a[:3], "its shape is (3, 4)"),
        (lambda a: a * np.nan, "NaN or infinite"),
        (lambda a: a + np.inf, "NaN or infinite"),
        (lambda a: a * 2, "its last row is [0.0, 0.0, 0.0, 2.0]"),
        (lambda _: np.diag([1.0, 1.0, 0.0, 1.0]), "singular"),
        (
            lambda _: np.array([[1, 2, 0, 0], [1, 2, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]]),
            "singular",
        ),
    ],
)
def test_an_affine_that_maps_nowhere_is_refused(change, words):
    affine = change(np.eye(4))
    assert words in affine_problem(affine)
    with pytest.raises(DataError) as caught:
        Grid((2, 2, 2), affine)
    assert words in str(caught.value)
    assert caught.value.exit_code == 65


def test_small_voxels_are_not_singular():
    assert affine_problem(np.diag([1e-3, 1e-3, 1e-3, 1.0])) is None


@pytest.mark.parametrize("shape", [(0, 2, 2), (2, 2), (2, 2, -1)])
def test_a_shape_without_voxels_is_refused(shape):
    with pytest.raises(DataError, match="three positive sizes"):
        Grid(shape, np.eye(4))


def test_same_as_asks_for_shape_and_place():
    grid = Grid((100, 100, 100), np.eye(4))
    moved = np.eye(4)
    moved[0, 3] = 5e-4
    assert grid.same_as(Grid((100, 100, 100), moved))
    moved[0, 3] = 2e-3
    assert not grid.same_as(Grid((100, 100, 100), moved))
    assert grid.same_as(Grid((100, 100, 100), moved), tolerance_mm=0.01)
    assert not grid.same_as(Grid((100, 100, 99), np.eye(4)))
    # A scale that is off by 1e-4 is off by 0.01 mm at the far corner.
    assert not grid.same_as(Grid((100, 100, 100), np.diag([1.0001, 1, 1, 1])))


def test_overlap_is_seen_in_space():
    grid = Grid((10, 10, 10), np.eye(4))
    shifted = np.eye(4)
    shifted[0, 3] = 9.5
    assert grid.overlaps(Grid((10, 10, 10), shifted))
    shifted[0, 3] = 10.0
    assert not grid.overlaps(Grid((10, 10, 10), shifted)), "they only touch"
    assert grid.overlaps(Grid((2, 2, 2), np.diag([0.1, 0.1, 0.1, 1.0])))


def test_boxes_whose_bounding_boxes_meet_can_be_apart():
    bar = np.eye(4)
    bar[:3, :3] = rotation((0.0, 0.0, 45.0))
    long_bar = Grid((100, 1, 10), bar)
    beside = np.eye(4)
    beside[:3, 3] = (40.0, 10.0, 0.0)
    assert not long_bar.overlaps(Grid((10, 10, 10), beside))
    beside[:3, 3] = (40.0, 32.0, 0.0)
    assert long_bar.overlaps(Grid((10, 10, 10), beside))


@pytest.mark.parametrize("axcodes", ALL_AXCODES)
def test_canonical_grid_keeps_every_voxel_where_it_is(axcodes):
    kind = Kind(axcodes, (1.0, 2.0, 3.0), (4, 5, 6), (5.0, 3.0, -4.0))
    native = grid_of(kind)
    canonical = canonical_grid(native)
    assert canonical.axcodes == ("R", "A", "S")
    assert sorted(canonical.shape) == sorted(native.shape)
    ours = np.array(sorted(np.round(canonical.corners_mm, 6).tolist()))
    np.testing.assert_allclose(ours, sorted(np.round(native.corners_mm, 6).tolist()), atol=1e-5)


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("size", [1.0, 2.0])
def test_working_grid_is_isotropic_and_spans_the_scan(name, size):
    native = grid_of(KINDS[name])
    working = working_grid(native, size)
    assert working.axcodes == ("R", "A", "S")
    np.testing.assert_allclose(working.voxel_size_mm, size, atol=1e-3)
    assert working.overlaps(native)
    canonical = canonical_grid(native)
    spans = (np.array(canonical.shape) - 1) * canonical.voxel_size_mm
    np.testing.assert_allclose((np.array(working.shape) - 1) * size, spans, atol=size / 2 + 1e-6)


def test_working_grid_of_a_grid_that_fits_is_that_grid():
    native = grid_of(Kind("RAS", (1.0, 1.0, 1.0), tilt_degrees=(4.0, 2.0, 1.0)))
    working = working_grid(native, 1.0)
    assert working.same_as(native)


def test_voxels_within_a_thousandth_keep_their_size():
    working = working_grid(Grid((200, 200, 200), np.diag([1.0008, 1.0, 0.9992, 1.0])), 1.0)
    np.testing.assert_allclose(working.voxel_size_mm, (1.0008, 1.0, 0.9992))


def test_working_grid_has_no_shear():
    affine = np.eye(4)
    affine[0, 1] = 0.2
    working = working_grid(Grid((40, 40, 40), affine), 1.0)
    linear = working.affine[:3, :3]
    np.testing.assert_allclose(linear.T @ linear, np.eye(3), atol=1e-9)
