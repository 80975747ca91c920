"""A case has its model's interval where the model is used as it was calibrated, and there alone."""

import json

import pytest

from strokeseg import Options, load_model, predict
from strokeseg.models.volume_interval import Figures, VolumeInterval
from tests.factories import scan_file
from tests.tiny_models import OWN, tiny_files, write_files
from tests.two_stages import two_stage_model

INTERVAL = {"predictor": "entropy", "floor": 0.5, "below": 0.7, "above": 0.9, "cases": 96}
SMALL = OWN | {"window": 32, "voxel_size_mm": 4.0, "volume_interval": INTERVAL}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_files(tmp_path_factory.mktemp("m"), tiny_files(SMALL, seed=3))


@pytest.fixture(scope="module")
def model(folder):
    return load_model(str(folder))


@pytest.fixture(scope="module")
def scan(tmp_path_factory):
    return scan_file(tmp_path_factory.mktemp("scan"))


def test_the_interval_is_that_of_the_config_on_the_reference_s_grid(model, scan, tmp_path):
    result = predict({"t1": scan}, model=model)
    figures = Figures.of(
        result.volume_ml,
        result.volume_range_ml,
        result.probability,
        SMALL["threshold"],
        result.grid.voxel_volume_ml,
    )
    expected = VolumeInterval(**INTERVAL).around(figures)
    assert result.volume_interval_ml == pytest.approx(expected)
    low, high = expected
    assert low <= result.volume_ml < high
    record = json.loads(result.save(tmp_path / "out")[-1].read_text())
    assert record["lesion_volume_interval_ml"] == pytest.approx(list(expected))
    assert record["lesion_volume_range_ml"] == pytest.approx(list(result.volume_range_ml))


@pytest.mark.parametrize(
    "changes",
    [
        {"tta": False},
        {"threshold": 0.5},
        {"min_volume_ml": 1.0},
        {"min_peak": 0.6},
        {"brain_mask": False},
        {"field_of_view": "brain"},
        {"fusion": "noisy_or"},
        {"weights": (("t1", 2.0),)},
        {"window": 64},
        {"overlap": 0.25},
    ],
    ids=lambda changes: ", ".join(changes),
)
def test_there_is_none_where_the_model_is_used_otherwise(model, scan, changes, tmp_path):
    result = predict({"t1": scan}, model=model, options=Options(**changes))
    assert result.volume_interval_ml is None
    record = json.loads(result.save(tmp_path / "out")[-1].read_text())
    assert record["lesion_volume_interval_ml"] is None


def test_options_that_say_what_the_model_says_change_nothing(model, scan):
    same = Options(threshold=SMALL["threshold"], field_of_view="whole", window=32)
    assert predict({"t1": scan}, model=model, options=same).volume_interval_ml is not None


def test_it_belongs_to_the_stages_that_it_was_calibrated_with(scan, tmp_path):
    two = load_model(str(two_stage_model(tmp_path / "two", own=SMALL, most_crops=2)))
    for stages, known in ((2, True), (1, False)):
        found = predict({"t1": scan}, model=two, options=Options(stages=stages))
        assert (found.volume_interval_ml is not None) is known


def test_there_is_none_of_two_models_and_of_a_model_without(model, scan, tmp_path):
    without = write_files(tmp_path / "m", tiny_files(SMALL | {"volume_interval": None}, seed=4))
    plain = load_model(str(without))
    assert predict({"t1": scan}, model=plain).volume_interval_ml is None
    assert predict({"t1": scan}, model=[model, plain]).volume_interval_ml is None


def test_the_command_tells_it_for_what_it_is_and_not_with_fast(folder, scan, tmp_path, capfd):
    from strokeseg import cli

    asked = ["predict", "--t1", str(scan), "--model", str(folder)]
    assert cli.run([*asked, "-o", str(tmp_path / "a")]) == 0
    told = " ".join(capfd.readouterr().out.split())
    assert "90 % interval" in told
    assert "held the true volume in 9 of 10 validation cases" in told
    assert "single flips" not in told
    assert cli.run([*asked, "-o", str(tmp_path / "b"), "--fast"]) == 0
    assert "interval" not in capfd.readouterr().out
