"""Broken voxels and padding, and what the normalisation makes of them."""

import numpy as np
import pytest
import torch

from strokeseg.training.settings import IntensityConfig
from strokeseg.training.synthesis.defects import KINDS, Defect, apply_defect, draw_defect
from strokeseg.training.synthesis.normalising import normalise


def head():
    generator = torch.Generator().manual_seed(0)
    image = torch.zeros(32, 32, 32)
    image[6:26, 6:26, 6:26] = 100 + 10 * torch.randn((20, 20, 20), generator=generator)
    return image


@pytest.mark.parametrize("kind", KINDS)
def test_a_defect_hardly_changes_what_the_network_sees_of_the_rest(kind):
    plain = normalise(head(), "foreground")
    defect = Defect(kind, 30.0, 1, 2, 0.1)
    spoilt = apply_defect(head(), defect)
    same = spoilt == head()
    assert 0.8 < same.float().mean() < 1
    seen = normalise(spoilt, "foreground")
    assert (seen - plain)[same].abs().median() < 0.3


def test_defects_are_drawn_for_their_share_and_of_every_kind():
    config = IntensityConfig(defect_share=0.5)
    drawn = [draw_defect(np.random.default_rng(seed), config) for seed in range(100)]
    kinds = [defect.kind for defect in drawn if defect]
    assert 35 < len(kinds) < 65
    assert set(kinds) == set(KINDS)
    assert draw_defect(np.random.default_rng(0), IntensityConfig()) is None
