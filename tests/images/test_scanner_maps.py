import json

import nibabel as nib
import numpy as np
import pytest

from strokeseg.errors import DataError
from strokeseg.images.arrival import arrived
from tests.factories import KINDS, head


def several(folder, name, values, sidecar=None):
    """The same head once for each of some values, added."""
    data, affine = head(KINDS["oblique"])
    image = nib.Nifti1Image(np.stack([data + v for v in values], 3).astype(np.float32), affine)
    path = folder / f"{name}.nii.gz"
    nib.save(image, path)
    if sidecar is not None:
        (folder / f"{name}.json").write_text(json.dumps(sidecar))
    return path


TYPES = [["DERIVED", "PRIMARY", "DIFFUSION", kind] for kind in ("TRACEW", "ADC", "EADC")]


@pytest.mark.parametrize(
    ("modality", "sidecar", "number"),
    [
        ("adc", {"ImageType": TYPES}, 1),
        ("dwi", {"ImageType": TYPES}, 0),
        ("adc", {"Volumes": ["b0", "trace", "Apparent Diffusion Coefficient"]}, 2),
        ("adc", {"Volumes": [{"Name": "ADC"}, {"Name": "exp ADC"}, {"Name": "FA"}]}, 0),
        ("dwi", {"DiffusionBValue": [0, 1000, 2000]}, 1),
        ("dwi", {"Volumes": ["trace", "trace", "trace"], "bvals": [2000, 500, 1000]}, 2),
    ],
)
def test_the_volume_that_the_sidecar_names_is_taken_and_told(tmp_path, modality, sidecar, number):
    path = several(tmp_path, f"s_{modality.upper()}", (5, 1000, 2000), sidecar)
    scan = arrived(modality, path)
    expected = head(KINDS["oblique"])[0] + (5, 1000, 2000)[number]
    np.testing.assert_allclose(scan.data, expected, rtol=1e-5)
    np.testing.assert_allclose(scan.grid.affine, nib.load(path).affine, atol=1e-5)
    assert scan.path == path
    assert scan.warnings[-1] == f"volume {number} of 3 (0 to 2), by its sidecar"


def test_another_b_value_takes_another_volume(tmp_path):
    path = several(tmp_path, "s_TRACE", (5, 7, 9), {"DiffusionBValue": [0, 1000, 2000]})
    scan = arrived("dwi", path, b_value=2500)
    np.testing.assert_allclose(scan.data, head(KINDS["oblique"])[0] + 9, rtol=1e-5)


@pytest.mark.parametrize(
    ("modality", "sidecar", "why"),
    [
        ("adc", None, "there is no sidecar to say which"),
        ("adc", {"ImageType": ["DERIVED", "ADC", "X"]}, "its sidecar does not say which is adc"),
        ("adc", {"Volumes": ["ADC", "ADC", "b0"]}, "does not say which"),
        ("adc", {"DiffusionBValue": [0, 500, 1000]}, "does not say which"),
        ("dwi", {"DiffusionBValue": [0, 0, 0]}, "does not say which is dwi"),
        ("dwi", {"DiffusionBValue": [0, 1000, 1000]}, "does not say which is dwi"),
    ],
)
def test_where_no_sidecar_tells_the_user_is_told(tmp_path, modality, sidecar, why):
    path = several(tmp_path, "s_map", (5, 7, 9), sidecar)
    with pytest.raises(DataError, match=r"holds 3 volumes.*extract the one") as caught:
        arrived(modality, path)
    assert why in str(caught.value)


def test_one_volume_and_other_contrasts_are_left_alone(tmp_path):
    path = several(tmp_path, "one", (5,), {"Volumes": ["ADC"]})
    assert arrived("adc", path) == path
    four = several(tmp_path, "four", (5, 6), {"Volumes": ["ADC", "T1"]})
    assert arrived("t1", four) == four
