import numpy as np
import pytest

from strokeseg.errors import UsageError
from strokeseg.training.calibration import calibrate, draw_reliability, main, rules_table
from strokeseg.training.data.label_table import LESION
from strokeseg.training.validation.cases import validation_samples
from strokeseg.training.validation.scoring import Rule

SURE, UNSURE = 0.85, 0.45


@pytest.fixture(scope="module")
def answers(config, held_out):
    """Logits that say 0.85 in lesions and 0.45 in the grey matter."""
    found = []
    for _, sample in validation_samples(held_out, config, 7):
        target = sample.target.numpy()
        probability = np.where(target == LESION, SURE, np.where(target == 1, UNSURE, 0.001))
        logits = np.full((LESION + 1, *target.shape), -20, np.float32)
        logits[0] = np.log(1 - probability)
        logits[LESION] = np.log(probability)
        found.append(logits)
    return found


def test_the_best_rule_is_the_one_that_fits(config, held_out, answers, tmp_path):
    turns = iter(answers)
    rules = [Rule(0.2), Rule(0.6), Rule(0.9), Rule(0.6, 1e4)]
    made = calibrate(lambda _: next(turns), held_out, config, rules, count=7)
    assert made.best == Rule(0.6)
    dices = [score.lesion_dice for _, score in made.by_rule]
    assert dices[1] == 1
    assert dices[0] < 1
    assert dices[2] == dices[3] == 0
    assert made.reliability.true[8] == 1
    assert made.reliability.said[8] == pytest.approx(SURE, abs=1e-4)
    assert made.reliability.true[4] == 0
    assert made.reliability.voxels[2] == 0
    assert "| 0.6 (best) | 0 | 0 | no | 1.000 | 1.000 |" in rules_table(made)
    draw_reliability(made.reliability, tmp_path / "reliability.png")
    assert (tmp_path / "reliability.png").stat().st_size > 1000


def test_no_cases_are_refused_before_anything_is_read():
    with pytest.raises(UsageError, match="--cases is 0: give 1 or more"):
        main(["no-such.pt", "-o", "x", "--cases", "0"])


def test_of_rules_as_good_the_one_with_the_least_false_lesion_is_best(config, held_out):
    """Lesions are named rightly; in the head without one, grey matter is half suspected."""
    targets = (sample.target.numpy() for _, sample in validation_samples(held_out, config, 10))

    def answer(_image):
        target = next(targets)
        probability = np.where(target == LESION, SURE, 0.001)
        if not (target == LESION).any():
            probability = np.where(target == 1, UNSURE, probability)
        logits = np.full((LESION + 1, *target.shape), -20, np.float32)
        logits[0], logits[LESION] = np.log(1 - probability), np.log(probability)
        return logits

    rules = [Rule(0.2), Rule(0.2, min_peak=0.5), Rule(0.2, min_peak=0.9)]
    made = calibrate(answer, held_out, config, rules, count=10)
    scores = dict(made.by_rule)
    assert [scores[rule].lesion_dice for rule in rules] == [1, 1, 0]
    assert [scores[rule].false_ml > 0 for rule in rules] == [True, False, False]
    assert made.best == rules[1]
