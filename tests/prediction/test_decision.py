import numpy as np

from strokeseg.models.config import ModelConfig
from strokeseg.prediction.decision import Rule, decide, flip_volumes_ml, label_map, make_rule
from strokeseg.prediction.ensemble import Posterior
from strokeseg.prediction.flip_spread import FlipSpread
from strokeseg.prediction.options import Options
from strokeseg.space.grid import Grid
from tests.tiny_models import CONFIG, OWN

SIZE_MM = 3.0
GRID = Grid((60, 60, 60), np.diag([SIZE_MM, SIZE_MM, SIZE_MM, 1.0]))
LESION = 5


def ball(centre, radius):
    index = np.indices(GRID.shape)
    return sum((i - c) ** 2 for i, c in zip(index, centre, strict=True)) <= radius**2


BRAIN = ball((30, 30, 30), 18)
INSIDE = ball((30, 30, 38), 4)
SKULL = ball((30, 30, 54), 2)


def answer(brain, lesion):
    probability = np.where(lesion, 0.8, 0.1).astype(np.float32)
    return Posterior(probability, lesion, np.where(brain, 2, 0).astype(np.uint8), None)


def rule(**changes):
    fields = {"threshold": None, "min_volume_ml": 0.0, "needs_brain": True, "classes": 6}
    return Rule(**(fields | changes))


def test_a_lesion_must_touch_the_brain():
    found = decide(answer(BRAIN & ~INSIDE, INSIDE | SKULL), GRID, rule())
    assert np.array_equal(found.mask, INSIDE)
    assert found.brain[INSIDE].all()
    everything = decide(answer(BRAIN, INSIDE | SKULL), GRID, rule(needs_brain=False))
    assert np.array_equal(everything.mask, INSIDE | SKULL)


def test_hardly_any_brain_is_no_judge():
    crumb = ball((30, 30, 30), 4)
    assert crumb.sum() * SIZE_MM**3 / 1000 < 200
    found = decide(answer(crumb, SKULL), GRID, rule())
    assert np.array_equal(found.mask, SKULL)


def test_small_lesions_are_left_out():
    speck = np.zeros(GRID.shape, bool)
    speck[20, 30, 30] = True
    found = decide(answer(BRAIN, INSIDE | speck), GRID, rule(min_volume_ml=0.1))
    assert np.array_equal(found.mask, INSIDE)


def test_a_threshold_replaces_the_most_probable_class():
    posterior = answer(BRAIN, INSIDE)
    assert not decide(posterior, GRID, rule(threshold=0.9)).mask.any()
    assert decide(posterior, GRID, rule(threshold=0.05, needs_brain=False)).mask.all()


def test_a_model_without_tissues_finds_no_brain():
    found = decide(answer(BRAIN, SKULL), GRID, rule(classes=2, needs_brain=False))
    assert found.brain is None
    assert np.array_equal(found.mask, SKULL)


def test_flips_are_measured_by_the_same_rule():
    decision = decide(answer(BRAIN, INSIDE), GRID, rule())
    masks = [INSIDE, INSIDE | SKULL, np.zeros(GRID.shape, bool)]
    spread = FlipSpread(np.zeros(GRID.shape, np.float32), [mask.astype(np.uint8) for mask in masks])
    low, high = flip_volumes_ml(spread, GRID, decision, GRID, rule())
    assert low == 0
    assert np.isclose(high, INSIDE.sum() * GRID.voxel_volume_ml)


def test_a_lesion_is_drawn_whole_where_it_reaches_its_peak_and_left_out_where_it_does_not():
    faint = ball((30, 30, 22), 3)
    posterior = answer(BRAIN, INSIDE)
    posterior.probability[faint] = 0.4
    posterior.probability[INSIDE & (np.indices(GRID.shape)[0] > 30)] = 0.3
    found = decide(posterior, GRID, rule(threshold=0.25, min_peak=0.5))
    assert np.array_equal(found.mask, INSIDE)
    without = decide(posterior, GRID, rule(threshold=0.25, needs_brain=False))
    assert np.array_equal(without.mask, INSIDE | faint)
    alone = decide(posterior, GRID, rule(threshold=0.25, min_peak=0.8, needs_brain=False))
    assert np.array_equal(alone.mask, INSIDE)


