import numpy as np
import pytest
import torch
from scipy import ndimage

from strokeseg.training.settings import LesionConfig
from strokeseg.training.synthesis.soft_cp import Fade, apply_fade, draw_fade, soften


@pytest.fixture
def lesion():
    mask = torch.zeros(24, 24, 24)
    mask[8:15, 9:16, 7:14] = 1
    return mask


@pytest.mark.parametrize(("erosions", "dilations"), [(1, 1), (0, 2), (2, 1), (0, 0)])
def test_weights_lie_within_0_and_1_and_are_0_far_away(lesion, erosions, dilations):
    weight = soften(lesion, erosions, dilations, 0.9)
    assert weight.min() >= 0
    assert weight.max() == 1
    far = ndimage.distance_transform_cdt(lesion.numpy() == 0) > dilations
    assert not weight.numpy()[far].any()


def test_rings_fall_by_alpha(lesion):
    weight = soften(lesion, 1, 1, 0.9)[11, 12]
    np.testing.assert_allclose(weight[5:16:1], [0, 0.81, 0.9, 1, 1, 1, 1, 1, 0.9, 0.81, 0])


def test_a_lesion_of_one_voxel_keeps_itself():
    mask = torch.zeros(9, 9, 9)
    mask[4, 4, 4] = 1
    weight = soften(mask, 1, 1, 0.9)
    assert weight[4, 4, 4] == 1
    assert weight.sum() > 1


def test_fading_multiplies_within_its_range_and_is_absent_from_a_share(lesion):
    settings = LesionConfig(fade_share=0.5, fade_minimum=0.3)
    rng = np.random.default_rng(0)
    fades = [draw_fade(rng, settings) for _ in range(200)]
    absent = sum(fade.points is None for fade in fades)
    assert 60 < absent < 140
    assert apply_fade(lesion, Fade(None)) is lesion
    for fade in fades:
        faded = apply_fade(lesion, fade)
        assert faded[lesion == 0].abs().max() == 0
        assert faded[lesion > 0].min() >= 0.3 - 1e-5
        assert faded.max() <= 1 + 1e-5
