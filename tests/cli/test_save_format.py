import json

import nibabel as nib
import numpy as np
import pytest

from strokeseg.cli import run
from strokeseg.errors import CannotCreateError
from strokeseg.images.itk import write_itk
from strokeseg.images.reading import read_map, read_scan
from strokeseg.space.grid import Grid
from tests.cohort.cohorts import make_case, make_model
from tests.factories import scan_file
from tests.tiny_models import OWN, isolate, tiny_files, write_files

sitk = pytest.importorskip("SimpleITK")


@pytest.fixture
def predict(tmp_path, monkeypatch):
    isolate(monkeypatch, tmp_path / "home")
    own = OWN | {"threshold": 0.3, "min_volume_ml": 0.0, "brain_mask": False, "window": 32}
    folder = write_files(tmp_path / "tiny", tiny_files(own, seed=3))
    shared = ["-o", str(tmp_path / "out"), "--model", str(folder), "--fast", "-q"]
    return lambda scan, *words: run(["predict", "--t1", str(scan), *shared, *words])


def as_itk(folder, kind, ending):
    path = folder / f"a_T1w.{ending}"
    sitk.WriteImage(sitk.ReadImage(str(scan_file(folder, kind))), str(path))
    return path


def assert_lies_on(written, scan):
    image, source = sitk.ReadImage(str(written)), sitk.ReadImage(str(scan))
    assert image.GetSize() == source.GetSize()
    np.testing.assert_allclose(image.GetSpacing(), source.GetSpacing(), atol=1e-5)
    np.testing.assert_allclose(image.GetOrigin(), source.GetOrigin(), atol=1e-3)
    np.testing.assert_allclose(image.GetDirection(), source.GetDirection(), atol=1e-5)
    return sitk.GetArrayFromImage(image).transpose(2, 1, 0)


@pytest.mark.parametrize(
    ("given", "wanted", "ending"),
    [
        ("nrrd", "nrrd", "nrrd"),
        ("nhdr", "input", "nrrd"),
        ("mha", "input", "mha"),
        ("mhd", "input", "mha"),
        ("mha", "nrrd", "nrrd"),
    ],
)
def test_masks_and_maps_come_in_the_format_of_the_input_voxel_for_voxel(
    tmp_path, predict, given, wanted, ending
):
    scan = as_itk(tmp_path, "anisotropic-oblique", given)
    assert predict(scan, "--save-format", wanted, "--save", "mask,probability,tissue") == 0
    out = tmp_path / "out"
    for name, kind in (("label-L_mask", np.uint8), ("label-L_probseg", np.float32), ("dseg", None)):
        truth = np.asarray(nib.load(out / f"a_{name}.nii.gz").dataobj)
        found = assert_lies_on(out / f"a_{name}.{ending}", scan)
        np.testing.assert_array_equal(found, truth)
        assert kind is None or found.dtype == kind
    # The mask is the one of the scan that nibabel sees, too.
    again = read_map(out / f"a_label-L_mask.{ending}")
    np.testing.assert_allclose(again.grid.affine, read_scan(scan).grid.affine, atol=1e-3)
    assert not [path for path in out.iterdir() if path.name.startswith(".")]


def test_input_is_nifti_where_the_scan_is_and_what_is_there_stays(tmp_path, predict, capsys):
    scan = scan_file(tmp_path, "oblique")
    assert predict(scan, "--save-format", "input", "--save", "mask", "--prefix", "a") == 0
    assert sorted(path.suffix for path in (tmp_path / "out").iterdir()) == [".gz", ".json", ".json"]
    assert predict(scan, "--save-format", "bmp") == 2
    assert "--save-format bmp: give nifti, nrrd, mha or input" in capsys.readouterr().err
    (tmp_path / "out" / "b_label-L_mask.nrrd").write_text("mine")
    assert predict(scan, "--save-format", "nrrd", "--save", "mask", "--prefix", "b") == 73
    assert (tmp_path / "out" / "b_label-L_mask.nrrd").read_text() == "mine"
    assert not (tmp_path / "out" / "b_strokeseg.json").exists()
    assert predict(scan, "--save-format", "nrrd", "--prefix", "b", "--overwrite", "--json") == 0
    record = json.loads((tmp_path / "out" / "b_strokeseg.json").read_text())
    assert_lies_on(tmp_path / "out" / "b_label-L_mask.nrrd", scan)
    assert "b_label-L_mask.nii.gz" in record["files"]


def test_a_sheared_grid_is_told_and_not_bent(tmp_path):
    affine = np.eye(4)
    affine[0, 1] = 0.3
    with pytest.raises(CannotCreateError, match="not at right angles"):
        write_itk(tmp_path / "a.nrrd", np.zeros((4, 5, 6), np.uint8), Grid((4, 5, 6), affine))


def test_a_batch_writes_them_vouches_for_them_and_keeps_them(tmp_path):
    make_case(tmp_path / "in", "a")
    make_case(tmp_path / "in", "b", "oblique")
    model = make_model(tmp_path / "model")
    out = tmp_path / "out"

    def batch(*words):
        shared = ["--model", str(model), "--fast", "-q", "--save", "mask,probability"]
        return run(["batch", str(tmp_path / "in"), str(out), *shared, *words])

    def times():
        return {path: path.stat().st_mtime_ns for path in sorted(out.rglob("*.*a*"))}

    assert batch("--save-format", "bmp") == 2
    assert batch("--save-format", "mha") == 0
    for name in "ab":
        scan = next((tmp_path / "in" / name).iterdir())
        found = assert_lies_on(out / name / f"{name}_label-L_mask.mha", scan)
        truth = np.asarray(nib.load(out / name / f"{name}_label-L_mask.nii.gz").dataobj)
        np.testing.assert_array_equal(found, truth)
        record = json.loads((out / name / f"{name}_strokeseg.json").read_text())
        assert f"{name}_label-L_probseg.mha" in record["files"]
    first = times()
    # What is there is kept, as other results are; what is gone or was changed is made again.
    assert batch() == 0
    assert times() == first
    (out / "a" / "a_label-L_mask.mha").unlink()
    (out / "b" / "b_label-L_mask.mha").write_text("changed")
    assert batch() == 0
    assert_lies_on(out / "b" / "b_label-L_mask.mha", next((tmp_path / "in" / "b").iterdir()))
    assert times().keys() == first.keys()
    assert batch("--save-format", "input") == 0
    assert times().keys() == first.keys()


def test_bids_names_them_as_no_part_of_bids(tmp_path):
    for name in ("sub-01", "sub-02"):
        anat = tmp_path / "raw" / name / "anat"
        anat.mkdir(parents=True)
        scan_file(anat).rename(anat / f"{name}_T1w.nii.gz")
    words = ["--model", str(make_model(tmp_path / "model")), "--fast", "-q", "--save", "mask"]
    raw, out = tmp_path / "raw", tmp_path / "out"
    words = ["bids", str(raw), str(out), "participant", "--save-format", "nrrd", *words]
    assert run(words) == 0
    assert (out / "sub-02" / "anat" / "sub-02_label-L_mask.nrrd").is_file()
    assert "*.nrrd" in (out / ".bidsignore").read_text().splitlines()
