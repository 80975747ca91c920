from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.inferers import SlidingWindowInferer

from strokeseg.engines import stitching
from strokeseg.engines.base import DeviceEngine
from strokeseg.engines.choice import open_engine
from strokeseg.engines.flips import FLIPS
from strokeseg.engines.scan import lesion_maps, scan_logits
from strokeseg.engines.windows import plan_windows
from strokeseg.machine import at_most
from tests.networks import (
    ConstantEngine,
    PatternEngine,
    closeness,
    random_image,
    random_state,
    spec_of,
)

ONCE = ((),)
SHAPES = {
    "smaller than a window": (13, 10, 15),
    "larger than a window": (37, 26, 29),
    "mixed": (11, 40, 16),
    "one window exactly": (16, 16, 16),
}


def by_monai(engine, image, window, overlap, flips, padding=0.0):
    """Mean logits of MONAI's inferer over flipped copies of the image, and those of each flip."""
    inferer = SlidingWindowInferer(window, 1, overlap, "gaussian", 0.125, "constant", padding)

    def network(patch):
        return torch.from_numpy(engine.logits(patch[0, 0].contiguous().numpy()))[None]

    results = []
    for axes in flips:
        turned = [axis + 2 for axis in axes]
        image_turned = torch.from_numpy(image)[None, None].flip(turned)
        results.append(inferer(image_turned, network).flip(turned)[0].numpy())
    return np.mean(results, axis=0, dtype=np.float64), results


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("overlap", [0.5, 0.25])
def test_eight_flips_give_the_mean_of_monais_inferer(shape, overlap):
    engine, image = PatternEngine(), random_image(shape)
    plan = plan_windows(shape, 16, overlap, 8)
    scan = scan_logits(engine, image, plan)
    expected, each = by_monai(engine, image, (16, 16, 16), overlap, FLIPS)
    assert closeness(scan.mean, expected) < 1e-5
    assert len(scan.per_flip) == 8
    for lesion, logits in zip(scan.per_flip, each, strict=True):
        odds = logits[-1] - np.logaddexp(logits[0], logits[1])
        np.testing.assert_allclose(lesion.log_odds, odds, atol=1e-4)
        margin = logits[-1] - logits[:-1].max(axis=0)
        clear = np.abs(margin) > 1e-4
        np.testing.assert_array_equal(lesion.is_argmax[clear], margin[clear] > 0)


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_outside_the_image_lies_the_plans_padding(shape):
    engine, image = PatternEngine(), random_image(shape)
    plan = replace(plan_windows(shape, 16, 0.5, 8), padding=-2.5)
    scan = scan_logits(engine, image, plan)
    expected, _ = by_monai(engine, image, (16, 16, 16), 0.5, FLIPS, -2.5)
    assert closeness(scan.mean, expected) < 1e-5


def test_a_network_stitched_agrees_with_monais_inferer():
    spec = spec_of(out_channels=2)
    engine = open_engine(spec, random_state(spec), engine="openvino", threads=1)
    image = random_image((21, 34, 18))
    scan = scan_logits(engine, image, plan_windows(image.shape, 16, 0.5, 4))
    expected, _ = by_monai(engine, image, (16, 16, 16), 0.5, FLIPS)
    assert closeness(scan.mean, expected) < 1e-3


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_summing_window_by_window_gives_what_keeping_them_gives(shape):
    image, plan = random_image(shape), plan_windows(shape, 16, 0.5, 8)
    kept = scan_logits(PatternEngine(), image, plan)
    summed = scan_logits(PatternEngine(), image, plan, kept_bytes=0)
    np.testing.assert_array_equal(kept.mean, summed.mean)


@pytest.mark.parametrize("kept_bytes", [0, stitching.KEPT_BYTES])
def test_the_result_does_not_depend_on_the_threads(kept_bytes, monkeypatch):
    monkeypatch.setattr(stitching, "SLAB_BYTES", 1 << 12)
    image = random_image((37, 26, 29))
    plan = plan_windows(image.shape, 16, 0.5, 8)
    with at_most(1):
        one = scan_logits(PatternEngine(), image, plan, kept_bytes=kept_bytes)
    with at_most(2):
        two = scan_logits(PatternEngine(), image, plan, kept_bytes=kept_bytes)
    assert one.mean.tobytes() == two.mean.tobytes()
    for a, b in zip(one.per_flip, two.per_flip, strict=True):
        assert a.log_odds.tobytes() == b.log_odds.tobytes()
        assert a.is_argmax.tobytes() == b.is_argmax.tobytes()


