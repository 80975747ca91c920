import numpy as np
import pytest

from strokeseg.engines.crops import plan_crops
from strokeseg.engines.scan import scan_logits
from strokeseg.engines.windows import plan_windows
from tests.networks import PatternEngine

ONE_PASS = ((),)


def crops(shape, *places, edge=16, most=100, weights=None):
    weights = np.ones(len(places)) if weights is None else np.array(weights)
    at = np.array(places, float).reshape(-1, 3)
    return plan_crops(shape, at, weights, edge, (4, 4, 4), most)


def test_without_a_place_there_is_no_window():
    assert crops((40, 40, 40)) is None


def test_a_place_lies_well_inside_its_window():
    rng = np.random.default_rng(0)
    for _ in range(50):
        shape = tuple(int(n) for n in rng.integers(20, 60, 3))
        place = rng.uniform(0, np.array(shape) - 1)
        found = crops(shape, place)
        (start,) = found.plan.starts
        for axis, size in enumerate(shape):
            first = found.box[axis].start + start[axis]
            low, high = place[axis] - first, first + 15 - place[axis]
            assert low >= 3.5 or first == 0
            assert high >= 3.5 or first + 16 == size


@pytest.mark.parametrize("shape", [(40, 40, 40), (10, 40, 33), (9, 11, 12)])
def test_where_windows_are_all_there_is_they_say_what_they_say_of_the_whole(shape):
    image = np.random.default_rng(1).standard_normal(shape).astype(np.float32)
    everywhere = np.argwhere(np.ones(shape, bool))
    found = plan_crops(shape, everywhere, np.ones(len(everywhere)), 16, (4, 4, 4), 1000)
    assert found.box == tuple(slice(0, size) for size in shape)
    whole = plan_windows(shape, 16, 0.5, 4)
    assert found.plan == whole
    assert found.covered.all()
    first = scan_logits(PatternEngine(), image, whole, ONE_PASS).mean
    assert np.array_equal(scan_logits(PatternEngine(), image, found.plan, ONE_PASS).mean, first)


@pytest.mark.parametrize("kept_bytes", [0, 1 << 30])
def test_windows_that_overlap_are_blended_and_nothing_is_said_beyond(kept_bytes):
    shape = (48, 48, 48)
    image = np.random.default_rng(2).standard_normal(shape).astype(np.float32)
    found = crops(shape, (12, 12, 12), (20, 12, 12), (40, 40, 40))
    part = np.ascontiguousarray(image[found.box])
    said = scan_logits(PatternEngine(), part, found.plan, ONE_PASS, None, kept_bytes).mean
    covered = found.covered
    assert covered.any()
    assert not covered.all()
    assert not said[:, ~covered].any()
    single, seen = [], []
    for start in found.plan.starts:
        window = tuple(slice(first, first + 16) for first in start)
        single.append(np.full_like(said, np.nan))
        single[-1][:, *window] = PatternEngine().logits(np.ascontiguousarray(part[window]))
        seen.append(~np.isnan(single[-1][0]))
    twice = seen[0] & seen[1]
    assert twice.any()
    low, high = np.minimum(*single[:2])[:, twice], np.maximum(*single[:2])[:, twice]
    assert (said[:, twice] >= low - 1e-4).all()
    assert (said[:, twice] <= high + 1e-4).all()
    assert not np.allclose(said[:, twice], single[0][:, twice], atol=1e-3)
    once = seen[2] & ~seen[0] & ~seen[1]
    assert np.allclose(said[:, once], single[2][:, once], atol=1e-4)


def test_where_there_are_too_many_the_worthiest_stay():
    found = crops((48, 16, 16), (8, 8, 8), (24, 8, 8), (40, 8, 8), most=1, weights=(1, 5, 2))
    assert found.left_out == 2
    assert found.box[0].start <= 24 - 3 < 24 + 3 < found.box[0].stop
    assert len(found.plan.starts) == 1
