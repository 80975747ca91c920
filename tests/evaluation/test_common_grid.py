import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import Compose, Orientation, ResizeWithPadOrCrop, Spacing

from strokeseg.errors import DataError
from strokeseg.evaluation.common_grid import bring_together, fit_centred
from strokeseg.evaluation.masks import Mask
from strokeseg.evaluation.metrics.case_metrics import compare_masks
from strokeseg.images.reading import read_map
from strokeseg.space.grid import Grid
from tests.evaluation.masks_on_disk import affine, blobs, boxes
from tests.factories import KINDS, Kind, affine_of, head

LESION = boxes(((4, 6, 8), (5, 4, 3)))


def mask(voxels, matrix):
    return Mask(voxels, Grid(voxels.shape, matrix))


def lesion_of(kind):
    """The factories' lesion, thresholded, on a kind's grid."""
    data, matrix = head(kind)
    return mask(data > 450, matrix)


def test_on_one_grid_voxels_are_compared_as_they_are():
    matrix = affine()
    shifted = matrix.copy()
    shifted[0, 3] += 0.05  # a fortieth of a voxel: rounding of a header
    common = bring_together(mask(LESION, shifted), mask(LESION, matrix), None, "native")
    assert common.how == "same grid"
    assert common.prediction is not None
    np.testing.assert_array_equal(common.prediction, LESION)
    assert common.notes == ()


def test_another_orientation_of_the_same_voxels_loses_nothing():
    flipped = affine() @ np.diag([-1.0, 1, 1, 1])
    flipped[0, 3] = 2.0 * (LESION.shape[0] - 1)
    common = bring_together(mask(LESION[::-1], flipped), mask(LESION, affine()), None, "native")
    assert common.how == "resampled"
    np.testing.assert_array_equal(common.prediction, LESION)


@pytest.mark.parametrize("name", ["lps", "anisotropic", "anisotropic-oblique", "fine"])
def test_a_prediction_on_another_grid_is_brought_to_the_truths(name):
    truth, prediction = lesion_of(KINDS["ras"]), lesion_of(KINDS[name])
    common = bring_together(prediction, truth, None, "native")
    assert common.how == "resampled"
    assert common.grid is truth.grid
    assert common.truth is truth.voxels
    assert compare_masks(common.prediction, common.truth, common.grid).dice > 0.75


def test_what_lies_beyond_the_truths_grid_is_dropped_and_noted():
    small = mask(np.zeros((20, 20, 20), bool), affine())
    wide = mask(boxes(((18, 0, 0), 4)), affine())
    common = bring_together(wide, small, None, "native")
    assert common.prediction.sum() == 2 * 4 * 4
    assert common.notes == ("0.26 ml of the prediction lie outside the truth's field of view",)


def test_two_spaces_that_do_not_meet_are_an_error():
    far = affine()
    far[:3, 3] = 500
    with pytest.raises(DataError, match="do not meet"):
        bring_together(mask(LESION, far), mask(LESION, affine()), None, "native")


def test_probabilities_come_along_and_are_0_where_there_are_none():
    wide = read_map((np.full((24, 24, 24), 0.7, np.float32), affine()))
    truth = mask(np.zeros((30, 24, 24), bool), affine())
    common = bring_together(mask(LESION, affine()), truth, wide, "native")
    assert common.probability.shape == truth.voxels.shape
    np.testing.assert_allclose(common.probability[:24], 0.7, rtol=1e-6)
    assert not common.probability[24:].any()
    same = bring_together(mask(LESION, affine()), mask(LESION, affine()), wide, "native")
    assert same.probability is wide.data


def by_monai(one):
    """The paper's preparation as MONAI's transforms make it."""
    image = MetaTensor(
        torch.tensor(one.voxels[None].astype(np.float32)), affine=one.grid.affine.copy()
    )
    chain = Compose(
        [
            Orientation("RAS", labels=None),
            Spacing((1.0, 1.0, 1.0), mode="nearest"),
            ResizeWithPadOrCrop((256, 256, 256)),
        ]
    )
    return chain(image)[0].numpy() > 0.5


@pytest.mark.parametrize(
    "kind",
    [
        Kind("LPS", (1.3, 0.9, 1.7), (60, 70, 40)),
        Kind("LAS", (0.9, 0.9, 4.7), (64, 72, 12), (8.0, -3.0, 5.0)),
    ],
    ids=["anisotropic", "oblique"],
)
def test_the_papers_grid_is_monais(kind):
    matrix = affine_of(kind)
    truth, prediction = (mask(blobs(seed, kind.shape), matrix) for seed in (1, 2))
    common = bring_together(prediction, truth, None, "paper")
    assert common.how == "1 mm"
    assert common.truth.shape == (256, 256, 256)
    np.testing.assert_allclose(common.grid.voxel_size_mm, 1.0)
    np.testing.assert_array_equal(common.truth, by_monai(truth))
    np.testing.assert_array_equal(common.prediction, by_monai(prediction))


def test_the_papers_grid_keeps_places_in_the_world():
    truth = lesion_of(KINDS["oblique"])
    common = bring_together(truth, truth, None, "paper")
    here = truth.grid.affine @ [*np.argwhere(truth.voxels).mean(axis=0), 1]
    there = common.grid.affine @ [*np.argwhere(common.truth).mean(axis=0), 1]
    np.testing.assert_allclose(there, here, atol=0.1)


def test_a_larger_image_is_cut_to_256_and_that_is_noted():
    voxels = boxes(((0, 2, 2), (4, 4, 4)), shape=(300, 40, 40))
    common = bring_together(mask(voxels, np.eye(4)), mask(voxels, np.eye(4)), None, "paper")
    assert not common.truth.any()
    assert common.notes == (
        "256^3 cuts 0.06 ml of the prediction off",
        "256^3 cuts 0.06 ml of the truth off",
    )


@pytest.mark.parametrize("lengths", [(3, 8, 9), (8, 3, 11), (5, 6, 7)])
def test_padding_and_cropping_are_monais(lengths):
    data = np.arange(np.prod(lengths)).reshape(lengths) + 1
    theirs = ResizeWithPadOrCrop((6, 6, 6))(data[None])[0]
    np.testing.assert_array_equal(fit_centred(data, 6), np.asarray(theirs))
