import json

import nibabel as nib
import numpy as np
import pytest

from strokeseg.cli import run
from strokeseg.cli.seg import without_dicom
from strokeseg.errors import DataError
from strokeseg.images.arrival import arrived
from strokeseg.results.dicom_seg import write_seg
from tests.cohort.cohorts import make_case
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


def assert_is_mask(seg, mask):
    """Hold a SEG to a mask on disk, by the places of their voxels."""
    image = nib.load(mask)
    voxels = np.asarray(image.dataobj) > 0
    assert voxels.any()
    volume = hd.seg.segread(seg).get_volume(combine_segments=True)
    lps = np.diag([-1.0, -1.0, 1.0, 1.0])
    places = in_world(np.asarray(volume.array) > 0, lps @ volume.affine)
    indices = np.c_[places, np.ones(len(places))] @ np.linalg.inv(image.affine).T
    np.testing.assert_allclose(indices, np.round(indices), atol=0.01)
    found = np.zeros_like(voxels)
    found[*np.round(indices[:, :3]).astype(int).T] = True
    np.testing.assert_array_equal(found, voxels)


@pytest.fixture
def model(tmp_path, monkeypatch):
    isolate(monkeypatch, tmp_path / "home")
    own = OWN | {"window": 32, "brain_mask": False, "threshold": 0.3, "min_volume_ml": 0.0}
    write_files(tmp_path / "model", tiny_files(own | {"voxel_size_mm": 4.0}, seed=3))
    return ["--model", str(tmp_path / "model"), "--fast", "--save", "mask,dicom"]


@needs_dicom
@pytest.mark.parametrize("name", NAMES)
def test_predict_writes_a_seg_that_is_its_mask(name, model, tmp_path, capsys):
    source, out = zipped(name), tmp_path / "out"
    words = ["predict", f"--{MODALITIES[name]}", str(source), *model, "-o", str(out)]
    assert run([*words, "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    scan = record["inputs"][MODALITIES[name]]
    assert scan["path"] == str(source)
    assert (scan["scanner"]["manufacturer"], scan["scanner"].get("field_strength_t")) == {
        "canon-dti-classic": ("Toshiba", 3),
        "siemens-dwi-enhanced": ("Siemens", 3),
        "ge-ct-tilted": ("GE", None),
    }[name]
    # One time for each slice, where the scanner tells them.
    timing = scan["scanner"].get("slice_timing_s", [])
    assert len(timing) == (scan["shape"][2] if name == "siemens-dwi-enhanced" else 0)
    assert_is_mask(out / f"{name}_seg.dcm", out / f"{name}_label-L_mask.nii.gz")
    assert sorted(p.suffix for p in out.iterdir()) == [".dcm", ".gz", ".json", ".json"]


def test_a_seg_stays_goes_and_is_refused_with_its_mask(model, tmp_path, capsys):
    made_series(tmp_path / "t1")
    words = ["predict", "--t1", str(tmp_path / "t1"), *model, "-o", str(tmp_path / "out"), "-q"]
    seg = tmp_path / "out" / "t1_seg.dcm"
    assert run(words) == 0
    first = seg.read_bytes()
    assert run(words) == 73
    assert run([*words, "--anonymise"]) == 2
    assert "leave --anonymise out" in capsys.readouterr().err
    assert seg.read_bytes() == first
    # It would be of another mask than the one beside it.
    assert run([*words, "--save", "mask", "--overwrite"]) == 0
    assert not seg.exists()


def test_a_batch_writes_segs_and_keeps_them_with_their_masks(model, tmp_path, capsys):
    made_series(tmp_path / "t1")
    (tmp_path / "in" / "p1").mkdir(parents=True)
    (tmp_path / "t1").rename(tmp_path / "in" / "p1" / "t1")
    make_case(tmp_path / "in", "p2")
    out = tmp_path / "out"
    words = ["batch", str(tmp_path / "in"), str(out), *model, "-q"]
    assert run([*words, "--anonymise"]) == 2
    assert "leave --anonymise out" in capsys.readouterr().err
    assert run(words) == 0
    seg, mask = out / "p1" / "p1_seg.dcm", out / "p1" / "p1_label-L_mask.nii.gz"
    assert_is_mask(seg, mask)
    assert list(out.rglob("*.dcm")) == [seg]
    written = seg.stat().st_mtime_ns
    assert run(words) == 0
    assert seg.stat().st_mtime_ns == written
    seg.unlink()
    assert run(words) == 0
    assert_is_mask(seg, mask)
    # Another mask, and no word of DICOM: what is there is made anew with it.
    before = mask.read_bytes()
    assert run([*words, "--save", "mask", "--threshold", "0.4"]) == 0
    assert mask.read_bytes() != before
    assert_is_mask(seg, mask)


def test_a_cohort_without_dicom_has_no_segs(model, tmp_path, capsys):
    make_case(tmp_path / "in", "p2")
    assert run(["batch", str(tmp_path / "in"), str(tmp_path / "out"), *model]) == 2
    assert "no case has it as its reference" in capsys.readouterr().err


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


@pytest.mark.parametrize("command", ["predict", "batch"])
@pytest.mark.parametrize("save", ["", " ", ","])
def test_saving_nothing_is_told_and_is_not_the_mask_alone(tmp_path, capsys, command, save):
    scans = ["--t1", "a.nii"] if command == "predict" else [str(tmp_path), str(tmp_path / "out")]
    assert run([command, *scans, "--save", save]) == 2
    assert "--save was given nothing" in " ".join(capsys.readouterr().err.split())
