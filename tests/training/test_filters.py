import numpy as np
import pytest
import torch
from scipy import ndimage

from strokeseg.training.synthesis.filters import (
    FWHM_PER_SIGMA,
    dilate,
    erode,
    fill_holes,
    gaussian_matrix,
    gaussian_smooth,
    linear_matrix,
    slice_matrix,
    smooth_field,
    spline_matrix,
)


@pytest.fixture
def noise():
    return torch.randn((14, 17, 11), generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("fwhm", [1.0, 2.5, 6.0])
def test_blur_is_a_gaussian_of_that_width(noise, fwhm):
    expected = ndimage.gaussian_filter(
        noise.numpy(), fwhm / FWHM_PER_SIGMA, mode="nearest", truncate=4
    )
    np.testing.assert_allclose(gaussian_smooth(noise, fwhm).numpy(), expected, atol=0.02)


def test_blur_acts_on_the_axes_that_it_is_given(noise):
    blurred = gaussian_smooth(noise, (0.0, 4.0, 0.0))
    assert blurred.std() < noise.std()
    np.testing.assert_allclose(blurred.mean(1), gaussian_smooth(noise, (0, 4, 0)).mean(1))
    line = torch.zeros(9, 9, 9)
    line[:, 4, 4] = 1
    assert gaussian_smooth(line, (3.0, 0.0, 0.0)).allclose(line, atol=1e-6)


@pytest.mark.parametrize(
    "matrix",
    [gaussian_matrix(12, 3.0), slice_matrix(20, 4.0), linear_matrix(5, 12), spline_matrix(20, 5)],
)
def test_every_matrix_keeps_a_constant(matrix):
    np.testing.assert_allclose(matrix.sum(axis=1), 1, atol=1e-5)
    assert matrix.min() >= 0


def test_smooth_field_stays_within_its_control_points():
    points = np.random.default_rng(0).uniform(2, 3, (3, 7, 2)).astype(np.float32)
    field = smooth_field(points, (20, 21, 22), torch.device("cpu"))
    assert field.shape == (20, 21, 22)
    assert field.min() >= 2 - 1e-5
    assert field.max() <= 3 + 1e-5
    assert field.diff(dim=1).abs().max() < 0.5


@pytest.mark.parametrize("radius", [1, 3])
def test_dilation_and_erosion_are_those_of_a_box(radius):
    mask = np.zeros((20, 20, 20), bool)
    mask[4:15, 5:14, 6:16] = True
    mask[9, 9, 9] = False
    box = np.ones((2 * radius + 1,) * 3)
    tensor = torch.from_numpy(mask)
    np.testing.assert_array_equal(dilate(tensor, radius), ndimage.binary_dilation(mask, box))
    np.testing.assert_array_equal(
        erode(tensor, radius), ndimage.binary_erosion(mask, box, border_value=1)
    )


def test_holes_are_filled_and_the_outside_is_not():
    mask = torch.zeros(12, 12, 12, dtype=torch.bool)
    mask[2:10, 2:10, 2:10] = True
    solid = mask.clone()
    mask[4:8, 4:8, 4:8] = False
    assert fill_holes(mask).equal(solid)
