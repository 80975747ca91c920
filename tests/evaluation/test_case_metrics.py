import math

import numpy as np
import pytest
import torch
from monai.metrics import compute_dice

from strokeseg.errors import DataError
from strokeseg.evaluation import METRICS, compare_masks
from strokeseg.space.grid import Grid
from tests.evaluation.masks_on_disk import SHAPE, affine, blobs, boxes

NOTHING = boxes()
MM = (1.0, 1.0, 1.0)


def test_every_metric_of_a_case_worked_out_by_hand():
    # Truth: 4 x 4 x 4 at the origin and 2 x 2 x 2 far away: 72 voxels.
    # Prediction: the first shifted by one along I (48 of 64 shared), and 3 x 3 x 3 alone: 91.
    truth = boxes(((0, 0, 0), 4), ((15, 15, 15), 2))
    prediction = boxes(((1, 0, 0), 4), ((2, 18, 2), 3))
    probability = np.zeros(SHAPE, np.float32)
    probability[prediction] = 0.5
    probability[prediction & truth] = 0.9
    found = compare_masks(prediction, truth, (10.0, 10.0, 10.0), probability)
    assert found.truth_ml == pytest.approx(72)
    assert found.prediction_ml == pytest.approx(91)
    assert found.avd_ml == pytest.approx(19)
    assert found.dice == pytest.approx(2 * 48 / (72 + 91))
    assert found.sensitivity == pytest.approx(48 / 72)
    assert found.precision == pytest.approx(48 / 91)
    assert (found.truth_lesions, found.prediction_lesions, found.ald) == (2, 2, 0)
    assert found.lf1 == pytest.approx(2 * 1 / (2 * 1 + 1 + 1))
    assert found.lf1_iou25 == pytest.approx(2 * 1 / 4)  # 48 / 80 is enough
    assert found.lesion_sensitivity == found.lesion_precision == 0.5
    # 0.9: all of the 48 that were found. 0: the other 24, with the whole image.
    assert found.pr_auc == pytest.approx(48 / 72 * 1 + 24 / 72 * 72 / np.prod(SHAPE))


def test_two_empty_masks_agree():
    found = compare_masks(NOTHING, NOTHING, MM, np.zeros(SHAPE, np.float32))
    assert found.dice == found.lf1 == found.lf1_iou25 == 1
    assert found.hd95_mm == found.assd_mm == found.avd_ml == found.ald == 0
    assert math.isnan(found.sensitivity)
    assert math.isnan(found.precision)
    assert math.isnan(found.pr_auc)


def test_one_empty_mask_is_infinitely_far():
    lesion = boxes(((5, 5, 5), 2))
    missed = compare_masks(NOTHING, lesion, MM)
    assert missed.hd95_mm == missed.assd_mm == math.inf
    assert missed.dice == missed.lf1 == missed.lf1_iou25 == missed.sensitivity == 0
    assert math.isnan(missed.precision)
    assert missed.ald == 1
    false = compare_masks(lesion, NOTHING, MM)
    assert false.hd95_mm == math.inf
    assert false.precision == 0
    assert math.isnan(false.sensitivity)


@pytest.mark.parametrize("seed", range(5))
def test_dice_is_monais(seed):
    prediction, truth = blobs(seed), blobs(seed + 100)
    one_hot = (
        torch.tensor(np.stack([~mask, mask])[None].astype(np.float32))
        for mask in (prediction, truth)
    )
    theirs = compute_dice(*one_hot, include_background=False)
    assert compare_masks(prediction, truth, MM).dice == pytest.approx(float(theirs), abs=1e-6)


def test_a_grid_gives_the_voxel_size_and_may_be_sheared():
    matrix = affine((1.0, 2.0, 3.0))
    matrix[0, 1] = 0.5  # leaves the volume as it is
    lesion = boxes(((2, 2, 2), 5))
    assert compare_masks(lesion, lesion, Grid(SHAPE, matrix)).truth_ml == pytest.approx(0.75)


def test_no_probability_is_no_pr_auc():
    assert math.isnan(compare_masks(boxes(((1, 1, 1), 3)), boxes(((1, 1, 1), 3)), MM).pr_auc)


def test_masks_of_0_and_1_in_any_type_are_taken():
    lesion = boxes(((1, 1, 1), 3))
    assert compare_masks(lesion.astype(np.float64), lesion.astype(np.uint8), MM).dice == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((NOTHING[:20], NOTHING, MM), r"\(20, 24, 24\), the truth \(24, 24, 24\)"),
        ((NOTHING[0], NOTHING[0], MM), "three axes"),
        ((NOTHING * 3.0 + 2, NOTHING, MM), "more than 0 and 1"),
        ((NOTHING, NOTHING, (1.0, 0.0, 1.0)), "above 0"),
        ((NOTHING, NOTHING, (1.0, 1.0)), "above 0"),
        ((NOTHING, NOTHING, Grid((5, 5, 5), np.eye(4))), r"their grid \(5, 5, 5\)"),
        ((NOTHING, NOTHING, MM, np.zeros((3, 3, 3), np.float32)), "probability has the shape"),
        ((NOTHING, NOTHING, MM, np.full(SHAPE, np.nan, np.float32)), "NaN"),
    ],
)
def test_what_cannot_be_compared_is_told(arguments, message):
    with pytest.raises(DataError, match=message):
        compare_masks(*arguments)


def test_every_metric_is_measured_and_defined():
    found = compare_masks(NOTHING, NOTHING, MM)
    assert len({metric.name for metric in METRICS}) == len(METRICS) == 12
    for metric in METRICS:
        assert hasattr(found, metric.name)
        assert metric.description.endswith(".")
