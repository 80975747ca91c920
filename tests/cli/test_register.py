import json
import zipfile

import nibabel as nib
import numpy as np
import pytest

from strokeseg.cli import run
from strokeseg.cli.register import join_always
from strokeseg.errors import UsageError
from strokeseg.images.arrival import arrived
from strokeseg.space import registration
from strokeseg.space.fit import Fit
from tests.images.dicom_series import needs_dicom, zipped
from tests.space.test_registration import FLAIR, T1, displacement, grid, head

SimpleITK = pytest.importorskip("SimpleITK")


@pytest.fixture
def pair(tmp_path):
    truth = displacement((20, -12, 8), (0, 0, 15))
    for name, image in (("fixed", head(T1)), ("moving", head(FLAIR, truth))):
        nib.save(nib.Nifti1Image(image, grid().affine), tmp_path / f"{name}.nii.gz")
    return tmp_path, truth


def test_a_scan_is_brought_onto_another_with_its_transform_and_record(pair, capsys):
    folder, truth = pair
    out = folder / "out"
    words = ["register", str(folder / "moving.nii.gz"), str(folder / "fixed.nii.gz"), "-o"]
    assert run([*words, str(out)]) == 0
    names = ["moving_registered.nii.gz", "moving_registered_xfm.json", "moving_registered_xfm.tfm"]
    assert sorted(path.name for path in out.iterdir()) == names
    record = json.loads((out / names[1]).read_text())
    assert record["kept"] is True
    assert record["metric_after"] < record["metric_before"]
    np.testing.assert_allclose(np.linalg.inv(record["matrix"])[:3, 3], truth[:3, 3], atol=1.5)
    moved = nib.load(out / names[0])
    assert np.array_equal(moved.affine, grid().affine)
    assert np.corrcoef(moved.get_fdata().ravel(), head(FLAIR).ravel())[0, 1] > 0.97
    still = SimpleITK.ReadImage(str(folder / "fixed.nii.gz"))
    other = SimpleITK.ReadImage(str(folder / "moving.nii.gz"))
    by_itk = SimpleITK.Resample(other, still, SimpleITK.ReadTransform(str(out / names[2])))
    ours = moved.get_fdata(dtype=np.float32)
    inside = np.s_[8:-8, 8:-8, 8:-8]
    theirs = SimpleITK.GetArrayFromImage(by_itk).T
    np.testing.assert_allclose(theirs[inside], ours[inside], atol=0.2)
    assert "moved by" in capsys.readouterr().out
    assert run([*words, str(out)]) == 73


def test_register_may_be_followed_by_always():
    assert join_always(["a", "--register", "always", "b"]) == ["a", "--register-always", "b"]
    assert join_always(["--register=always"]) == ["--register-always"]
    assert join_always(["--register", "a", "always"]) == ["--register", "a", "always"]
    with pytest.raises(UsageError, match="--register always"):
        join_always(["--register=often"])


def test_a_scan_is_brought_to_mni_by_what_the_bundled_model_sees(tmp_path):
    from strokeseg.demo import demo_case

    scan = demo_case().scan
    out = tmp_path / "out"
    assert run(["register", str(scan), "--to-mni", "-o", str(out), "-q"]) == 0
    stem = f"{scan.name.removesuffix('.nii.gz')}_space-MNI152"
    moved = nib.load(out / f"{stem}.nii.gz")
    assert moved.shape == (181, 217, 181)
    assert int(moved.header["sform_code"]) == 4
    shown = np.argwhere(moved.get_fdata(dtype=np.float32) > np.percentile(moved.dataobj, 80))
    assert np.abs(shown.mean(axis=0) - np.array([90, 106, 82])).max() < 15
    record = json.loads((out / f"{stem}_xfm.json").read_text())
    assert record["fixed"] == "MNI152"
    assert record["metric_after"] < record["metric_before"]


@needs_dicom
def test_dicom_is_brought_onto_an_image_and_an_image_onto_dicom(tmp_path):
    scan = arrived("dwi", zipped("canon-dti-classic"))
    truth = displacement((15, -10, 6), (0, 0, 8))
    there = nib.Nifti1Image(scan.data, truth @ scan.grid.affine)
    nib.save(there, tmp_path / "there.nii.gz")
    folder = tmp_path / "dwi"
    with zipfile.ZipFile(zipped("canon-dti-classic")) as archive:
        archive.extractall(folder)
    for moving, fixed, stem, wanted in (
        (folder, tmp_path / "there.nii.gz", "dwi", truth),
        (tmp_path / "there.nii.gz", zipped("canon-dti-classic"), "there", np.linalg.inv(truth)),
    ):
        out = tmp_path / f"out-{stem}"
        assert run(["register", str(moving), str(fixed), "-o", str(out), "-q"]) == 0
        record = json.loads((out / f"{stem}_registered_xfm.json").read_text())
        centre = np.array([*(wanted @ [0, 0, 0, 1])[:3], 1])
        np.testing.assert_allclose(record["matrix"] @ np.array([0, 0, 0, 1]), centre, atol=1)
        moved, like = nib.load(out / f"{stem}_registered.nii.gz"), fixed
        shape = nib.load(like).shape if like.suffix == ".gz" else scan.data.shape
        assert moved.shape == shape


def test_register_wants_a_scan_to_move_to_or_mni(pair):
    folder, _ = pair
    moving, fixed = (str(folder / f"{name}.nii.gz") for name in ("moving", "fixed"))
    assert run(["register", moving]) == 2
    assert run(["register", moving, fixed, "--to-mni"]) == 2
    assert run(["register", moving, "--to-mni", "--affine"]) == 2


def test_a_pair_that_lies_well_is_hardly_moved(tmp_path):
    for name, image in (("fixed", head(T1)), ("moving", head(FLAIR))):
        nib.save(nib.Nifti1Image(image, grid().affine), tmp_path / f"{name}.nii.gz")
    words = [str(tmp_path / f"{name}.nii.gz") for name in ("moving", "fixed")]
    assert run(["register", *words, "-o", str(tmp_path), "-q"]) == 0
    record = json.loads((tmp_path / "moving_registered_xfm.json").read_text())
    assert record["moved_mm"] < 0.5


def test_a_move_that_makes_it_worse_is_undone_and_told(pair, capsys, monkeypatch):
    folder, truth = pair
    monkeypatch.setattr(registration, "register", lambda *_, **__: Fit(truth, -0.6, -0.5))
    words = [str(folder / f"{name}.nii.gz") for name in ("moving", "fixed")]
    assert run(["register", *words, "-o", str(folder / "out")]) == 0
    said = " ".join(capsys.readouterr().err.split())
    assert "moving.nii.gz was left where it is, as no move brought it onto fixed.nii.gz" in said
    record = json.loads((folder / "out" / "moving_registered_xfm.json").read_text())
    assert (record["kept"], record["moved_mm"]) == (False, 0)
    np.testing.assert_array_equal(record["matrix"], np.eye(4))
    left = nib.load(folder / "out" / "moving_registered.nii.gz").get_fdata(dtype=np.float32)
    np.testing.assert_allclose(left, nib.load(words[0]).get_fdata(dtype=np.float32), atol=1e-3)
