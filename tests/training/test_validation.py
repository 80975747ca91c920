import math
from collections import Counter

import numpy as np
import pytest
import torch

from strokeseg.prediction.ensemble import classify
from strokeseg.training.data.label_table import LESION
from strokeseg.training.synthesis.contrasts import RANDOM_FAMILY
from strokeseg.training.validation.cases import draw_case, validation_samples
from strokeseg.training.validation.groups import markdown, summarise, write_cases, write_groups
from strokeseg.training.validation.scoring import (
    FREE,
    TISSUE_NAMES,
    Rule,
    Scoring,
    find_lesions,
    over_flips,
    score_case,
    validate,
)


def oracle(samples):
    """Logits that give the truth of the cases, one after the other."""
    turns = iter([sample.target for _, sample in samples])

    def run(image):
        target = next(turns)
        assert target.shape == image.shape
        shares = torch.nn.functional.one_hot(target.long(), LESION + 1).movedim(-1, 0)
        return 9 * shares.float().numpy()

    return run


@pytest.fixture(scope="module")
def samples(config, held_out):
    return list(validation_samples(held_out, config))


def test_the_set_is_the_same_every_time(config, held_out, samples):
    again = list(validation_samples(held_out, config, count=3))
    for (index, sample), (other, repeated) in zip(samples[:3], again, strict=True):
        assert index == other
        assert sample.image.equal(repeated.image)
        assert sample.target.equal(repeated.target)


def test_families_and_sizes_take_turns(config, held_out):
    cases = [draw_case(index, held_out, config).made_of for index in range(84)]
    families = Counter(case.contrast.family for case in cases)
    assert set(families) == {"T1w", "T2w", "FLAIR", "DWI", "ADC", "PD", RANDOM_FAMILY}
    assert max(families.values()) - min(families.values()) <= 1
    assert sum(not case.placements for case in cases) == 8


def test_a_perfect_answer_scores_1_and_has_no_false_volume(config, held_out, samples):
    scores = validate(oracle(samples), held_out, config)
    for score in scores:
        assert score.false_ml == 0
        assert score.tissue_dice == (1, 1, 1, 1)
        if score.counts is None:
            assert score.size == FREE
            assert score.lesion_dice is None
        else:
            assert score.lesion_dice == score.counts.lf1 == 1
    assert any(score.size == FREE for score in scores)


def test_the_threshold_and_the_least_volume_decide(samples):
    _, sample = samples[0]
    logits = np.zeros((LESION + 1, *sample.target.shape), np.float32)
    logits[0] = 1
    logits[LESION][sample.target.numpy() == LESION] = 0.9
    names = ["head"] * 2

    def found(rule):
        return score_case(0, sample, logits, names, Scoring(rule, 4.0)).lesion_dice

    assert found(Rule()) == 0
    assert found(Rule(threshold=0.2)) == 1
    assert found(Rule(threshold=0.2, min_volume_ml=1e4)) == 0


def test_lesions_outside_the_brain_are_left_out_where_the_brain_is_needed():
    logits = np.zeros((LESION + 1, 32, 32, 32), np.float32)
    logits[0] = 1
    logits[2, 4:28, 4:28, 4:20] = 5
    logits[LESION, 10:14, 10:14, 8:12] = logits[LESION, 10:14, 10:14, 26:30] = 9
    everywhere, within = (
        next(find_lesions(classify(logits), [Rule(0.5, needs_brain=needed)], LESION + 1, 4.0))
        for needed in (False, True)
    )
    assert everywhere.sum() == 2 * within.sum() == 128
    assert within[12, 12, 10]


def test_the_lesion_probability_of_validation_is_a_softmax():
    logits = np.random.default_rng(0).normal(0, 30, (4, 3, 3, 3)).astype(np.float32)
    expected = torch.softmax(torch.from_numpy(logits), 0)[-1].numpy()
    np.testing.assert_allclose(classify(logits).probability, expected, atol=1e-6)


def test_false_volume_on_a_head_without_lesion_is_counted(samples):
    index, sample = next((i, s) for i, s in samples if not (s.target == LESION).any())
    logits = np.zeros((LESION + 1, *sample.target.shape), np.float32)
    logits[LESION, :5, :5, :5] = 1
    score = score_case(index, sample, logits, ["head"], Scoring(Rule(), 4.0))
    assert score.false_ml == pytest.approx(125 * 0.064)
    assert math.isnan(summarise([score])[0].lesion_dice)
    assert summarise([score])[0].false_ml == pytest.approx(8.0)


def test_two_classes_have_no_tissue_scores(samples):
    index, sample = samples[0]
    logits = np.zeros((2, *sample.target.shape), np.float32)
    logits[1][sample.target.numpy() == LESION] = 1
    score = score_case(index, sample, logits, ["head"], Scoring(Rule(), 4.0))
    assert score.lesion_dice == 1
    assert all(math.isnan(value) for value in score.tissue_dice)


def test_tables_hold_every_group_and_every_case(config, held_out, samples, tmp_path):
    scores = validate(oracle(samples), held_out, config)
    groups = summarise(scores)
    write_groups(tmp_path / "groups.tsv", groups)
    write_cases(tmp_path / "cases.tsv", scores)
    rows = [line.split("\t") for line in (tmp_path / "groups.tsv").read_text().splitlines()]
    assert rows[0][:5] == ["group", "name", "n", "lesion_dice", "lf1"]
    assert rows[0][5:9] == list(TISSUE_NAMES)
    assert {row[1] for row in rows} >= {"all", "T1w", "DWI", "random", FREE}
    assert len({len(row) for row in rows}) == 1
    cases = (tmp_path / "cases.tsv").read_text().splitlines()
    assert len(cases) == len(scores) + 1
    assert markdown(groups).splitlines()[2].startswith("| all | ")


def test_logits_over_flips_are_the_mean_of_what_each_mirror_image_gives():
    rng = np.random.default_rng(4)
    image = rng.normal(size=(4, 5, 6)).astype(np.float32)
    ramp = np.arange(4, dtype=np.float32)[:, None, None]

    def uneven(shown):
        """Two channels, the second of which depends on where a voxel lies."""
        return np.stack((shown, shown * ramp))

    found = over_flips(uneven)(image)
    np.testing.assert_allclose(found[0], image, rtol=1e-6)
    np.testing.assert_allclose(found[1], image * 1.5, rtol=1e-5)


def test_rules_of_one_threshold_find_what_each_finds_alone():
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 1, (LESION + 1, 32, 32, 32)).astype(np.float32)
    logits[2, 4:28, 4:28, 4:20] += 5
    logits[LESION, 8:14, 8:14, 8:12] += 8
    logits[LESION, 20:24, 8:14, 8:12] += 4
    answer = classify(logits)
    rules = [
        Rule(0.3),
        Rule(0.3, min_volume_ml=1.0),
        Rule(0.3, needs_brain=True, min_peak=0.8),
        Rule(0.3, needs_brain=True),
        Rule(0.6, min_peak=0.95),
    ]
    together = list(find_lesions(answer, rules, LESION + 1, 4.0))
    assert len({mask.tobytes() for mask in together}) >= 4
    for rule, mask in zip(rules, together, strict=True):
        alone = next(find_lesions(answer, [rule], LESION + 1, 4.0))
        np.testing.assert_array_equal(mask, alone)
