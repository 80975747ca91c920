import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from strokeseg.errors import UsageError
from strokeseg.images.intensity import (
    as_seen,
    clip_hounsfield,
    equalise_histogram,
    normalise,
    padding_value,
    zscore,
)
from tests.factories import KINDS, head


@pytest.fixture
def scan():
    data, _ = head(KINDS["lps"])
    return data


def monai_histogram(data):
    transforms = pytest.importorskip("monai.transforms")
    return np.asarray(transforms.HistogramNormalize()(data[np.newaxis]))[0]


@pytest.mark.parametrize("scale", [1.0, 1e-4, 1e5])
def test_histogram_equalisation_is_monais(scan, scale):
    data = scan * np.float32(scale)
    np.testing.assert_allclose(equalise_histogram(data), monai_histogram(data), atol=0.02)


@pytest.mark.parametrize("top", [2, 255, 256, 511, 512, 1000, 4095])
def test_whole_numbers_on_the_edges_of_bins_are_counted_as_monai_counts_them(top):
    data = np.random.default_rng(top).integers(0, top + 1, (20, 21, 22)).astype(np.float32)
    data.flat[:2] = 0, top
    np.testing.assert_allclose(equalise_histogram(data), monai_histogram(data), atol=0.01)


@pytest.mark.parametrize("how", ["histogram", "zscore"])
def test_normalised_image_is_monais(scan, how):
    transforms = pytest.importorskip("monai.transforms")
    expected = np.rint(scan)[np.newaxis]
    if how == "histogram":
        expected = transforms.HistogramNormalize()(expected)
    expected = np.asarray(transforms.NormalizeIntensity(nonzero=False)(expected))[0]
    np.testing.assert_allclose(normalise(np.rint(scan), how), expected, atol=1e-4)


def test_percentiles_clip_before_the_zscore(scan):
    spiked = scan.copy()
    spiked[0, 0, 0] = 1e6
    out = normalise(spiked, "percentile")
    assert out.max() < 5
    assert out.mean() == pytest.approx(0, abs=1e-4)
    low, high = np.percentile(spiked, [1, 99])
    clipped = np.clip(spiked, low, high).astype(np.float64)
    np.testing.assert_allclose(out, (clipped - clipped.mean()) / clipped.std(), atol=1e-4)


@settings(max_examples=30, deadline=None)
@given(
    hnp.arrays(
        np.float32, (5, 6, 7), elements=st.floats(-1000, 1000, width=32, allow_subnormal=False)
    )
)
def test_equalised_image_keeps_its_order_and_lies_within_0_and_255(data):
    out = equalise_histogram(data)
    assert out.min() >= 0
    assert out.max() <= 255.001
    by_value = out.ravel()[np.argsort(data, axis=None, kind="stable")]
    assert (np.diff(by_value) >= -1e-2).all()


@pytest.mark.parametrize("how", ["histogram", "zscore", "percentile", "foreground"])
def test_any_memory_layout_gives_the_same_image(scan, how):
    expected = normalise(np.ascontiguousarray(scan), how)
    for view in (
        np.asfortranarray(scan),
        np.ascontiguousarray(scan.transpose(1, 2, 0)).transpose(2, 0, 1),
        np.ascontiguousarray(scan[::-1, :, ::-1])[::-1, :, ::-1],
        np.repeat(scan, 2, axis=1)[:, ::2],
    ):
        np.testing.assert_allclose(normalise(view, how), expected, atol=1e-5)


@pytest.mark.parametrize("how", ["histogram", "zscore", "percentile", "foreground"])
def test_input_is_left_alone_and_output_is_float32(scan, how):
    before = scan.copy()
    out = normalise(scan, how)
    np.testing.assert_array_equal(scan, before)
    assert out.dtype == np.float32
    assert not np.shares_memory(out, scan)


@pytest.mark.parametrize("how", ["histogram", "zscore", "percentile"])
def test_normalised_image_has_unit_deviation(scan, how):
    out = normalise(scan, how)
    assert out.std(dtype=np.float64) == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("how", ["histogram", "zscore", "percentile", "foreground"])
@pytest.mark.parametrize("value", [0.0, 7.3, -1e4])
def test_constant_image_becomes_zero(how, value):
    assert not normalise(np.full((4, 4, 4), value, dtype=np.float32), how).any()


