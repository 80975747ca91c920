import gzip
import json
import subprocess
import zipfile

import dcm2niix
import nibabel as nib
import numpy as np
import pytest

from strokeseg.cli import run
from strokeseg.errors import DataError, InputNotFoundError
from strokeseg.images.arrival import adc_of, arrived
from strokeseg.images.dicom import Series, choose_series, convert_dicom, is_dicom
from strokeseg.images.reading import read_scan
from tests.cohort.cohorts import make_model
from tests.images.dicom_series import MODALITIES, NAMES, made_series, needs_dicom, zipped
from tests.tiny_models import isolate


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """The three zips unpacked, and what dcm2niix alone makes of them."""
    root = tmp_path_factory.mktemp("dicom")
    for name in NAMES:
        with zipfile.ZipFile(zipped(name)) as archive:
            archive.extractall(root / name)
        (root / f"{name}-truth").mkdir()
        words = [dcm2niix.bin, "-z", "n", "-f", "x", "-o", str(root / f"{name}-truth")]
        subprocess.run([*words, str(root / name)], check=True, capture_output=True)
    return root


@needs_dicom
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("form", ["zip", "folder"])
def test_conversion_gives_the_voxels_and_the_affine_of_dcm2niix(folders, tmp_path, name, form):
    source = zipped(name) if form == "zip" else folders / name
    assert is_dicom(source)
    truths = sorted((folders / f"{name}-truth").glob("*.nii"))
    truth = nib.load(next((t for t in truths if "Eq" in t.name), truths[0]))
    assert run(["convert", str(source), "-o", str(tmp_path / "nifti")]) == 0
    (file,) = (tmp_path / "nifti").glob("*.nii.gz")
    made = nib.load(file)
    (tmp_path / "private").mkdir()
    (series,) = convert_dicom(source, tmp_path / "private")
    np.testing.assert_array_equal(np.asarray(made.dataobj), np.asarray(truth.dataobj))
    np.testing.assert_array_equal(made.affine, truth.affine)
    assert series.modality == MODALITIES[name]
    assert series.shape == truth.shape


def test_a_made_up_series_is_read_where_it_lies(tmp_path, capsys):
    pytest.importorskip("pydicom")
    voxels, affine = made_series(tmp_path / "t1")
    scan = arrived("t1", tmp_path / "t1")
    at = np.argwhere(voxels >= 0)[::97]
    in_scan = np.linalg.inv(scan.grid.affine) @ affine @ np.c_[at, np.ones(len(at))].T
    found = np.round(in_scan[:3]).astype(int)
    np.testing.assert_allclose(in_scan[:3], found, atol=1e-3)
    np.testing.assert_array_equal(scan.data[*found], voxels[*at.T])
    assert run(["convert", str(tmp_path / "t1"), "-o", str(tmp_path / "out")]) == 0
    shown = capsys.readouterr()
    assert "t1_mprage" in shown.out
    written = "".join(path.read_text() for path in (tmp_path / "out").glob("*.json"))
    assert "Doe" not in written + shown.out + shown.err


def test_no_name_and_no_date_of_a_patient_is_in_what_is_made(tmp_path, capsys, monkeypatch):
    pydicom = pytest.importorskip("pydicom")
    isolate(monkeypatch, tmp_path / "home")
    made_series(tmp_path / "t1")
    for path in (tmp_path / "t1").iterdir():
        one = pydicom.dcmread(path)
        one.PatientName, one.PatientID, one.OtherPatientIDs = "Doe^Jane", "Doe77", "Doe78"
        one.PatientBirthDate = one.StudyDate = one.SeriesDate = one.ContentDate = "20200102"
        one.AcquisitionDate, one.AcquisitionTime, one.PatientAge = "20200102", "101112", "077Y"
        one.ImageComments = one.PatientComments = one.AdditionalPatientHistory = "Doe fell"
        one.OperatorsName, one.AccessionNumber, one.StudyID = "Doe^A", "Doe99", "Doe1"
        one.save_as(path)
    model = ["--model", str(make_model(tmp_path / "model")), "--fast"]
    out = ["-o", str(tmp_path / "out")]
    assert run(["convert", str(tmp_path / "t1"), "-o", str(tmp_path / "nifti")]) == 0
    saved = ["--save", "all,filled,dicom", "--save-format", "mha"]
    assert run(["predict", "--t1", str(tmp_path / "t1"), *model, *out, *saved]) == 0
    shown = capsys.readouterr()
    files = [*(tmp_path / "nifti").iterdir(), *(tmp_path / "out").iterdir()]
    assert len(files) > 15
    for path in files:
        content = path.read_bytes()
        content = gzip.decompress(content) if path.suffix == ".gz" else content
        if path.suffix == ".dcm":
            assert str(pydicom.dcmread(path).PatientName) == "Doe^Jane"
            assert b"20200102" in content
        else:
            for word in (b"Doe", b"20200102", b"2020-01-02", b"077Y"):
                assert word not in content, f"{path.name}: {word}"
    assert "Doe" not in shown.out + shown.err
    (converted,) = (tmp_path / "nifti").glob("*.nii.gz")
    np.testing.assert_array_equal(read_scan(converted).data, arrived("t1", tmp_path / "t1").data)


