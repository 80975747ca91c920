"""Samples that end early, and crops that lie anywhere in the head."""

import numpy as np
import torch

from strokeseg.training.settings import SpatialConfig
from strokeseg.training.synthesis.field_of_view import Cut, apply_cut, draw_cut
from strokeseg.training.synthesis.warp import draw_warp


def test_a_cut_darkens_the_image_and_makes_the_target_background():
    image = torch.rand(10, 10, 10) + 1
    target = torch.full((10, 10, 10), 3, dtype=torch.uint8)
    before = image.clone()
    apply_cut(image, target, Cut(((0, True, 0.3), (2, False, 0.2))))
    gone = torch.zeros(10, 10, 10, dtype=torch.bool)
    gone[7:] = True
    gone[:, :, :2] = True
    assert (target[gone] == 0).all()
    assert (target[~gone] == 3).all()
    assert torch.equal(image[~gone], before[~gone])
    assert len(image[gone].unique()) <= 2
    assert image[gone].max() <= before.min()


def test_a_cut_of_shares_leaves_background_alone():
    shares = torch.full((3, 8, 8, 8), 1 / 3)
    apply_cut(torch.rand(8, 8, 8), shares, Cut(((1, False, 0.5),)))
    assert (shares[0, :, :4] == 1).all()
    assert (shares[1:, :, :4] == 0).all()
    assert torch.allclose(shares.sum(0), torch.ones(8, 8, 8))


def test_cuts_are_drawn_for_their_share_of_samples_and_within_their_limit():
    config = SpatialConfig(cut_share=0.5, cut_limit=0.3)
    cuts = [draw_cut(np.random.default_rng(seed), config) for seed in range(200)]
    cut = [c for c in cuts if c.planes]
    assert 70 < len(cut) < 130
    assert {len(c.planes) for c in cut} == {1, 2}
    assert all(share <= 0.3 for c in cut for _, _, share in c.planes)
    assert draw_cut(np.random.default_rng(0), SpatialConfig()) == Cut()


def test_roaming_crops_reach_every_part_of_a_head():
    config = SpatialConfig(
        crop_vox=(20, 20, 20), roam_share=1.0, rotation_deg=0.0, zoom=0.0, shear=0.0, elastic=0.0
    )
    shape, centre = (60, 80, 100), np.array([30, 40, 70], np.float32)
    middles = np.stack(
        [
            (draw_warp(np.random.default_rng(s), shape, centre, config).matrix @ [9.5, 9.5, 9.5, 1])
            for s in range(300)
        ]
    )[:, :3]
    assert (middles.min(axis=0) < [6, 8, 10]).all()
    assert (middles.max(axis=0) > [53, 71, 89]).all()
    near = SpatialConfig(crop_vox=(20, 20, 20), wander_vox=(4.0, 4.0, 4.0))
    around = np.stack(
        [
            draw_warp(np.random.default_rng(s), shape, centre, near).matrix @ [9.5, 9.5, 9.5, 1]
            for s in range(50)
        ]
    )[:, :3]
    assert (np.abs(around - centre) <= 4.01).all()
