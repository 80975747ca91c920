import json

import nibabel as nib
import numpy as np
import pytest

from strokeseg.cli import run
from strokeseg.cli.scans import scans_of
from strokeseg.errors import UsageError
from tests.factories import KINDS, scan_file, scan_image
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