def test_zscore_of_a_large_offset_is_exact():
    data = np.random.default_rng(0).normal(1e5, 1.0, (64, 64, 64)).astype(np.float32)
    expected = data.astype(np.float64)
    expected = (expected - expected.mean()) / expected.std()
    np.testing.assert_allclose(zscore(data), expected, atol=0.01)


def test_hounsfield_units_are_clipped_to_the_brain_window():
    data = np.array([[[-1000.0, 0.0, 35.5, 80.0, 3000.0]]], dtype=np.float32)
    np.testing.assert_array_equal(clip_hounsfield(data), [[[0, 0, 35.5, 80, 80]]])


def test_an_unknown_normalisation_is_refused():
    with pytest.raises(UsageError) as caught:
        normalise(np.zeros((2, 2, 2), dtype=np.float32), "rank")
    assert "unknown normalisation 'rank'" in str(caught.value)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(("scale", "offset"), [(1.0, 0.0), (1e-4, 0.0), (3.0, -800.0), (1.0, 1e4)])
def test_foreground_has_mean_0_and_deviation_1_whatever_the_units(scan, scale, offset):
    data = scan * np.float32(scale) + np.float32(offset)
    out = normalise(data, "foreground")
    bright = data.astype(np.float64) > data.mean(dtype=np.float64)
    assert out[bright].mean(dtype=np.float64) == pytest.approx(0, abs=1e-3)
    assert out[bright].std(dtype=np.float64) == pytest.approx(1, abs=1e-3)
    np.testing.assert_allclose(out, normalise(scan, "foreground"), atol=5e-3)


def test_foreground_is_clipped():
    data = np.zeros((10, 10, 10), dtype=np.float32)
    data[2:8, 2:8, 2:8] = 100 + np.random.default_rng(0).normal(0, 1, (6, 6, 6))
    data[5, 5, 5] = 1e4
    out = normalise(data, "foreground")
    assert out.max() == 10
    data[5, 5, 5] = 100
    assert normalise(data, "foreground").min() == -5


def test_air_around_the_head_does_not_change_the_foreground():
    head_alone = np.random.default_rng(1).normal(100, 5, (12, 12, 12)).astype(np.float32)
    narrow = np.pad(head_alone, 4)
    wide = np.pad(head_alone, 8)
    np.testing.assert_allclose(
        normalise(wide, "foreground")[4:-4, 4:-4, 4:-4], normalise(narrow, "foreground"), atol=1e-4
    )


def test_outside_a_normalised_image_is_air_for_a_model_trained_so(scan):
    image = normalise(scan, "foreground")
    assert padding_value(image, "darkest") == image.min() < -0.5
    assert padding_value(normalise(scan, "histogram"), "zero") == 0


@pytest.mark.parametrize("order", ["C", "F"])
def test_minmax_brings_the_range_to_0_to_1(scan, order):
    out = normalise(np.asarray(scan, order=order), "minmax")
    expected = (scan - scan.min()) / (scan.max() - scan.min())
    np.testing.assert_allclose(out, expected, atol=1e-6)
    assert (out.min(), out.max()) == (0, 1)
    assert not normalise(np.full((3, 3, 3), 7, np.float32), "minmax").any()


@pytest.mark.parametrize("shares", [(0.02, 0.98), (0.0, 1.0), (0.3, 0.5)])
@pytest.mark.parametrize("edges", [(1, 1, 1), (60, 1, 70)])
def test_quantiles_are_those_of_the_padded_image(scan, shares, edges):
    image = scan + np.float32(100)
    out = normalise(image, "quantile", quantiles=shares, least=edges)
    widths = [(0, max(edge - size, 0)) for size, edge in zip(image.shape, edges, strict=True)]
    padded = np.pad(image, widths, constant_values=image.min())
    low, high = np.quantile(padded, shares)
    expected = (np.clip(image, low, high) - low) / max(high - low, 1e-30)
    np.testing.assert_allclose(out, expected, atol=1e-4)


def test_a_ct_is_seen_in_the_brain_window_and_mri_as_it_is():
    data = np.array([[[-1000, 35.5, 200]]], np.float32)
    np.testing.assert_array_equal(as_seen("ct", data), [[[0, 35.5, 80]]])
    assert as_seen("flair", data) is data
