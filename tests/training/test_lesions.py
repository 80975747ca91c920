from dataclasses import replace

import numpy as np
import pytest
import torch

from strokeseg.errors import DataError
from strokeseg.training.data.lesion_bank import read_bank
from strokeseg.training.settings import LesionConfig
from strokeseg.training.synthesis.lesion_placement import draw_placements, place_lesions
from tests.training.heads import affine_of, points_of, save


@pytest.fixture(scope="module")
def bank(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bank")
    affine = affine_of(spacing_mm=2.0)
    points = points_of((75, 90, 75), affine)
    for number, radius in enumerate((8, 14, 22)):
        ball = np.sqrt(((points - [-25, -20, 10]) ** 2).sum(axis=-1)) < radius
        save(folder / f"ball-{number}.nii.gz", ball.astype(np.uint8), affine)
    return read_bank(sorted(folder.iterdir()))


SHAPE = (80, 96, 80)
TO_MNI = affine_of(2.0, np.array([-80.0, -110.0, -60.0]))
EVERYWHERE = torch.ones(SHAPE, dtype=torch.bool)


def test_masks_are_cut_to_their_boxes_and_keep_volume_and_place(bank):
    for lesion, radius in zip(bank, (8, 14, 22), strict=True):
        assert lesion.volume_ml == pytest.approx(4 / 3 * np.pi * radius**3 / 1000, rel=0.05)
        np.testing.assert_allclose(lesion.centre_mm, [-25, -20, 10], atol=1)
        assert lesion.mask.size < 30**3


@pytest.mark.parametrize("target_ml", [2.0, 10.0, 60.0])
def test_a_lesion_is_placed_with_the_volume_that_was_drawn(bank, target_ml):
    settings = LesionConfig(
        lesion_free_share=0,
        count_weights=(1.0,),
        volume_ml=(target_ml, target_ml),
        anywhere_share=0,
        scale_limit=20,
    )
    placements = draw_placements(np.random.default_rng(0), bank, settings)
    placed = place_lesions(placements, bank, TO_MNI, EVERYWHERE)
    assert float((placed > 0.5).sum()) * 8 / 1000 == pytest.approx(target_ml, rel=0.15)


def test_a_lesion_keeps_its_place_without_motion_and_is_mirrored_half_the_time(bank):
    settings = LesionConfig(
        lesion_free_share=0,
        count_weights=(1.0,),
        rescale=False,
        turn_deg=0,
        shift_mm=0,
        anywhere_share=0,
    )
    rng = np.random.default_rng(0)
    sides = []
    for _ in range(40):
        placed = place_lesions(draw_placements(rng, bank, settings), bank, TO_MNI, EVERYWHERE)
        middle = np.argwhere(placed.numpy() > 0.5).mean(axis=0) @ TO_MNI[:3, :3] + TO_MNI[:3, 3]
        np.testing.assert_allclose(np.abs(middle), [25, 20, 10], atol=1)
        sides.append(middle[0] < 0)
    assert 10 < sum(sides) < 30


def test_nothing_is_placed_outside_the_brain(bank):
    brain = EVERYWHERE.clone()
    brain[:, :50] = False
    settings = LesionConfig(lesion_free_share=0)
    for seed in range(5):
        placements = draw_placements(np.random.default_rng(seed), bank, settings)
        placed = place_lesions(placements, bank, TO_MNI, brain)
        assert not placed[:, :50].any()
        assert placed.max() <= 1


def test_counts_and_free_heads_come_in_their_shares(bank):
    settings = LesionConfig()
    rng = np.random.default_rng(0)
    counts = [len(draw_placements(rng, bank, settings)) for _ in range(500)]
    assert 25 < counts.count(0) < 80
    assert max(counts) == 6
    none = replace(settings, lesion_free_share=1.0)
    assert draw_placements(rng, bank, none) == ()


def test_an_empty_bank_is_refused(tmp_path):
    empty = np.zeros((12, 12, 12), np.uint8)
    masks = [save(tmp_path / "none.nii.gz", empty, affine_of())]
    masks.append(save(tmp_path / "faint.nii.gz", _faint(), affine_of()))
    with pytest.raises(DataError, match="the lesion bank is empty"):
        read_bank(masks)


def _faint():
    data = np.zeros((12, 12, 12), np.float32)
    data[5, 5, 5] = 0.4
    return data
