import numpy as np
import pytest
import torch

from strokeseg.errors import UsageError
from strokeseg.models.finding import load_model_files
from strokeseg.training.calibration import calibrate, draw_reliability, main, rules_table
from strokeseg.training.config import read_config
from strokeseg.training.data.label_table import LESION
from strokeseg.training.export import ExportSettings, export_model
from strokeseg.training.fitting.loop import Session, train
from strokeseg.training.join import join_models
from strokeseg.training.validation.cases import validation_samples
from strokeseg.training.validation.scaling import read_scaling
from strokeseg.training.validation.scoring import Rule
from tests.tiny_models import OWN, tiny_files, write_files
from tests.training.heads import config_text

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


def test_models_of_several_networks_are_calibrated_by_their_folder(data_folder, tmp_path):
    """What it says of the mean of two networks that are one is what it says of that one."""
    text = tmp_path / "run.toml"
    text.write_text(config_text(data_folder, optimiser="steps = 120\n", validation="cases = 5\n"))
    checkpoint = train(read_config(text), tmp_path / "run", Session(torch.device("cpu"), workers=0))
    made = export_model(checkpoint, tmp_path / "one", ExportSettings("one"))
    one = load_model_files(str(made.folder))
    join_models([one, one], tmp_path / "two", ExportSettings("two"))
    found = []
    for model in (checkpoint, tmp_path / "one", tmp_path / "two"):
        output = tmp_path / f"of-{model.name}"
        told = main([str(model), "-o", str(output), "--config", str(text), "--fast"])
        assert str(output / "scaling.json") in told
        found.append(read_scaling(output / "scaling.json"))
    for scaling in found[1:]:
        np.testing.assert_allclose(scaling.factor, found[0].factor, atol=0.02)
        np.testing.assert_allclose(scaling.bias, found[0].bias, atol=0.02)


def test_a_model_of_other_classes_is_refused(tmp_path):
    two = OWN | {"class_names": ["background", "lesion"]}
    write_files(tmp_path / "two-classes", tiny_files(two, out_channels=2))
    with pytest.raises(UsageError, match="tells 2 classes, not 6"):
        main([str(tmp_path / "two-classes"), "-o", str(tmp_path / "out")])
    assert not (tmp_path / "out").exists()
