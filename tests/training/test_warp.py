from dataclasses import replace

import numpy as np
import pytest
import torch

from strokeseg.training.settings import SpatialConfig
from strokeseg.training.synthesis.warp import (
    canvas_vox,
    draw_warp,
    reach,
    sample_linear,
    sample_nearest,
    sampling_grid,
    within,
)

CPU = torch.device("cpu")
HEAD = (40, 44, 38)
CENTRE = np.array([20, 22, 19], np.float32)
STILL = SpatialConfig(
    crop_vox=(24, 28, 20),
    rotation_deg=0,
    shear=0,
    zoom=0,
    elastic=0,
    flip_probability=(0, 0, 0),
    wander_vox=(0, 0, 0),
)


@pytest.fixture
def head():
    return torch.rand(HEAD, generator=torch.Generator().manual_seed(1))


def test_without_any_motion_the_crop_is_cut_out_of_the_middle(head):
    centre = np.array([19.5, 21.5, 18.5], np.float32)
    warp = draw_warp(np.random.default_rng(0), HEAD, centre, STILL)
    crop = sample_linear(head[None], sampling_grid(warp, STILL.crop_vox, HEAD, CPU))[0]
    torch.testing.assert_close(crop, head[8:32, 8:36, 9:29], atol=1e-4, rtol=0)


@pytest.mark.parametrize("seed", range(6))
def test_only_the_box_that_a_warp_reaches_is_needed(head, seed):
    settings = replace(STILL, rotation_deg=15, zoom=0.15, elastic=0.05, wander_vox=(8, 8, 8))
    warp = draw_warp(np.random.default_rng(seed), HEAD, CENTRE, settings)
    whole = sample_linear(head[None], sampling_grid(warp, settings.crop_vox, HEAD, CPU))[0]
    box = reach(warp, settings.crop_vox, HEAD)
    part = head[box].contiguous()
    grid = sampling_grid(within(warp, box), settings.crop_vox, part.shape, CPU)
    boxed = sample_linear(part[None], grid)[0]
    # Inside the head: beyond it both end in zeros, but not at the same place.
    seen = sample_linear(torch.ones(1, *HEAD), sampling_grid(warp, settings.crop_vox, HEAD, CPU))[0]
    torch.testing.assert_close(boxed[seen > 0.999], whole[seen > 0.999], atol=1e-3, rtol=0)


@pytest.mark.parametrize("uniform", [False, True])
def test_a_landmark_in_image_and_labels_moves_together(uniform):
    labels = torch.zeros(HEAD, dtype=torch.uint8)
    labels[14:22, 18:27, 15:24] = 7
    image = (labels > 0).float()
    settings = replace(
        SpatialConfig(crop_vox=(32, 32, 32)), elastic_uniform=uniform, wander_vox=(3, 3, 3)
    )
    for seed in range(8):
        warp = draw_warp(np.random.default_rng(seed), HEAD, CENTRE, settings)
        grid = sampling_grid(warp, settings.crop_vox, HEAD, CPU)
        carried = sample_nearest(labels, grid) == 7
        seen = sample_linear(image[None], grid)[0] > 0.5
        assert carried.sum() > 50
        assert 2 * (carried & seen).sum() / (carried.sum() + seen.sum()) > 0.93


def test_draws_lie_within_their_ranges():
    settings = SpatialConfig(elastic_uniform=True)
    rng = np.random.default_rng(0)
    limit = 0.05 * np.mean(HEAD)
    for _ in range(50):
        warp = draw_warp(rng, HEAD, CENTRE, settings)
        assert np.abs(warp.shifts_vox).max() <= limit
        assert max(warp.shifts_vox.shape[1:]) <= 10
        scales = np.linalg.svd(warp.matrix[:3, :3])[1]
        assert scales.min() > 0.8
        assert scales.max() < 1.2
        assert np.linalg.det(warp.matrix[:3, :3]) > 0


def test_a_warp_beside_the_head_still_works(head):
    warp = draw_warp(np.random.default_rng(0), HEAD, CENTRE + 500, STILL)
    box = reach(warp, STILL.crop_vox, HEAD)
    grid = sampling_grid(within(warp, box), STILL.crop_vox, head[box].shape, CPU)
    assert not sample_linear(head[box][None], grid).any()


def test_the_canvas_is_the_crop_unless_it_is_given():
    assert canvas_vox(STILL) == (24, 28, 20)
    assert canvas_vox(replace(STILL, canvas_vox=(32, 32, 32))) == (32, 32, 32)
