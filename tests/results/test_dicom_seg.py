import json

import nibabel as nib
import numpy as np
import pytest

from strokeseg.cli import run
from strokeseg.cli.seg import without_dicom
from strokeseg.errors import DataError
from strokeseg.images.arrival import arrived
from strokeseg.results.dicom_seg import write_seg
from tests.factories import scan_file
from tests.images.dicom_series import MODALITIES, NAMES, made_series, needs_dicom, zipped
from tests.tiny_models import OWN, isolate, tiny_files, write_files

hd = pytest.importorskip("highdicom")
pydicom = pytest.importorskip("pydicom")
sitk = pytest.importorskip("SimpleITK")

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def sorted_mm(points):
    return points[np.lexsort(np.round(points, 2).T)]


def in_world(mask, affine):
    return np.argwhere(mask) @ affine[:3, :3].T + affine[:3, 3]


@needs_dicom
@pytest.mark.parametrize("name", NAMES)
def test_a_mask_comes_back_voxel_for_voxel_in_its_place(name, tmp_path):
    assert_comes_back(MODALITIES[name], zipped(name), tmp_path)


def test_a_mask_of_a_made_up_series_comes_back_voxel_for_voxel(tmp_path):
    made_series(tmp_path / "t1")
    # Warnings are errors here: that a name of one part is odd is told nowhere, as it quotes it.
    assert_comes_back("t1", tmp_path / "t1", tmp_path)
    seg = pydicom.dcmread(tmp_path / "seg.dcm")
    assert (seg.PatientName, seg.PatientID) == ("Doe", "77")
    assert len(seg.ReferencedSeriesSequence[0].ReferencedInstanceSequence) == 12


def assert_comes_back(modality, source, tmp_path):
    scan = arrived(modality, source)
    mask = np.zeros(scan.grid.shape, bool)
    i, j, k = (size // 2 for size in mask.shape)
    mask[i - 9 : i + 3, j - 5 : j + 12, k - 3 : k + 2] = True
    mask[3, 4, 5] = True
    path = tmp_path / "seg.dcm"
    write_seg(path, mask, scan.grid, source, ["a model"])

    seg = hd.seg.segread(path)
    volume = seg.get_volume(combine_segments=True)
    lps = np.diag([-1.0, -1.0, 1.0, 1.0])
    expected = sorted_mm(in_world(mask, scan.grid.affine))
    found = sorted_mm(in_world(np.asarray(volume.array) > 0, lps @ volume.affine))
    np.testing.assert_allclose(found, expected, atol=1e-3)

    image = sitk.ReadImage(str(path))
    voxels = np.argwhere(sitk.GetArrayFromImage(image) > 0)[:, ::-1]
    points = [image.TransformIndexToPhysicalPoint([int(n) for n in at]) for at in voxels]
    np.testing.assert_allclose(sorted_mm(np.array(points) * (-1, -1, 1)), expected, atol=1e-3)

    segment = seg.SegmentSequence[0]
    assert segment.SegmentedPropertyTypeCodeSequence[0].CodeMeaning == "Infarct"
    assert "a model" in segment.SegmentationAlgorithmIdentificationSequence[0].AlgorithmName
    assert seg.ReferencedSeriesSequence[0].SeriesInstanceUID


@needs_dicom
def test_predict_writes_a_seg_that_is_its_mask(tmp_path, monkeypatch, capsys):
    isolate(monkeypatch, tmp_path / "home")
    own = OWN | {"window": 32, "brain_mask": False, "threshold": 0.3, "min_volume_ml": 0.0}
    write_files(tmp_path / "model", tiny_files(own, seed=3))
    source, out = zipped("siemens-dwi-enhanced"), tmp_path / "out"
    words = ["predict", "--dwi", str(source), "--model", str(tmp_path / "model"), "-o", str(out)]
    assert run([*words, "--fast", "--save", "mask,dicom", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["inputs"]["dwi"]["path"] == str(source)
    mask = nib.load(out / "siemens-dwi-enhanced_label-L_mask.nii.gz").get_fdata() > 0
    seg = pydicom.dcmread(out / "siemens-dwi-enhanced_seg.dcm")
    assert mask.any()
    assert int(np.count_nonzero(seg.pixel_array)) == int(np.count_nonzero(mask))
    assert sorted(p.suffix for p in out.iterdir()) == [".dcm", ".gz", ".json", ".json"]
    assert run([*words, "--save", "dicom"]) == 73
    assert run([*words, "--save", "dicom", "--anonymise"]) == 2
    assert "leave --anonymise out" in capsys.readouterr().err


def test_a_scan_that_is_no_dicom_has_no_seg(tmp_path, capsys):
    path = scan_file(tmp_path)
    assert run(["predict", "--t1", str(path), "-o", str(tmp_path), "--save", "dicom"]) == 2
    assert "--save dicom needs DICOM" in capsys.readouterr().err
    with pytest.raises(DataError, match="holds no DICOM images"):
        write_seg(tmp_path / "x", np.zeros((4, 4, 4), bool), None, path, ["m"])


def test_dicom_is_taken_out_of_the_kinds():
    assert without_dicom("mask,dicom") == ("mask", True)
    assert without_dicom("dicom") == ("mask", True)
    assert without_dicom("all") == ("all", False)
