"""A generator of lesion masks: its loss falls, what it draws is cleaned and is a bank."""

import csv

import numpy as np
import pytest
import torch

from strokeseg.errors import DataError, UsageError
from strokeseg.training.data.inputs import lesion_paths
from strokeseg.training.data.lesion_bank import read_bank
from strokeseg.training.fitting.curves import read_columns
from strokeseg.training.fitting.loop import Session
from strokeseg.training.fitting.masks import draw_bank, train_masks
from strokeseg.training.translation.mask_model import SHAPE, MaskModel
from strokeseg.training.translation.masks import (
    clean,
    coarse,
    describe,
    draw_masks,
    grid_of,
    occupancy,
    read_masks,
    with_nearest,
)
from strokeseg.training.translation.settings import (
    MaskModelConfig,
    bundled_configs,
    read_mask_config,
)

SESSION = Session(torch.device("cpu"))


def write_config(folder, data_folder, more="", steps=30):
    path = folder / "masks.toml"
    path.write_text(
        f"""name = "tiny"
channels = [4, 6, 8, 8]
latent = 4
checkpoint_steps = 10
[data]
lesions = ["{data_folder / "lesions"}"]
held_out_every = [4]
[fit]
steps = {steps}
batch = 4
learning_rate = 5e-3
betas = [0.9, 0.999]
precision = "fp32"
{more}"""
    )
    return path


@pytest.fixture(scope="module")
def run(tmp_path_factory, data_folder):
    folder = tmp_path_factory.mktemp("masks")
    config = read_mask_config(write_config(folder, data_folder))
    return folder / "run", config, train_masks(config, folder / "run", SESSION)


def test_its_loss_falls_and_it_draws_the_same_for_the_same_seed(run):
    folder, _, model = run
    losses = read_columns(folder / "loss.tsv")["loss"]
    assert losses[-5:].mean() < 0.6 * losses[:5].mean()
    first, again, other = model.draw(2, 3), model.draw(2, 3), model.draw(2, 4)
    assert first.shape == (2, *SHAPE)
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_a_drawn_bank_is_read_as_any_folder_of_masks(run):
    folder, config, model = run
    # So short a training draws little: here all of the brain is lesion.
    with torch.no_grad():
        model.decoder[-1].bias += 50.0
    table = draw_bank(model, config, folder, 3)
    bank = read_bank(lesion_paths((str(folder / "lesions"),), (0,), (), held_out=False))
    assert [mask.name for mask in bank] == ["drawn-0001", "drawn-0002", "drawn-0003"]
    with table.open() as stream:
        rows = list(csv.DictReader(stream, delimiter="\t"))
    for row, mask in zip(rows, bank, strict=True):
        assert float(row["volume_ml"]) == pytest.approx(mask.volume_ml, rel=1e-3)
        assert row["nearest"].startswith("lesion-")
        assert 0 <= float(row["nearest_dice"]) <= 1
    assert (folder / "real.tsv").read_text().count("\n") == 4


def test_a_generator_that_draws_nothing_says_so():
    model = MaskModel(MaskModelConfig(channels=(2, 2, 2, 2), latent=3))
    with torch.no_grad():
        model.decoder[-1].bias -= 50.0
    with pytest.raises(DataError, match="only 0 of 1 drawn masks"):
        draw_masks(model, 1, 0)


class SeldomDraws:
    """A generator of which one draw in five holds anything."""

    def draw(self, count, seed):
        rng = np.random.default_rng(seed)
        return np.stack(
            [np.full(SHAPE, float(rng.random() < 0.2), np.float32) for _ in range(count)]
        )


def test_the_last_few_of_many_do_not_end_a_bank():
    # Were only the missing ones drawn again, a tenth of them would be missing after ten rounds.
    masks = draw_masks(SeldomDraws(), 24, 0)
    assert len(masks) == 24
    assert all(mask.any() for mask in masks)


def test_a_mask_fills_as_much_of_the_grid_as_it_has_volume(run):
    _, config, _ = run
    for mask in read_masks(config.data):
        filled = occupancy(mask)
        assert float(filled.sum()) * 0.064 == pytest.approx(mask.volume_ml, rel=0.02)
        places = np.argwhere(filled > 0.5) @ grid_of(4.0).affine[:3, :3].T
        centre = places.mean(axis=0) + grid_of(4.0).affine[:3, 3]
        assert np.abs(centre - mask.centre_mm).max() < 2


