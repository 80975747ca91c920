import json

import numpy as np
import pytest

pytest.importorskip("torch")

from strokeseg.errors import DataError
from strokeseg.files.checksums import sha256
from strokeseg.measure.doubt import Doubt
from strokeseg.models.finding import load_model_files
from strokeseg.models.loading import load_model
from strokeseg.models.volume_interval import Figures, VolumeInterval
from strokeseg.training import volume_calibration
from strokeseg.training.calibrated_model import CalibratedModel
from strokeseg.training.validation.volume_errors import (
    VolumeCase,
    choose,
    covered,
    made,
    tables,
)
from strokeseg.training.validation.whole_scans import Sizes
from strokeseg.training.volume_calibration import KeptCases, main
from tests.tiny_models import OWN, tiny_files, write_files

SURE = Doubt(0.0, 0.0, 0.0, 0.0)


def case(number, true_ml, volume_ml, spread=0.0, group="drawn"):
    """A case whose flips are `spread` apart on the logarithm."""
    flips = (volume_ml, (volume_ml + 1) * np.exp(spread) - 1)
    return VolumeCase(f"case-{number}", group, true_ml, Figures(volume_ml, flips, SURE))


def drawn(count, seed, spreads=(0.2, 2.0)):
    """Cases that are off by as much as their flips are apart, and differ in that."""
    rng = np.random.default_rng(seed)
    found = []
    for number in range(count):
        volume, spread = rng.uniform(1, 50), rng.choice(spreads)
        off = spread * rng.normal()
        found.append(case(number, max(0.0, (volume + 1) * np.exp(off) - 1), volume, spread))
    return found


def test_reach_is_the_rank_that_holds_for_one_case_more():
    errors = np.arange(1.0, 40.0)  # 39 of them: rank 38 of 40 leaves out 1 in 20
    below, above = made(-errors, np.ones(39))
    assert (below, above) == (38.0, 0.0)
    below, above = made(errors, np.full(39, 2.0))
    assert (below, above) == (0.0, 19.0)


def test_new_cases_lie_in_the_interval_nine_times_in_ten():
    best = choose(drawn(200, 0))[0]
    new = drawn(2000, 1)
    held = covered(new, [best.interval.around(c.figures) for c in new])
    assert 0.87 < held < 0.95
    assert covered(drawn(200, 0), best.left_out) >= 0.88


def test_the_predictor_that_knows_the_error_is_chosen_and_narrower_where_it_is_small():
    trials = choose(drawn(200, 0))
    assert trials[0].interval.predictor == "flips"
    (plain,) = [trial for trial in trials if trial.interval.predictor == "size"]
    assert trials[0].score < 0.9 * plain.score
    sure, unsure = (trials[0].interval.around(case(0, 0, 10.0, s).figures) for s in (0.2, 2.0))
    assert sure[1] - sure[0] < 0.3 * (unsure[1] - unsure[0])


def test_the_size_alone_is_chosen_where_flips_say_nothing():
    rng = np.random.default_rng(3)
    cases = [
        case(n, (v + 1) * np.exp(0.5 * rng.normal()) - 1, v, rng.choice((0.0, 3.0)))
        for n, v in enumerate(rng.uniform(5, 50, 200))
    ]
    assert choose(cases)[0].interval.predictor == "size"


def test_too_few_cases_are_refused():
    with pytest.raises(DataError, match="needs 21"):
        choose(drawn(20, 0))


def test_the_tables_say_what_was_chosen_and_how_each_group_does():
    cases = [*drawn(40, 0), *(case(100 + n, 0.0, 0.0, group="free") for n in range(10))]
    text = tables(cases, choose(cases))
    assert text.startswith("n = 50;")
    assert text.count("(chosen)") == 1
    assert "| free | 10 | 1.00 | 0.0 | 0.0 | 0.0 to" in text
    assert "| size | 1 |" in text


def test_the_command_measures_writes_and_goes_on(tmp_path, monkeypatch, make_config, held_out):
    own = OWN | {"window": 32, "voxel_size_mm": 4.0}
    folder = write_files(tmp_path / "m", tiny_files(own, seed=3))

    def small(model, *_others):
        return CalibratedModel(load_model(model), make_config(), held_out)

    monkeypatch.setattr(volume_calibration, "open_calibrated", small)
    monkeypatch.setattr(volume_calibration, "SIZES", Sizes(22, 1, 0, 0))
    out = tmp_path / "out"
    arguments = [str(folder), "-o", str(out), "--data", str(tmp_path), "--write"]
    told = main(arguments)
    assert f'config_sha256 = "{sha256(folder / "config.json")}"' in told
    settings = json.loads((out / "interval.json").read_text())["volume_interval"]
    assert settings["cases"] >= 22
    assert load_model_files(str(folder)).config.volume_interval == VolumeInterval(**settings)
    (table,) = out.glob("volumes-*.tsv")
    kept = KeptCases(table).read()
    assert len(kept) == settings["cases"]
    drawn_ml = [c.true_ml for c in kept.values() if c.group.startswith("whole heads")]
    assert len(drawn_ml) == 23
    assert max(drawn_ml) > 0
    monkeypatch.setattr(volume_calibration, "predict", None)
    main(arguments)
    assert json.loads((out / "interval.json").read_text())["volume_interval"] == settings
    document = json.loads((folder / "config.json").read_text())
    document["strokeseg"]["lesion_offsets"] = {"t1": 1.0}
    (folder / "config.json").write_text(json.dumps(document))
    with pytest.raises(TypeError):
        main(arguments)  # What is kept is of another rule, so all is predicted anew.
