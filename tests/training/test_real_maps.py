"""The affine that is found for each of the real label maps carries lesions onto its brain."""

import numpy as np
import pytest
import torch
from scipy import ndimage

from strokeseg.training.data.label_maps import prepare_subject
from strokeseg.training.data.label_table import read_table
from strokeseg.training.data.lesion_bank import read_bank
from strokeseg.training.synthesis.lesion_placement import Placement, place_lesions
from tests.factories import SCANS

DATA = SCANS.parent
MAPS = sorted((DATA / "label_maps").glob("*.nii.gz"))
VOXEL_MM = 2.0


@pytest.fixture(scope="module")
def bank():
    folder = DATA / "lesions"
    if not folder.is_dir():
        pytest.skip("the lesion masks are not beside the project")
    return read_bank(sorted(folder.glob("*/*.nii.gz"))[::40])


def test_the_label_maps_are_there():
    if not MAPS:
        pytest.skip("the label maps are not beside the project")
    assert len(MAPS) == 17


@pytest.mark.parametrize("path", MAPS, ids=lambda path: path.name.split(".")[0])
def test_nine_in_ten_lesion_voxels_fall_on_brain(path, bank):
    table = read_table()
    subject = prepare_subject(path, table, VOXEL_MM)
    tissue = np.asarray(table.tissue_of_class)[subject.first] > 0
    near = ndimage.distance_transform_edt(~tissue, sampling=VOXEL_MM) <= 2.0
    to_mni = subject.to_mni @ subject.affine
    on_brain, drawn = 0.0, 0.0
    for index, lesion in enumerate(bank):
        placement = Placement(index, np.linalg.inv(lesion.affine), lesion.volume_ml)
        placed = place_lesions((placement,), bank, to_mni, torch.as_tensor(near)).numpy() > 0.5
        on_brain += np.count_nonzero(placed & tissue)
        drawn += np.count_nonzero(placed)
    assert drawn > 0
    assert on_brain / drawn >= 0.9
