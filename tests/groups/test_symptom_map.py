"""The map of voxels: t by regression, errors held, and planted damage found."""

import numpy as np
import pytest

from strokeseg.errors import DataError
from strokeseg.groups import symptom_map
from strokeseg.groups.symptom_map import map_symptom, permuted_t, read_damage, voxels_to_test
from strokeseg.results.archive import find_filed_cases
from strokeseg.space.mni import mni_grid
from tests.groups.made_cohorts import made_values, mask_of, write_cohort

NOTHING = np.empty((40, 0))


def made_damage(seed=0, voxels=60):
    rng = np.random.default_rng(seed)
    return rng.random((40, voxels)) < 0.3, rng


def test_t_is_that_of_a_regression_with_the_volume():
    api = pytest.importorskip("statsmodels.api")
    damage, rng = made_damage()
    outcome, volume = rng.permutation(40).astype(float), rng.normal(size=(40, 1))
    t, _ = permuted_t(damage, outcome, volume, permutations=2)
    for voxel in range(5):
        columns = api.add_constant(np.c_[damage[:, voxel], volume])
        assert t[voxel] == pytest.approx(api.OLS(outcome, columns).fit().tvalues[1], rel=1e-5)


def test_without_a_symptom_one_map_in_twenty_is_beyond_its_threshold():
    damage, rng = made_damage(1)
    volume = damage.sum(axis=1, keepdims=True).astype(float)
    found = 0
    for _ in range(200):
        _, largest = permuted_t(damage, rng.normal(size=40), volume, permutations=200)
        found += largest[0] > np.quantile(largest, 0.95, method="higher")
    # Of 200, a rate of 5 % lies in 1.5 to 9 % with 98 % certainty.
    assert 3 <= found <= 18


def test_a_symptom_of_one_voxel_is_found_there_and_not_where_volume_alone_tells():
    damage, rng = made_damage(2)
    outcome = 2.0 * damage[:, 7] + 0.5 * rng.normal(size=40)
    t, largest = permuted_t(damage, outcome, NOTHING)
    assert t.argmax() == 7
    assert t[7] > np.quantile(largest, 0.95)
    volume = np.linspace(0, 1, 40)[:, np.newaxis]
    damage[:, 7] = volume[:, 0] > 0.5
    told = volume[:, 0] + 0.05 * rng.normal(size=40)
    raw, _ = permuted_t(damage, told, NOTHING, permutations=2)
    held, _ = permuted_t(damage, told, volume, permutations=2)
    assert raw[7] > 5
    assert abs(held[7]) < 2.5


def test_voxels_that_few_or_all_have_damaged_are_not_tested():
    stack = np.zeros((40, 1, 1, 4), dtype=bool)
    stack[:1, 0, 0, 0] = stack[:2, 0, 0, 1] = stack[:39, 0, 0, 2] = stack[:, 0, 0, 3] = True
    assert voxels_to_test(stack).ravel().tolist() == [False, True, True, False]


def test_masks_come_to_mni_and_the_peaks_lie_where_groups_differ(tmp_path):
    rows = made_values()
    output, _ = write_cohort(tmp_path, rows, masks=True)
    damage, left_out = read_damage(find_filed_cases(output))
    assert not left_out
    grid = mni_grid(symptom_map.VOXEL_MM)
    for row in rows[:3]:
        assert (damage[row["case"]] == mask_of(row, grid)).all()
    outcome = {row["case"]: float(row["group"] == "b") for row in rows}
    found = map_symptom(damage, outcome, dict.fromkeys(outcome, np.empty(0)), {})
    right, left = sorted(found.peaks[:2], key=lambda peak: -peak.place_mm[0])
    for peak, x in ((right, 30), (left, -30)):
        assert np.linalg.norm(np.array(peak.place_mm) - (x, 20, 20)) < 16
        assert peak.significant
        assert peak.p_fwe < 0.05
    assert right.t > found.threshold > -found.threshold > left.t
    back = tuple(np.round(np.linalg.inv(grid.affine) @ (10, -70, 10, 1))[:3].astype(int))
    assert 0 < abs(found.t[back]) < found.threshold


def test_without_masks_damage_or_cases_it_says_why():
    none = {f"sub-{n}": np.zeros((2, 2, 2), dtype=bool) for n in range(4)}
    outcome = dict.fromkeys(none, 1.0)
    design = dict.fromkeys(none, np.empty(0))
    with pytest.raises(DataError, match="no voxel is lesion"):
        map_symptom(none, outcome, design, {})
    with pytest.raises(DataError, match="has a mask"):
        map_symptom({}, outcome, design, {})
    with pytest.raises(DataError, match="too few"):
        permuted_t(np.eye(3, dtype=bool), np.arange(3.0), np.empty((3, 0)))
