"""The picture of a lesion map: where colour is, in which order, and what it says."""

import io

import numpy as np
import pytest
from PIL import Image

from strokeseg.errors import DataError
from strokeseg.lesion_map.heat_picture import (
    CELL_PX,
    COLUMNS,
    GUTTER_PX,
    HEADER_PX,
    colours,
    draw_heat,
)
from strokeseg.results.page import MARGIN_PX
from strokeseg.space.grid import Grid

SHAPE = (60, 72, 60)


def grid_of(axcodes="RAS", shape=SHAPE, size_mm=3.0):
    affine = np.zeros((4, 4))
    affine[3, 3] = 1.0
    for column, code in enumerate(axcodes):
        axis = next(n for n, pair in enumerate(("LR", "PA", "IS")) if code in pair)
        affine[axis, column] = size_mm * (1 if code in "RAS" else -1)
    affine[:3, 3] = -affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    return Grid(shape, affine)


def head(grid, centre_mm=(40.0, 30.0, 20.0), most=3):
    """A grey ball as a brain, and counts that rise towards a place in the right half."""
    index = np.stack(np.meshgrid(*map(np.arange, grid.shape), indexing="ij"), axis=-1)
    points = index @ grid.affine[:3, :3].T + grid.affine[:3, 3]
    brain = (np.linalg.norm(points, axis=-1) < 80).astype(np.float32) * 100
    away = np.linalg.norm(points - np.array(centre_mm), axis=-1)
    count = np.clip(most - np.floor(away / 8), 0, most).astype(np.int16)
    return count, brain


def pixels(png):
    with Image.open(io.BytesIO(png)) as image:
        assert (image.format, image.mode) == ("PNG", "RGB")
        return np.asarray(image).astype(int)


def is_colour(page):
    return page.max(axis=-1) - page.min(axis=-1) > 40


def test_colours_rise_in_lightness_and_none_is_grey():
    for most in (2, 3, 5, 12, 100):
        shades = colours(most)[1:].astype(float)
        lightness = shades @ (0.2126, 0.7152, 0.0722)
        assert len(shades) == most
        least = 0.0 if most <= 12 else -0.5  # channels are whole numbers
        assert (np.diff(lightness) > least).all(), most
        assert (np.ptp(shades, axis=1) > 90).all(), most


def test_a_map_of_one_case_has_a_colour_and_an_empty_one_too_few():
    assert colours(1).shape == (2, 3)
    assert np.ptp(colours(1)[1].astype(int)) > 90
    assert colours(0).shape == (1, 3)


@pytest.mark.parametrize("axcodes", ["RAS", "LPS", "LIA", "PSR"])
def test_the_right_half_is_drawn_on_the_left_whatever_the_axes(axcodes):
    order = {"PSR": (72, 60, 60), "LIA": (60, 60, 72)}
    grid = grid_of(axcodes, order.get(axcodes, SHAPE))
    count, brain = head(grid)
    page = pixels(draw_heat(count, grid, brain, "Map", "two lines"))
    pitch = CELL_PX + 2 * GUTTER_PX
    first_row = is_colour(page)[MARGIN_PX + HEADER_PX : MARGIN_PX + HEADER_PX + CELL_PX]
    for column in range(COLUMNS):
        left = MARGIN_PX + column * pitch
        cell = first_row[:, left : left + CELL_PX]
        assert cell[:, : CELL_PX // 2].sum() > 50
        assert cell[:, CELL_PX // 2 :].sum() == 0


def test_every_grid_of_one_head_gives_one_picture():
    pages = []
    for axcodes, shape in {"RAS": SHAPE, "LPS": SHAPE, "PSR": (72, 60, 60)}.items():
        count, brain = head(grid_of(axcodes, shape))
        pages.append(draw_heat(count, grid_of(axcodes, shape), brain, "Map", ""))
    assert pages[0] == pages[1] == pages[2]


def test_the_largest_count_has_the_last_colour_where_it_is():
    grid = grid_of()
    count, brain = head(grid, most=4)
    page = pixels(draw_heat(count, grid, brain, "", ""))
    last = np.abs(page - colours(4)[4]).max(axis=-1) < 45
    assert last[MARGIN_PX + HEADER_PX :].sum() > 20
    count[count == 4] = 3
    count[0, 0, 0] = 4  # in no slice that is drawn
    page = pixels(draw_heat(count, grid, brain, "", ""))
    last = np.abs(page - colours(4)[4]).max(axis=-1) < 20
    assert last[MARGIN_PX + HEADER_PX :].sum() == 0


def test_without_a_brain_and_without_a_lesion_there_still_is_a_page():
    grid = grid_of()
    count, brain = head(grid)
    bare = pixels(draw_heat(count, grid, None, "Map", ""))
    assert is_colour(bare)[MARGIN_PX + HEADER_PX :].sum() > 500
    empty = pixels(draw_heat(np.zeros(SHAPE, np.int16), grid, brain, "Map", ""))
    assert not is_colour(empty).any()
    assert empty.max() > 100


def test_a_thin_lesion_fills_its_rows_of_slices():
    grid = grid_of()
    count = np.zeros(SHAPE, dtype=np.int16)
    count[30, 30, 0] = 1
    assert is_colour(pixels(draw_heat(count, grid, None, "", "")))[MARGIN_PX + HEADER_PX :].any()


def test_arrays_of_different_shapes_are_refused():
    count, brain = head(grid_of())
    with pytest.raises(DataError, match="differ"):
        draw_heat(count, grid_of(shape=(60, 60, 60)), None, "", "")
    with pytest.raises(DataError, match="differ"):
        draw_heat(count, grid_of(), brain[1:], "", "")
