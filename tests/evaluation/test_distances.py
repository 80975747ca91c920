import math

import numpy as np
import pytest
import torch
from monai.metrics import compute_average_surface_distance, compute_hausdorff_distance
from scipy import ndimage

from strokeseg.evaluation.metrics.distances import surface_distances, surface_points_mm
from strokeseg.images.reading import read_map
from tests.evaluation.masks_on_disk import blobs, boxes
from tests.factories import SCANS

LESIONS = SCANS.parent / "lesions"

# MONAI warns of an argument that it passes itself.
monai_warns = pytest.mark.filterwarnings("ignore:.*always_return_as_numpy:FutureWarning")


def one_hot(mask):
    return torch.tensor(np.stack([~mask, mask])[None].astype(np.float32))


def monais(prediction, truth, spacing_mm):
    pair = (one_hot(prediction), one_hot(truth))
    hd95 = compute_hausdorff_distance(*pair, percentile=95, spacing=spacing_mm)
    assd = compute_average_surface_distance(*pair, symmetric=True, spacing=spacing_mm)
    return float(hd95), float(assd)


@monai_warns
@pytest.mark.parametrize("spacing_mm", [(1.0, 1.0, 1.0), (0.45, 0.45, 5.0), (3.0, 0.9, 1.3)])
@pytest.mark.parametrize("seed", range(4))
def test_distances_are_monais(seed, spacing_mm):
    prediction, truth = blobs(seed, share=0.05), blobs(seed + 50, share=0.1)
    found = surface_distances(prediction, truth, np.diag(spacing_mm))
    hd95, assd = monais(prediction, truth, spacing_mm)
    assert found.hd95_mm == pytest.approx(hd95, rel=1e-5)
    assert found.assd_mm == pytest.approx(assd, rel=1e-5)


@monai_warns
@pytest.mark.skipif(not LESIONS.is_dir(), reason="no ../shared/data/lesions here")
def test_distances_of_a_real_lesion_are_monais():
    truth = read_map(LESIONS / "lesymap" / "lesymap-003.nii.gz").data > 0.5
    noise = np.random.default_rng(1).normal(size=truth.shape)
    prediction = ndimage.gaussian_filter(truth + 1.5 * noise, 1.5) > 0.5
    found = surface_distances(prediction, truth, np.eye(3))
    hd95, assd = monais(prediction, truth, (1.0, 1.0, 1.0))
    assert found.hd95_mm == pytest.approx(hd95, rel=1e-5)
    assert found.assd_mm == pytest.approx(assd, rel=1e-5)


def test_two_voxels_are_as_far_apart_as_their_centres():
    one, other = boxes(((3, 4, 5), 1)), boxes(((6, 4, 1), 1))
    found = surface_distances(one, other, np.diag((2.0, 1.0, 0.5)))
    assert found.hd95_mm == found.assd_mm == pytest.approx(math.hypot(3 * 2, 4 * 0.5))


def test_hd95_is_the_larger_direction_and_assd_the_mean_of_both():
    # Ten voxels in a line against the first: 0 to 9 one way, 0 the other way.
    line, first = boxes(((0, 0, 0), (10, 1, 1))), boxes(((0, 0, 0), 1))
    for pair in ((line, first), (first, line)):
        found = surface_distances(*pair, np.eye(3))
        assert found.hd95_mm == pytest.approx(np.percentile(np.arange(10), 95))
        assert found.assd_mm == pytest.approx(45 / 11)


def test_the_surface_has_a_face_outside_or_on_the_border():
    assert len(surface_points_mm(boxes(((4, 4, 4), 3)), np.eye(3))) == 26
    assert len(surface_points_mm(boxes(((0, 0, 0), 3)), np.eye(3))) == 26
    whole = np.ones((3, 3, 3), dtype=bool)
    assert len(surface_points_mm(whole, np.eye(3))) == 26


def test_sheared_axes_are_measured_in_the_world():
    axes_mm = np.array([[1.0, 0.0, 0.8], [0.0, 2.0, 0.0], [0.0, 0.0, 3.0]])
    prediction, truth = blobs(1, (14, 12, 10)), blobs(2, (14, 12, 10))
    here, there = (
        np.argwhere(mask & ~ndimage.binary_erosion(mask)) @ axes_mm.T
        for mask in (prediction, truth)
    )
    apart = np.linalg.norm(here[:, None] - there[None], axis=2)
    expected = max(np.percentile(apart.min(axis=1), 95), np.percentile(apart.min(axis=0), 95))
    assert surface_distances(prediction, truth, axes_mm).hd95_mm == pytest.approx(expected)


@pytest.mark.parametrize("axis", range(3))
def test_distances_do_not_depend_on_where_in_the_image(axis):
    one, other = boxes(((3, 3, 3), (2, 3, 4))), boxes(((5, 4, 6), (3, 2, 2)))
    there = [np.roll(mask, 9, axis) for mask in (one, other)]
    axes_mm = np.diag((0.7, 1.1, 4.0))
    here, moved = surface_distances(one, other, axes_mm), surface_distances(*there, axes_mm)
    assert moved.hd95_mm == pytest.approx(here.hd95_mm)
    assert moved.assd_mm == pytest.approx(here.assd_mm)
