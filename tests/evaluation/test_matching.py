import numpy as np
import pytest

from strokeseg.evaluation.metrics.matching import LesionMatch, match_lesions
from tests.evaluation.masks_on_disk import blobs, boxes

NOTHING = boxes()


def test_one_shared_voxel_is_a_hit():
    truth = boxes(((0, 0, 0), 4), ((10, 10, 10), 3), ((18, 18, 18), 2))
    prediction = boxes(((3, 3, 3), 3), ((18, 2, 18), 2))
    found = match_lesions(prediction, truth)
    assert found == LesionMatch(3, 2, 1, 1, 0)
    assert found.lf1 == pytest.approx(2 / (2 + 2 + 1))
    assert found.lf1_iou25 == 0
    assert found.count_difference == 1


def test_corners_connect():
    diagonal = boxes(((2, 2, 2), 1), ((3, 3, 3), 1), ((4, 4, 2), 1))
    assert match_lesions(diagonal, diagonal) == LesionMatch(1, 1, 1, 1, 1)


def test_an_iou_of_a_quarter_is_enough_and_less_is_not():
    truth = boxes(((0, 0, 0), (8, 1, 1)))
    # 2 of 8 shared, and nothing beside: exactly 0.25.
    assert match_lesions(boxes(((0, 0, 0), (2, 1, 1))), truth).one_to_one == 1
    # 2 of 9.
    assert match_lesions(boxes(((6, 0, 0), (3, 1, 1))), truth).one_to_one == 0


def test_a_lesion_is_matched_once():
    # One predicted lesion over two true ones: both are hit, one is matched.
    truth = boxes(((0, 0, 0), (4, 2, 2)), ((6, 0, 0), (4, 2, 2)))
    found = match_lesions(boxes(((0, 0, 0), (10, 2, 2))), truth)
    assert (found.truth_hit, found.prediction_hit, found.one_to_one) == (2, 1, 1)
    assert found.lf1 == 1
    assert found.lf1_iou25 == pytest.approx(2 / 3)


def test_the_most_pairs_are_made_not_the_best_first():
    # P2 lies over T1 (IoU 6/15) and T2 (4/11), P1 over T1 alone (3/10). Taking the best first
    # would leave P1 and T2 alone.
    truth = boxes(((0, 0, 0), (10, 1, 1)), ((11, 0, 0), (4, 1, 1)))
    prediction = boxes(((0, 0, 0), (3, 1, 1)), ((4, 0, 0), (11, 1, 1)))
    found = match_lesions(prediction, truth)
    assert found == LesionMatch(2, 2, 2, 2, 2)
    assert found.lf1_iou25 == 1


def test_nothing_against_nothing_is_perfect_and_against_something_is_worthless():
    lesion = boxes(((3, 3, 3), 2))
    assert match_lesions(NOTHING, NOTHING).lf1 == match_lesions(NOTHING, NOTHING).lf1_iou25 == 1
    for pair in ((lesion, NOTHING), (NOTHING, lesion)):
        assert match_lesions(*pair).lf1 == match_lesions(*pair).lf1_iou25 == 0


@pytest.mark.parametrize("seed", range(3))
def test_predictions_and_truth_may_change_places_for_one_to_one(seed):
    a, b = blobs(seed, share=0.03), blobs(seed, share=0.06)
    forth, back = match_lesions(a, b), match_lesions(b, a)
    assert forth.one_to_one == back.one_to_one > 0
    assert (forth.truth_hit, forth.prediction_hit) == (back.prediction_hit, back.truth_hit)
    assert np.isclose(forth.lf1_iou25, back.lf1_iou25)
