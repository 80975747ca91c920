"""The picture of a case: what is drawn where, at which size, and for an empty mask."""

import io
from itertools import permutations, product

import numpy as np
import pytest
from PIL import Image

from strokeseg.errors import DataError
from strokeseg.measure.lesions import find_lesions
from strokeseg.results.lesion_numbers import NUMBER, number_lesions, shown_of
from strokeseg.results.page import AXIAL
from strokeseg.results.picture import (
    CAPTION_PX,
    CELL_PX,
    GUTTER_PX,
    HEADER_PX,
    MARGIN_PX,
    OUTLINE,
    TRUTH,
    Marks,
    draw,
    legend,
)
from strokeseg.space.grid import Grid

TOP = MARGIN_PX + HEADER_PX
PITCH = CELL_PX + 2 * GUTTER_PX


def _grid(shape, zooms=(1.0, 1.0, 1.0)):
    affine = np.diag([*zooms, 1.0])
    affine[:3, 3] = [-(n - 1) / 2 * size for n, size in zip(shape, zooms, strict=True)]
    return Grid(shape, affine)


def _ball(grid, centre_mm, radius_mm):
    steps = zip(grid.shape, np.diag(grid.affine), grid.affine[:3, 3], centre_mm, strict=False)
    axes = [np.arange(n) * size + origin - centre for n, size, origin, centre in steps]
    x, y, z = np.meshgrid(*axes, indexing="ij", sparse=True)
    return x**2 + y**2 + z**2 <= radius_mm**2


def _head(grid, radius_mm=55.0):
    rng = np.random.default_rng(0)
    noise = rng.uniform(0.8, 1.2, grid.shape)
    return (_ball(grid, (0, 0, 0), radius_mm) * noise * 100).astype(np.float32)


def _pixels(png):
    with Image.open(io.BytesIO(png)) as image:
        assert image.format == "PNG"
        assert image.mode == "RGB"
        return np.asarray(image).astype(int)


def _outlined(pixels):
    return np.abs(pixels - OUTLINE).max(axis=-1) <= 40


def _cells(pixels):
    """The nine cells of a page whose cells are square (a head as wide as it is long and high)."""
    step = CELL_PX + CAPTION_PX
    return [
        [
            pixels[TOP + row * step :, MARGIN_PX + column * PITCH :][:CELL_PX, :CELL_PX]
            for column in range(3)
        ]
        for row in range(3)
    ]


def _centre(outlined):
    rows, columns = np.nonzero(outlined)
    return (rows.min() + rows.max()) / 2 / CELL_PX, (columns.min() + columns.max()) / 2 / CELL_PX


@pytest.fixture(scope="module")
def case():
    grid = _grid((120, 120, 120))
    return _head(grid), _ball(grid, (25, 15, 10), 12), grid


def test_the_patients_right_is_on_the_left_and_up_is_up(case):
    cells = _cells(_pixels(draw(*case, "title", "subtitle")))
    axial, coronal, sagittal = (_centre(_outlined(row[1])) for row in cells)
    # The lesion lies right, anterior and superior of the middle; rows count from the top.
    assert axial[1] < 0.35
    assert axial[0] < 0.45
    assert coronal[1] < 0.35
    assert coronal[0] < 0.45
    assert sagittal[1] < 0.45
    assert sagittal[0] < 0.45


def test_each_slice_shows_the_lesion(case):
    cells = _cells(_pixels(draw(*case, "title", "subtitle")))
    assert all(_outlined(cell).any() for row in cells for cell in row)


