from dataclasses import replace

import numpy as np
import pytest

from strokeseg.engines.base import FlipLesion, ScanLogits
from strokeseg.engines.scan import lesion_maps
from strokeseg.prediction.ensemble import Member, fused_logits, posterior
from strokeseg.prediction.flip_spread import flip_spread
from strokeseg.space.grid import Grid

GRID = Grid((6, 5, 4), np.eye(4))


def member(logits, grid=GRID, native=None, flips=1):
    logits = np.asarray(logits, np.float32)
    log_odds, is_argmax = lesion_maps(logits)
    lesions = [FlipLesion(log_odds, is_argmax)] * flips
    return Member(ScanLogits(logits, lesions), grid, native or grid)


def constant(*values, grid=GRID):
    return np.broadcast_to(np.reshape(values, (-1, 1, 1, 1)), (len(values), *grid.shape))


def test_posterior_is_the_softmax_by_hand():
    answer = posterior([member(constant(0.0, 1.0, 2.0))], GRID, with_entropy=True)
    weights = np.exp([0.0, 1.0, 2.0])
    p = weights / weights.sum()
    assert np.allclose(answer.probability, p[2], atol=1e-6)
    assert answer.is_argmax.all()
    assert (answer.tissue == 1).all()
    assert np.allclose(answer.entropy, -(p * np.log(p)).sum(), atol=1e-6)


def test_entropy_is_zero_when_sure_and_log_of_the_classes_when_clueless():
    sure = posterior([member(constant(500.0, 0.0, -500.0))], GRID, with_entropy=True)
    assert np.allclose(sure.entropy, 0, atol=1e-6)
    clueless = posterior([member(constant(3.0, 3.0, 3.0, 3.0))], GRID, with_entropy=True)
    assert np.allclose(clueless.entropy, np.log(4), atol=1e-6)
    assert not clueless.is_argmax.any()


def test_posterior_of_random_logits_is_that_of_numpy():
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 3, (6, *GRID.shape))
    answer = posterior([member(logits)], GRID, with_entropy=True)
    p = np.exp(logits) / np.exp(logits).sum(axis=0)
    assert np.allclose(answer.probability, p[-1], atol=1e-6)
    assert np.array_equal(answer.tissue, logits[:-1].argmax(axis=0))
    assert np.array_equal(answer.is_argmax, logits.argmax(axis=0) == 5)
    assert np.allclose(answer.entropy, -(p * np.log(p)).sum(axis=0), atol=1e-5)


def test_members_are_averaged_as_logits_before_the_softmax():
    both = [member(constant(0.0, 4.0)), member(constant(0.0, -2.0))]
    assert np.allclose(fused_logits(both, GRID, slice(0, 6))[1], 1.0)
    answer = posterior(both, GRID, with_entropy=False)
    assert np.allclose(answer.probability, 1 / (1 + np.exp(-1.0)), atol=1e-6)
    assert answer.entropy is None


def test_a_member_counts_only_where_its_scan_reaches():
    half = Grid((3, 5, 4), np.eye(4))
    both = [member(constant(0.0, 4.0)), member(constant(0.0, -2.0, grid=half), half)]
    mean = fused_logits(both, GRID, slice(0, 6))
    assert np.allclose(mean[1, :3], 1.0)
    assert np.allclose(mean[1, 3:], 4.0)


def test_where_no_scan_reaches_all_count_alike():
    far = np.eye(4)
    far[0, 3] = 3.0
    left, right = Grid((2, 5, 4), np.eye(4)), Grid((2, 5, 4), far @ np.diag([1, 1, 1, 1]))
    pair = [
        member(constant(0.0, 4.0, grid=left), left),
        member(constant(0.0, -2.0, grid=right), right),
    ]
    mean = fused_logits(pair, GRID, slice(0, 6))
    assert np.allclose(mean[1, :2], 4.0)
    assert np.allclose(mean[1, 2], 1.0)
    assert np.allclose(mean[1, 3:5], -2.0)


def test_the_spread_over_flips_is_the_standard_deviation_by_hand():
    maps = [lesion_maps(constant(0.0, value).astype(np.float32)) for value in (-1.0, 0.5, 3.0)]
    lesions = [FlipLesion(odds, argmax) for odds, argmax in maps]
    scan = Member(ScanLogits(constant(0.0, 0.8).astype(np.float32), lesions), GRID, GRID)
    spread = flip_spread([scan], GRID, None)
    p = 1 / (1 + np.exp(-np.array([-1.0, 0.5, 3.0])))
    assert np.allclose(spread.std, p.std(), atol=1e-6)
    assert [bool(level.all()) for level in spread.levels] == [False, True, True]
    strict = flip_spread([scan], GRID, 0.9)
    assert [bool(level.any()) for level in strict.levels] == [False, False, True]
    peaked = flip_spread([scan], GRID, 0.5, 0.7)
    assert [int(level.max()) for level in peaked.levels] == [0, 1, 2]


@pytest.mark.parametrize("threshold", [None, 0.5])
def test_one_flip_has_no_spread(threshold):
    spread = flip_spread([member(constant(0.0, 1.0))], GRID, threshold)
    assert np.allclose(spread.std, 0, atol=1e-3)
    assert len(spread.levels) == 1


def test_what_a_flip_finds_by_class_is_brought_to_the_references_working_grid():
    shifted = np.eye(4)
    shifted[0, 3] = 2.0
    part = Grid((3, 5, 4), shifted)
    logits = np.zeros((2, *part.shape), np.float32)
    logits[1, 0], logits[1, 1:] = 1.0, -1.0
    for is_cut in (True, False):
        seen = replace(member(logits, part), is_cut=is_cut)
        (level,) = flip_spread([seen], GRID, None).levels
        assert (level[2] == 2).all()
        assert np.count_nonzero(level) == level[2].size