@needs_dicom
def test_a_tilted_ct_is_the_one_with_the_right_geometry():
    scan = arrived("ct", zipped("ge-ct-tilted"))
    linear = scan.grid.affine[:3, :3] / scan.grid.voxel_size_mm
    np.testing.assert_allclose(linear.T @ linear, np.eye(3), atol=1e-4)


@needs_dicom
def test_a_single_file_is_a_series_too(folders):
    file = next((folders / "siemens-dwi-enhanced").rglob("*.dcm"))
    assert is_dicom(file)
    (series,) = convert_dicom(file, folders / "siemens-dwi-enhanced-truth" / "..")[:1]
    assert series.number == 10


@needs_dicom
@pytest.mark.parametrize("name", NAMES[:2])
def test_a_diffusion_series_becomes_its_trace(folders, name):
    scan = arrived("dwi", zipped(name))
    series = nib.load(folders / f"{name}-truth" / "x.nii").get_fdata()
    trace = np.exp(np.log(np.maximum(series[..., 1:], 1e-9)).mean(axis=3))
    trace[(series[..., 1:] <= 0).any(axis=3)] = 0
    np.testing.assert_allclose(scan.data, trace, rtol=1e-4)
    assert scan.path == zipped(name)
    assert "geometric mean of 3 volumes of b" in scan.warnings[-1]


@needs_dicom
def test_adc_is_computed_from_b0_and_the_shell(folders):
    scan = adc_of(zipped("siemens-dwi-enhanced"))
    series = nib.load(folders / "siemens-dwi-enhanced-truth" / "x.nii").get_fdata()
    inside = (series > 0).all(axis=3)
    trace = np.exp(np.log(series[inside][:, 1:]).mean(axis=1))
    adc = np.clip(np.log(series[inside][:, 0] / trace) / 2500 * 1e6, 0, None)
    np.testing.assert_allclose(scan.data[inside], adc, rtol=1e-3, atol=0.1)


@needs_dicom
def test_several_series_are_told_and_chosen_by_contrast_or_number(folders, tmp_path):
    both = tmp_path / "both.zip"
    with zipfile.ZipFile(both, "w") as archive:
        for name in NAMES[:2]:
            for number, file in enumerate(sorted((folders / name).rglob("*.dcm"))):
                archive.write(file, f"{name}/{number}.dcm")
    with pytest.raises(DataError, match=r"holds 2 series .*10 DWI_dir80_PA dwi.*--series dwi=NUM"):
        arrived("dwi", both)
    assert arrived("dwi", both, series=10).data.shape == (72, 72, 39)
    with pytest.raises(DataError, match="choose one by --series"):
        arrived("dwi", both, series=3)


def series(number, modality, shape=(9, 9, 9)):
    return Series(None, number, "d", modality, shape, {})


def test_the_series_of_the_contrast_is_chosen_and_an_image_before_a_raw_series():
    found = [series(1, "t1"), series(2, "dwi", (9, 9, 9, 4)), series(3, "dwi")]
    assert choose_series("x", found, "t1").number == 1
    assert choose_series("x", found, "dwi").number == 3
    assert choose_series("x", found, "dwi", 2).number == 2
    assert choose_series("x", [series(7, None)], "flair").number == 7


def test_what_is_no_dicom_is_told(tmp_path):
    (tmp_path / "notes.txt").write_text("hello")
    empty = tmp_path / "empty.zip"
    with zipfile.ZipFile(empty, "w") as archive:
        archive.writestr("../../evil.txt", "x")
    (tmp_path / "out").mkdir()
    assert not is_dicom(tmp_path / "notes.txt")
    with pytest.raises(DataError, match="holds no DICOM that can be converted"):
        convert_dicom(empty, tmp_path / "out")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["empty.zip", "notes.txt", "out"]
    with pytest.raises(InputNotFoundError):
        convert_dicom(tmp_path / "none", tmp_path / "out")
    damaged = tmp_path / "damaged.zip"
    damaged.write_bytes(empty.read_bytes()[:20] + empty.read_bytes()[40:])
    with pytest.raises(DataError):
        convert_dicom(damaged, tmp_path / "out")


@needs_dicom
@pytest.mark.parametrize("name", NAMES)
def test_convert_writes_nifti_and_no_name_of_a_patient(name, tmp_path, capsys):
    assert run(["convert", str(zipped(name)), "-o", str(tmp_path / "out")]) == 0
    shown = capsys.readouterr()
    assert MODALITIES[name] in shown.out
    assert "1 series in" in shown.err
    (image,) = (tmp_path / "out").glob("*.nii.gz")
    assert image.name in shown.out
    for sidecar in (tmp_path / "out").glob("*.json"):
        said = json.loads(sidecar.read_text())
        assert not {key for key in said if key.startswith("Patient")} - {"PatientPosition"}
        assert not {"AcquisitionDateTime", "StudyInstanceUID"} & said.keys()
    assert run(["convert", str(zipped(name)), "-o", str(tmp_path / "out")]) == 73
