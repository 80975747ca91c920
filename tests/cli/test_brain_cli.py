"""`strokeseg brain`, `--brain-model`, and what they refuse."""

import json

import nibabel as nib
import numpy as np
import pytest

from strokeseg.cli import run
from tests.mesh_models import mesh_folder
from tests.prediction.test_other_models import AFFINE, phantom
from tests.tiny_models import isolate


@pytest.fixture
def folder(tmp_path, monkeypatch):
    isolate(monkeypatch, tmp_path / "home")
    mesh_folder(tmp_path / "brains", 0.5, finds="brain", least_size=48, voxel_size_mm=3.0)
    mesh_folder(tmp_path / "lesions", 0.8, sequences=["t2"], voxel_size_mm=3.0)
    for name in ("sub-01_T2w", "sub-01_T1w"):
        data, affine = phantom()
        nib.save(nib.Nifti1Image(data + 5 * (data > 0), affine), tmp_path / f"{name}.nii.gz")
    return tmp_path


def brain(folder, *arguments):
    model = ["--model", str(folder / "brains")]
    return run(["brain", *arguments, "-o", str(folder / "out"), *model])


def test_brain_writes_mask_scan_picture_and_how_it_was_made(folder, capsys):
    scan = folder / "sub-01_T2w.nii.gz"
    assert brain(folder, str(scan)) == 0
    assert sorted(p.name for p in (folder / "out").iterdir()) == [
        "sub-01_desc-brainT2w_mask.json",
        "sub-01_desc-brainT2w_mask.nii.gz",
        "sub-01_desc-brainT2w_qc.png",
        "sub-01_desc-brain_T2w.nii.gz",
    ]
    mask = nib.load(folder / "out" / "sub-01_desc-brainT2w_mask.nii.gz")
    alone = nib.load(folder / "out" / "sub-01_desc-brain_T2w.nii.gz")
    data = nib.load(scan).get_fdata()
    inside = np.asarray(mask.dataobj) > 0
    assert mask.get_data_dtype() == np.uint8
    assert np.array_equal(inside, data >= 65)
    assert np.array_equal(alone.get_fdata(), np.where(inside, data, 0))
    assert np.array_equal(alone.affine, AFFINE)
    about = json.loads((folder / "out" / "sub-01_desc-brainT2w_mask.json").read_text())
    assert about["VolumeMl"] == pytest.approx(inside.sum() * 0.027, rel=1e-3)
    assert about["Model"]["Name"] == "brains"
    assert about["Sources"] == ["sub-01_T2w.nii.gz"]
    assert "brain volume" in capsys.readouterr().out


def test_scans_of_one_person_do_not_meet_and_an_earlier_result_is_kept(folder, capsys):
    scans = [str(folder / f"sub-01_{name}.nii.gz") for name in ("T1w", "T2w")]
    assert brain(folder, *scans, "-q") == 0
    assert len(list((folder / "out").iterdir())) == 8
    assert brain(folder, scans[0]) == 73
    assert "exists" in capsys.readouterr().err
    assert brain(folder, scans[0], "--overwrite", "--json") == 0
    assert json.loads(capsys.readouterr().out)["Type"] == "Brain"


def test_a_model_of_lesions_is_no_model_of_brains(folder, capsys):
    arguments = ["brain", str(folder / "sub-01_T2w.nii.gz"), "-o", str(folder / "out")]
    assert run([*arguments, "--model", str(folder / "lesions")]) == 2
    assert "finds lesions, not brains" in capsys.readouterr().err
    assert not (folder / "out").exists()


def test_a_scan_that_is_none_gives_its_code(folder, capsys):
    assert brain(folder, str(folder / "none.nii.gz")) == 66
    assert "none.nii.gz" in capsys.readouterr().err


def predict(folder, *arguments):
    scan = ["--t2", str(folder / "sub-01_T2w.nii.gz"), "-o", str(folder / "out")]
    return run(["predict", *scan, "--model", str(folder / "lesions"), *arguments])


