import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from strokeseg.images.foreground import CLIPPED_TO, find_limits, within_limits, zscore_foreground
from tests.factories import KINDS, head


@pytest.fixture
def scan():
    data, _ = head(KINDS["lps"])
    return data


@pytest.fixture
def stripped(scan):
    """The scan with padding of 0 where it is darkest, as a skull-stripped one has."""
    return np.where(scan > np.percentile(scan, 60), scan, np.float32(0))


def plain(image):
    """The rule without limits: brighter than the mean, mean and deviation of those."""
    bright = image > image.mean(dtype=np.float64)
    chosen = image[bright].astype(np.float64)
    return np.clip((image - chosen.mean()) / chosen.std(), *CLIPPED_TO)


def test_a_good_scan_is_what_the_rule_without_limits_makes_of_it(scan, stripped):
    for image in (scan, stripped):
        np.testing.assert_allclose(zscore_foreground(image), plain(image), atol=1e-3)


@pytest.mark.parametrize("factor", [10, 1e3, 1e6])
def test_a_hot_voxel_changes_no_other(scan, factor):
    spoilt = scan.copy()
    spoilt[5, 6, 7] = factor * scan.max()
    out, expected = zscore_foreground(spoilt), zscore_foreground(scan)
    others = np.ones(scan.shape, bool)
    others[5, 6, 7] = False
    np.testing.assert_allclose(out[others], expected[others], atol=0.02)


def test_a_hot_stripe_hardly_changes_what_is_beside_it(scan):
    spoilt = scan.copy()
    spoilt[8, :, 7] = 50 * scan.max()
    out, expected = zscore_foreground(spoilt), zscore_foreground(scan)
    rest = np.ones(scan.shape, bool)
    rest[8, :, 7] = False
    assert np.abs(out - expected)[rest].mean() < 0.15
    assert np.abs(plain(spoilt) - expected)[rest].mean() > 0.5


def test_a_hot_stripe_is_mended_before_interpolation(stripped):
    spoilt = stripped.copy()
    spoilt[8, :, 7] = 50 * stripped.max()
    mended = within_limits(spoilt)
    np.testing.assert_array_equal(np.delete(mended, 8, axis=0), np.delete(stripped, 8, axis=0))
    assert mended.max() <= find_limits(stripped).ceiling * 1.1
    assert np.abs(mended - stripped)[8, :, 7].mean() < 0.3 * stripped.max()


def test_the_inside_of_something_bright_stays_bright():
    rng = np.random.default_rng(0)
    image = rng.uniform(80, 120, (40, 40, 40)).astype(np.float32)
    image[18:23, 18:23, 18:23] = 400
    mended = within_limits(image)
    assert mended[20, 20, 20] == pytest.approx(find_limits(image).ceiling)


def test_a_scan_within_its_limits_is_handed_back(scan, stripped):
    assert within_limits(stripped) is stripped
    np.testing.assert_allclose(within_limits(scan), scan, atol=1e-3 * scan.max())


@pytest.mark.parametrize("padding", [-1.0, -1024, -2000, -32768])
def test_padding_of_any_depth_gives_the_same_image(stripped, padding):
    spoilt = np.where(stripped > 0, stripped, np.float32(padding))
    expected = zscore_foreground(stripped)
    np.testing.assert_allclose(zscore_foreground(spoilt), expected, atol=0.05)
    np.testing.assert_allclose(zscore_foreground(within_limits(spoilt)), expected, atol=0.05)


def test_padding_beside_real_air_becomes_about_as_dark_as_air():
    rng = np.random.default_rng(0)
    image = np.abs(rng.normal(0, 10, (40, 40, 40))).astype(np.float32)
    image[10:30, 10:30, 10:30] += 500
    spoilt = image.copy()
    spoilt[:5] = -2000
    out, expected = zscore_foreground(spoilt), zscore_foreground(image)
    np.testing.assert_allclose(out[5:], expected[5:], atol=0.05)
    assert np.abs(out[:5] - expected[:5]).max() < 2


@settings(max_examples=30, deadline=None)
@given(slope=st.floats(1e-3, 1e3), offset=st.floats(-3000, 3000), seed=st.integers(0, 99))
def test_slope_and_offset_change_nothing(slope, offset, seed):
    rng = np.random.default_rng(seed)
    image = rng.gamma(2, 100, (12, 12, 12))
    image[:4] = 0
    moved = (image * slope + offset * slope).astype(np.float32)
    np.testing.assert_allclose(
        zscore_foreground(moved), zscore_foreground(image.astype(np.float32)), atol=0.01
    )


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**31))
def test_the_order_of_intensities_is_kept(seed):
    rng = np.random.default_rng(seed)
    image = rng.standard_cauchy((9, 8, 7)).astype(np.float32) * 100
    image[rng.random(image.shape) < 0.3] = -1024
    out = zscore_foreground(image)
    by_value = out.ravel()[np.argsort(image, axis=None, kind="stable")]
    assert (np.diff(by_value) >= 0).all()
    assert out.min() >= CLIPPED_TO[0]
    assert out.max() <= CLIPPED_TO[1]


def test_two_values_are_no_limits():
    image = np.zeros((6, 6, 6), np.float32)
    image[2:4] = 7
    out = zscore_foreground(image)
    assert out[3, 3, 3] > out[0, 0, 0]


def test_training_has_the_very_same_numbers(scan):
    torch = pytest.importorskip("torch")
    from strokeseg.training.synthesis.normalising import normalise

    spoilt = scan.copy()
    spoilt[5, 6, 7] = 1e6
    spoilt[:2] = -1024
    before = spoilt.copy()
    out = normalise(torch.from_numpy(spoilt), "foreground")
    np.testing.assert_array_equal(out.numpy(), zscore_foreground(before))
    np.testing.assert_array_equal(spoilt, before)


def test_an_air_of_zeros_within_a_frame_of_padding_is_no_tissue():
    rng = np.random.default_rng(4)
    image = np.zeros((60, 60, 60), np.float32)
    image[20:40, 20:40, 20:40] = rng.normal(300, 40, (20, 20, 20))
    framed = image.copy()
    framed[:5] = -1024
    assert find_limits(framed) == find_limits(image)
