"""The table of real scans: labels that lie on a scan are taken, others are not."""

import numpy as np
import pytest

from strokeseg.errors import DataError
from strokeseg.training.data.real_scans import TISSUE_MAP, scan_rows
from strokeseg.training.scan_table import LEAST_EXPLAINED, explained, main, scan_table
from tests.training.heads import head_labels, save
from tests.training.real_images import write_scans


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("scans")
    write_scans(path)
    (path / "old-2_dseg.nii.gz").unlink()
    (path / "old-2_T1w.nii.gz").unlink()
    return path


def shifted(folder):
    """Write the labels once more, 40 mm away."""
    labels, affine = head_labels()
    moved = affine.copy()
    moved[:3, 3] += [0, 40, 0]
    return save(folder / "old-1_labels.nii.gz", labels, moved)


def test_labels_in_place_explain_a_scan_and_others_do_not(folder, tmp_path):
    scan = folder / "old-1_T1w.nii.gz"
    assert explained(scan, folder / "old-1_labels.nii.gz", "freesurfer") > 0.8
    assert explained(scan, shifted(tmp_path), "freesurfer") < LEAST_EXPLAINED


def test_a_scan_with_labels_and_hyperintensities_gets_its_row(folder, tmp_path):
    (row,) = scan_rows(str(scan_table([folder], tmp_path)), (), wanted=False)
    assert (row.name, row.sequence, row.label_table) == ("old-1_T1w", "T1w", "freesurfer")
    assert row.labels == folder / "old-1_labels.nii.gz"
    assert row.hyperintensities == folder / "old-1_wmh.nii.gz"


def test_a_scan_whose_labels_lie_elsewhere_gets_a_tissue_map_of_ours(tmp_path):
    write_scans(tmp_path / "in")
    (tmp_path / "in" / "old-2_T1w.nii.gz").unlink()
    shifted(tmp_path / "in")
    table = scan_table([tmp_path / "in"], tmp_path / "out")
    (row,) = scan_rows(str(table), (), wanted=False)
    assert row.label_table == TISSUE_MAP
    assert row.hyperintensities is None
    assert row.labels == tmp_path / "out" / "old-1_T1w_dseg.nii.gz"
    before = row.labels.stat().st_mtime_ns
    scan_table([tmp_path / "in"], tmp_path / "out")
    assert row.labels.stat().st_mtime_ns == before


def test_a_folder_without_a_known_sequence_is_refused(tmp_path):
    save(tmp_path / "in" / "sub-1_bold.nii.gz", np.zeros((4, 4, 4), np.uint8), np.eye(4))
    with pytest.raises(DataError, match="no scan whose name ends in"):
        scan_table([tmp_path / "in"], tmp_path / "out")


def test_the_command_tells_where_the_table_is(folder, tmp_path):
    assert main([str(folder), "-o", str(tmp_path)]) == str(tmp_path / "scans.tsv")