def test_predict_takes_the_brain_of_a_brain_model(folder, capsys):
    assert predict(folder, "--brain-model", str(folder / "brains")) == 0
    assert "lesions, brain by brains" in capsys.readouterr().out
    record = json.loads((folder / "out" / "sub-01_strokeseg.json").read_text())
    assert [model["finds"] for model in record["models"]] == ["lesion", "brain"]
    assert record["brain_volume_ml"] > 200
    assert record["shares"][0]["share"] == 1


def test_none_is_no_brain_model(folder):
    assert predict(folder, "--brain-model", "none", "-q") == 0
    record = json.loads((folder / "out" / "sub-01_strokeseg.json").read_text())
    assert [model["name"] for model in record["models"]] == ["lesions"]


def test_a_model_of_lesions_is_refused_as_a_brain_model(folder, capsys):
    assert predict(folder, "--brain-model", str(folder / "lesions")) == 2
    assert "finds lesions, not brains" in capsys.readouterr().err


def test_batch_takes_it_too_and_goes_on_where_it_was(folder, capsys):
    (folder / "in" / "sub-01").mkdir(parents=True)
    scan = folder / "sub-01_T2w.nii.gz"
    scan.rename(folder / "in" / "sub-01" / scan.name)
    command = ["batch", str(folder / "in"), str(folder / "out"), "--json"]
    command += ["--model", str(folder / "lesions"), "--brain-model", str(folder / "brains")]
    assert run(command) == 0
    assert json.loads(capsys.readouterr().out)["done"] == 1
    assert run(command) == 0
    assert json.loads(capsys.readouterr().out)["skipped"] == 1


# --- the bench ---


def test_evaluate_segments_with_each_model_and_compares_them(folder, capsys):
    data, affine = phantom()
    (folder / "in").mkdir()
    (folder / "truth").mkdir()
    for name in ("sub-01", "sub-02"):
        nib.save(nib.Nifti1Image(data, affine), folder / "in" / f"{name}_T2w.nii.gz")
        truth = nib.Nifti1Image((data == 100).astype(np.uint8), affine)
        nib.save(truth, folder / "truth" / f"{name}_label-L_mask.nii.gz")
    worse = mesh_folder(folder / "worse", 0.3, voxel_size_mm=3.0)
    models = f"{folder / 'lesions'},{worse},{folder / 'lesions'}+{worse}"
    command = ["evaluate", "--models", models, str(folder / "in"), str(folder / "truth")]
    assert run([*command, "-o", str(folder / "bench")]) == 0
    assert "dice_minus_first" in capsys.readouterr().out
    lines = (folder / "bench" / "models.tsv").read_text().splitlines()
    rows = [dict(zip(lines[0].split("\t"), line.split("\t"), strict=True)) for line in lines[1:]]
    assert [row["model"] for row in rows] == ["lesions", "worse", "lesions+worse"]
    assert [row["n"] for row in rows] == ["2", "2", "2"]
    assert float(rows[0]["dice_mean"]) == 1
    assert float(rows[1]["dice_minus_first"]) == pytest.approx(
        float(rows[1]["dice_mean"]) - 1, abs=1e-5
    )
    assert float(rows[0]["seconds_median"]) > 0
    assert float(rows[0]["peak_memory_gb"]) > 0
    assert (folder / "bench" / "worse" / "cohort.tsv").is_file()
    assert (folder / "bench" / "metrics.tsv").is_file()


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["--models", "a"], "give a folder with -o"),
        (["--models", "a,", "-o", "x"], "give names with commas"),
        (["--models", "a,a", "-o", "x"], "called alike"),
        (["--models", "a", "-o", "x", "--names", "b,c"], "leave --compare out"),
    ],
)
def test_a_bench_that_makes_no_sense_is_refused(folder, capsys, arguments, word):
    assert run(["evaluate", str(folder), str(folder), *arguments]) == 2
    assert word in capsys.readouterr().err