@settings(max_examples=25, deadline=None)
@given(
    shape=st.tuples(*[st.integers(1, 30)] * 3),
    window=st.integers(8, 12),
    overlap=st.sampled_from([0.0, 0.3, 0.5]),
)
def test_constant_patches_stitch_to_a_constant(shape, window, overlap):
    plan = plan_windows(shape, window, overlap, 4)
    scan = scan_logits(ConstantEngine(3), np.zeros(shape, np.float32), plan, ((), (1,)))
    for index in range(3):
        np.testing.assert_allclose(scan.mean[index], index, rtol=1e-6)
    assert all(lesion.is_argmax.all() for lesion in scan.per_flip)


def test_every_window_of_every_flip_is_reported():
    image = random_image((16, 40, 16))
    plan = plan_windows(image.shape, 16, 0.5, 8)
    done = []
    engine = PatternEngine()
    scan_logits(engine, image, plan, ((), (0,), (2,)), lambda: done.append(len(engine.calls)))
    assert done == list(range(1, 3 * len(plan.starts) + 1))


def test_padding_is_zero_and_left_behind_by_no_earlier_flip():
    class Sums(PatternEngine):
        @staticmethod
        def answer(patch, index):
            return np.full(patch.shape, patch.sum() * (index + 1), np.float32)

    image = np.ones((5, 6, 7), np.float32)
    scan = scan_logits(Sums(), image, plan_windows(image.shape, 16, 0.5, 8))
    np.testing.assert_allclose(scan.mean[0], 5 * 6 * 7)


def test_no_flips_at_all_is_a_fault_of_the_caller():
    image = random_image((8, 8, 8))
    with pytest.raises(ValueError, match="flips is empty"):
        scan_logits(PatternEngine(), image, plan_windows(image.shape, 8, 0.5, 8), ())


def test_a_failure_while_stitching_is_not_lost_in_a_thread(monkeypatch):
    def broken(_logits):
        raise MemoryError("none left")

    monkeypatch.setattr("strokeseg.engines.scan.lesion_maps", broken)
    image = random_image((8, 8, 8))
    with pytest.raises(MemoryError, match="none left"):
        scan_logits(PatternEngine(), image, plan_windows(image.shape, 8, 0.5, 8), ONCE)


@pytest.mark.parametrize("classes", [2, 6])
def test_lesion_maps_compare_the_last_class_with_the_others(classes):
    logits = 4 * random_image((classes, 5, 6, 7))
    log_odds, is_argmax = lesion_maps(logits)
    exponentials = np.exp(logits.astype(np.float64))
    expected = np.log(exponentials[-1] / exponentials[:-1].sum(axis=0))
    np.testing.assert_allclose(log_odds, expected, atol=1e-5)
    np.testing.assert_array_equal(is_argmax, logits.argmax(axis=0) == classes - 1)


def test_lesion_maps_stay_finite_for_extreme_logits():
    logits = np.zeros((3, 1, 1, 2), np.float32)
    logits[:, 0, 0, 0] = (500, -500, 200)
    logits[:, 0, 0, 1] = (-900, -800, 900)
    log_odds, is_argmax = lesion_maps(logits)
    np.testing.assert_allclose(log_odds[0, 0], (-300, 1700))
    np.testing.assert_array_equal(is_argmax[0, 0], (False, True))


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_a_scan_on_the_device_equals_the_scan_on_arrays(shape):
    spec = spec_of(out_channels=3)
    engine = open_engine(spec, random_state(spec), engine="torch", device="cpu")
    assert isinstance(engine, DeviceEngine)

    class WithoutScan(PatternEngine):
        def logits(self, patch, out=None):
            return engine.logits(patch, out)

    image, plan = random_image(shape), plan_windows(shape, 16, 0.5, 8)
    reports = []
    there = scan_logits(engine, image, plan, on_window=lambda: reports.append(1))
    here = scan_logits(WithoutScan(), image, plan)
    assert len(reports) == 8 * len(plan.starts)
    assert there.mean.dtype == here.mean.dtype == np.float32
    assert closeness(there.mean, here.mean) < 1e-5
    for a, b in zip(there.per_flip, here.per_flip, strict=True):
        assert closeness(a.log_odds, b.log_odds) < 1e-4
        assert (a.is_argmax != b.is_argmax).mean() < 1e-3
