import numpy as np
import pytest

from strokeseg.errors import ModelFormatError
from strokeseg.measure.doubt import measure_doubt
from strokeseg.models.volume_interval import PREDICTORS, Figures, VolumeInterval

SETTINGS = {"predictor": "flips", "floor": 0.5, "below": 2.0, "above": 1.0, "cases": 96}


def figures(volume_ml=3.0, flips_ml=(3.0, 3.0)):
    probability = np.zeros((2, 2, 2), np.float32)
    return Figures.of(volume_ml, flips_ml, probability, 0.5, 1.0)


def test_the_doubt_of_a_map_is_its_sum_its_bits_and_its_edge_in_ml():
    probability = np.array([0.5, 0.5, 0.3, 0.9, 1.0, 0.0, 0.0005, 0.0], np.float32)
    doubt = measure_doubt(probability.reshape(2, 2, 2), 0.5, 2.0)
    bits = -(0.3 * np.log2(0.3) + 0.7 * np.log2(0.7)) - (0.9 * np.log2(0.9) + 0.1 * np.log2(0.1))
    assert doubt.soft_ml == pytest.approx(2 * (0.5 + 0.5 + 0.3 + 0.9 + 1.0))
    assert doubt.entropy_ml == pytest.approx(2 * (2 + bits), rel=1e-5)
    # One in log-odds beyond 0.5 is 0.27 and 0.73.
    assert (doubt.wide_ml, doubt.narrow_ml) == (10.0, 4.0)


def test_what_a_voxel_has_where_no_scan_speaks_is_no_doubt():
    quiet = np.full((10, 10, 10), 0.05, np.float32)
    assert measure_doubt(quiet, 0.15, 1.0).entropy_ml > 200
    assert measure_doubt(quiet, 0.15, 1.0, 0.05).entropy_ml == pytest.approx(0, abs=1e-3)
    quiet[0, 0, 0] = 0.5
    bits = 1 + 0.05 * np.log2(0.05) + 0.95 * np.log2(0.95)
    assert measure_doubt(quiet, 0.15, 1.0, 0.05).entropy_ml == pytest.approx(bits, abs=1e-3)


def test_the_edge_lies_around_the_threshold_and_around_one_half_without():
    probability = np.full((1, 1, 1), 0.2, np.float32)
    assert measure_doubt(probability, 0.15, 1.0).wide_ml == 1.0
    assert Figures.of(1.0, (1.0, 1.0), probability, None, 1.0).doubt.wide_ml == 0.0


def test_an_interval_is_worked_out_on_the_logarithm_of_one_ml_more():
    interval = VolumeInterval(**SETTINGS)
    low, high = interval.around(figures())
    assert low == pytest.approx(4 / np.e - 1)
    assert high == pytest.approx(4 * np.exp(0.5) - 1)
    # Flips of 0 and 3 ml are log 4 apart.
    low, high = interval.around(figures(flips_ml=(0.0, 3.0)))
    assert high == pytest.approx(4 * np.exp(0.5 + np.log(4)) - 1)
    assert low == 0.0


@pytest.mark.parametrize("name", PREDICTORS)
def test_an_interval_holds_its_volume_and_is_never_negative(name):
    for volume in (0.0, 0.2, 80.0):
        interval = VolumeInterval(name, 0.1, 0.0, 0.0, 20)
        low, high = interval.around(figures(volume, (volume, volume)))
        assert 0 <= low <= volume <= high
        assert (low, high) == pytest.approx((volume, volume))


def test_a_config_has_an_interval_or_none():
    assert VolumeInterval.read({}) is None
    assert VolumeInterval.read({"volume_interval": None}) is None
    assert VolumeInterval.read({"volume_interval": SETTINGS}) == VolumeInterval(**SETTINGS)


@pytest.mark.parametrize(
    "changes",
    [{"predictor": "guess"}, {"below": -1.0}, {"above": "2"}, {"cases": 0}, {"more": 1}],
    ids=str,
)
def test_what_is_no_interval_is_refused(changes):
    with pytest.raises(ModelFormatError, match=r"config\.json: strokeseg\."):
        VolumeInterval.read({"volume_interval": SETTINGS | changes})
    with pytest.raises(ModelFormatError, match="must have predictor"):
        VolumeInterval.read({"volume_interval": {"predictor": "flips"}})
