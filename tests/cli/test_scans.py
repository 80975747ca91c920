import json

import nibabel as nib
import numpy as np
import pytest

from strokeseg.cli import run
from strokeseg.cli.scans import scans_of
from strokeseg.errors import UsageError
from strokeseg.images.arrival import arrived
from tests.factories import KINDS, scan_file, scan_image
from tests.images.dicom_series import MODALITIES as CONTRASTS
from tests.images.dicom_series import NAMES, needs_dicom, zipped
from tests.images.test_diffusion_series import series
from tests.tiny_models import OWN, isolate, tiny_files, write_files

MODALITIES = ("t1", "flair", "t2", "dwi", "adc", "pd", "ct")


@pytest.mark.parametrize("name", MODALITIES)
def test_a_scan_that_is_given_twice_is_refused_by_both_names(name, capsys, tmp_path):
    code = run(
        ["predict", f"--{name}", "first.nii", f"--{name}", "second.nii", "-o", str(tmp_path)]
    )
    assert code == 2
    shown = capsys.readouterr().err
    assert f"--{name} was given twice (first.nii and second.nii)" in shown


def test_an_empty_scan_is_refused():
    with pytest.raises(UsageError, match="--flair is empty"):
        scans_of({"flair": [""]}, ())


def test_one_file_as_two_contrasts_is_refused_whatever_the_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = scan_file(tmp_path)
    link = tmp_path / "link.nii.gz"
    link.symlink_to(path)
    for other in (str(path), path.name, f"../{tmp_path.name}/{path.name}", str(link)):
        with pytest.raises(UsageError, match="--t1 and --flair name one file"):
            scans_of({"t1": [str(path)], "flair": [other]}, ())
        with pytest.raises(UsageError, match="--t1 and --swi name one file"):
            scans_of({"t1": [str(path)]}, (f"swi={other}",))


def test_an_image_of_a_contrast_that_was_given_names_both():
    with pytest.raises(UsageError, match=r"--image t1=b.nii: t1 was given already, as a.nii"):
        scans_of({"t1": ["a.nii"]}, ("t1=b.nii",))


def test_each_option_gives_its_file():
    found = scans_of({"t1": ["a.nii"], "flair": None, "ct": []}, ("swi=s.nii",))
    assert {name: str(path) for name, path in found.items()} == {"t1": "a.nii", "swi": "s.nii"}


def test_doubts_about_intensities_are_said_and_recorded(tmp_path, monkeypatch, capsys):
    isolate(monkeypatch, tmp_path / "home")
    own = OWN | {"window": 32, "brain_mask": False}
    write_files(tmp_path / "model", tiny_files(own, seed=3))
    data = np.array(scan_image(KINDS["fine"], np.float32).dataobj)
    data[3, 3, 3] = 1e6
    nib.save(nib.Nifti1Image(data, scan_image(KINDS["fine"]).affine), tmp_path / "hot.nii")
    model, out = str(tmp_path / "model"), str(tmp_path / "out")
    wanted = ["--t1", str(tmp_path / "hot.nii"), "--model", model, "-o", out, "--fast", "--json"]
    assert run(["predict", *wanted]) == 0
    shown = capsys.readouterr()
    assert "warning: t1: 1 voxel of 504000 reaches up to 1e+06" in shown.err
    assert any("1 voxel of 504000" in line for line in json.loads(shown.out)["warnings"])


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    isolate(monkeypatch, tmp_path / "home")
    own = OWN | {"window": 32, "brain_mask": False, "threshold": 0.3, "min_volume_ml": 0.0}
    write_files(tmp_path / "model", tiny_files(own | {"voxel_size_mm": 4.0}, seed=3))
    shared = ["--model", str(tmp_path / "model"), "-o", str(tmp_path / "out"), "--fast"]
    return lambda *words: run(["predict", *words, *shared])


def test_a_series_and_its_adc_are_two_scans_of_one_case(tiny, tmp_path, capsys):
    path = series(tmp_path)
    assert tiny("--dwi", str(path), "--adc", "auto", "--json") == 0
    shown = capsys.readouterr()
    record = json.loads(shown.out)
    assert set(record["inputs"]) == {"dwi", "adc"}
    assert {entry["path"] for entry in record["inputs"].values()} == {str(path)}
    assert "dwi: made of a diffusion series" in shown.err
    assert "adc: ADC computed from b 0" in shown.err
    assert tiny("--adc", "auto") == 2
    assert "--adc auto computes ADC from --dwi" in capsys.readouterr().err


@needs_dicom
@pytest.mark.parametrize("name", NAMES)
def test_dicom_is_segmented_on_the_grid_of_its_series(tiny, tmp_path, name):
    assert tiny(f"--{CONTRASTS[name]}", str(zipped(name)), "--save", "mask", "-q") == 0
    mask = nib.load(tmp_path / "out" / f"{name}_label-L_mask.nii.gz")
    scan = arrived(CONTRASTS[name], zipped(name))
    assert mask.shape == scan.data.shape
    np.testing.assert_allclose(mask.affine, scan.grid.affine, atol=1e-4)
    record = json.loads((tmp_path / "out" / f"{name}_strokeseg.json").read_text())
    (entry,) = record["inputs"].values()
    assert (entry["path"], len(entry["sha256"])) == (str(zipped(name)), 64)


def test_a_number_of_a_series_belongs_to_a_scan(tiny, capsys):
    assert tiny("--t1", "a.nii", "--series", "dwi=3") == 2
    assert tiny("--t1", "a.nii", "--series", "t1=x") == 2
    assert "--series t1=x: give NAME=NUMBER" in capsys.readouterr().err
    assert tiny("--t1", "dicom", "--series", "t1=3", "--series", "t1=4") == 2
    assert "--series t1=4: give NAME=NUMBER once" in capsys.readouterr().err


def test_a_number_of_a_series_is_refused_for_what_is_no_dicom(tiny, tmp_path, capsys):
    path = scan_file(tmp_path)
    assert tiny("--t1", str(path), "--series", "t1=3") == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert f"--series t1=3: {path} is no DICOM" in line
    assert not (tmp_path / "out").exists()
