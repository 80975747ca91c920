import numpy as np
import pytest

from strokeseg.measure.lesions import find_lesions
from strokeseg.report.facts import gather_facts
from strokeseg.report.lesion_places import lesion_voxels
from strokeseg.results.archive import find_filed_cases
from strokeseg.results.case_tables import lesion_table
from strokeseg.space.grid import Grid
from tests.factories import KINDS, affine_of
from tests.report.cohorts import LARGE, SMALL, balls, file_case


def rows_of(tmp_path, mask, grid):
    """The lesion table, through its file."""
    record = file_case(tmp_path / "out", "sub-01", kinds=())
    lesions = find_lesions(mask, mask.astype(np.float32), grid)
    record.with_name("sub-01_label-L_lesions.tsv").write_text(lesion_table(lesions))
    return gather_facts(find_filed_cases(tmp_path / "out")[0], tmp_path / "out").lesions


@pytest.mark.parametrize("kind", ["ras", "lps", "oblique"])
def test_a_round_lesion_is_met_at_its_centroid(tmp_path, kind):
    mask = balls(KINDS[kind], [LARGE, SMALL])
    grid = Grid(mask.shape, affine_of(KINDS[kind]))
    voxels = lesion_voxels(mask, grid, rows_of(tmp_path, mask, grid))
    for voxel, (centre, _) in zip(voxels, (LARGE, SMALL), strict=True):
        place = (grid.affine @ [*voxel, 1])[:3]
        assert np.linalg.norm(place - centre) <= 1.5


def test_a_ring_is_met_on_itself_and_not_in_its_hole(tmp_path):
    grid = Grid((40, 40, 40), np.eye(4))
    i, j, k = np.ogrid[:40, :40, :40]
    radius = np.hypot(i - 20, j - 20)
    mask = (radius > 8) & (radius < 11) & (abs(k - 20) < 2)
    (voxel,) = lesion_voxels(mask, grid, rows_of(tmp_path, mask, grid))
    assert mask[voxel]


def test_lesions_of_one_bounding_box_are_told_apart_by_their_volume(tmp_path):
    grid = Grid((40, 40, 40), np.eye(4))
    mask = np.zeros(grid.shape, dtype=bool)
    i, j, k = np.ogrid[:40, :40, :40]
    shell = np.maximum(np.maximum(abs(i - 20), abs(j - 20)), abs(k - 20)) == 8
    mask |= shell
    mask[20, 20, 20] = True
    rows = rows_of(tmp_path, mask, grid)
    first, second = lesion_voxels(mask, grid, rows)
    assert shell[first]
    assert second == (20, 20, 20)


def test_a_row_that_is_of_no_component_has_no_voxel(tmp_path):
    mask = balls(KINDS["ras"], [LARGE, SMALL])
    grid = Grid(mask.shape, affine_of(KINDS["ras"]))
    rows = rows_of(tmp_path, mask, grid)
    changed = balls(KINDS["ras"], [LARGE])
    first, second = lesion_voxels(changed, grid, rows)
    assert changed[first]
    assert second is None
    assert lesion_voxels(np.zeros_like(mask), grid, rows) == [None, None]