def test_small_parts_and_what_lies_outside_the_brain_are_cleaned_away():
    drawn = np.zeros(SHAPE, np.float32)
    drawn[10:20, 20:30, 20:30] = 1
    drawn[30, 30, 30] = 1
    drawn[30:40, 50:60, 30:40] = 1
    brain = np.ones([2 * edge for edge in SHAPE], bool)
    brain[:, 96:] = False
    mask = clean(drawn, brain, np.random.default_rng(0))
    facts = describe("drawn", mask, grid_of(2.0))
    assert facts.parts == 1
    assert facts.volume_ml == pytest.approx(64, rel=0.1)
    assert float(coarse(mask)[10:20, 20:30, 20:30].mean()) > 0.9
    assert not clean(np.zeros(SHAPE, np.float32), brain, np.random.default_rng(0)).any()


def test_a_lesion_of_uncertain_place_is_as_large_as_its_probabilities_and_rough():
    i, j, k = np.ogrid[: SHAPE[0], : SHAPE[1], : SHAPE[2]]
    away = ((i - 15) ** 2 + (j - 30) ** 2 + (k - 24) ** 2).astype(np.float32)
    faint = 0.4 * np.exp(-away / 50)
    brain = np.ones([2 * edge for edge in SHAPE], bool)
    masks = [clean(faint, brain, np.random.default_rng(seed)) for seed in (1, 1, 2)]
    assert np.array_equal(masks[0], masks[1])
    assert not np.array_equal(masks[0], masks[2])
    facts = describe("faint", masks[0], grid_of(2.0))
    expected_ml = float(faint[faint > 0.02].sum()) * 0.064
    assert 0.6 * expected_ml < facts.volume_ml < 1.15 * expected_ml
    sharp = describe("sharp", faint > 0.2, grid_of(4.0))
    assert facts.sphericity < sharp.sphericity - 0.1


def test_figures_tell_shape_side_and_copies():
    grid = grid_of(2.0)
    i, j, k = np.ogrid[: grid.shape[0], : grid.shape[1], : grid.shape[2]]
    ball = (i - 30) ** 2 + (j - 60) ** 2 + (k - 50) ** 2 < 144
    plate = np.zeros(grid.shape, bool)
    plate[20:76, 40:80, 50:52] = True
    facts = [describe("ball", ball, grid), describe("plate", plate, grid)]
    assert facts[0].sphericity == pytest.approx(1, abs=0.1)
    assert facts[1].sphericity < 0.6
    assert [fact.across_midline for fact in facts] == [False, True]
    shares = [coarse(mask) for mask in (ball, plate)]
    copies = with_nearest([describe("copy", ball[::-1], grid)], [coarse(ball[::-1])], facts, shares)
    assert copies[0].nearest == "ball"
    assert copies[0].nearest_dice == pytest.approx(1)
    others = with_nearest(facts, shares, facts, shares)
    assert [fact.nearest for fact in others] == ["plate", "ball"]
    many = with_nearest([facts[0], *facts], [shares[0], *shares], facts, shares)
    assert [fact.nearest_dice for fact in many] == [others[0].nearest_dice] + [
        fact.nearest_dice for fact in others
    ]


def test_latents_are_drawn_from_where_those_of_masks_lie():
    model = MaskModel(MaskModelConfig(channels=(2, 2, 2, 2), latent=3))
    masks = 255 * torch.randint(2, (6, *SHAPE), dtype=torch.uint8)
    model.settle(masks)
    mean, _ = model.encode(masks / 255)
    assert torch.allclose(model.place, mean.mean(dim=0), atol=1e-5)
    assert torch.allclose(model.means, mean, atol=1e-5)
    assert not torch.equal(model.spread, torch.eye(3))


@pytest.mark.parametrize(
    ("more", "told"),
    [("[adversary]\npool = 3", "unknown key 'adversary'"), ("average = 1.0", "average")],
)
def test_settings_that_make_no_sense_are_refused(more, told, tmp_path, data_folder):
    with pytest.raises(UsageError, match=told):
        read_mask_config(write_config(tmp_path, data_folder, more))


def test_the_bundled_generator_of_masks_can_be_read():
    assert bundled_configs(MaskModelConfig) == ("lesions",)
    assert read_mask_config("lesions").name == "lesions"