def test_the_outline_hides_nothing_of_the_lesion(case):
    scan, mask, grid = case
    bright = np.where(mask, np.float32(100), scan * 0.3)
    cell = _cells(_pixels(draw(bright, mask, grid, "title", "subtitle")))[0][1]
    rows, columns = np.nonzero(_outlined(cell))
    inner = cell[rows.min() + 4 : rows.max() - 3, columns.min() + 4 : columns.max() - 3]
    assert inner.shape[0] > 0.9 * 2 * 12 * CELL_PX / 118
    middle = inner[inner.shape[0] // 2]
    assert (middle.min(axis=-1) > 200).all()


def test_far_apart_foci_are_both_shown():
    grid = _grid((120, 120, 120))
    scan = _head(grid)
    mask = _ball(grid, (0, 0, -35), 9) | _ball(grid, (0, 0, 35), 6)
    low, middle, high = _cells(_pixels(draw(scan, mask, grid, "", "")))[0]
    assert _outlined(low).any()
    assert _outlined(high).any()
    assert not np.array_equal(low, middle)
    for cell, radius in ((high, 6.0), (low, 9.0)):
        columns = np.nonzero(_outlined(cell))[1]
        assert np.ptp(columns) == pytest.approx(2 * radius * CELL_PX / 118, abs=8)


def test_a_lesion_of_one_slice_is_drawn_with_its_neighbours(case):
    scan, _, grid = case
    mask = np.zeros(grid.shape, dtype=bool)
    mask[50:70, 50:70, 60] = True
    shown = [_outlined(cell).any() for cell in _cells(_pixels(draw(scan, mask, grid, "", "")))[0]]
    assert shown == [False, True, False]


@pytest.mark.parametrize("zooms", [(1.0, 1.0, 4.0), (0.5, 2.0, 1.0)])
def test_anisotropic_voxels_are_drawn_in_true_proportion(zooms):
    grid = _grid(tuple(int(120 / size) for size in zooms), zooms)
    cells = _cells(_pixels(draw(_head(grid), _ball(grid, (0, 0, 0), 30), grid, "", "")))
    for row in cells:
        rows, columns = np.nonzero(_outlined(row[1]))
        assert np.ptp(rows) == pytest.approx(np.ptp(columns), rel=0.15)
        assert np.ptp(rows) == pytest.approx(60 * CELL_PX / 118, rel=0.15)


def test_all_48_orientations_give_one_picture():
    grid = _grid((30, 36, 42), (2.0, 2.0, 2.0))
    scan, mask = _head(grid, 25.0), _ball(grid, (8, 4, 6), 5)
    expected = draw(scan, mask, grid, "title", "subtitle")
    for order, signs in product(permutations(range(3)), product((1, -1), repeat=3)):
        flips = tuple(slice(None, None, sign) for sign in signs)
        move = np.zeros((4, 4))
        move[3, 3] = 1.0
        for new, (old, sign) in enumerate(zip(order, signs, strict=True)):
            move[old, new] = sign
            move[old, 3] = 0 if sign > 0 else grid.shape[old] - 1
        shape = tuple(grid.shape[axis] for axis in order)
        turned = Grid(shape, grid.affine @ move)
        picture = draw(
            scan.transpose(order)[flips], mask.transpose(order)[flips], turned, "title", "subtitle"
        )
        assert picture == expected, (order, signs)


def test_an_empty_mask_gives_a_plain_montage_that_says_so(case):
    scan, mask, grid = case
    empty = np.zeros_like(mask)
    pixels = _pixels(draw(scan, empty, grid, "title", ""))
    assert not any(_outlined(cell).any() for row in _cells(pixels) for cell in row)
    assert all((cell > 100).mean() > 0.2 for row in _cells(pixels) for cell in row)
    # "No lesion found" stands in the outline's colour where the legend would be.
    words = _outlined(pixels[:TOP])
    assert np.ptp(np.nonzero(words)[1]) > 100
    legend_line = _outlined(_pixels(draw(scan, mask, grid, "title", ""))[:TOP])
    assert np.ptp(np.nonzero(legend_line)[1]) < 30


def test_what_lies_round_the_head_is_cut_off():
    small = _grid((120, 120, 120))
    large = _grid((200, 160, 180))
    near = _pixels(draw(_head(small), _ball(small, (0, 0, 0), 20), small, "", ""))
    far = _pixels(draw(_head(large), _ball(large, (0, 0, 0), 20), large, "", ""))
    assert far.shape == pytest.approx(near.shape, abs=12)


def test_a_lesion_beyond_the_head_is_not_cut_off():
    grid = _grid((160, 160, 160))
    mask = _ball(grid, (72, 0, 0), 6)
    pixels = _pixels(draw(_head(grid, 40.0), mask, grid, "", ""))
    assert _outlined(pixels[TOP:]).sum() > 100


def test_one_bright_voxel_does_not_darken_the_scan(case):
    scan, mask, grid = case
    spiked = scan.copy()
    spiked[60, 60, 60] = 1e6
    plain, spoilt = (_pixels(draw(data, mask, grid, "", "")) for data in (scan, spiked))
    assert spoilt.mean() == pytest.approx(plain.mean(), rel=0.02)


@pytest.mark.parametrize("shape", [(40, 40, 1), (2, 40, 40), (40, 2, 3), (1, 1, 1)])
@pytest.mark.parametrize("lesion", [True, False])
def test_thin_and_constant_images_are_drawn(shape, lesion):
    scan = np.full(shape, 7.0, dtype=np.float32)
    mask = np.full(shape, lesion)
    _pixels(draw(scan, mask, _grid(shape), "", ""))


def test_input_stays_as_it_is_and_the_picture_repeats(case):
    scan, mask, grid = case
    before = scan.copy(), mask.copy()
    assert draw(scan, mask, grid, "a", "b") == draw(scan, mask, grid, "a", "b")
    assert np.array_equal(scan, before[0])
    assert np.array_equal(mask, before[1])


def test_long_text_ends_before_the_margin(case):
    pixels = _pixels(draw(*case, "a_very_long_name_" * 20, "and a long subtitle " * 20))
    assert (pixels[:TOP, -MARGIN_PX + 2 :] < 30).all()
    assert (pixels[:TOP, -4 * MARGIN_PX :] > 200).any()


def test_arrays_of_different_shapes_are_refused(case):
    scan, mask, grid = case
    with pytest.raises(DataError, match="differ in shape: bring them onto one grid") as caught:
        draw(scan[1:], mask, grid, "", "")
    assert caught.value.exit_code == 65


@pytest.mark.parametrize(
    ("volume", "count", "text"),
    [
        (4.19, 18, "18 lesions, 4.2 ml"),
        (120.04, 1, "1 lesion, 120.0 ml"),
        (0.0123, 1, "1 lesion, 0.012 ml"),
    ],
)
def test_legend(volume, count, text):
    assert legend(volume, count) == text


def test_the_legend_says_between_what_volumes_the_true_one_lies():
    assert legend(4.19, 2, (1.25, 9.96)) == "2 lesions, 4.2 ml (90 % interval: 1.2 to 10.0 ml)"


def _found(mask, grid):
    return find_lesions(mask, mask.astype(np.float32), grid, midline_mm=0.0)


def _labels(png):
    return np.abs(_pixels(png) - NUMBER).max(axis=-1) <= 30


def test_the_numbers_of_the_table_stand_above_their_lesions():
    grid = _grid((120, 120, 120))
    mask = _ball(grid, (30, 0, 0), 9) | _ball(grid, (-30, 0, 0), 7)
    found = number_lesions(mask, grid.affine, _found(mask, grid), grid)
    right, left = found.on_slice(AXIAL, 60)[1], found.on_slice(AXIAL, 60)[2]
    assert right == pytest.approx((89.5, 68), abs=1)
    assert left == pytest.approx((29.5, 66), abs=1)
    assert set(found.on_slice(AXIAL, 67)) == {1}  # above the smaller one
    assert found.on_slice(AXIAL, 90) == {}
    cells = _cells(
        _pixels(draw(_head(grid), mask, grid, "", "", marks=Marks(lesions=_found(mask, grid))))
    )
    marked = np.abs(cells[0][1] - NUMBER).max(axis=-1) <= 30
    columns = np.nonzero(marked.any(axis=0))[0]
    assert columns.min() < CELL_PX / 2 < columns.max()  # one on either side
    assert not _labels(draw(_head(grid), mask, grid, "", "")).any()


@pytest.mark.parametrize(("turn", "flip"), [((0, 1, 2), 1), ((2, 0, 1), -1)])
def test_numbers_are_those_of_the_table_in_any_orientation(turn, flip):
    plain = _grid((100, 110, 120))
    mask = _ball(plain, (30, 0, 0), 8) | _ball(plain, (-30, 0, 0), 8) | _ball(plain, (0, 30, 9), 8)
    affine = plain.affine[:, [*turn, 3]]
    data = mask.transpose(turn)
    if flip < 0:
        data = data[::-1]
        affine = affine @ np.diag([-1.0, 1, 1, 1])
        affine[:3, 3] -= affine[:3, 0] * (len(data) - 1)
    grid = Grid(data.shape, affine)
    lesions = _found(data, grid)  # three of one size: only their places tell them apart
    assert len(lesions) == 3
    found = number_lesions(mask, plain.affine, lesions, grid)
    components = found.components
    for component, number in found.numbers:
        place = np.argwhere(components.inside(component)).mean(axis=0)
        corner = [side.start for side in components.boxes[component]]
        centre = (plain.affine @ [*(place + corner), 1.0])[:3]
        assert np.linalg.norm(centre - lesions[number - 1].centroid_mm) < 0.1


def test_the_legend_says_how_many_of_the_lesions_the_slices_show():
    assert shown_of(3, 7) == "; 3 of 7 shown"
    assert shown_of(7, 7) == shown_of(0, 7) == ""


def _true(pixels):
    return np.abs(pixels - TRUTH).max(axis=-1) <= 40


def test_the_truth_has_an_outline_of_its_own_and_a_line_in_the_legend(case):
    scan, mask, grid = case
    plain = _pixels(draw(scan, mask, grid, "title", "one lesion"))
    truth = _ball(grid, (25, 15, 10), 22)
    both = _pixels(draw(scan, mask, grid, "title", "one lesion", marks=Marks(truth=truth)))
    assert not _true(plain).any()
    for cell in (cell for row in _cells(both) for cell in row):
        found, true = (np.ptp(np.nonzero(of(cell))[1]) for of in (_outlined, _true))
        assert found < true
    assert np.ptp(np.nonzero(_true(both[:TOP]))[1]) in range(20, 30)  # the legend's line
    told = draw(scan, mask, grid, "title", "long " * 90, marks=Marks(truth=truth))
    assert _true(_pixels(told)[:TOP]).any()  # whatever stands before it


def test_a_lesion_that_was_missed_chooses_the_slices(case):
    scan, mask, grid = case
    missed = draw(scan, np.zeros_like(mask), grid, "", "", marks=Marks(truth=mask))
    pixels = _pixels(missed)
    assert all(_true(cell).any() for row in _cells(pixels) for cell in row)
    assert not any(_outlined(cell).any() for row in _cells(pixels) for cell in row)
    assert np.ptp(np.nonzero(_outlined(pixels[:TOP]))[1]) > 100  # "No lesion found"


def test_a_truth_on_another_grid_is_refused(case):
    scan, mask, grid = case
    with pytest.raises(DataError, match=r"\(the truth: \(119, 120, 120\)\): bring them"):
        draw(scan, mask, grid, "", "", marks=Marks(truth=mask[1:]))
