import math

import numpy as np
import pytest

from strokeseg.evaluation.metrics.voxels import average_precision, dice


def volume(*values):
    return np.array(values, np.float32).reshape(-1, 1, 1)


def masked(*values):
    return np.array(values, bool).reshape(-1, 1, 1)


def test_a_case_worked_out_by_hand():
    # Down the ranks: 0.8 true (P 1, R 1/2), 0.4 false, 0.35 true (P 2/3, R 1), 0.1 false.
    scores, truth = volume(0.1, 0.4, 0.35, 0.8), masked(0, 0, 1, 1)
    assert average_precision(scores, truth) == pytest.approx(1 / 2 * 1 + 1 / 2 * 2 / 3)


def test_voxels_of_one_probability_enter_together():
    # 0.9: one true, one false (P 1/2, R 1/3); 0.2: two true, one false (P 3/5, R 1).
    scores = volume(0.9, 0.9, 0.2, 0.2, 0.2, 0.1)
    truth = masked(1, 0, 1, 0, 1, 0)
    assert average_precision(scores, truth) == pytest.approx(1 / 3 * 1 / 2 + 2 / 3 * 3 / 5)


def test_a_perfect_ranking_is_1_and_a_constant_one_the_share_of_lesion():
    truth = masked(1, 0, 0, 1, 0)
    assert average_precision(volume(0.7, 0.1, 0.2, 0.6, 0.5), truth) == 1
    assert average_precision(np.full((5, 1, 1), 0.3, np.float32), truth) == pytest.approx(2 / 5)


def test_without_lesion_there_is_no_recall():
    assert math.isnan(average_precision(volume(0.1, 0.2), masked(0, 0)))


def by_definition(scores, truth):
    total, recall = 0.0, 0.0
    for threshold in sorted(set(scores.ravel().tolist()), reverse=True):
        taken = scores >= threshold
        hit = np.count_nonzero(taken & truth)
        step = hit / truth.sum() - recall
        total += step * hit / np.count_nonzero(taken)
        recall += step
    return total


@pytest.mark.parametrize("seed", range(3))
def test_it_is_the_sum_over_all_thresholds(seed):
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, 40, (9, 8, 7)).astype(np.float32) / 40
    truth = rng.random((9, 8, 7)) < scores
    assert average_precision(scores, truth) == pytest.approx(by_definition(scores, truth))


def test_dice_by_hand():
    first, second, none = np.zeros((3, 8, 8, 8), bool)
    first[1:3, 1:3, 1:3] = second[1:3, 1:3, 1:3] = second[5, 5, 5] = True
    assert dice(first, second) == pytest.approx(16 / 17)
    assert dice(first, second ^ first) == 0
    assert dice(none, none) == 1
    assert dice(first, none) == 0