def test_flips_have_to_reach_the_peak_too():
    decision = decide(answer(BRAIN, INSIDE), GRID, rule())
    sure, faint = INSIDE.astype(np.uint8), INSIDE.astype(np.uint8)
    sure[30, 30, 38] = 2
    spread = FlipSpread(None, [sure, faint])
    low, high = flip_volumes_ml(spread, GRID, decision, GRID, rule(min_peak=0.5))
    assert low == 0
    assert np.isclose(high, INSIDE.sum() * GRID.voxel_volume_ml)


def test_options_win_over_the_config():
    config = ModelConfig.from_config(CONFIG | {"strokeseg": OWN})
    assert make_rule(config, Options()) == Rule(0.4, 0.05, True, 6)
    peaked = ModelConfig.from_config(CONFIG | {"strokeseg": OWN | {"min_peak": 0.6}})
    assert make_rule(peaked, Options()) == Rule(0.4, 0.05, True, 6, 0.6)
    changed = Options(threshold=0.7, min_volume_ml=0.0, brain_mask=False, min_peak=0.0)
    assert make_rule(peaked, changed) == Rule(0.7, 0.0, False, 6)


def test_the_lesion_lies_over_the_tissues():
    labels = label_map(np.full(GRID.shape, 3, np.uint8), INSIDE, LESION)
    assert set(np.unique(labels)) == {3, 5}
    assert np.array_equal(labels == LESION, INSIDE)


def test_a_lesion_is_cut_to_the_hull_and_not_only_made_to_touch_it():
    tongue = ball((30, 30, 48), 8)
    posterior = answer(BRAIN & ~INSIDE, INSIDE | tongue)
    whole = decide(posterior, GRID, rule())
    assert whole.mask[30, 30, 55]
    cut = decide(posterior, GRID, rule(hull_margin_mm=6.0))
    assert cut.mask[INSIDE].all()
    assert not cut.mask[30, 30, 55]
    assert np.array_equal(cut.mask, whole.mask & cut.hull)
    assert not (cut.brain & ~cut.hull).any()


def test_hardly_any_brain_has_no_hull_that_cuts():
    crumb = ball((30, 30, 30), 4)
    found = decide(answer(crumb, SKULL), GRID, rule(hull_margin_mm=0.0))
    assert np.array_equal(found.mask, SKULL)


def test_flips_are_cut_to_the_hull_too():
    tongue = ball((30, 30, 48), 8)
    ours = rule(hull_margin_mm=2.0)
    found = decide(answer(BRAIN & ~INSIDE, INSIDE | tongue), GRID, ours)
    level = (INSIDE | tongue).astype(np.uint8)
    low, high = flip_volumes_ml(FlipSpread(None, [level]), GRID, found, GRID, ours)
    assert low == high == found.mask.sum() * SIZE_MM**3 / 1000


def test_a_brain_that_is_given_judges_in_place_of_the_tissues():
    elsewhere = ball((30, 30, 54), 10) | ball((12, 12, 12), 12)
    found = decide(answer(BRAIN, INSIDE | SKULL), GRID, rule(), elsewhere)
    assert np.array_equal(found.brain, elsewhere)
    assert found.mask[SKULL].all()
    assert not found.mask[INSIDE & ~elsewhere].any()


def test_a_given_brain_makes_a_rule_of_a_model_without_tissues():
    config = ModelConfig.from_config(CONFIG | {"out_channels": 2, "strokeseg": {}})
    assert not make_rule(config, Options()).needs_brain
    assert make_rule(config, Options(), brain_given=True).needs_brain
    assert not make_rule(config, Options(brain_mask=False), brain_given=True).needs_brain
