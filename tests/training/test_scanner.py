from dataclasses import replace

import numpy as np
import pytest
import torch

from strokeseg.images import intensity as at_test_time
from strokeseg.training.settings import IntensityConfig
from strokeseg.training.synthesis.normalising import equalise, normalise
from strokeseg.training.synthesis.scanner import (
    Scanner,
    add_noise,
    apply_gamma,
    apply_psf,
    apply_scanner,
    clip_to_percentiles,
    draw_scanner,
    strip_mask,
)

PAPER = IntensityConfig(
    gamma_std=0.6,
    blur_fwhm_limit_vox=3,
    thick_share=1,
    thickness_limit_vox=8,
    strip_share=0.3,
    strip_erode_vox=4,
    strip_dilate_vox=2,
    clip_percentiles=(1, 99),
)
ONES = np.ones((2, 2, 2), np.float32)
PLAIN = Scanner(ONES, 1.0, (0.0, 0.0, 0.0), 0, 1.0, 1e9, ONES, 0, strip=False, strip_dilation_vox=0)


@pytest.fixture
def image():
    data = torch.zeros(32, 32, 32)
    data[6:26, 6:26, 6:26] = 100
    data[12:20, 12:20, 12:20] = 180
    return data + torch.rand(data.shape, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def brain(image):
    return image > 50


def test_draws_lie_within_the_papers_ranges():
    rng = np.random.default_rng(0)
    scanners = [draw_scanner(rng, PAPER) for _ in range(300)]
    assert all(s.snr >= 10 for s in scanners)
    assert all(1 <= s.thickness_vox <= 8 for s in scanners)
    assert {s.thick_axis for s in scanners} == {0, 1, 2}
    assert all(max(s.blur_fwhm_vox) <= 3 for s in scanners)
    assert max(max(s.bias.shape) for s in scanners) == 7
    assert max(max(s.g_factor.shape) for s in scanners) == 5
    assert {s.strip_dilation_vox for s in scanners} == set(range(-4, 3))
    assert 60 < sum(s.strip for s in scanners) < 120


def test_a_plain_scanner_only_scales(image, brain):
    seen = apply_scanner(image, brain, PLAIN, IntensityConfig())
    expected = (image - image.min()) / (image.max() - image.min())
    torch.testing.assert_close(seen, expected, atol=1e-4, rtol=0)


def test_every_effect_changes_the_image_and_keeps_it_finite(image, brain):
    plain = apply_scanner(image, brain, PLAIN, IntensityConfig())
    bias = np.linspace(0.5, 1.5, 8, dtype=np.float32).reshape(2, 2, 2)
    changes = (
        {"bias": bias},
        {"gamma": 2.0},
        {"blur_fwhm_vox": (2.0, 2.0, 2.0)},
        {"thick_axis": 1, "thickness_vox": 6.0},
        {"snr": 10.0},
        {"strip": True},
    )
    for change in changes:
        seen = apply_scanner(image, brain, replace(PLAIN, **change), IntensityConfig())
        assert seen.isfinite().all(), change
        assert (seen - plain).abs().max() > 0.004, change


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_thick_slices_smooth_along_their_axis_alone(axis):
    noise = torch.rand((24, 24, 24), generator=torch.Generator().manual_seed(0))
    seen = apply_psf(noise, replace(PLAIN, thick_axis=axis, thickness_vox=5.0))
    steps = [float(seen.diff(dim=a).abs().mean()) for a in range(3)]
    assert min(range(3), key=lambda a: steps[a]) == axis


def test_noise_has_the_snr_that_was_drawn(brain):
    flat = torch.where(brain, 100.0, 0.0)
    noisy = add_noise(flat, brain, replace(PLAIN, snr=20.0, seed=3))
    assert noisy[brain].std() == pytest.approx(5, rel=0.1)
    assert noisy.min() >= 0
    assert noisy.equal(add_noise(flat, brain, replace(PLAIN, snr=20.0, seed=3)))


def test_noise_without_a_brain_in_view_is_finite(image):
    nothing = torch.zeros_like(image, dtype=torch.bool)
    assert add_noise(image, nothing, replace(PLAIN, snr=10.0)).isfinite().all()


def test_gamma_keeps_the_range(image):
    for gamma in (0.3, 1.0, 3.0):
        seen = apply_gamma(image, gamma)
        assert seen.min() == 0
        assert seen.max() == 1


def test_percentile_clip_takes_the_extremes_and_is_off_by_default(image):
    spiked = image.clone()
    spiked[0, 0, 0] = 1e6
    assert clip_to_percentiles(spiked, (0.0, 100.0)) is spiked
    clipped = clip_to_percentiles(spiked, (1.0, 99.0))
    assert clipped.max() < 200
    low, high = np.percentile(spiked.numpy(), (1, 99))
    np.testing.assert_allclose(clipped.numpy(), np.clip(spiked.numpy(), low, high), rtol=1e-4)


@pytest.mark.parametrize("dilation", [-4, -1, 0, 2])
def test_stripping_grows_or_shrinks_a_brain_without_holes(brain, dilation):
    holed = brain.clone()
    holed[14:18, 14:18, 14:18] = False
    mask = strip_mask(holed, dilation)
    edge = 20 + 2 * dilation
    assert mask.sum() == edge**3


@pytest.mark.parametrize("how", ["zscore", "histogram", "percentile", "foreground"])
def test_training_normalises_as_inference_does(image, how):
    expected = at_test_time.normalise(image.numpy(), how)
    np.testing.assert_allclose(normalise(image, how).numpy(), expected, atol=2e-2)


def test_equalisation_is_that_of_inference(image):
    expected = at_test_time.equalise_histogram(image.numpy())
    np.testing.assert_allclose(equalise(image).numpy(), expected, atol=0.1)


def test_a_constant_image_becomes_zero():
    for how in ("zscore", "histogram", "percentile", "foreground"):
        assert not normalise(torch.full((5, 5, 5), 3.0), how).any()
