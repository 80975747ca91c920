import numpy as np
import pytest

from strokeseg.evaluation.metrics.matching import match_lesions
from strokeseg.evaluation.metrics.voxels import dice


def mask(*boxes):
    out = np.zeros((12, 12, 12), bool)
    for first, size in boxes:
        out[tuple(slice(a, a + size) for a in first)] = True
    return out


A, B, C = ((1, 1, 1), 2), ((6, 6, 6), 3), ((1, 9, 9), 1)


def test_dice_by_hand():
    assert dice(mask(A), mask(A, C)) == pytest.approx(16 / 17)
    assert dice(mask(A), mask(B)) == 0
    assert dice(mask(), mask()) == 1
    assert dice(mask(A), mask()) == 0


def test_one_shared_voxel_is_a_hit():
    found = match_lesions(mask(((2, 2, 2), 3), C), mask(A, B))
    assert (found.truth_count, found.truth_hit) == (2, 1)
    assert (found.prediction_count, found.prediction_hit) == (2, 1)
    assert found.lf1 == pytest.approx(0.5)


def test_corners_connect_a_lesion():
    corner = mask(((1, 1, 1), 1), ((2, 2, 2), 1))
    found = match_lesions(corner, corner)
    assert (found.truth_count, found.truth_hit, found.prediction_count) == (1, 1, 1)


def test_nothing_found_where_nothing_is_counts_as_right():
    assert match_lesions(mask(), mask()).lf1 == 1
    assert match_lesions(mask(A), mask()).lf1 == 0
    assert match_lesions(mask(), mask(A)).lf1 == 0
