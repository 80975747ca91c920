import sys

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from strokeseg.errors import EngineError
from strokeseg.space.grid import Grid
from strokeseg.space.pictures import picture_of
from strokeseg.space.registration import register, simpleitk
from strokeseg.space.tfm import tfm_text
from tests.factories import rotation

SimpleITK = pytest.importorskip("SimpleITK")
SHAPE, STEP = (60, 70, 56), 3.0


def grid():
    affine = np.diag([STEP, STEP, STEP, 1.0])
    affine[:3, 3] = -(np.array(SHAPE) - 1) * STEP / 2
    return Grid(SHAPE, affine)


def head(greys, matrix=None):
    """A head of a few tissues, as seen where `matrix` brought it."""
    own = grid()
    points = np.stack(np.indices(SHAPE), axis=-1) @ own.affine[:3, :3].T + own.affine[:3, 3]
    back = np.linalg.inv(np.eye(4) if matrix is None else matrix)
    x, y, z = np.moveaxis(points @ back[:3, :3].T + back[:3, 3], -1, 0)
    inside = np.sqrt((x / 60) ** 2 + (y / 75) ** 2 + (z / 55) ** 2)
    hollow = ((np.abs(x) - 14) / 9) ** 2 + ((y - 8) / 32) ** 2 + ((z - 12) / 13) ** 2
    spot = (x - 30) ** 2 + (y + 30) ** 2 + (z - 5) ** 2
    kinds = [inside > 1, hollow < 1, spot < 200, inside < 0.7, inside <= 1]
    texture = 3 * np.sin(x / 7) * np.cos(y / 6 + z / 9)
    image = np.select(kinds, greys, 0) + np.where(inside > 1, 0, texture)
    return np.asarray(gaussian_filter(image.astype(np.float32), 0.6))


def displacement(shift_mm, degrees):
    matrix = np.eye(4)
    matrix[:3, :3] = rotation(degrees)
    matrix[:3, 3] = shift_mm
    return matrix


T1, FLAIR = (0, 20, 60, 100, 70), (0, 5, 100, 55, 75)


@pytest.mark.parametrize(
    ("shift_mm", "degrees"), [((25, -20, 10), (0, 0, 0)), ((5, 10, -30), (12, -20, 15))]
)
def test_an_image_of_another_contrast_is_brought_onto_the_first(shift_mm, degrees):
    truth = displacement(shift_mm, degrees)
    fixed, moving = (picture_of(one, grid()) for one in (head(T1), head(FLAIR, truth)))
    fit = register(fixed, moving)
    assert fit.is_better
    corners = np.array([(x, y, z, 1) for x in (-60, 60) for y in (-75, 75) for z in (-50, 50)])
    apart = np.linalg.norm(((fit.to_moving - truth) @ corners.T)[:3], axis=0)
    assert apart.max() < 1.5
    again = register(fixed, moving)
    assert np.array_equal(again.to_moving, fit.to_moving)


def test_an_affine_finds_the_size_too():
    truth = np.diag([1.1, 0.93, 1.05, 1.0])
    truth[:3, 3] = 6, -4, 9
    fixed, moving = (picture_of(one, grid()) for one in (head(T1), head(T1, truth)))
    fit = register(fixed, moving, affine=True)
    np.testing.assert_allclose(fit.to_moving, truth, atol=0.03, rtol=0.1)


def test_images_that_lie_metres_apart_are_brought_together_by_their_centres():
    fixed = picture_of(head(T1), grid())
    far = Grid(SHAPE, displacement((5000, 0, 0), (0, 0, 0)) @ grid().affine)
    fit = register(fixed, picture_of(head(T1), far), turned=False)
    assert fit.metric_before == 0
    np.testing.assert_allclose(fit.to_moving[:3, 3], (5000, 0, 0), atol=0.5)


def test_an_image_that_shows_nothing_is_no_better_anywhere():
    fixed = picture_of(head(T1), grid())
    fit = register(fixed, picture_of(np.zeros(SHAPE, np.float32), grid()), turned=False)
    assert not fit.is_better


def test_a_transform_is_read_by_itk_as_it_was_meant(tmp_path):
    matrix = displacement((4, -7, 11), (10, 20, -5))
    path = tmp_path / "a.tfm"
    path.write_text(tfm_text(matrix))
    read = SimpleITK.ReadTransform(str(path))
    point = np.array([12.0, -30.0, 44.0])
    turn = np.array([-1, -1, 1])
    there = np.array(read.TransformPoint((point * turn).tolist())) * turn
    np.testing.assert_allclose(there, matrix[:3, :3] @ point + matrix[:3, 3], atol=1e-9)


def test_without_simpleitk_the_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "SimpleITK", None)
    with pytest.raises(EngineError, match=r"strokeseg\[itk\]"):
        simpleitk()
