import json

import numpy as np
import pytest

pytest.importorskip("torch")

from strokeseg.engines.base import ScanLogits
from strokeseg.errors import DataError
from strokeseg.images.reading import read_scan
from strokeseg.models.finding import load_model_files
from strokeseg.models.fusion import Fusion
from strokeseg.models.loading import load_model
from strokeseg.models.volume_interval import VolumeInterval
from strokeseg.prediction.ensemble import Member
from strokeseg.prediction.options import Options
from strokeseg.space.grid import Grid
from strokeseg.training import scan_calibration
from strokeseg.training.calibrated_model import ScaledEngine, write_decision
from strokeseg.training.scan_calibration import best, choose, gains, tables
from strokeseg.training.validation.scaling import Scaling
from strokeseg.training.validation.scan_rules import Choice, Judge, Mark
from strokeseg.training.validation.seen_scans import SeenCase, see_cases, seen_folder
from strokeseg.training.validation.whole_scans import ScanCase
from tests.tiny_models import OWN, tiny_files, write_files

GRID = Grid((40, 40, 40), np.diag([4.0, 4.0, 4.0, 1.0]))


def ball(centre, radius):
    index = np.indices(GRID.shape)
    return sum((i - c) ** 2 for i, c in zip(index, centre, strict=True)) <= radius**2


BRAIN = ball((20, 20, 20), 14)
LESION = ball((20, 20, 26), 4)
CHEEK = ball((20, 20, 37), 3) | (ball((20, 20, 34), 1))


def member(modality, lesion, far=-6.0, near=4.0):
    logits = np.full((6, *GRID.shape), -6.0, np.float32)
    logits[0] = 2.0
    logits[3][BRAIN] = 6.0
    logits[5] = far
    logits[5][lesion] = 6.0 + near
    return Member(ScanLogits(logits, []), GRID, GRID, modality)


def case(*members, truth=LESION, group="several"):
    return SeenCase("x", group, members, GRID, truth)


SEES, BLIND = member("flair", LESION), member("dwi", np.zeros_like(LESION), far=-20.0)


def test_a_mark_is_dice_and_false_lesion():
    mark = Judge(case(SEES)).mark(Choice(Fusion(), 0.5))
    assert mark == Mark("several", 1.0, 1.0, 0.0)
    free = Judge(case(SEES, truth=None)).mark(Choice(Fusion(), 0.5))
    assert free.dice is None
    assert free.false_ml == pytest.approx(LESION.sum() * 0.064)


def test_a_rule_that_lets_no_blind_scan_veto_is_chosen():
    choice, stages = choose([Judge(case(SEES, BLIND)), Judge(case(SEES, group="single"))])
    assert choice.fusion.rule != "mean_logits"
    assert len(stages) == 3
    assert best(stages[0]).worth == pytest.approx(2.0)


def test_a_sequence_that_is_not_heard_stays_so_in_what_is_chosen():
    judges = [Judge(case(SEES, BLIND)), Judge(case(SEES, group="single"))]
    choice, stages = choose(judges, {"dwi": 0.0})
    assert choice.settings()["fusion"]["weights"] == {"dwi": 0.0}
    assert "weights" not in choose(judges)[0].settings()["fusion"]
    # With the blind scan silent no rule is hindered by it.
    assert {trial.choice.fusion.weight("dwi") for trial in stages[0]} == {0.0}
    assert min(t.worth for t in stages[0] if t.choice.threshold == 0.5) == pytest.approx(2.0)


def test_a_hull_is_chosen_where_lesions_run_on_into_a_cheek():
    tongue = member("flair", LESION | CHEEK | ball((20, 20, 32), 3))
    judges = [Judge(case(tongue)), Judge(case(tongue, truth=None, group="free"))]
    _, stages = choose(judges)
    assert best(stages[1]).choice.hull_margin_mm is not None


def test_of_rules_as_good_the_one_of_least_false_lesion_is_best():
    def trial(name, dice, false_ml):
        marks = (Mark("a", dice, dice, 0.0), Mark("b", None, None, false_ml))
        return scan_calibration.Trial(name, Choice(Fusion(), 0.5), marks)

    assert best([trial("a", 0.8, 9.0), trial("b", 0.798, 1.0), trial("c", 0.5, 0.0)]).name == "b"


def test_the_gain_of_each_sequence_and_the_tables_say_what_was_chosen():
    cases = [case(SEES, BLIND), case(SEES, group="single"), case(BLIND, truth=None, group="free")]
    choice, stages = choose([Judge(c) for c in cases])
    gained = gains(cases, choice)
    assert gained["flair"][:2] == pytest.approx((0.0, 1.0))
    assert gained["dwi"][:2] == pytest.approx((1.0, 1.0))
    text = tables(stages, gained)
    assert "| several | 1 | 1.00 | 1.00 | - |" in text
    assert "| free | 1 | - | - | 0.0 |" in text
    assert text.count("(chosen)") == 3


