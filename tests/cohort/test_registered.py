"""`--register` in every command that does cases: the way is written, recorded, kept and resumed."""

import json

import nibabel as nib
import numpy as np
import pytest

from strokeseg.cli import run
from strokeseg.prediction import registration
from strokeseg.space.fit import Fit
from tests.factories import scan_file
from tests.tiny_models import OWN, isolate, tiny_files, write_files

SHIFT_MM = (9.0, -4.5, 3.0)


@pytest.fixture
def words(tmp_path, monkeypatch):
    """Options; how the way is found is shown elsewhere, here it is known."""
    pytest.importorskip("SimpleITK")
    isolate(monkeypatch, tmp_path / "home")
    to_moving = np.eye(4)
    to_moving[:3, 3] = SHIFT_MM
    monkeypatch.setattr(registration, "register", lambda *_, **__: Fit(to_moving, -0.3, -0.6))
    own = OWN | {"class_names": ["background", "lesion"], "window": 32, "brain_mask": False}
    own |= {"threshold": 0.3, "min_volume_ml": 0.0}
    model = write_files(tmp_path / "model", tiny_files(own, seed=3, out_channels=2))
    shared = ["--model", str(model), "--fast", "--save", "probability", "-q"]
    return [*shared, "--register", "always"]


def two_scans(folder, start):
    """A T1w, and the same displaced, as a FLAIR."""
    folder.mkdir(parents=True)
    fixed = scan_file(folder).rename(folder / f"{start}_T1w.nii.gz")
    image = nib.load(fixed)
    affine = image.affine.copy()
    affine[:3, 3] += SHIFT_MM
    moved = folder / f"{start}_FLAIR.nii.gz"
    nib.save(nib.Nifti1Image(np.asarray(image.dataobj), affine), moved)
    return [fixed, moved]


def assert_moved(folder, start):
    record = json.loads((folder / f"{start}_strokeseg.json").read_text())
    told = record["registration"]["flair"]
    assert told["kept"] is True
    assert (told["metric_before"], told["metric_after"]) == (-0.3, -0.6)
    assert told["moved_mm"] == pytest.approx(np.linalg.norm(SHIFT_MM), abs=0.01)
    way = f"{start}_from-flair_to-t1_mode-image_xfm.tfm"
    assert way in record["files"]
    assert (folder / way).read_text().startswith("#Insight Transform File V1.0")
    assert any("flair was moved onto t1 (by 10 mm" in line for line in record["warnings"])
    return np.asarray(nib.load(folder / f"{start}_label-L_probseg.nii.gz").dataobj)


def test_every_command_moves_scans_writes_the_way_and_goes_on_from_it(tmp_path, words):
    given = two_scans(tmp_path / "cases" / "p1", "p1")
    out = tmp_path / "alone"
    # Both scans are one head, so moved onto each other they are as the first by itself.
    assert run(["predict", *map(str, given[:1]), "-o", str(tmp_path / "one"), *words[:-2]]) == 0
    one = nib.load(tmp_path / "one" / "p1_label-L_probseg.nii.gz")
    assert run(["predict", *map(str, given), "-o", str(out), *words]) == 0
    inside = np.s_[8:-8, 8:-8, 8:-8]
    alone = assert_moved(out, "p1")
    np.testing.assert_allclose(alone[inside], np.asarray(one.dataobj)[inside], atol=0.02)

    batch = ["batch", str(tmp_path / "cases"), str(tmp_path / "out"), *words]
    assert run(batch) == 0
    np.testing.assert_array_equal(assert_moved(tmp_path / "out" / "p1", "p1"), alone)
    written = {path: path.stat().st_mtime_ns for path in (tmp_path / "out" / "p1").iterdir()}
    assert run(batch) == 0
    assert {path: path.stat().st_mtime_ns for path in written} == written
    next(path for path in written if path.suffix == ".tfm").unlink()
    assert run(batch) == 0
    assert_moved(tmp_path / "out" / "p1", "p1")

    two_scans(tmp_path / "raw" / "sub-01" / "anat", "sub-01")
    assert run(["bids", str(tmp_path / "raw"), str(tmp_path / "bids"), "participant", *words]) == 0
    assert_moved(tmp_path / "bids" / "sub-01" / "anat", "sub-01")
