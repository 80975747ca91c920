from dataclasses import replace

import numpy as np
import pytest
import torch

from strokeseg.training.data.label_table import LESION
from strokeseg.training.data.sources import Heads
from strokeseg.training.fitting.batches import Generation, make_batches
from strokeseg.training.synthesis.contrasts import RANDOM_FAMILY
from strokeseg.training.synthesis.sample import build_sample, draw_sample, make_sample


def test_a_sample_is_a_function_of_seed_and_index(sources, config):
    first, again = (make_sample(5, sources, config) for _ in range(2))
    assert first.image.equal(again.image)
    assert first.target.equal(again.target)
    assert not first.image.equal(make_sample(6, sources, config).image)
    other = replace(config, seed=config.seed + 1)
    assert not first.image.equal(make_sample(5, sources, other).image)


@pytest.mark.parametrize("workers", [1, 2])
def test_batches_are_the_same_whatever_the_number_of_workers(sources, make_config, workers):
    config = make_config(optimiser="steps = 3\nbatch = 2\n")
    cpu = torch.device("cpu")
    alone = list(make_batches(sources, config, 0, Generation(cpu, workers=0)))
    shared = list(make_batches(sources, config, 0, Generation(cpu, workers=workers)))
    assert len(alone) == len(shared) == 3
    for (image, target), (other_image, other_target) in zip(alone, shared, strict=True):
        assert image.equal(other_image)
        assert target.equal(other_target)


def test_batches_from_the_middle_are_those_of_the_whole_run(sources, make_config):
    config = make_config(optimiser="steps = 3\nbatch = 2\n")
    generation = Generation(torch.device("cpu"), workers=0)
    whole = list(make_batches(sources, config, 0, generation))
    rest = list(make_batches(sources, config, 4, generation))
    assert len(rest) == 1
    assert rest[0][0].equal(whole[2][0])


def test_image_is_finite_normalised_and_target_has_known_classes(sources, config):
    heads = Heads(sources.subjects, torch.device("cpu"))
    seen = set()
    for index in range(12):
        sample = make_sample(index, sources, config, heads)
        assert sample.image.shape == sample.target.shape == (32, 32, 32)
        assert sample.image.dtype == torch.float32
        assert sample.image.isfinite().all()
        assert sample.image.abs().max() <= 10
        assert sample.target.dtype == torch.uint8
        seen |= set(sample.target.unique().tolist())
    assert seen == set(range(LESION + 1))


def test_soft_targets_sum_to_1_and_agree_with_the_hard_ones(sources, make_config):
    hard_config = make_config()
    soft_config = make_config(loss="soft_target = true\n")
    agreement = []
    for index in range(4):
        hard = make_sample(index, sources, hard_config)
        soft = make_sample(index, sources, soft_config)
        assert hard.image.equal(soft.image)
        assert soft.target.shape == (LESION + 1, 32, 32, 32)
        assert soft.target.min() >= 0
        torch.testing.assert_close(soft.target.sum(0), torch.ones(32, 32, 32))
        agreement.append((soft.target.argmax(0) == hard.target).float().mean())
    assert np.mean(agreement) > 0.85


def test_lesion_only_keeps_the_lesion_and_nothing_else(sources, make_config):
    both = make_sample(2, sources, make_config())
    alone = make_sample(2, sources, make_config(top="lesion_only = true\n"))
    assert alone.target.equal((both.target == LESION).to(torch.uint8))


def test_image_and_target_stay_aligned_under_warp_and_flips(sources, make_config):
    # Bright lesion alone on dark tissue, no scanner: what is bright must be called lesion.
    config = make_config(
        intensity="bias_strength = 0.0\ngamma_std = 0.0\nblur_share = 0.0\nthick_share = 0.0\n"
        "snr_minimum = 1e6\nsnr_maximum = 1e6\nstrip_share = 0.0\n"
        'normalisation = "zscore"\n',
        lesion="fade_share = 0.0\ntarget_above_unfaded = 0.5\n",
        spatial="elastic = 0.08\nflip_probability = [0.5, 0.5, 0.5]\n",
    )
    flips = set()
    for index in range(16):
        drawn = draw_sample(index, sources, config)
        contrast = drawn.made_of.contrast
        means = np.zeros_like(contrast.means)
        means[-2:] = 200
        contrast = replace(contrast, means=means, stds=np.zeros_like(means))
        drawn = replace(drawn, made_of=replace(drawn.made_of, contrast=contrast))
        sample = build_sample(drawn, sources, config)
        flips.add(drawn.made_of.warp.flips)
        lesion = sample.target == LESION
        bright = sample.image > (sample.image.max() + sample.image.min()) / 2
        if lesion.sum() < 20:
            continue
        overlap = 2 * (lesion & bright).sum() / (lesion.sum() + bright.sum())
        assert overlap > 0.85, (index, float(overlap))
    assert len(flips) > 3


def test_flips_mirror_the_sample_exactly(sources, make_config):
    config = make_config(spatial="flip_probability = [0.0, 0.0, 0.0]\nelastic = 0.05\n")
    drawn = draw_sample(1, sources, config)
    plain = build_sample(drawn, sources, config)
    warp = replace(drawn.made_of.warp, flips=(0, 2))
    mirrored = build_sample(
        replace(drawn, made_of=replace(drawn.made_of, warp=warp)), sources, config
    )
    same = (mirrored.target.flip(0, 2) == plain.target).float().mean()
    assert same > 0.999


def test_the_canvas_is_normalised_before_the_crop_is_cut(sources, make_config):
    config = make_config(
        spatial="crop_vox = [16, 16, 16]\ncanvas_vox = [32, 32, 32]\n",
        top="",
    )
    whole = make_config()
    cuts = set()
    for index in range(4):
        sample = make_sample(index, sources, config)
        full = make_sample(index, sources, whole)
        a, b, c = sample.drawn.cut
        cuts.add((a, b, c))
        part = full.image[a : a + 16, b : b + 16, c : c + 16]
        torch.testing.assert_close(sample.image, part)
    assert len(cuts) > 1


def test_families_come_in_the_shares_that_were_asked_for(sources, make_config):
    config = make_config(contrast="plausible_share = 0.5\n")
    families = [draw_sample(i, sources, config).made_of.contrast.family for i in range(120)]
    assert 35 < families.count(RANDOM_FAMILY) < 85
    assert {"T1w", "T2w", "FLAIR", "DWI", "ADC"} <= set(families)


def test_texture_per_class_gives_each_class_its_own_smoothness(sources, make_config):
    config = make_config(contrast="texture_per_class = true\ntexture_fwhm_vox = 2.0\n")
    sample = make_sample(0, sources, config)
    assert sample.image.isfinite().all()
    assert not sample.image.equal(make_sample(0, sources, make_config()).image)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_on_cuda_the_same_draws_give_the_same_target(sources, config):
    heads = Heads(sources.subjects, torch.device("cuda"))
    on_cpu, on_gpu = make_sample(3, sources, config), make_sample(3, sources, config, heads)
    assert (on_gpu.target.cpu() == on_cpu.target).float().mean() > 0.999
    assert on_gpu.image.is_cuda