def test_what_a_model_said_is_kept_and_read_again(tmp_path):
    own = OWN | {"window": 32, "voxel_size_mm": 4.0}
    loaded = load_model(str(write_files(tmp_path / "m", tiny_files(own, seed=3))))
    data = np.random.default_rng(0).random(GRID.shape, dtype=np.float32)
    truth = data > 0.9
    cases = [ScanCase("a", "g", {"t1": read_scan((data, GRID.affine))}, truth)]
    options = Options(tta=False)
    (first,) = see_cases(cases, loaded, options, tmp_path / "seen")
    loaded.engine.logits = None
    (again,) = see_cases(cases, loaded, options, tmp_path / "seen")
    np.testing.assert_array_equal(first.truth, truth)
    np.testing.assert_array_equal(first.members[0].logits.mean, again.members[0].logits.mean)
    assert (again.name, again.group, again.modalities) == ("a", "g", ("t1",))
    assert again.grid.same_as(GRID)


def test_a_model_that_leans_otherwise_is_seen_anew(tmp_path):
    names = []
    for number, offsets in enumerate(({}, {"t1": 1.0}, {"t1": 0.5})):
        own = OWN | {"lesion_offsets": offsets}
        loaded = load_model(str(write_files(tmp_path / f"m{number}", tiny_files(own, seed=3))))
        names.append(seen_folder(tmp_path, loaded, "1", fast=True).name)
    digest = loaded.model.sha256[:12]
    assert names == [f"seen-one-{digest}{leaning}-1" for leaning in ("", "-t1+1", "-t1+0.5")]


def test_a_decision_is_written_into_the_config_and_read_by_inference(tmp_path):
    interval = {"predictor": "size", "floor": 1.0, "below": 1.0, "above": 1.0, "cases": 30}
    folder = write_files(tmp_path / "m", tiny_files(OWN | {"volume_interval": interval}, seed=3))
    assert load_model_files(str(folder)).config.volume_interval == VolumeInterval(**interval)
    fusion = Fusion("pooled", floors={"dwi": 0.05}, sharpness=2.0)
    choice = Choice(fusion, 0.3, 0.5, 0.2, hull_margin_mm=4.0)
    write_decision(folder, json.loads(json.dumps(choice.settings())))
    config = load_model_files(str(folder)).config
    assert config.fusion == fusion
    assert (config.threshold, config.min_peak, config.min_volume_ml) == (0.3, 0.5, 0.2)
    assert (config.hull_margin_mm, config.field_of_view) == (4.0, "brain")
    assert config.provenance == OWN["training"]
    assert config.volume_interval is None, "it was that of another rule"
    with pytest.raises(DataError, match=r"config\.json"):
        write_decision(tmp_path, choice.settings())


def test_a_scaled_engine_says_what_the_folded_network_would():
    class Plain:
        name, device, precision, classes = "stub", "cpu", "fp32", 2

        def logits(self, patch, _out=None):
            return np.stack((patch, -patch))

        def release(self):
            pass

    scaled = ScaledEngine(Plain(), Scaling((2.0, 3.0), (0.5, -0.5)))
    patch = np.ones((2, 2, 2), np.float32)
    np.testing.assert_allclose(scaled.logits(patch)[:, 0, 0, 0], [2.5, -3.5])


def test_the_command_sees_chooses_and_writes(tmp_path, monkeypatch, make_config, held_out):
    own = OWN | {"window": 32, "voxel_size_mm": 4.0}
    folder = write_files(tmp_path / "m", tiny_files(own, seed=3))

    def small(model, *_others):
        from strokeseg.training.calibrated_model import CalibratedModel

        return CalibratedModel(load_model(model), make_config(), held_out)

    monkeypatch.setattr(scan_calibration, "open_calibrated", small)
    monkeypatch.setattr(scan_calibration, "THRESHOLDS", (0.3,))
    monkeypatch.setattr(scan_calibration, "Sizes", lambda *_counts: _Few())
    arguments = [str(folder), "-o", str(tmp_path / "out"), "--data", str(tmp_path), "--write"]
    assert "decision.json" in scan_calibration.main(arguments)
    settings = json.loads((tmp_path / "out" / "decision.json").read_text())
    assert load_model_files(str(folder)).config.threshold == settings["threshold"] == 0.3
    assert "| rule | Dice + LF1 | false ml |" in (tmp_path / "out" / "decision.md").read_text()


class _Few:
    single, several, slices, free_slices = 1, 1, 0, 0
