import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.data.utils import compute_importance_map, dense_patch_slices
from monai.inferers.utils import _get_scan_interval

from strokeseg.engines.windows import gaussian_weights, plan_windows
from strokeseg.errors import UsageError


@settings(max_examples=60, deadline=None)
@given(
    shape=st.tuples(*[st.integers(1, 70)] * 3),
    window=st.tuples(*[st.integers(5, 40)] * 3),
    overlap=st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.75, 0.99]),
)
def test_windows_start_where_monai_starts_them_in_the_same_order(shape, window, overlap):
    plan = plan_windows(shape, window, overlap, 1)
    padded = tuple(max(s, w) for s, w in zip(shape, window, strict=True))
    interval = _get_scan_interval(padded, window, 3, (overlap,) * 3)
    expected = [
        tuple(s.start for s in place) for place in dense_patch_slices(padded, window, interval)
    ]
    assert list(plan.starts) == expected
    assert plan.padded_shape == padded


@settings(max_examples=60, deadline=None)
@given(
    shape=st.tuples(*[st.integers(1, 50)] * 3),
    window=st.integers(4, 20),
    overlap=st.floats(0, 0.9),
)
def test_the_windows_cover_every_voxel_of_the_image(shape, window, overlap):
    plan = plan_windows(shape, window, overlap, 4)
    seen = np.zeros(shape, bool)
    for start, part in zip(plan.starts, plan.overlaps, strict=True):
        seen[part.image] = True
        for axis in range(3):
            there, here = part.image[axis], part.window[axis]
            assert there.stop - there.start == here.stop - here.start
            assert start[axis] + here.start == there.start + plan.pad_before[axis]
            assert 0 <= here.start < here.stop <= plan.window[axis]
    assert seen.all()


def test_the_brain_of_colin_takes_two_windows_of_192():
    plan = plan_windows((181, 217, 181), 192, 0.5, 32)
    assert plan.starts == ((0, 0, 0), (0, 25, 0))
    assert plan.padded_shape == (192, 217, 192)
    assert plan.pad_before == (5, 0, 5)


def test_a_window_is_rounded_up_to_what_the_network_can_take():
    assert plan_windows((10, 10, 10), 100, 0.5, 32).window == (128, 128, 128)
    assert plan_windows((10, 10, 10), (8, 9, 10), 0.5, (2, 4, 8)).window == (8, 12, 16)
    assert plan_windows((10, 10, 10), 96, 0.5, 32).window == (96, 96, 96)


@pytest.mark.parametrize("window", [(192, 192, 192), (16, 24, 32), (5, 6, 7), (1, 8, 3)])
def test_weights_are_those_of_monai(window):
    expected = compute_importance_map(window, mode="gaussian", sigma_scale=0.125)
    np.testing.assert_allclose(gaussian_weights(window), expected.numpy(), rtol=1e-5, atol=0)
    assert expected.dtype == torch.float32
    assert gaussian_weights(window).dtype == np.float32


@pytest.mark.parametrize("window", [0, -1, (8, 0, 8)])
def test_an_empty_window_is_refused(window):
    with pytest.raises(
        UsageError, match=r"window is .*; give an edge of at least 1 voxel"
    ) as error:
        plan_windows((10, 10, 10), window, 0.5, 1)
    assert error.value.exit_code == 2


@pytest.mark.parametrize("overlap", [-0.1, 1.0, 2.0])
def test_an_overlap_out_of_range_is_refused(overlap):
    with pytest.raises(UsageError, match=f"overlap is {overlap}; give a fraction"):
        plan_windows((10, 10, 10), 8, overlap, 1)
